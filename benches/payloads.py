"""What is done with bodies, part by part: held and copied, read, inspected, validated, changed on their way."""

import contextlib
import json
import socket
import threading

from clients import get, post
from configurations import buffer_filter
from rounds import Subject

WORDS = ["alpha", "beta", "gamma", "delta", "the quick brown fox", "jumps over", "a lazy dog"]
ITEMS = [{"id": n, "name": WORDS[n % 7], "note": " ".join(WORDS), "tags": WORDS[:3]} for n in range(440)]
DOCUMENT = json.dumps({"items": ITEMS}).encode()
INJECTED = json.dumps({"items": ITEMS, "last": "1' union select a, b from c -- "}).encode()
INVALID = json.dumps({"items": ITEMS + [{"id": "one"}]}).encode()
# Not text, as its control characters say: held, copied and counted through once.
BINARY = (b"\xff\x00\x01" * len(DOCUMENT))[:len(DOCUMENT)]
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


def validation(bench):
    print("a request's body of 64 KB, by Envoy's buffer filter alone:", flush=True)
    document, broken, injected = (post(body, "application/json") for body in (DOCUMENT, INVALID, INJECTED))
    # What is decoded alone is held against a schema that says nothing.
    routes = {
        "inspected": (INSPECTED, {injected: 403}),
        "decoded": (NOT_INSPECTED | {"body": {"schema": {}}}, {post(DOCUMENT[:-1], "application/json"): 400}),
        "validated_alone": (NOT_INSPECTED | VALIDATED, {broken: 422}),
        "validated": (INSPECTED | VALIDATED, {broken: 422, injected: (403, 422)}),
    }
    subjects = {
        "buffer": Subject(buffer_filter(), [document], 40),
        "copied": bench.subject(plugin(**INSPECTED), [post(BINARY, "application/octet-stream")], 40),
        **{name: bench.subject(plugin(**route), [document], 40, refuses=refuses)
           for name, (route, refuses) in routes.items()},
    }
    with bench.running(subjects, 25) as run:
        print(f"  (the body has {len(DOCUMENT)} bytes)")
        bench.take("body_64k_vs_buffer", run.ratio("inspected", "buffer"))
        bench.take("body_64k_validated_vs_buffer", run.ratio("validated", "buffer"))
        print("  what each part adds, in requests that are buffered alone:")
        for part, above, below in [("copy", "copied", "buffer"), ("scan", "inspected", "copied"),
                                   ("decode", "decoded", "copied"), ("validate", "validated_alone", "decoded")]:
            bench.take(f"body_64k_{part}", run.share(above, below, "buffer"))


def projection(bench):
    print("one field left out of 440 rows of a response of 64 KB, by an Envoy that passes it on:", flush=True)
    projected, request = plugin(response={"fields": {"deny": ["results.*.password"]}}), get()
    with serving(ACCOUNTS) as upstream:
        subjects = {"bare": Subject([], [request], 40, upstream=upstream),
                    "projected": bench.subject(projected, [request], 40, upstream=upstream)}
        with bench.running(subjects, 25) as run:
            left = json.loads(subjects["projected"].client.body(request))["results"]
            if len(left) != 440 or any("password" in row for row in left):
                raise SystemExit("bench: a field that must go is there")
            print(f"  (the body has {len(ACCOUNTS)} bytes)")
            bench.take("projection_64k_vs_bare", run.ratio("projected", "bare"))


def encryption(bench):
    print("two fields of a request encrypted, by Envoy's buffer filter alone:", flush=True)
    encrypting = plugin(**NOT_INSPECTED, body={"encrypt": ["phone_number", "ssn"]})
    request = [post(USER, "application/json")]
    subjects = {"buffer": Subject(buffer_filter(), request, 200),
                "encrypted": bench.subject(encrypting, request, 200, refuses={post(USER[:-1], "application/json"): 400})}
    with bench.running(subjects, 25) as run:
        bench.take("encryption_2_fields_vs_buffer", run.ratio("encrypted", "buffer"))


# A part is a function of the bench.
PARTS = {part.__name__: part for part in (validation, projection, encryption)}
