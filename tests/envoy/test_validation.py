"""Bodies held against a schema and sanitised: the sign-up route, and documents of every size, byte for byte."""

import json
from pathlib import Path

import pytest
import yaml
from harness import client
from harness.configuration import merged, plugin
from harness.expect import counted, passed, refused
from harness.gateway import HOST

REFERENCE = yaml.safe_load((Path(__file__).parents[2] / "envoy/examples/reference.yaml").read_text())
SIGN_UP = next(route["body"] for route in REFERENCE["routes"] if "schema" in route.get("body", {}))
SIGN_UP = {"schema": SIGN_UP["schema"], "sanitize_html": SIGN_UP["sanitize_html"]}

BASE = """
inspection: { body_limit: 1100KiB }
routes:
  - match: { path: /users, methods: [POST] }
    authenticate: none
  - match: { path: "/documents/**" }
    authenticate: none
    body:
      schema:
        properties: { id: { readOnly: true }, secret: { type: string, writeOnly: true }, rows: { type: array } }
      sanitize_html: { fields: [rows.*.html] }
  - match: { path: "/**" }
    authenticate: none
"""


def configured(hold):
    base = plugin(BASE)
    base["routes"][0]["body"] = SIGN_UP
    return merged(base, {"bodies": {"hold": hold, "json_entries": 100_000, "string_length": 2_000_000}})


PLUGIN = configured("headers")
USER = {"username": "joe_1", "email": "joe@example.com", "password": "Passw0rd!"}


@pytest.fixture(scope="module")
def behind(start):
    return start(configured("buffer_filter"), buffer_filter=True)


@pytest.fixture(params=["gateway", "behind"])
def holding(request):
    return request.getfixturevalue(request.param)


def without(name):
    return {key: value for key, value in USER.items() if key != name}


@pytest.mark.parametrize(("user", "errors"), [
    (USER | {"password": "passw0rd!"}, [("/password", "format")]),
    (USER | {"password": "PASSW0RD!"}, [("/password", "format")]),
    (USER | {"password": "Password!"}, [("/password", "format")]),
    (USER | {"password": "Passw0rd"}, [("/password", "format")]),
    (USER | {"password": "aA1!"}, [("/password", "minLength")]),
    (USER | {"password": "aA1!" * 13}, [("/password", "maxLength")]),
    (USER | {"username": "joe bloggs"}, [("/username", "format")]),
    (USER | {"username": "a" * 151}, [("/username", "format")]),
    (USER | {"username": 7654321098765}, [("/username", "type")]),
    (USER | {"email": "joe"}, [("/email", "format")]),
    (USER | {"is_admin": True}, [("/is_admin", "additionalProperties")]),
    (without("email"), [("/email", "required")]),
    (USER | {"bio": "x" * 2001}, [("/bio", "maxLength")]),
    ([], [("", "type")]),
])
def test_refuses_a_sign_up_with_the_pointer_of_every_violation(holding, user, errors):
    body = json.dumps(user).encode()
    with counted(holding, "blocked_requests_total", service="user-service", reason="body"):
        answer = holding.post("/users", body)
        problem = refused(answer, 422)
    assert [(error["pointer"], error["keyword"]) for error in problem["errors"]] == errors
    assert set(problem["errors"][0]) == {"pointer", "keyword"}
    event = holding.event(answer)
    assert (event["event_type"], event["details"]["reason"]) == ("SUSPICIOUS_REQUEST", "body_invalid")
    for value in (user.values() if isinstance(user, dict) else ()):
        assert str(value) not in answer.body.decode() and f'"{value}"' not in json.dumps(event)


@pytest.mark.parametrize("chunk", [0, 1, 50])
def test_a_good_sign_up_goes_on_byte_for_byte(holding, chunk):
    body = b'{ "username" : "j\\u006fe", "email":"joe@example.com", "password":"Passw0rd!" }'
    assert passed(holding.post("/users", body, chunk=chunk)).body == body


@pytest.mark.parametrize("chunk", [0, 7])
def test_the_upstream_gets_the_bio_sanitised_and_with_its_length(holding, chunk):
    bio = '<p onclick="x()">Hi <b>there</b><script>alert(1)</script><ul><li>a<li>b</ul> 1 < 2 &amp; AT&T'
    seen = passed(holding.post("/users", json.dumps(USER | {"bio": bio}).encode(), chunk=chunk))
    clean = "<p>Hi there</p><ul><li>a</li><li>b</li></ul> 1 &lt; 2 &amp; AT&amp;T"
    assert json.loads(seen.body) == USER | {"bio": clean}
    assert seen.header("content-length") in (None, str(len(seen.body)))


def test_over_http2_and_with_trailers_too(holding):
    body = json.dumps(USER | {"bio": "<svg onload=x>a"}).encode()
    for pieces, trailers in [([body], None), ([body[:5], body[5:]], [("x-checksum", "1")])]:
        answer = holding.send2("POST", "/users", [("content-type", "application/json")], pieces, trailers)
        assert json.loads(passed(answer).body)["bio"] == "a"
    answer = holding.send2("POST", "/users", [("content-type", "application/json")], [b"{", b"}"])
    assert len(refused(answer, 422)["errors"]) == 3


def test_read_only_fields_do_not_reach_the_upstream_and_write_only_ones_not_the_client(gateway, upstream):
    reply = b'{"id":1,"secret":"s","rows":[]}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(reply)
    upstream.scripted[b"/documents/1"] = lambda seen, send: send(head + reply) is None
    answer = gateway.post("/documents/1", b'{"id":7,"secret":"s","rows":[1.50]}')
    assert answer.upstream.body == b'{"secret":"s","rows":[1.50]}'
    assert json.loads(answer.body) == {"id": 1, "rows": []}


def document(size):
    """A JSON document of exactly `size` bytes."""
    return b'{"rows":["' + b"x" * (size - 13) + b'"]}' if size > 13 else b"1" * size


@pytest.mark.parametrize("size", [1, 64 << 10, 1 << 20])
def test_bodies_of_every_size_go_on_byte_for_byte(holding, size):
    body = document(size)
    assert len(body) == size
    assert passed(holding.post("/documents/a", body)).body == body
    sent = holding.send2("POST", "/documents/a", [("content-type", "application/json")], [body])
    assert passed(sent).body == body


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
def test_a_body_of_a_mebibyte_that_comes_byte_by_byte_is_judged_whole(gateway, protocol):
    attack = b'", "1\' or 1=1 union select a from b--"]}'
    good = document(1 << 20)
    for body, bad in ((good, False), (good[: -len(attack)] + attack, True)):
        answer = byte_by_byte(gateway, protocol, body)
        if bad:
            refused(answer, 403)
            assert answer.upstream is None
        else:
            assert passed(answer).body == body


def byte_by_byte(gateway, protocol, body):
    """A chunk or a DATA frame for each byte, as many in one write as there is room for."""
    if protocol == "HTTP/1.1":
        return gateway.post("/documents/a", body, chunk=1)
    marker, fields = gateway._mark([("content-type", "application/json")])
    pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", HOST), (":path", "/documents/a")]
    with client.Connection2(gateway.port) as connection:
        stream = connection.begin(pseudo + fields, end=False)
        connection.socket.settimeout(60)
        connection.send_bytes(stream, body)
        return gateway._complete(connection.read(stream), marker)


def test_large_documents_are_sanitised_row_by_row(holding):
    rows = [{"n": n, "html": "<p>a</p><i>b</i>"} for n in range(10_000)]
    seen = passed(holding.post("/documents/a", json.dumps({"rows": rows}).encode()))
    assert json.loads(seen.body) == {"rows": [{"n": n, "html": "<p>a</p>b"} for n in range(10_000)]}


@pytest.mark.parametrize(("content_type", "body", "headers", "status"), [
    ("application/json", b"", (), 400),
    ("application/json", b"{", (), 400),
    ("application/json", b'{"a":1,"\\u0061":2}', (), 400),
    ("application/x-www-form-urlencoded", b"username=joe", (), 415),
    ("text/plain", b"{}", (), 415),
    ("application/json", b"{}", (("content-encoding", "gzip"),), 415),
    ("application/json", b"[" * 33, (), 413),
    ("application/json", document(1200 << 10), (), 413),
])
def test_what_is_no_json_within_the_limits_is_refused(holding, content_type, body, headers, status):
    refused(holding.post("/documents/a", body, content_type, headers), status)
