"""Bodies on their way: of every size, in one piece and byte by byte, on HTTP/1.1 and HTTP/2, good and refused; either side
gone half-way; `Expect: 100-continue`; and the streams that nobody may hold. With the head held, and where the plugin
configuration cannot say so (Istio), with Envoy's buffer filter behind the module."""

import itertools
import json
import threading
import time

import pytest
from harness import client
from harness.configuration import plugin
from harness.dependency import eventually
from harness.expect import TITLES, refused
from harness.gateway import HOST, WORKERS

LIMIT = (1 << 20) + 1000
ROUTES = f"""
inspection: {{ body_limit: {LIMIT} }}
routes:
  - match: {{ path: "/documents/**" }}
    authenticate: none
    body: {{ schema: {{ type: [object, number], properties: {{ bad: false }} }} }}
    response: {{ fields: {{ deny: [secret] }} }}
  - match: {{ path: "/**" }}
    authenticate: none
"""
PLUGIN = plugin("bodies: { hold: headers, string_length: 2000000 }" + ROUTES)
BEHIND = plugin("bodies: { hold: buffer_filter, string_length: 2000000 }" + ROUTES)
JSON = ("content-type", "application/json")
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def behind(start):
    return start(BEHIND, buffer_filter=True)


@pytest.fixture(params=["gateway", "behind"])
def holding(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    """After each test no exchange is under way on either side, and the module has not died."""
    yield
    for name in {"gateway", "behind"} & set(request.fixturenames) or {"holding"} & set(request.fixturenames):
        gateway = request.getfixturevalue(name)
        active = ["http.ingress.downstream_rq_active", "cluster.upstream.upstream_rq_active"]
        assert eventually(lambda: not any(gateway.stat(stat) for stat in active)), [(s, gateway.stat(s)) for s in active]
        assert not gateway.trapped()


def target():
    return f"/documents/{next(_numbers)}"


def pseudo(method, path):
    return [(":method", method), (":scheme", "http"), (":authority", HOST), (":path", path)]


def document(size, bad=False):
    """A JSON document of exactly `size` bytes; what is bad about it stands at its very end."""
    if size < 20:
        return (b"x" if bad else b"1") * size
    start, end = b'{"a":"', b'","bad":1}' if bad else b'","fine":1}'
    return start + b"x" * (size - len(start) - len(end)) + end


# In full where that is quick; of a large one its ends.
def byte_by_byte(body):
    if len(body) <= 1 << 16:
        return [body[at:at + 1] for at in range(len(body))]
    return [body[at:at + 1] for at in range(500)] + [body[500:-500]] + [body[at:at + 1] for at in range(len(body) - 500, len(body))]


def deliver(gateway, path, body, protocol, pieces):
    """Sends a body in `pieces` and says what became of it."""
    marker, fields = gateway._mark([JSON])
    if protocol == "h2":
        answer = client.http2(gateway.port, pseudo("POST", path) + fields, pieces or [b""])
    else:
        fields = [("host", HOST), *fields]
        if protocol == "chunked":
            fields.append(("transfer-encoding", "chunked"))
            pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]
        else:
            fields.append(("content-length", str(len(body))))
        answer = client.http1(gateway.port, [client.head("POST", path, fields), *pieces], "POST")
    return gateway._complete(answer, marker)


SIZES = {"0 B": 0, "1 B": 1, "64 KB": 1 << 16, "1 MiB": 1 << 20, "over the limit": LIMIT + 1}


@pytest.mark.parametrize("manner", ["one piece", "byte by byte"])
@pytest.mark.parametrize("protocol", ["length", "chunked", "h2"])
@pytest.mark.parametrize("size", SIZES)
def test_a_body_goes_on_whole_or_not_at_all(holding, size, protocol, manner):
    for bad in (False, True):
        body = document(SIZES[size], bad)
        assert len(body) == SIZES[size]
        pieces = [body] if manner == "one piece" and body else byte_by_byte(body)
        answer = deliver(holding, target(), body, protocol, pieces)
        expected = {"0 B": 400, "over the limit": 413}.get(size, (400 if size == "1 B" else 422) if bad else 200)
        assert answer.status == expected, answer.body
        if expected == 200:
            assert answer.upstream.complete and answer.upstream.body == body
            assert answer.upstream.header("content-length") in (None, str(len(body)))
        else:
            assert answer.upstream is None
            assert answer.problem["title"] == TITLES[expected]
    # Where nothing is asked of the content, nothing is content too.
    if size == "0 B":
        empty = deliver(holding, "/plain", b"", protocol, [])
        assert (empty.status, empty.upstream.body, empty.upstream.complete) == (200, b"", True)


def served(gateway, connection):
    """The next request on the same connection, and so by the same worker, is served; and one on each worker."""
    if isinstance(connection, client.Connection2):
        stream = connection.begin(pseudo("POST", target()) + [JSON], end=False)
        connection.send(stream, b'{"a":1}', end=True)
        assert connection.read(stream).status == 200
    elif connection is not None:
        connection.send(client.head("POST", target(), [("host", HOST), JSON, ("content-length", "7")]) + b'{"a":1}')
        assert connection.read("POST").status == 200
    assert [gateway.post(target(), b'{"a":1}').status for _ in range(2 * WORKERS)] == [200] * 2 * WORKERS


@pytest.mark.parametrize("sent", [0, 1, 30_000])
def test_a_client_that_leaves_half_way_leaves_nothing_behind(holding, sent):
    body = document(60_000)
    for length in ([("content-length", "60000")], [("transfer-encoding", "chunked")]):
        for _ in range(10):
            marker, fields = holding._mark([("host", HOST), JSON, *length])
            with client.Connection(holding.port) as connection:
                part = body[:sent] if length[0][0] == "content-length" else b"".join(client.chunks(body[:sent], 999))
                connection.send(client.head("POST", target(), fields) + part)
    with client.Connection2(holding.port) as connection:
        for _ in range(20):
            marker, fields = holding._mark([JSON])
            stream = connection.begin(pseudo("POST", target()) + fields, end=False)
            connection.send(stream, body[:sent])
            connection.abort(stream)
        served(holding, connection)
    assert marker not in holding.upstream.by_marker, "half a body reached the upstream"


def test_thousands_of_clients_that_leave_cost_no_memory(gateway):
    body = document(60_000)

    def leave(times):
        taken = gateway.stat("http.ingress.downstream_rq_total")
        for _ in range(times):
            with client.Connection(gateway.port) as connection:
                connection.send(client.head("POST", target(), [("host", HOST), JSON, ("content-length", "60000")]) + body[:50_000])
        assert eventually(lambda: gateway.stat("http.ingress.downstream_rq_total") == taken + times)
        assert eventually(lambda: not gateway.stat("http.ingress.downstream_rq_active"))

    def grown(times):
        before = gateway.rss()
        for _ in range(times // 50):
            leave(50)
        return gateway.rss() - before

    # As many at once as ever are: they leave room behind that is used again.
    leave(50)
    # A twentieth of them kept would be more, each time.
    assert any(grown(2000) < 5 << 20 for _ in range(5))
    served(gateway, None)


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_a_client_that_leaves_while_the_response_is_held_leaves_nothing_behind(gateway, upstream, protocol):
    half, gone = threading.Event(), threading.Event()

    def answer(seen, wire):
        wire(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 40000\r\n\r\n{"secret":1,"a":"')
        half.set()
        gone.wait(5)
        wire(b"x" * 20_000)
        return False

    for _ in range(5):
        path = target()
        upstream.scripted[path.encode()] = answer
        half.clear(), gone.clear()
        connection = (client.Connection if protocol == "h1" else client.Connection2)(gateway.port)
        with connection:
            raw = json.dumps({"a": 1}).encode()
            if protocol == "h1":
                connection.send(client.head("POST", path, [("host", HOST), JSON, ("content-length", str(len(raw)))]) + raw)
            else:
                stream = connection.begin(pseudo("POST", path) + [JSON], end=False)
                connection.send(stream, raw, end=True)
            assert half.wait(5)
            if protocol == "h2":
                connection.abort(stream)
                gone.set()
                served(gateway, connection)
        gone.set()
    served(gateway, None)


@pytest.mark.parametrize("where", ["at the head", "in the body", "before the answer", "in its head", "in its body"])
@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_an_upstream_that_resets_half_way_is_a_failure_of_its_own_and_hides_what_was_held(holding, upstream, where, protocol):
    """While the request's body is sent to it, and while the body of its response is held."""
    def at_head(seen, wire):
        if where == "in the body":
            wire.rfile.read(20_000)
        return False

    def answer(seen, wire):
        if where == "in its head":
            wire(b"HTTP/1.1 200 OK\r\ncontent-type: appli")
        if where == "in its body":
            wire(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n{"a":1,"secret":"s3cret"')
        return False

    body = document(300_000)
    connection = (client.Connection if protocol == "h1" else client.Connection2)(holding.port)
    with connection:
        for _ in range(4):
            path = target()
            (upstream.heads if where in ("at the head", "in the body") else upstream.scripted)[path.encode()] = (
                at_head if where in ("at the head", "in the body") else answer)
            started = time.monotonic()
            if protocol == "h1":
                connection.send(client.head("POST", path, [("host", HOST), JSON, ("content-length", str(len(body)))]) + body)
                try:
                    got = connection.read("POST")
                except (ConnectionError, ValueError):
                    # The head was out already: all that is left is to break off.
                    assert where == "in its body"
                    connection.close()
                    connection = client.Connection(holding.port)
                    continue
            else:
                stream = connection.begin(pseudo("POST", path) + [JSON], end=False)
                connection.send(stream, body, end=True)
                got = connection.read(stream)
            assert got.status in (502, 503) or got.status in (0, 200) and where == "in its body", got
            assert b"s3cret" not in got.body and time.monotonic() - started < 12
        served(holding, connection)
        connection.close()


@pytest.mark.parametrize("body", [document(2000), document(2000, bad=True), b""])
def test_a_client_that_waits_for_100_continue_is_told_to_go_on_or_refused(holding, body):
    path, expected = target(), {True: 422, False: 200}[b"bad" in body] if body else 400
    fields = [JSON, ("expect", "100-continue")]
    with client.Connection(holding.port) as connection:
        marker, marked = holding._mark(fields)
        connection.send(client.head("POST", path, [("host", HOST), *marked, ("content-length", str(len(body)))]))
        if body:
            line = connection.reader.readline()
            assert line.startswith(b"HTTP/1.1 100"), line
            assert connection.reader.readline() == b"\r\n"
            assert marker not in holding.upstream.by_marker, "the upstream has the head before there is a body"
            for byte in byte_by_byte(body):
                connection.send(byte)
        answer = holding._complete(connection.read("POST"), marker)
        assert answer.status == expected and (answer.upstream is None) == (expected != 200)
        served(holding, connection if answer.header("connection") != "close" else None)
    with client.Connection2(holding.port) as connection:
        marker, marked = holding._mark(fields)
        stream = connection.begin(pseudo("POST", path) + marked, end=False)
        connection.send(stream, body, end=True)
        answer = holding._complete(connection.read(stream), marker)
        assert answer.status == expected and (answer.upstream is None) == (expected != 200)
        served(holding, connection)


def test_who_is_refused_by_the_head_alone_is_not_asked_for_a_body(holding):
    with client.Connection(holding.port) as connection:
        connection.send(client.head("POST", "/x?q=1'%20UNION%20SELECT%201--%20", [
            ("host", HOST), JSON, ("expect", "100-continue"), ("content-length", "400")]))
        line = connection.reader.readline()
        if line.startswith(b"HTTP/1.1 100"):  # Envoy's own answer
            connection.reader.readline()
            line = connection.reader.readline()
        assert line.startswith(b"HTTP/1.1 403"), line
    served(holding, None)


@pytest.mark.parametrize("bad", [False, True])
def test_a_body_that_ends_with_trailers_is_judged_before_any_of_it_goes_on(holding, bad):
    body = document(70_000, bad)
    marker, fields = holding._mark([JSON])
    with client.Connection2(holding.port) as connection:
        stream = connection.begin(pseudo("POST", target()) + fields, end=False)
        connection.send(stream, body)
        time.sleep(0.1)
        assert marker not in holding.upstream.by_marker
        connection.end(stream, [("x-checksum", "1")])
        answer = holding._complete(connection.read(stream), marker)
        assert answer.status == (422 if bad else 200)
        if not bad:
            assert answer.upstream.body == body
            # Envoy's buffer filter gives the body a length, and HTTP/1.1 has no trailers then.
            behind = holding.options["buffer_filter"]
            assert answer.upstream.trailers == ([] if behind else [(b"x-checksum", b"1")])
        served(holding, connection)
    chunked = [("host", HOST), JSON, ("transfer-encoding", "chunked"), ("trailer", "x-checksum")]
    raw = client.head("POST", target(), chunked) + b"".join(client.chunks(body, 7000)) + b"0\r\nx-checksum: 1\r\n\r\n"
    assert client.http1(holding.port, raw, "POST").status == (422 if bad else 200)


INJECTION = [("x-note", "1' UNION SELECT secret FROM staff--")]


def test_an_injection_in_the_trailers_ends_a_request_that_was_held(holding):
    for path in (target(), "/open"):
        answer = holding.send2("POST", path, [JSON], [document(500)], INJECTION)
        refused(answer, 403)
        assert holding.event(answer)["details"]["parameter"] == "x-note"
    chunked = [("host", HOST), JSON, ("transfer-encoding", "chunked"), ("trailer", "x-note")]
    raw = client.head("POST", target(), chunked) + b"2\r\n{}\r\n0\r\nx-note: %s\r\n\r\n" % INJECTION[0][1].encode()
    assert client.http1(holding.port, raw, "POST").status == 403


@pytest.mark.parametrize("answers_first", [False, True])
def test_an_injection_in_the_trailers_ends_a_call_that_is_on_its_way(gateway, upstream, answers_first):
    """The upstream had the messages and never hears that the call is whole."""
    heard = threading.Semaphore(0)
    ends = []

    def answer(seen, wire):
        if answers_first:
            wire(b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n")
            wire(b"%x\r\n%s\r\n" % (len(MESSAGE), MESSAGE))
        while line := wire.rfile.readline():
            ends.append(line.strip() == b"0")
            heard.release()
        return False

    path = f"/package.Service/Trailers{int(answers_first)}"
    upstream.heads[path.encode()] = answer
    fields = [("content-type", "application/grpc"), ("te", "trailers")]
    with client.Connection2(gateway.port) as connection:
        stream = connection.begin(pseudo("POST", path) + fields, end=False)
        connection.send(stream, MESSAGE)
        assert heard.acquire(timeout=10)
        if answers_first:
            connection.read_until(stream, lambda answer: answer.body == MESSAGE)
        connection.end(stream, INJECTION)
        answer = connection.read(stream)
        assert dict(answer.trailers).get("grpc-status") != b"0"
        if not answers_first:
            assert answer.header("grpc-status") == "7"
        served(gateway, connection)
    assert not any(ends)


MESSAGE = b"\0\0\0\0\5hello"


def test_grpc_goes_through_message_by_message(gateway, upstream):
    """Each side has a message before the other sends its next: nothing is held, whatever the limit of bodies."""
    def answer(seen, wire):
        wire(b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n")
        got = b""
        while not got.endswith(b"bye"):
            size = int(wire.rfile.readline(), 16)
            got = wire.rfile.read(size + 2)[:-2]
            wire(b"%x\r\n%s\r\n" % (len(got), got))
        wire(b"0\r\ngrpc-status: 0\r\n\r\n")
        return False

    path = "/package.Service/Stream"
    upstream.heads[path.encode()] = answer
    fields = [("content-type", "application/grpc"), ("te", "trailers")]
    with client.Connection2(gateway.port) as connection:
        stream = connection.begin(pseudo("POST", path) + fields, end=False)
        for number in range(1, 6):
            connection.send(stream, MESSAGE)
            assert connection.read_until(stream, lambda a, n=number: a.body.count(b"hello") == n).body == MESSAGE * number
        connection.send(stream, b"\0\0\0\0\3bye", end=True)
        answer = connection.read(stream)
        assert (answer.status, answer.body) == (200, MESSAGE * 5 + b"\0\0\0\0\3bye")
        served(gateway, connection)


def test_events_go_through_one_by_one_and_a_client_may_leave(holding, upstream):
    going, seen_end = threading.Semaphore(0), threading.Event()

    def answer(seen, wire):
        wire(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            for number in range(10_000):
                going.acquire(timeout=0.05)
                wire(b"9\r\ndata: %d\n\n\r\n" % (number % 10))
        except OSError:
            seen_end.set()
        return False

    upstream.scripted[b"/events"] = answer
    with client.Connection2(holding.port) as connection:
        stream = connection.begin(pseudo("GET", "/events") + [("accept", "text/event-stream")])
        for number in range(1, 4):
            going.release()
            got = connection.read_until(stream, lambda a, n=number: a.body.count(b"data") >= n)
            assert got.status == 200
        connection.abort(stream)
        assert seen_end.wait(30), "the upstream was not told that nobody listens"
        served(holding, connection)


def test_a_websocket_goes_through_in_both_directions(holding, upstream):
    def answer(seen, wire):
        assert (seen.header("upgrade"), seen.header("sec-websocket-key")) == ("websocket", "dGhlIHNhbXBsZSBub25jZQ==")
        wire(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
             b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello")
        for _ in range(50):
            wire(wire.rfile.read(11)[::-1])
        return False

    upstream.heads[b"/socket"] = answer
    with client.Connection(holding.port) as connection:
        connection.send(client.head("GET", "/socket", [
            ("host", HOST), ("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]))
        head = connection.read_until(b"hello")
        assert head.startswith(b"HTTP/1.1 101") and head.endswith(b"\r\n\r\nhello"), head
        for number in range(50):
            # Frames that would be an attack in any body.
            connection.send(b"' OR 1=1 --")
            assert connection.reader.read(11) == b"-- 1=1 RO '", number
    served(holding, None)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_upgrade_with_content_is_refused_and_not_waited_for(holding, method):
    """Envoy shows no end of it; what follows the head goes on when the upstream has switched, and not before."""
    def ask(fields, content):
        marker, fields = holding._mark([("host", HOST), ("connection", "upgrade"), ("upgrade", "websocket"), *fields])
        raw = client.head(method, "/socket", fields) + content
        return holding._complete(client.http1(holding.port, raw, method), marker)

    answer = ask([("content-length", "7")], b'{"a":1}')
    refused(answer, 400)
    assert holding.event(answer)["details"]["reason"] == "upgrade"
    for fields in ([], [("content-length", "0")], [("transfer-encoding", "chunked")]):
        answer = ask(fields, b"7\r\n" + b'{"a":1}\r\n0\r\n\r\n')
        assert (answer.status, answer.upstream.body) == (200, b"")
