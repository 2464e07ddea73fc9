#!/usr/bin/env python3
"""Portcullis beside Envoy's own filters: CPU time of Envoy per request, as ratios taken in the same run.

Every configuration runs in an Envoy of its own, all at once, on one core, and the client on another. A round sends one short
burst to each, in random order, and reads the CPU time that its Envoy spent; ratios are paired within the round, and the median
of the rounds is the figure.
What a configuration answers is checked before it is timed. Prints a table and writes target/bench.json: each figure, and its
quartiles as NAME_q1 and NAME_q3.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

import growth
import payloads
import weight
from clients import get, post
from configurations import ATTACK, UNKNOWN, bodies, buffer_filter, full, native_chain, portcullis, provider, route
from proxy import Envoy
from rounds import PLACES, Subject, placed, running, spread
from tokens import JWKS, es256, hashes_of, hs256, rs256, token

ROOT = Path(__file__).parents[1]


class Bench:
    def __init__(self, module, quick, place):
        self.module, self.quick, self.place, self.figures = module, quick, place, {}

    def rounds(self, n):
        return max(5, n // 5) if self.quick else n

    def take(self, name, measured):
        for key, value in zip((name, f"{name}_q1", f"{name}_q3"), measured, strict=True):
            self.figures[key] = round(value, 3)
        print(f"  {name:<40} {measured[0]:8.3f}   ({measured[1]:.3f} to {measured[2]:.3f})", flush=True)

    def subject(self, plugin, requests, burst, **options):
        return Subject(portcullis(plugin, self.module), requests, burst, **options)

    def running(self, subjects, rounds, place=None):
        return running(subjects, self.rounds(rounds), place or self.place)

    def pipeline(self):
        print("one token again and again, ten headers, CPU per request:", flush=True)
        request = [get(bearer=hs256(1))]
        subjects = {
            "bare": Subject([], request, 400),
            "full": self.subject(full(), request, 400, refuses=UNKNOWN | ATTACK),
            "native_cached": Subject(native_chain("HS256", cache=True), request, 400, refuses=UNKNOWN),
            "native": Subject(native_chain("HS256"), request, 400, refuses=UNKNOWN),
        }
        with self.running(subjects, 40) as run:
            self.take("full_vs_bare", run.ratio("full", "bare"))
            self.take("full_vs_native_cached", run.ratio("full", "native_cached"))
            self.take("full_vs_native", run.ratio("full", "native"))
            print(f"  (bare Envoy: {statistics.median(run.cost['bare']) / 1000:.1f} µs here)")

    def parts(self):
        print("the same request, one part more each time, by an Envoy without filters:", flush=True)
        request = [get(bearer=hs256(1))]
        nothing = {"headers": {"security": "off", "rate_limit": "off", "https_redirect": False}, "limits": {}}
        address, user = full()["limits"].items()
        told = {"headers": {"security": "off", "rate_limit": "draft", "https_redirect": False}}
        plugins = {
            "nothing": route(nothing, authenticate="none", inspection={"mode": "off"}),
            "inspection": route(nothing, authenticate="none"),
            "security_headers": route(nothing, authenticate="none", inspection={"mode": "off"},
                                      headers={"security": "strict"}),
            "token": route(nothing, inspection={"mode": "off"}),
            "token_and_limit": route({**nothing, "limits": dict([address])}, inspection={"mode": "off"},
                                     limits=["per_address"]),
            "token_and_two_limits": route({**nothing, "limits": dict([address, user])}, inspection={"mode": "off"},
                                          limits=["per_address", "per_user"]),
            "and_limits_told": route({**told, "limits": dict([address, user])}, inspection={"mode": "off"},
                                     limits=["per_address", "per_user"]),
        }
        subjects = {"bare": Subject([], request, 300),
                    **{name: self.subject(plugin, request, 300) for name, plugin in plugins.items()}}
        with self.running(subjects, 40) as run:
            for name in plugins:
                self.take(f"part_{name}_vs_bare", run.ratio(name, "bare"))

    def tokens(self):
        print("ten thousand tokens in turn:", flush=True)
        requests = [get(bearer=hs256(n)) for n in range(10_000)]
        subjects = {
            "full": self.subject(full(), requests, 1000, warm=len(requests)),
            "native_cached": Subject(native_chain("HS256", cache=True), requests, 1000, warm=len(requests)),
        }
        with self.running(subjects, 25) as run:
            self.take("tokens_10k_vs_native_cached", run.ratio("full", "native_cached"))

    def signatures(self):
        print("every token new, by asymmetric signature:", flush=True)
        rounds, burst = self.rounds(15), 60
        for algorithm, make in (("RS256", rs256), ("ES256", es256)):
            keys = {"keys": [key for key in JWKS["keys"] if key["alg"] == algorithm]}
            plugin = full(jwt=provider([algorithm], jwks={"inline": keys}))
            requests = [get(bearer=make(n)) for n in range(burst * (rounds + 2))]
            subjects = {"full": self.subject(plugin, requests, burst),
                        "native": Subject(native_chain(algorithm), requests, burst)}
            with self.running(subjects, 15) as run:
                self.take(f"{algorithm.lower()}_first_vs_native", run.ratio("full", "native"))

    def forged(self):
        print("forged RS256 tokens, every one another:", flush=True)
        rounds, burst = self.rounds(15), 60
        keys = {"keys": [key for key in JWKS["keys"] if key["alg"] == "RS256"]}
        plugin = full(jwt=provider(["RS256"], jwks={"inline": keys}))
        forge = lambda n: token(n, "RS256", lambda text: hashes_of(text, 256))
        requests = [get(bearer=forge(n)) for n in range(burst * (rounds + 2))]
        subjects = {"full": self.subject(plugin, requests, burst, status=401),
                    "native": Subject(native_chain("RS256"), requests, burst, status=401)}
        with self.running(subjects, 15) as run:
            self.take("rs256_forged_vs_native", run.ratio("full", "native"))
        self.forged_flood(keys, forge)

    def forged_flood(self, keys, forge):
        """One address, a thousand a second for as many seconds as there are bursts, under the default budget."""
        seconds, rate = 3 if self.quick else 30, 1000
        plugin = full(jwt=provider(["RS256"], jwks={"inline": keys}))
        del plugin["authentication"]["unverified_credentials"]
        requests = [get(bearer=forge(10**6 + n)) for n in range(rate * seconds)]
        subjects = {"full": self.subject(plugin, requests, rate, status=(401, 429)),
                    "native": Subject(native_chain("RS256"), requests, rate, status=401)}
        try:
            for subject in subjects.values():
                subject.open()
            with placed(subjects, self.place):
                rounds = [{name: subject.run() for name, subject in subjects.items()} for _ in range(seconds)]
        finally:
            for subject in subjects.values():
                subject.close()
        total = {name: sum(spent[name] for spent in rounds) for name in subjects}
        _, low, high = spread([spent["full"] / spent["native"] for spent in rounds])
        self.take("rs256_flood_vs_native", (total["full"] / total["native"], low, high))

    def scan(self):
        print("inspection in the module, megabytes of a body in a second of CPU, copy included:", flush=True)
        size = 1_000_000
        benign = b"The quick brown fox jumps over the lazy dog, and nobody knows why. "
        hostile = {
            "quotes that compare": b"='", "references": b"&amp;amp;amp;", "every encoding": b"%2525252525&amp;amp;amp;\\u005cu005c",
            "steps upwards": b"../a", "arguments without an end": b";ls+a", "markup": b"<p class=\"a\">text &amp; more</p>\n",
            "quotes and brackets": b"'+(((((((((1)))))))))", "script URLs": b"javascript:a ",
            # What the search of benches/scan.rs found to cost most.
            "templates and tags": b"\0.0x)<%alert(;{ls ", "URLs of data": b"data:..;on=%25<%<a data:.0x${,",
            "tags and a line": b"<%<a href=}}$(\0.0x{{${\n", "quotes and lines": b"\"%27<style \n`-->|\n",
            "nested lookups": b".0x${${a\0..;<%${..;$(", "declarations": b"<%<<!doctype <%%2541<%<!doctype ",
            "styles and comments": b"<style >;if(0x#or &\n%27",
            "calls in calls": b"exec(exec(exec(\\x27%2541-$(",
        }
        pieces = {"prose": benign, **hostile}
        bodies_of = {kind: (piece * (size // len(piece) + 1))[:size] for kind, piece in pieces.items()}
        # Monitored: what is found is told, and the body passes.
        monitored = portcullis(bodies(mode="monitor", body_limit="2MiB"), self.module)
        envoys = {"buffer": Envoy(buffer_filter()), "scan": Envoy(monitored)}
        subjects = {(kind, chain): Subject(envoy, [post(body, "text/plain")], 2)
                    for kind, body in bodies_of.items() for chain, envoy in envoys.items()}
        with self.running(subjects, 10) as run:
            rates = {}
            for kind in pieces:
                per_body = run.difference((kind, "scan"), (kind, "buffer"))
                rates[kind] = tuple(size / nanoseconds * 1000 for nanoseconds in (per_body[0], per_body[2], per_body[1]))
        for kind, (rate, *_) in sorted(rates.items(), key=lambda rated: rated[1]):
            print(f"  {kind:<28} {rate:>10.1f}")
        self.take("scan_benign_mb_s", rates["prose"])
        worst = min(hostile, key=lambda kind: rates[kind][0])
        self.take("scan_hostile_mb_s", rates[worst])
        print(f"  (the worst of {len(hostile)} kinds: {worst})")


# In this order. A part is a function of the bench.
PARTS = {name: getattr(Bench, name) for name in (
    "pipeline", "parts", "tokens", "signatures", "forged", "scan")} | payloads.PARTS | growth.PARTS | weight.PARTS
GROUPS = {"body": list(payloads.PARTS), "growth": list(growth.PARTS)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a look, no figures to keep")
    parser.add_argument("--only", type=chosen, default=list(PARTS), metavar="PART,...",
                        help=f"{', '.join(PARTS)}; body: {', '.join(payloads.PARTS)}; growth: {', '.join(growth.PARTS)}")
    parser.add_argument("--json", type=Path, default=ROOT / "target" / "bench.json")
    parser.add_argument("--place", choices=PLACES, default=PLACES[0], help="the client and the Envoys on cores of their own "
                        "(apart), all on one (together), or wherever the system puts them (free)")
    options = parser.parse_args()
    bench = Bench(Path(os.environ["PORTCULLIS_WASM"]), options.quick, options.place)
    started = time.monotonic()
    for part in options.only:
        begun = time.monotonic()
        PARTS[part](bench)
        print(f"  ({part}: {time.monotonic() - begun:.0f} s)")
    options.json.write_text(json.dumps(bench.figures, indent=2) + "\n")
    print(f"bench: {len(bench.figures)} figures in {options.json}, {time.monotonic() - started:.0f} s")


def chosen(text):
    """The parts of a list of parts and groups, each once."""
    names = [name for word in text.split(",") for name in GROUPS.get(word, [word])]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part {unknown[0]}")
    return list(dict.fromkeys(names))


if __name__ == "__main__":
    sys.exit(main())
