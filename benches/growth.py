"""How the cost of the whole pipeline grows: with the transport, workers, routes, identities, and in monitor mode.

Each part puts what grows side by side and divides the pipeline by an Envoy without filters under the same conditions, and
by Envoy's own chain with its token cache where there is one: NAME_full_vs_bare, NAME_native_cached_vs_bare,
NAME_full_vs_native_cached.
"""

import shutil
import sys
from pathlib import Path

from clients import Client, Connections, Http2, get
from configurations import ATTACK, UNKNOWN, full, native_chain, portcullis
from proxy import Envoy
from rounds import Subject
from tokens import hs256

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "envoy"))

from harness.certificates import Authority  # noqa: E402

STREAMS, CONNECTIONS = 32, 16


def chains(bench):
    """The filters to compare, and what each must refuse."""
    return {"bare": ([], {}), "native_cached": (native_chain("HS256", cache=True), UNKNOWN),
            "full": (portcullis(full(), bench.module), UNKNOWN | ATTACK)}


def transports(bench):
    print("by transport: HTTP/1.1, HTTP/2 with one stream and with many at once, TLS, and a real upstream:", flush=True)
    authority, request = Authority(), [get(bearer=hs256(1))]
    certificate = authority.issue(hosts=["api.example.com"]).path
    connects = {
        "http1": lambda envoy: Client(envoy.port),
        "http2_single": lambda envoy: Http2(envoy.port, 1),
        "http2": lambda envoy: Http2(envoy.port, STREAMS),
        "tls": lambda envoy: Client(envoy.tls_port, tls=authority.path),
    }
    service = Envoy([]).wait()
    subjects = {}
    for chain, (filters, refuses) in chains(bench).items():
        envoy = Envoy(filters, certificate=certificate)
        for kind, connect in connects.items():
            subjects[f"{kind}_{chain}"] = Subject(envoy, request, 8 * STREAMS, refuses=refuses, connect=connect)
        subjects[f"upstream_{chain}"] = Subject(filters, request, 8 * STREAMS, refuses=refuses, upstream=service.port)
    try:
        with bench.running(subjects, 25) as run:
            for kind in (*connects, "upstream"):
                take(bench, run, kind, f"{kind}_bare")
    finally:
        service.close()
        shutil.rmtree(authority.directory)


def workers(bench):
    print(f"by workers, {CONNECTIONS} connections with a request on its way on each, all workers' CPU:", flush=True)
    request, numbers = [get(bearer=hs256(1))], (1, 2, 4)
    connect = lambda envoy: Connections(envoy.port, CONNECTIONS)
    subjects = {
        f"workers_{number}_{chain}": Subject(filters, request, 20 * CONNECTIONS, refuses=refuses, warm=640 * number,
                                             connect=connect, concurrency=number)
        for number in numbers for chain, (filters, refuses) in chains(bench).items()}
    # Workers share out what cores there are.
    with bench.running(subjects, 25, place="free") as run:
        for number in numbers:
            take(bench, run, f"workers_{number}", f"workers_{number}_bare")


# Exact, open-ended, and with a segment that may be anything: the template, the same for Envoy, and a path that meets it.
SHAPES = (
    ("{base}/item{at}", lambda base, at: {"exact": f"{base}/item{at}"}, "{base}/item{at}"),
    ("{base}/item{at}/**", lambda base, at: {"prefix": f"{base}/item{at}/"}, "{base}/item{at}/page"),
    ("{base}/{{id}}/item{at}", lambda base, at: {"safe_regex": {"regex": f"{base}/[^/]+/item{at}"}}, "{base}/{id}/item{at}"),
)


def shape(at):
    """A shape, and what fills it in, of the route at this place of a table."""
    return SHAPES[at % len(SHAPES)], {"base": f"/api/v1/group{at // 100}", "at": at}


def table(count):
    """`count` routes, all treated alike."""
    treated = {name: value for name, value in full()["routes"][0].items() if name != "match"}
    paths = (template.format(**names) for (template, _, _), names in map(shape, range(count)))
    return full(defaults=treated) | {"routes": [{"match": {"path": path}} for path in paths]}


def hits(count, bearer):
    """Three hundred requests, each another, that meet routes all over a table of `count`; so does every part of them."""
    number, stride = 300, 77
    for turn in range(number):
        (_, _, path), names = shape(turn * stride % number * count // number)
        yield get(f"{path.format(**names, id=turn)}?page={turn}&sort=name", bearer=bearer)


def routes(bench):
    print("by routes, requests spread over the table:", flush=True)
    bearer, counts = hs256(1), (1, 100, 10_000)
    unmatched = {get("/api/v1/group0/other", bearer=bearer): 403}
    subjects = {}
    for count in counts:
        requests, name = list(hits(count, bearer)), f"routes_{count}"
        paths = [path(**names) for (_, path, _), names in map(shape, range(count))]
        native = native_chain("HS256", cache=True, paths=paths)
        subjects |= {
            f"{name}_bare": Subject([], requests, 250),
            # Its cost grows with the table, and short bursts of it do.
            f"{name}_native_cached": Subject(native, requests, 250 if count <= 100 else 50),
            f"{name}_full": bench.subject(table(count), requests, 250, refuses=unmatched, warm=1000),
        }
    with bench.running(subjects, 25) as run:
        for count in counts:
            take(bench, run, f"routes_{count}", f"routes_{count}_bare")
        bench.take("routes_10000_vs_1", run.ratio("routes_10000_full", "routes_1_full"))


def identities(bench):
    print("by identities, tokens in turn:", flush=True)
    requests, counts = [get(bearer=hs256(number)) for number in range(10_000)], (1, 100, 10_000)
    subjects = {"bare": Subject([], requests, 250)}
    for count in counts:
        for chain in ("native_cached", "full"):
            filters, refuses = chains(bench)[chain]
            subjects[f"identities_{count}_{chain}"] = Subject(
                filters, requests[:count], 250, refuses=refuses, warm=max(1000, count))
    with bench.running(subjects, 25) as run:
        for count in counts:
            take(bench, run, f"identities_{count}", "bare")


def modes(bench):
    print("enforced and only monitored, a good request and an injection:", flush=True)
    good = get(bearer=hs256(1))
    [(attack, refused)] = ATTACK.items()
    bare = Envoy([])
    subjects = {"bare": Subject(bare, [good], 250), "attack_bare": Subject(bare, [attack], 250)}
    for mode, status in (("enforce", refused), ("monitor", 200)):
        envoy = Envoy(portcullis(full(mode=mode), bench.module))
        subjects[f"{mode}_full"] = Subject(envoy, [good], 250, warm=1000)
        subjects[f"{mode}_attack_full"] = Subject(envoy, [attack], 250, status=status)
    with bench.running(subjects, 25) as run:
        for mode in ("enforce", "monitor"):
            take(bench, run, mode, "bare")
        for mode in ("enforce", "monitor"):
            take(bench, run, f"{mode}_attack", "attack_bare")


def take(bench, run, kind, bare):
    """The figures of one kind."""
    ours, native = f"{kind}_full", f"{kind}_native_cached"
    bench.take(f"{ours}_vs_bare", run.ratio(ours, bare))
    if native in run.subjects:
        bench.take(f"{native}_vs_bare", run.ratio(native, bare))
        bench.take(f"{ours}_vs_native_cached", run.ratio(ours, native))


PARTS = {part.__name__: part for part in (transports, workers, routes, identities, modes)}
