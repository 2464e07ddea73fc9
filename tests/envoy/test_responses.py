"""Responses that are held: which fields go out, whose they must be, and what becomes of those that cannot be read."""

import gzip
import itertools
import json
import threading
import time

import pytest
from harness import client
from harness.configuration import plugin
from harness.credentials import bearer
from harness.dependency import eventually
from harness.expect import counted
from harness.gateway import HOST, typed

LIMIT = 2 << 20

ROUTES = """
inspection: { body_limit: 2MiB }
events: { sensitive_paths: ["/users/watched/*"] }
routes:
  - match: { path: "/users/**" }
    authenticate: { optional: [jwt] }
    response:
      fields: { deny: [password, results.*.password], allow: [id, name, results, data], allow_all: { roles: [admin] } }
  - match: { path: "/denied/**" }
    authenticate: none
    mode: monitor
    response: { fields: { deny: [password, "*.password"] } }
  - match: { path: "/orders/**" }
    authenticate: { optional: [jwt] }
    response: { owner: { field: user_id, claim: user_id, unless: { roles: [admin] } } }
  - match: { path: "/share/**" }
    authenticate: none
    enforce_percent: 0
    response: { fields: { deny: [password] }, owner: { field: user_id, claim: user_id } }
  - match: { path: "/brief/**" }
    authenticate: none
    response: { fields: { deny: [password] } }
  - match: { path: "/**" }
    authenticate: none
"""

PLUGIN = plugin("bodies: { hold: headers, json_entries: 1000000 }" + ROUTES)
BEHIND = plugin("bodies: { hold: buffer_filter, json_entries: 1000000 }" + ROUTES)
JSON = ("content-type", "application/json")
SECRET = b"s3cret"

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def behind(start):
    return start(BEHIND, buffer_filter=True)


@pytest.fixture
def serve(upstream):
    """Lets the upstream answer the next path below `base`; returns that path."""
    def serve(base, body=b"", status=200, headers=(JSON,), how="length", piece=0, pause=0.0, head=None):
        target = f"/{base}/{next(_numbers)}"
        lines = [b"HTTP/1.1 %d Status" % status, *(f"{name}: {value}".encode() for name, value in headers)]

        def answer(seen, send):
            pieces = [body[at:at + piece] for at in range(0, len(body), piece)] if piece else [body]
            if how == "length":
                lines.append(b"content-length: %d" % len(body))
            elif how in ("chunked", "trailers", "reset"):
                lines.append(b"transfer-encoding: chunked")
            send(head or b"\r\n".join(lines) + b"\r\n\r\n")
            if seen.method == b"HEAD" or status in (204, 304):
                return True
            for part in pieces if body else []:
                send(b"%x\r\n%s\r\n" % (len(part), part) if how != "length" and how != "close" else part)
                time.sleep(pause)
            if how == "reset":
                return False
            if how == "chunked":
                send(b"0\r\n\r\n")
            if how == "trailers":
                send(b"0\r\nx-checksum: 1\r\ncontent-digest: sha-256=:x:\r\netag: s3cret\r\ngrpc-status: 0\r\n\r\n")
            return how != "close"

        upstream.scripted[target.encode()] = answer
        return target
    return serve


def shown(answer, expected, status=200):
    """The client got this document, whole and with its length."""
    assert answer.status == status, (answer.status, answer.body)
    assert json.loads(answer.body) == expected
    assert SECRET not in answer.body
    for name in ("etag", "content-digest", "digest", "content-encoding"):
        assert not answer.all(name), name
    assert [name for name, _ in answer.trailers] in ([], ["x-checksum", "grpc-status"])
    # HTTP/2 needs no length, and a head that went out before its body has none.
    assert answer.header("content-length") in (None, str(len(answer.body)))


def withheld(gateway, answer, reason, status=502):
    """A problem document took the place of the whole response, and one event says why."""
    assert answer.status == status, (answer.status, answer.body)
    assert SECRET not in answer.body
    assert not answer.trailers
    problem = answer.problem
    assert (problem["status"], problem["detail"]) == (status, "The response cannot be shown")
    event = gateway.event(answer)
    assert (event["event_type"], event["details"]["reason"]) == ("DEGRADED", reason)


PERSON = {"id": 1, "name": "Ann", "password": "s3cret", "email": "ann@example.com"}
VOUCHED = [JSON, ("etag", '"1"'), ("content-digest", "sha-256=:x:")]


@pytest.mark.parametrize("send", ["send", "send2"])
@pytest.mark.parametrize("how", ["length", "chunked", "trailers"])
@pytest.mark.parametrize("piece", [0, 1, 7])
def test_only_allowed_fields_go_out_however_the_response_arrives(gateway, serve, send, how, piece):
    body = json.dumps({**PERSON, "results": [PERSON, {"id": 2}]}).encode()
    person = {"id": 1, "name": "Ann", "email": "ann@example.com"}
    for roles, expected in [
        (["user"], {"id": 1, "name": "Ann", "results": [person, {"id": 2}]}),
        (["admin"], {**person, "results": [person, {"id": 2}]}),
    ]:
        target = serve("users", body, headers=VOUCHED, how=how, piece=piece)
        shown(getattr(gateway, send)("GET", target, [bearer(roles=roles)]), expected)
    shown(gateway.get(serve("users", body, how=how, piece=piece)), {"id": 1, "name": "Ann",
                                                                    "results": [person, {"id": 2}]})


def test_order_numbers_and_escapes_stay_as_they_were(gateway, serve):
    body = b'{"z":1.50e+02, "password":"s3cret","a":12345678901234567890.10,"e":"\\u00e9\\/" ,"n":-0}'
    answer = gateway.get(serve("denied", body))
    assert answer.body == b'{"z":1.50e+02,"a":12345678901234567890.10,"e":"\\u00e9\\/","n":-0}'
    untouched = b'{ "z" : 1.50e+02 }\n'
    answer = gateway.get(serve("denied", untouched, headers=VOUCHED))
    assert (answer.body, answer.header("etag")) == (untouched, '"1"')


@pytest.mark.parametrize(("body", "expected"), [
    (b'{"pass\\u0077ord":"s3cret","a":1}', {"a": 1}),
    (b'\xef\xbb\xbf{"password":"s3cret"}', {}),
    (b'[{"password":"s3cret","a":1},[{"password":"s3cret"}]]', [{"a": 1}, [{}]]),
    (b'{"data":{"password":"s3cret","me":{"id":1}}}', {"data": {"me": {"id": 1}}}),
])
def test_no_spelling_leaks_a_denied_field(gateway, serve, body, expected):
    shown(gateway.get(serve("denied", body)), expected)


@pytest.mark.parametrize(("body", "headers", "reason"), [
    (b'{"password":1,"pass\\u0077ord":"s3cret"}', [JSON], "response_malformed"),
    (b'{"password":"s3cret"', [JSON], "response_malformed"),
    (b"<p>password: s3cret</p>", [("content-type", "text/html")], "response_malformed"),
    (b'{"password":"s3cret"}\n{"password":"s3cret"}', [("content-type", "application/x-ndjson")],
     "response_malformed"),
    ('{"password":"s3cret"}'.encode("utf-16"), [JSON], "response_malformed"),
    (b"[" * 100_000, [JSON], "response_malformed"),
    (gzip.compress(b'{"password":"s3cret"}', mtime=0), [JSON, ("content-encoding", "gzip")], "response_encoded"),
    (b'{"password":"s3cret"}', [JSON, ("content-encoding", "br")], "response_encoded"),
])
def test_what_cannot_be_read_does_not_go_out_even_in_monitor_mode(gateway, serve, body, headers, reason):
    with counted(gateway, "blocked_requests_total", by=3, service="user-service", reason="unavailable"):
        for base in ("users", "denied", "share"):
            withheld(gateway, gateway.get(serve(base, body, headers=headers, how="chunked")), reason)


def test_a_response_over_the_limit_is_withheld_and_one_at_the_limit_is_not(gateway, serve):
    row = json.dumps({"id": 1, "password": "s3cret"})
    for size in (64 << 10, 1 << 20, LIMIT):
        rows = ", ".join([row] * ((size - 2) // (len(row) + 2)))
        body = f"[{rows}]".encode().ljust(size)
        assert len(body) == size
        for how in ("length", "chunked"):
            answer = gateway.get(serve("denied", body, how=how))
            shown(answer, [{"id": 1}] * rows.count("{"))
    for how in ("length", "chunked", "trailers"):
        withheld(gateway, gateway.get(serve("denied", b" " * LIMIT + b"{}", how=how)), "response_too_large")


@pytest.mark.parametrize("kind", ["text/event-stream", "application/x-ndjson"])
def test_a_response_without_an_end_is_refused_at_once_and_its_upstream_let_go(gateway, upstream, kind):
    """Events by the head; others when they exceed the limit. The connection is free for the next request."""
    let_go = threading.Event()

    def answer(seen, send):
        send(b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n" % kind.encode())
        piece = b"data: s3cret\n\n" if "event" in kind else b"x" * 65536
        try:
            while True:
                send(b"%x\r\n%s\r\n" % (len(piece), piece))
                time.sleep(0.02)
        finally:
            let_go.set()

    target = f"/denied/{next(_numbers)}"
    upstream.scripted[target.encode()] = answer
    with client.Connection(gateway.port) as connection:
        connection.send(client.head("GET", target, [("host", HOST)]))
        withheld(gateway, connection.read(), "response_malformed" if "event" in kind else "response_too_large")
        connection.send(client.head("GET", "/any", [("host", HOST)]))
        assert connection.read().status == 200
    assert let_go.wait(10)


def test_an_empty_response_goes_out(gateway, serve):
    for status in (200, 204, 304, 404):
        answer = gateway.get(serve("users", b"", status))
        assert (answer.status, answer.body) == (status, b"")
    answer = gateway.send("HEAD", serve("users", b'{"password":"s3cret"}'))
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("send", ["send", "send2"])
def test_an_answer_to_head_tells_nothing_of_what_a_get_does_not_show(gateway, serve, send):
    for roles, status in [(["user"], 403), (["admin"], 200)]:
        answer = getattr(gateway, send)("HEAD", serve("orders", b'{"user_id":1}', headers=VOUCHED), [bearer(roles=roles)])
        assert answer.status == status
        assert not [name for name in ("etag", "content-digest") if answer.all(name)]
    answer = getattr(gateway, send)("HEAD", serve("users", b'{"password":"s3cret"}', headers=VOUCHED))
    assert (answer.status, answer.body) == (200, b"")
    assert not [name for name in ("etag", "content-digest") if answer.all(name)]
    assert answer.header("content-length") in (None, "0")


def test_a_condition_does_not_reach_an_upstream_whose_objects_have_owners(gateway, serve):
    for base, expected in [("orders", None), ("users", "*")]:
        for send in (gateway.send, gateway.send2):
            answer = send("GET", serve(base, b'{"user_id":"42"}'), [bearer(), ("if-none-match", "*")])
            assert answer.upstream.header("if-none-match") == expected
    # Nor does what the upstream took for one: 304 shows no owner.
    for send in (gateway.send, gateway.send2):
        for roles, status in [(["user"], 403), (["admin"], 304)]:
            answer = send("GET", serve("orders", status=304, headers=VOUCHED), [bearer(roles=roles)])
            assert (answer.status, answer.body) == (status, b"")


@pytest.mark.parametrize("how", ["chunked", "trailers"])
def test_nothing_in_the_trailers_of_a_response_outlives_its_refusal(gateway, serve, how):
    withheld(gateway, gateway.send2("GET", serve("denied", b"{s3cret", how=how)), "response_malformed")
    shown(gateway.send2("GET", serve("denied", b'{"password":"s3cret","a":1}', how=how)), {"a": 1})
    answer = gateway.send2("GET", serve("orders", json.dumps(THEIRS).encode(), how=how), [bearer()])
    assert (answer.status, answer.trailers) == (403, ())


GRPC = [("content-type", "application/grpc"), ("te", "trailers")]


@pytest.mark.parametrize("how", ["chunked", "trailers", "length"])
@pytest.mark.parametrize(("body", "roles", "status"), [
    (b"\0\0\0\0\x06s3cret", ["user"], b"14"), (json.dumps({"user_id": "s3cret"}).encode(), ["user"], b"7"),
])
def test_a_grpc_caller_whose_response_is_replaced_gets_the_matching_status(gateway, serve, how, body, roles, status):
    target = serve("orders", body, headers=[("content-type", "application/grpc")], how=how)
    answer = gateway.send2("POST", target, [*GRPC, bearer(roles=roles)], [b"\0\0\0\0\0"])
    assert (answer.status, answer.body, answer.trailers) == (200, b"", ())
    assert dict(answer.headers)["grpc-status"] == status
    assert SECRET not in dict(answer.headers)["grpc-message"]


def test_a_grpc_caller_gets_the_matching_status_behind_a_buffer_filter_too(behind, serve):
    target = serve("users", b"\0\0\0\0\x06s3cret", headers=[("content-type", "application/grpc")], how="trailers")
    answer = behind.send2("POST", target, [*GRPC, bearer()], [b"\0\0\0\0\0"])
    assert (answer.status, answer.body, answer.trailers) == (200, b"", [("grpc-status", b"14")])


def test_the_proxys_own_answers_pass_the_rules_about_responses(gateway, behind, upstream):
    for at in (gateway, behind):
        for base in ("users", "orders"):
            target = f"/{base}/{next(_numbers)}"
            upstream.scripted[target.encode()] = lambda seen, send: False
            answer = at.get(target, [bearer()])
            assert (answer.status, answer.body[:17]) == (503, b"upstream connect "), (answer.status, answer.body)


def test_a_stream_that_took_too_long_for_the_proxy_is_no_fault_of_the_upstreams_document(gateway, upstream):
    target = f"/brief/{next(_numbers)}"
    upstream.scripted[target.encode()] = lambda seen, send: time.sleep(3)
    answer = gateway.get(target)
    assert (answer.status, answer.header("content-type")) == (504, "text/plain"), (answer.status, answer.body)


def test_error_messages_are_projected_too(gateway, serve):
    shown(gateway.get(serve("users", json.dumps(PERSON).encode(), 409)), {"id": 1, "name": "Ann"}, 409)
    shown(gateway.get(serve("denied", json.dumps(PERSON | {"password": [1]}).encode(), 500)),
          {"id": 1, "name": "Ann", "email": "ann@example.com"}, 500)


def test_an_upgrade_is_withheld_where_there_are_rules(gateway, serve):
    head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    handshake = [("connection", "upgrade"), ("upgrade", "websocket")]
    answer = gateway.get(serve("users", SECRET, head=head, how="close"), handshake)
    assert answer.upstream is not None, "the proxy itself refused the upgrade"
    assert answer.status == 502 and answer.problem["status"] == 502
    assert SECRET not in answer.body


def test_a_response_that_breaks_off_shows_nothing(gateway, serve):
    body = b'{"id":1,"password":"s3cret"}' + b" " * 5000
    for how, head in [("reset", None), ("close", b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n")]:
        raw = client.head("GET", serve("users", body, how=how, head=head), [("host", HOST)])
        with client.Connection(gateway.port) as connection:
            connection.send(raw)
            try:
                got = connection.socket.recv(1 << 16)
            except ConnectionError:
                got = b""
        assert SECRET not in got and b"password" not in got
    shown(gateway.get(serve("users", b'{"id":1}')), {"id": 1})


def test_an_access_is_told_with_the_status_that_the_client_got(gateway, serve):
    """Envoy's own, past the filters, where the upstream breaks off what is held; none where the client does not wait."""
    def told(path):
        told = lambda: [event for event in gateway.logged_events() if event["details"]["path"] == path]
        assert eventually(told)
        return [(event["event_type"], event["details"].get("status")) for event in told()]

    path = serve("users/watched", b'{"id":1,', how="reset")
    assert gateway.get(path).status == 502
    assert told(path) == [("SENSITIVE_ACCESS", 502)]
    path = serve("users/watched", b'{"id":1}', how="trailers", pause=1)
    with client.Connection(gateway.port) as connection:
        connection.send(client.head("GET", path, [("host", HOST)]))
        time.sleep(0.3)
    assert told(path) == [("SENSITIVE_ACCESS", None)]
    path = serve("users/watched", b'{"id":1}')
    shown(gateway.get(path), {"id": 1})
    assert told(path) == [("SENSITIVE_ACCESS", 200)]


def test_the_upstream_is_asked_for_what_can_be_read(gateway, serve):
    asked = [("accept-encoding", "gzip, br"), ("range", "bytes=0-1"), ("request-range", "bytes=0-1"), ("if-range", '"1"')]
    for base, expected in [("users", ["identity", None, None, None]), ("plain", [value for _, value in asked])]:
        for send in (gateway.send, gateway.send2):
            answer = send("GET", serve(base, b"{}"), asked)
            assert [answer.upstream.header(name) for name, _ in asked] == expected, base


def test_a_range_of_bytes_does_not_go_out_although_it_may_look_like_a_document(gateway, serve):
    part = [JSON, ("content-range", "bytes 12-19/21")]
    for how in ("length", "chunked"):
        withheld(gateway, gateway.get(serve("denied", b'"s3cret"', 206, part, how)), "response_malformed")


def test_no_shared_cache_may_keep_what_depends_on_who_asks(gateway, behind, serve):
    said = [JSON, ("cache-control", "public, max-age=600"), ("cache-control", "s-maxage=9"), ("cdn-cache-control", "max-age=9")]
    for at in (gateway, behind):
        for send in (at.send, at.send2):
            for method, status, body in [("GET", 200, b'{"id":1}'), ("HEAD", 200, b'{"id":1}'), ("GET", 304, b"")]:
                answer = send(method, serve("users", body, status, said))
                assert (answer.status, answer.all("cache-control")) == (status, ["private, max-age=600"])
                assert answer.header("cdn-cache-control") is None
            assert send("GET", serve("users", b"{}")).header("cache-control") == "private"
            for base in ("denied", "plain"):
                assert "public" in send("GET", serve(base, b"{}", headers=said)).all("cache-control")[0]


MINE, THEIRS = {"user_id": "42", "total": 1}, {"user_id": "43", "total": "s3cret"}


@pytest.mark.parametrize(("document", "status"), [
    (MINE, 200), ({"user_id": 42}, 200), ([MINE, MINE], 200), ([], 200), ([[MINE]], 200),
    (THEIRS, 403), ([MINE, THEIRS], 403), ([MINE, {}], 403), ({}, 403), ({"user_id": None}, 403), ("42", 403),
    ({"user_id": ["42"]}, 403), ({"user_id": {"a": "42"}}, 403), ({"user_id": True}, 403), ({"user_id": 42.0}, 403),
])
def test_only_what_is_the_callers_own_goes_out(gateway, serve, document, status):
    body = json.dumps(document).encode()
    answer = gateway.get(serve("orders", body), [bearer()])
    if status == 200:
        assert (answer.status, answer.body) == (200, body)
    else:
        assert answer.status == 403
        assert answer.problem["detail"] == "You may not do this"
        details = gateway.event(answer)["details"]
        assert (details["reason"], details["rule"]) == ("forbidden", "routes[2].response.owner")
        assert SECRET not in answer.body
    assert gateway.get(serve("orders", body), [bearer(roles=["admin"])]).body == body
    anonymous = gateway.get(serve("orders", body))
    assert anonymous.status == (200 if document == [] else 403) or document == []


def test_no_header_tells_of_an_object_that_is_somebody_elses(gateway, serve):
    told = [("location", "/users/s3cret"), ("content-location", "/users/s3cret"), ("x-owner", "s3cret"), ("link", "<s3cret>")]
    for status in (200, 201, 409):
        answer = gateway.get(serve("orders", json.dumps(THEIRS).encode(), status, [JSON, *told]), [bearer()])
        assert answer.status == 403
        assert not [value for _, value in answer.headers if SECRET in value]
    answer = gateway.get(serve("orders", json.dumps(MINE).encode(), headers=[JSON, *told]), [bearer()])
    assert (answer.status, answer.header("location")) == (200, "/users/s3cret")


def test_the_upstreams_own_refusals_pass_the_rule_about_owners_and_objects_in_them_do_not(gateway, serve):
    for status, document, expected in [(404, {"detail": "Not found"}, 404), (409, THEIRS, 403), (409, MINE, 409)]:
        assert gateway.get(serve("orders", json.dumps(document).encode(), status), [bearer()]).status == expected
    assert gateway.get(serve("orders", b"not JSON"), [bearer()]).status == 502


def test_a_share_of_owners_is_enforced_and_projection_always_is(gateway, serve):
    answer = gateway.get(serve("share", b'{"user_id":1,"password":"s3cret"}'))
    shown(answer, {"user_id": 1})
    details = gateway.event(answer)["details"]
    assert (details["rule"], details["mode"]) == ("routes[3].response.owner", "monitor")


def test_a_stream_on_a_route_without_rules_passes_piece_by_piece(gateway, serve):
    def events(seen, send):
        send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        send(b"b\r\ndata: one\n\n\r\n")
        assert first_arrived.wait(10)
        send(b"b\r\ndata: two\n\n\r\n0\r\n\r\n")
        return True

    first_arrived = threading.Event()
    target = serve("plain")
    gateway.upstream.scripted[target.encode()] = events
    with client.Connection(gateway.port) as connection:
        connection.send(client.head("GET", target, [("host", HOST)]))
        assert b"two" not in connection.read_until(b"one")
        first_arrived.set()
        connection.read_until(b"two")


@pytest.mark.parametrize("how", ["length", "chunked", "trailers"])
def test_behind_a_buffer_filter_the_body_is_replaced_and_the_status_stays(behind, serve, how):
    body = json.dumps({**PERSON, "results": [PERSON]}).encode()
    expected = {"id": 1, "name": "Ann", "results": [{"id": 1, "name": "Ann", "email": "ann@example.com"}]}
    for piece in (0, 1):
        for send in (behind.send, behind.send2):
            answer = send("GET", serve("users", body, headers=VOUCHED, how=how, piece=piece))
            shown(answer, expected)
    for bad in (b'{"password":"s3cret"', b"<p>s3cret</p>", b" " * LIMIT + b'"s3cret"'):
        answer = behind.get(serve("users", bad, how=how))
        # Only a length says so while the head is still here.
        assert (answer.status, SECRET in answer.body) == (502 if how == "length" and len(bad) > LIMIT else 200, False)
        assert json.loads(answer.body)["status"] == 502
        details = behind.event(answer)["details"]
        assert details["status"] == 502 and details["reason"].startswith("response_")
    answer = behind.get(serve("orders", json.dumps(THEIRS).encode(), how=how), [bearer()])
    assert json.loads(answer.body)["status"] == 403 and SECRET not in answer.body
    assert behind.send("HEAD", serve("users", body)).body == b""
    assert behind.get(serve("users", b"", 204)).status == 204


@pytest.fixture(scope="module")
def behind_another(start):
    """Between the module and the client a filter asks about every response before its head goes on."""
    script = """
    function envoy_on_response(response)
      response:httpCall("upstream", {[":method"] = "GET", [":path"] = "/asked", [":authority"] = "a"}, "", 5000)
    end
    """
    lua = typed("envoy.filters.http.lua", "envoy.extensions.filters.http.lua.v3.Lua", {"default_source_code": {"inline_string": script}})
    return start(BEHIND, buffer_filter=True, in_front=[lua])


@pytest.mark.parametrize("how", ["chunked", "trailers"])
def test_a_filter_that_keeps_the_head_for_a_while_lets_nothing_of_the_response_go_with_it(behind_another, upstream, serve, how):
    """What it lets go is what Envoy holds for the module."""
    def asked(_, send):
        time.sleep(0.2)
        send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        return True

    upstream.scripted[b"/asked"] = asked
    for send in (behind_another.send, behind_another.send2):
        for person in (PERSON, {**PERSON, "name": "x" * 30_000}):
            body = json.dumps(person).encode()
            answer = send("GET", serve("users", body, how=how, piece=len(body) // 4, pause=0.1))
            shown(answer, {"id": 1, "name": person["name"]})
        # What no rule changes goes out as it came.
        mine = b'{ "user_id" : "42" }'
        answer = send("GET", serve("orders", mine, how=how, piece=5, pause=0.1), [bearer()])
        assert (answer.status, answer.body) == (200, mine)
        answer = send("GET", serve("orders", b'{"user_id":"7","note":"s3cret"}', how=how, piece=9, pause=0.1), [bearer()])
        assert json.loads(answer.body)["status"] == 403
