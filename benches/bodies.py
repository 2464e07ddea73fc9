"""What is done with bodies, part by part: held and copied, read, inspected, validated, changed on their way."""

import contextlib
import json
import socket
import threading

WORDS = ["alpha", "beta", "gamma", "delta", "the quick brown fox", "jumps over", "a lazy dog"]
ITEMS = [{"id": n, "name": WORDS[n % 7], "note": " ".join(WORDS), "tags": WORDS[:3]} for n in range(440)]
DOCUMENT = json.dumps({"items": ITEMS}).encode()
INJECTED = json.dumps({"items": ITEMS, "last": "1' union select a, b from c -- "}).encode()
INVALID = json.dumps({"items": ITEMS + [{"id": "one"}]}).encode()
# Not text: held and copied, and no more than its first byte is looked at.
BINARY = b"\xff" * len(DOCUMENT)
ACCOUNTS = json.dumps({"results": [
    {"id": n, "name": WORDS[n % 7], "password": "pbkdf2_sha256$600000$abc", "note": " ".join(WORDS)} for n in range(440)]}).encode()
USER = json.dumps({"name": "Ann", "phone_number": "+44 20 7946 0958", "ssn": "078-05-1120", "note": " ".join(WORDS)}).encode()
# As an API's description has it: types, lengths, bounds, names and what is required.
SCHEMA = {
    "type": "object", "required": ["items"], "additionalProperties": False,
    "properties": {"items": {"type": "array", "maxItems": 1000, "items": {
        "type": "object", "required": ["id", "name"], "additionalProperties": False,
        "properties": {
            "id": {"type": "integer", "minimum": 0},
            "name": {"type": "string", "minLength": 1, "maxLength": 100},
            "note": {"type": "string", "maxLength": 2000},
            "tags": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 50}},
        },
    }}},
}
KEY = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="


def plugin(**route):
    """Nothing but what is done with a body; the answer to a response is the upstream's."""
    return {"headers": {"security": "off", "rate_limit": "off"},
            "secrets": {"field_key": {"env": "FIELD_KEY"}}, "encryption": {"keys": [{"secret": "field_key"}]},
            "routes": [{"match": {"path": "/api/**"}, "authenticate": "none", **route}]}


INSPECTED = {}
NOT_INSPECTED = {"inspection": {"mode": "off"}}
VALIDATED = {"body": {"schema": SCHEMA}}


@contextlib.contextmanager
def serving(body):
    """An upstream that answers every request with this body; the port."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    listener = socket.create_server(("127.0.0.1", 0))

    def connection(client):
        with client, contextlib.suppress(OSError):
            received = b""
            while piece := client.recv(65536):
                received += piece
                while b"\r\n\r\n" in received:
                    received = received.partition(b"\r\n\r\n")[2]
                    client.sendall(answer)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=connection, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield listener.getsockname()[1]


def measure(run, tools):
    """`run` takes the figures; `tools` is the module that it is of."""
    requests(run, tools)
    responses(run, tools)
    encryption(run, tools)


def requests(run, tools):
    print("a request's body of 64 KB, by Envoy's buffer filter alone:", flush=True)
    document = [tools.post(DOCUMENT, "application/json")]
    routes = {
        "inspected": INSPECTED,
        "decoded": NOT_INSPECTED | {"body": {"schema": {}}},
        "validated_alone": NOT_INSPECTED | VALIDATED,
        "validated": INSPECTED | VALIDATED,
    }
    for name, refused in [("inspected", INJECTED), ("validated", INVALID), ("validated_alone", INVALID), ("validated", INJECTED)]:
        filters = tools.portcullis(plugin(**routes[name]), run.module)
        tools.refuses(filters, tools.post(refused, "application/json"), (400, 403, 422))
    subjects = {
        "buffer": tools.Subject(tools.buffer_filter(), document, 40),
        "copied": run.subject(plugin(**INSPECTED), [tools.post(BINARY, "application/octet-stream")], 40),
        **{name: run.subject(plugin(**route), document, 40) for name, route in routes.items()},
    }
    with tools.running(subjects, run.rounds(25)) as rounds:
        print(f"  (the body has {len(DOCUMENT)} bytes)")
        for name, subject in [("body_64k_vs_buffer", "inspected"), ("body_64k_validated_vs_buffer", "validated")]:
            run.take(name, rounds.ratio(subject, "buffer"))
        print("  what each part adds, in requests that are buffered alone:")
        for part, above, below in [("copy", "copied", "buffer"), ("scan", "inspected", "copied"),
                                   ("decode", "decoded", "copied"), ("validate", "validated_alone", "decoded")]:
            run.take(f"body_64k_{part}", rounds.share(above, below, "buffer"))


def responses(run, tools):
    print("one field left out of 440 rows of a response of 64 KB, by an Envoy that passes it on:", flush=True)
    projected = plugin(response={"fields": {"deny": ["results.*.password"]}})
    with serving(ACCOUNTS) as upstream:
        envoy = tools.Envoy(tools.portcullis(projected, run.module), upstream=upstream)
        left = json.loads(tools.Client(envoy.port).answer(tools.get())[1])
        envoy.close()
        if any("password" in row for row in left["results"]) or len(left["results"]) != 440:
            raise SystemExit("bench: a field that must go is there")
        request = [tools.get()]
        subjects = {"bare": tools.Subject([], request, 40, upstream=upstream),
                    "projected": run.subject(projected, request, 40, upstream=upstream)}
        with tools.running(subjects, run.rounds(25)) as rounds:
            print(f"  (the body has {len(ACCOUNTS)} bytes)")
            run.take("projection_64k_vs_bare", rounds.ratio("projected", "bare"))


def encryption(run, tools):
    print("two fields of a request encrypted, by Envoy's buffer filter alone:", flush=True)
    route = NOT_INSPECTED | {"body": {"encrypt": ["phone_number", "ssn"]}}
    broken = tools.post(USER[:-1], "application/json")
    tools.refuses(tools.portcullis(plugin(**route), run.module), broken, 400)
    request = [tools.post(USER, "application/json")]
    subjects = {"buffer": tools.Subject(tools.buffer_filter(), request, 200),
                "encrypted": run.subject(plugin(**route), request, 200)}
    with tools.running(subjects, run.rounds(25)) as rounds:
        run.take("encryption_2_fields_vs_buffer", rounds.ratio("encrypted", "buffer"))
