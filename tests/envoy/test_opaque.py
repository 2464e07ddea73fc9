"""Opaque tokens: what the provider says of them, how often it is asked, and what happens when it cannot be."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote_plus

import pytest
from harness import client
from harness.configuration import merged, plugin
from harness.credentials import bearer, token
from harness.dependency import FAULTS, Said, closed_port, eventually
from harness.expect import counted, passed, refused, unauthenticated
from harness.gateway import BUFFER_FILTER, HOST

SECRET = "s3cret:/with+odd%characters"

PLUGIN = plugin("""
secrets: { oauth_client: { env: OAUTH_CLIENT_SECRET } }
authentication:
  oauth2:
    opaque:
      introspection: { cluster: idp, uri: "https://idp.example.com/introspect", timeout: 1s, client_id: "port cullis",
                       client_secret: { secret: oauth_client } }
      claims: { subject: sub, scopes: scope, roles: groups }
      cache: 3s
    legacy:
      token_prefix: lgc_
      userinfo: { cluster: old, uri: "https://old.example.com/userinfo", timeout: 1s }
      claims: { subject: email, username: preferred_username }
    lenient:
      token_prefix: len_
      introspection: { cluster: idp, uri: "https://idp.example.com/introspect", timeout: 1s, client_id: a,
                       client_secret: { secret: oauth_client } }
      on_error: allow
    lenient_userinfo:
      token_prefix: leu_
      userinfo: { cluster: old, uri: "https://old.example.com/userinfo", timeout: 1s }
      on_error: allow
    nowhere:
      token_prefix: nwh_
      userinfo: { cluster: not_a_cluster, uri: "https://nowhere.example.com/userinfo" }
    closed:
      token_prefix: cls_
      userinfo: { cluster: closed, uri: "https://closed.example.com/userinfo" }
  service: { keys: [{ secret: service_key }], signatures: [v1], replay: { v1: allow },
             services: { order-service: { token: { secret: order_token } } } }
routes:
  - match: { path: "/mixed/**" }
    authenticate: [jwt, oauth2, service]
  - match: { path: "/legacy/**" }
    authenticate: [oauth2.legacy]
  - match: { path: "/managers/**" }
    authenticate: [oauth2]
    allow: [{ roles: [manager], scopes: [orders.read] }]
  - match: { path: "/named/{name}" }
    authenticate: [oauth2]
    allow: [{ owner: { path: name, claim: username } }]
  - match: { path: "/public/**" }
    authenticate: none
  - match: { path: "/files/**" }
    authenticate: [oauth2]
    inspection: { mode: "off" }
  - match: { path: "/**" }
    authenticate: [oauth2]
""")


def says(asked):
    """What both providers say of a token: its name tells."""
    shown = asked.form()["token"] if asked.method == "POST" else asked.headers["authorization"].removeprefix("Bearer ")
    kind = shown.removeprefix("lgc_").removeprefix("len_").removeprefix("leu_").split("-")[0]
    now = int(time.time())
    good = {
        "active": True, "sub": "7", "email": "ann@example.com", "preferred_username": "ann", "given_name": "Ann",
        "family_name": "Lee", "scope": "orders.read orders.write", "groups": ["admin"], "exp": now + 900, "iat": now,
    }
    answers = {
        "good": good,
        "brief": good | {"exp": now + 2},
        "late": good | {"exp": now - 1},
        "early": good | {"nbf": now + 600},
        "nobody": {"active": True},
        "split": good | {"sub": "7,8", "email": "a,b"},
        "line": good | {"sub": "7\r\nx-auth-roles: root"},
        "inactive": {"active": False},
    }
    if kind in answers:
        return Said(answers[kind])
    statuses = {"refused": 401, "broken": 400, "large": 431, "odd": 406}
    return Said({}, statuses[kind]) if kind in statuses else Said({"active": False})


@pytest.fixture(scope="module")
def idp(dependency):
    return dependency(says)


@pytest.fixture(scope="module")
def old(dependency):
    return dependency(says)


@pytest.fixture(scope="module")
def gateway(start, idp, old):
    return start(PLUGIN, clusters={"idp": idp.port, "old": old.port, "closed": closed_port()},
                 environment={"OAUTH_CLIENT_SECRET": SECRET})


@pytest.fixture(scope="module")
def behind(start, idp, old):
    return start(merged(PLUGIN, {"bodies": {"hold": "buffer_filter"}}), buffer_filter=True, clusters={"idp": idp.port, "old": old.port},
                 environment={"OAUTH_CLIENT_SECRET": SECRET})


@pytest.fixture(autouse=True)
def well(idp, old):
    idp.fault = old.fault = None
    idp.asked.clear()
    old.asked.clear()


def test_introspection_as_the_standards_say(gateway, idp):
    seen = passed(gateway.get("/x", [bearer("good-one+/=~")]))
    assert [seen.header(name) for name in ("x-auth-subject", "x-auth-method", "x-auth-roles")] == ["7", "oauth2", "admin"]
    assert b"authorization" not in seen.names()
    [asked] = idp.asked
    assert (asked.method, asked.target) == ("POST", "/introspect")
    assert asked.form() == {"token": "good-one+/=~", "token_type_hint": "access_token"}
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.headers["host"] == "idp.example.com"
    scheme, _, pair = asked.headers["authorization"].partition(" ")
    name, _, secret = base64.b64decode(pair).decode().partition(":")
    assert (scheme, unquote_plus(name), unquote_plus(secret)) == ("Basic", "port cullis", SECRET)


def test_userinfo_with_the_token_itself(gateway, old, idp):
    seen = passed(gateway.get("/x", [bearer("lgc_good-1")]))
    assert (seen.header("x-auth-subject"), seen.header("x-auth-roles")) == ("ann@example.com", "")
    [asked] = old.asked
    assert (asked.method, asked.target, asked.body) == ("GET", "/userinfo", b"")
    assert asked.headers["authorization"] == "Bearer lgc_good-1"
    assert not idp.asked


def test_the_prefix_chooses_among_the_providers_of_the_route(gateway, old, idp):
    passed(gateway.get("/legacy/1", [bearer("lgc_good-2")]))
    unauthenticated(gateway, "unknown_issuer", lambda: gateway.get("/legacy/1", [bearer("good-2")]))
    assert (len(old.asked), len(idp.asked)) == (1, 0)


@pytest.mark.parametrize(("shown", "reason"), [
    ("inactive-1", "inactive"),
    ("unheard-of", "inactive"),
    ("late-1", "expired"),
    ("early-1", "not_yet_valid"),
    ("nobody-1", "no_subject"),
    ("split-1", "malformed"),
    ("line-1", "malformed"),
    ("lgc_refused-1", "inactive"),
    ("lgc_broken-1", "malformed"),
    ("lgc_nobody-1", "no_subject"),
    ("lgc_split-1", "malformed"),
])
def test_refuses_a_token_once_asked_and_then_again_without_asking(gateway, idp, old, shown, reason):
    for _ in range(4):
        answer, event = unauthenticated(gateway, reason, lambda: gateway.get("/x", [bearer(shown)]))
        assert 'error="invalid_token"' in answer.header("www-authenticate")
        assert shown not in json.dumps(event)
    # Each of the two workers asks for itself.
    assert 1 <= len(idp.asked) + len(old.asked) <= 2


@pytest.mark.parametrize(("shown", "reason"), [("", "malformed"), ("a b", "malformed"), ("a,b", "ambiguous")])
def test_what_cannot_be_a_token_is_refused_without_asking(gateway, idp, shown, reason):
    unauthenticated(gateway, reason, lambda: gateway.get("/x", [bearer(shown)]))
    assert not idp.asked


def test_missing(gateway):
    answer, _ = unauthenticated(gateway, "missing", lambda: gateway.get("/x"))
    assert answer.header("www-authenticate") == 'Bearer realm="user-service"'


def test_an_answer_is_kept_for_its_time(gateway, idp):
    for shown in ("good-kept", "inactive-kept"):
        idp.asked.clear()
        started = time.monotonic()
        for _ in range(20):
            gateway.get("/x", [bearer(shown)])
        # Once for each worker, and again where the twenty took longer than the three seconds.
        assert 1 <= len(idp.asked) <= 2 * (1 + int((time.monotonic() - started) / 3)), shown
    asked = len(idp.asked)
    time.sleep(3.1)
    gateway.get("/x", [bearer("inactive-kept")])
    assert len(idp.asked) == asked + 1


def test_a_good_answer_is_never_kept_past_the_end_of_the_token(gateway, idp):
    started = time.monotonic()
    for _ in range(10):
        passed(gateway.get("/x", [bearer("brief-1")]))
    asked = len(idp.asked)
    assert asked <= 2 * (1 + int(time.monotonic() - started))
    time.sleep(2.1)
    passed(gateway.get("/x", [bearer("brief-1")]))
    assert len(idp.asked) == asked + 1


def test_fifty_requests_at_once_ask_once_for_each_worker(gateway, idp):
    idp.fault, idp.delay = "slow", 0.4
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: gateway.get("/x", [bearer("good-crowd")]), range(50)))
    assert {answer.status for answer in answers} == {200}
    assert 1 <= len(idp.asked) <= 2, len(idp.asked)


def test_roles_scopes_and_names(gateway):
    passed(gateway.get("/managers/1", [bearer("good-1")]))
    refused(gateway.get("/managers/1", [bearer("lgc_good-1")]), 403)
    passed(gateway.get("/named/ann", [bearer("lgc_good-1")]))
    refused(gateway.get("/named/bob", [bearer("lgc_good-1")]), 403)


def test_a_jwt_beside_opaque_tokens_on_one_route(gateway, idp):
    seen = passed(gateway.get("/mixed/1", [bearer()]))
    assert (seen.header("x-auth-method"), seen.header("x-auth-subject")) == ("jwt", "42")
    assert not idp.asked
    seen = passed(gateway.get("/mixed/1", [bearer("good-1")]))
    assert (seen.header("x-auth-method"), seen.header("x-auth-subject")) == ("oauth2", "7")
    unauthenticated(gateway, "expired", lambda: gateway.get("/mixed/1", [bearer(exp=int(time.time()) - 100, iat=1)]))
    unauthenticated(gateway, "bad_signature", lambda: gateway.get("/mixed/1", [bearer(key="x" * 64)]))
    unauthenticated(gateway, "missing", lambda: gateway.get("/mixed/1"))
    for header, cookie in ((token(), "good-1"), ("good-1", token()), ("good-1", "good-2")):
        unauthenticated(gateway, "ambiguous", lambda header=header, cookie=cookie: gateway.get(
            "/mixed/1", [bearer(header), ("cookie", f"access_token={cookie}")]))
    seen = passed(gateway.get("/mixed/1?access_token=good-1", [bearer("good-1"), ("cookie", "access_token=good-1; a=b")]))
    assert (seen.header("cookie"), b"authorization" in seen.names()) == ("a=b", False)


def test_a_token_that_a_route_does_not_look_at_goes_no_further(gateway, idp):
    seen = passed(gateway.get("/public/1", [bearer("good-1")]))
    assert b"authorization" not in seen.names()
    assert not idp.asked


@pytest.mark.parametrize("prefix", ["len_", "leu_"])
@pytest.mark.parametrize(("kind", "reason"), [("large", "malformed"), ("odd", "unavailable"), ("broken", None)])
def test_nobody_becomes_anonymous_by_a_token_that_the_provider_does_not_read(gateway, prefix, kind, reason):
    reason = reason or ("malformed" if prefix == "leu_" else "unavailable")
    unauthenticated(gateway, reason, lambda: gateway.get("/x", [bearer(f"{prefix}{kind}-{'x' * 7000}")]))
    unauthenticated(gateway, "malformed", lambda: gateway.get("/x", [bearer(f"{prefix}{kind}-{'x' * 9000}")]))


@pytest.mark.parametrize("prefix", ["", "lgc_"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_provider_denies(gateway, idp, old, fault, prefix):
    idp.fault = old.fault = fault
    idp.delay = old.delay = 30
    started = time.monotonic()
    answer, _ = unauthenticated(gateway, "unavailable", lambda: gateway.get("/x", [bearer(f"{prefix}good-{fault}")]))
    assert time.monotonic() - started < 20
    assert answer.header("www-authenticate") == 'Bearer realm="user-service"'
    idp.fault = old.fault = None
    # For a second nobody is asked about this token again; about another at once.
    passed(gateway.get("/x", [bearer(f"{prefix}good-after-{fault}")]))
    assert eventually(lambda: gateway.get("/x", [bearer(f"{prefix}good-{fault}")]).status == 200)


@pytest.mark.parametrize("prefix", ["len_", "leu_"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_provider_that_may_be_passed_over_leaves_the_caller_anonymous(gateway, idp, old, fault, prefix):
    idp.fault = old.fault = fault
    idp.delay = old.delay = 30
    shown = f"{prefix}good-{fault}"
    with counted(gateway, "security_events_total", event_type="DEGRADED", service="user-service"):
        answer = gateway.get("/x", [bearer(shown), ("x-auth-subject", "root")])
    seen = passed(answer)
    assert not {b"authorization", b"x-auth-subject", b"x-auth-method"} & set(seen.names())
    event = gateway.event(answer)
    assert (event["event_type"], event["details"]["reason"]) == ("DEGRADED", "oauth2_unavailable")
    assert shown not in json.dumps(event)
    refused(gateway.get("/managers/1", [bearer(shown)]), 403)


@pytest.mark.parametrize("prefix", ["nwh_", "cls_"])
def test_a_provider_that_is_not_there_denies(gateway, prefix):
    unauthenticated(gateway, "unavailable", lambda: gateway.get("/x", [bearer(f"{prefix}good-1")]))


def test_a_client_that_leaves_takes_nobody_with_it(gateway, idp):
    idp.fault, idp.delay = "slow", 0.5
    raw = client.head("GET", "/x", [("host", "api.example.com"), bearer("good-left")])
    gone = [client.Connection(gateway.port) for _ in range(4)]
    for connection in gone:
        connection.send(raw)
    time.sleep(0.1)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(gateway.get, "/x", [bearer("good-left")]) for _ in range(8)]
        time.sleep(0.1)
        for connection in gone:
            connection.close()
        assert [answer.result().status for answer in answers] == [200] * 8
    assert len(idp.asked) <= 2


def test_a_body_waits_for_the_answer(gateway, idp):
    idp.fault, idp.delay = "slow", 0.3
    body = b"x" * 200_000
    seen = passed(gateway.post("/x", body, "text/plain", [bearer("good-body")]))
    assert seen.body == body
    answer = gateway.post("/x", body, "text/plain", [bearer("inactive-body")])
    refused(answer, 401)


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
def test_a_long_body_that_no_rule_looks_at_waits_for_the_answer_as_well(gateway, idp, protocol):
    idp.fault, idp.delay = "slow", 0.3
    # Longer than what the proxy buffers.
    body = b"x" * (6 << 20)

    def put(shown):
        if protocol == "HTTP/2":
            return gateway.send2("PUT", "/files/1", [bearer(shown)], [body])
        return gateway.send("PUT", "/files/1", [bearer(shown)], body)

    assert passed(put(f"good-long-{protocol}")).body == body
    refused(put(f"inactive-long-{protocol}"), 401)


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
def test_a_body_beyond_the_buffer_filter_is_refused_while_the_answer_is_on_its_way(behind, idp, protocol):
    """And does not hang, as it does where the proxy has stopped to read and the buffer filter waits for the rest."""
    idp.fault, idp.delay = "slow", 0.3

    def put(size):
        shown, body = bearer(f"good-behind-{protocol}-{size}"), b"x" * size
        if protocol == "HTTP/2":
            return behind.send2("PUT", "/files/1", [shown], [body])
        return behind.send("PUT", "/files/1", [shown], body)

    assert len(passed(put(3 << 20)).body) == 3 << 20
    answer = put(6 << 20)
    assert (answer.status, answer.upstream) == (413, None)


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
def test_a_body_and_its_trailers_that_came_before_the_answer_go_on_in_their_order(behind, idp, protocol):
    """Else the buffer filter gives the head the length 0, and the upstream takes the body for its next request."""
    idp.fault, idp.delay = "slow", 0.3
    smuggled = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
    for number in range(3):
        fields = [("content-type", "text/plain"), bearer(f"good-trailers-{protocol}-{number}")]
        if protocol == "HTTP/2":
            answer = behind.send2("POST", "/x", fields, [smuggled], [("x-checksum", "1")])
        else:
            marker, fields = behind._mark([("host", HOST), *fields, ("transfer-encoding", "chunked"), ("trailer", "x-checksum")])
            raw = client.head("POST", "/x", fields) + client.chunks(smuggled, 999)[0] + b"0\r\nx-checksum: 1\r\n\r\n"
            answer = behind._complete(client.http1(behind.port, raw, "POST"), marker)
        seen = passed(answer)
        assert (seen.body, seen.header("content-length")) == (smuggled, str(len(smuggled)))
    assert all(seen.target != b"/smuggled" for seen in behind.upstream.seen)


@pytest.fixture(scope="module")
def buffered(start, idp):
    """Longer bodies than are looked at may pass, and a filter behind the module keeps them."""
    passes = {"match": {"path": "/long/**"}, "authenticate": ["oauth2"], "inspection": {"mode": "monitor"}}
    return start(merged(PLUGIN, {"inspection": {"body_limit": "64KiB"}, "routes": [passes]}), after=[BUFFER_FILTER],
                 clusters={"idp": idp.port}, environment={"OAUTH_CLIENT_SECRET": SECRET})


def test_a_buffer_filter_counts_a_body_once_whose_beginning_came_before_the_answer(buffered, idp):
    """It tells the upstream what it has counted: of a length that is too large the upstream takes the rest from its next request."""
    idp.fault, idp.delay = "slow", 0.3
    pieces = client.chunks(b"x" * 160_000, 80_000)
    fields = [("host", HOST), ("content-type", "text/plain"), ("transfer-encoding", "chunked")]
    for shown, status in (("good-counted", 200), ("inactive-counted", 401)):
        marker, marked = buffered._mark([*fields, bearer(shown)])
        with client.Connection(buffered.port) as connection:
            connection.send(client.head("POST", "/long/1", marked) + pieces[0])
            time.sleep(0.6)
            connection.send(pieces[1] + b"0\r\n\r\n")
            if status == 200:
                assert eventually(lambda: marker in buffered.upstream.by_marker)
                assert buffered.upstream.by_marker[marker].header("content-length") == "160000"
            assert connection.read("POST").status == status
    assert marker not in buffered.upstream.by_marker


def test_no_token_and_no_secret_in_any_log(gateway):
    log = gateway.log()
    for text in ("good-", "inactive-", "lgc_", "len_", SECRET):
        assert text not in log, text


def test_bad_tokens_are_not_asked_about_once_an_address_has_shown_too_many(start, dependency):
    service = dependency(says)
    limited = merged(PLUGIN, {"authentication": {"unverified_credentials": "5/m"}})
    gateway = start(limited, clusters={"idp": service.port, "old": service.port, "closed": closed_port()},
                    environment={"OAUTH_CLIENT_SECRET": SECRET})
    statuses = [gateway.get("/x", [bearer(f"inactive-{n}")]).status for n in range(20)]
    assert statuses == [401] * 5 + [429] * 15
    assert len(service.asked) == 5
    refused(gateway.get("/x", [bearer("good-1")]), 429)
    assert len(service.asked) == 5
