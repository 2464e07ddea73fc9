"""Signatures of the second form, replays over all workers, and the signing of what leaves; every signature here is made
and verified by plain Python after docs/signatures.md."""

import base64
import hashlib
import hmac
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.configuration import merged, plugin
from harness.credentials import service_headers
from harness.expect import counted, passed, refused, unauthenticated
from harness.gateway import ENVIRONMENT, Gateway, typed

KEY, TOKEN = ENVIRONMENT["SERVICE_SECRET_KEY"], ENVIRONMENT["ORDER_SERVICE_TOKEN"]
OLD_KEY = "the-key-before-the-rotation-0123456789"
BODY = b'{"item": 7}'

PLUGIN = plugin(f"""
authentication:
  service:
    keys: [{{ secret: service_key }}, {{ secret: old_service_key }}]
    services: {{ order-service: {{ token: {{ secret: order_token }} }} }}
secrets: {{ old_service_key: {{ inline: {OLD_KEY} }} }}
inspection: {{ body_limit: 256KiB }}
routes: [{{ match: {{ path: "/**" }}, authenticate: [service] }}]
""")


def egress(signature):
    return plugin(f"""
service: order-service
outbound:
  sign: {{ service: order-service, token: {{ secret: order_token }}, keys: [{{ secret: service_key }}],
           signature: {signature} }}
inspection: {{ body_limit: 256KiB }}
defaults: {{ authenticate: none }}
unmatched: allow
routes: [{{ match: {{ path: "/orders/**" }} }}]
""")


def signed(method, path, query="", body=b"", *, key=KEY, name="order-service", timestamp=None, nonce=None):
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":" if body else ""
    timestamp, nonce = timestamp or str(time.time()), nonce or secrets.token_hex(16)
    lines = ["portcullis-signature-v2", name, timestamp, nonce, method, path, query, digest]
    code = hmac.new(key.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()
    headers = {"X-Service-Name": name, "X-Service-Token": TOKEN, "X-Timestamp": timestamp, "X-Nonce": nonce,
               "X-Signature": "v2=" + code}
    return headers | ({"Content-Digest": digest} if digest else {})


def post(gateway, headers, target="/orders/7?page=2", body=BODY, **more):
    return gateway.send("POST", target, [("content-type", "application/json"), *headers.items()], body, **more)


def good(**changes):
    return signed("POST", "/orders/7", "?page=2", BODY, **changes)


@pytest.mark.parametrize("key", [KEY, OLD_KEY])
def test_accepts_a_request_signed_by_either_key_and_takes_the_signature_away(gateway, key):
    seen = passed(post(gateway, good(key=key)))
    assert not [name for name in seen.names() if name.startswith(b"x-service-") or
                name in (b"x-timestamp", b"x-nonce", b"x-signature")]
    assert seen.header("x-auth-subject") == "order-service"
    assert seen.body == BODY


def test_accepts_an_unmodified_client_of_the_first_form_again_and_again(gateway):
    headers = service_headers()
    passed(gateway.get("/x", headers))
    passed(gateway.get("/x", headers))


def test_accepts_a_body_that_comes_in_pieces_and_a_request_without_one(gateway):
    body = b'{"items": [' + b", ".join(b'"%0500d"' % number for number in range(200)) + b"]}"
    headers = signed("POST", "/orders/7", "?page=2", body)
    assert passed(post(gateway, headers, body=body, chunk=4_000)).body == body
    passed(gateway.get("/orders/7", list(signed("GET", "/orders/7").items())))
    headers = signed("POST", "/orders/7", "", BODY)
    answer = gateway.send2("POST", "/orders/7", [(name.lower(), value) for name, value in headers.items()],
                           [BODY[:4], BODY[4:]])
    passed(answer)


@pytest.mark.parametrize(("reason", "changes"), [
    ("unknown_service", {"X-Service-Name": "intruder"}),
    ("bad_service_signature", {"X-Service-Token": "a-guess"}),
    ("bad_service_signature", {"X-Timestamp": lambda value: value + "1"}),
    ("bad_service_signature", {"X-Nonce": "0" * 32}),
    ("bad_service_signature", {"X-Signature": "v2=" + "0" * 64}),
    ("bad_service_signature", {"X-Signature": lambda value: value.removeprefix("v2=")}),
    ("bad_service_signature", {"Content-Digest": "sha-256=:" + "A" * 43 + "=:"}),
    ("invalid_nonce", {"X-Nonce": "short"}),
    ("invalid_digest", {"Content-Digest": "sha-512=:AAAA:"}),
], ids=lambda value: value if isinstance(value, str) else ",".join(value))
def test_refuses_a_header_that_was_changed(gateway, reason, changes):
    headers = good()
    for name, change in changes.items():
        headers[name] = change(headers[name]) if callable(change) else change
    unauthenticated(gateway, reason, lambda: post(gateway, headers))


@pytest.mark.parametrize("target", ["/orders/8?page=2", "/orders/7?page=3", "/orders/7", "/orders/7?page=2&x=1"])
def test_refuses_another_target(gateway, target):
    unauthenticated(gateway, "bad_service_signature", lambda: post(gateway, good(), target))


def test_refuses_another_method(gateway):
    headers = [("content-type", "application/json"), *good().items()]
    unauthenticated(gateway, "bad_service_signature",
                    lambda: gateway.send("PUT", "/orders/7?page=2", headers, BODY))


@pytest.mark.parametrize("age", [301, -310])
def test_refuses_what_is_too_old_or_too_far_ahead(gateway, age):
    headers = good(timestamp=str(time.time() - age))
    unauthenticated(gateway, "timestamp_too_old", lambda: post(gateway, headers))


@pytest.mark.parametrize("how", [{}, {"chunk": 3}, {"chunk": 3, "pause": 0.02}], ids=str)
def test_nothing_of_a_wrong_body_reaches_the_upstream(gateway, how):
    unauthenticated(gateway, "wrong_body", lambda: post(gateway, good(), body=b'{"item": 8}', **how))


def test_refuses_a_body_that_nobody_signed(gateway):
    headers = signed("POST", "/orders/7", "?page=2")
    unauthenticated(gateway, "unsigned_body", lambda: post(gateway, headers))
    headers = signed("POST", "/orders/7", "?page=2")
    unauthenticated(gateway, "unsigned_body", lambda: post(gateway, headers, chunk=4))


def test_refuses_a_signed_body_beyond_the_limit(gateway):
    body = b'"' + b"x" * 300_000 + b'"'
    headers = signed("POST", "/orders/7", "?page=2", body)
    refused(post(gateway, headers, body=body), 413)


@pytest.mark.parametrize("share", ["mode: monitor", "enforce_percent: 0"])
def test_behind_the_buffer_filter_no_upstream_is_told_of_a_caller_whose_body_is_wrong(start, share):
    settings = plugin(f"""
bodies: {{ hold: buffer_filter }}
mode: monitor
authentication:
  mode: {"monitor" if "monitor" in share else "enforce"}
  service: {{ keys: [{{ secret: service_key }}], services: {{ order-service: {{ token: {{ secret: order_token }} }} }} }}
routes: [{{ match: {{ path: "/**" }}, authenticate: [service], {share} }}]
""")
    gateway = start(settings, buffer_filter=True)
    assert passed(post(gateway, good())).header("x-auth-subject") == "order-service"
    refused(post(gateway, good(), body=b'{"item": 8}'), 401)
    refused(post(gateway, good(), body=b'{"item": 8}', chunk=3, pause=0.02), 401)


def test_a_signature_counts_once(gateway):
    headers = good()
    passed(post(gateway, headers))
    labels = {"event_type": "REPLAY", "service": "user-service"}
    with counted(gateway, "security_events_total", **labels):
        answer = post(gateway, headers)
        refused(answer, 401)
    event = gateway.event(answer)
    assert (event["event_type"], event["details"]["reason"]) == ("REPLAY", "replayed")


def test_of_equal_requests_at_once_one_gets_through_whichever_worker_it_meets(gateway):
    for _ in range(5):
        headers = good()
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: post(gateway, headers), range(16)))
        assert sorted(answer.status for answer in answers) == [200] + [401] * 15


@pytest.fixture(scope="module")
def signs_first(start):
    return start(egress("v1"))


@pytest.fixture(scope="module")
def signs_second(start):
    return start(egress("v2"))


def of_signature(seen):
    names = ("x-service-name", "x-service-token", "x-timestamp", "x-nonce", "x-signature", "content-digest")
    return {name: seen.header(name) for name in names if seen.all(name)}


FORGED = [("X-Service-Name", "intruder"), ("X-Signature", "00"), ("x_signature", "00"), ("X-Nonce", "mine")]


@pytest.mark.parametrize("target", ["/orders/7?page=2", "/elsewhere"])
def test_a_plain_verifier_accepts_what_leaves(signs_first, gateway, target):
    seen = passed(post(signs_first, dict(FORGED), target))
    sent = of_signature(seen)
    assert sent.keys() == {"x-service-name", "x-service-token", "x-timestamp", "x-signature"}
    assert b"x_signature" not in seen.names()
    assert abs(time.time() - float(sent["x-timestamp"])) < 60
    text = f"{sent['x-service-name']}:{sent['x-timestamp']}:{TOKEN}"
    expected = hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
    assert hmac.compare_digest(sent["x-signature"], expected)
    assert (sent["x-service-name"], sent["x-service-token"]) == ("order-service", TOKEN)
    passed(post(gateway, sent, target))


@pytest.mark.parametrize("how", [{}, {"chunk": 3}], ids=str)
def test_behind_the_buffer_filter_a_request_with_a_body_leaves_signed(start, gateway, how):
    held = merged(egress("v1"), {"bodies": {"hold": "buffer_filter"}})
    seen = passed(post(start(held, buffer_filter=True), dict(FORGED), **how))
    assert seen.body == BODY
    passed(post(gateway, of_signature(seen)))


@pytest.mark.parametrize("how", [{}, {"chunk": 3}], ids=str)
def test_the_filter_accepts_what_the_filter_signed_with_its_body(signs_second, gateway, how):
    seen = passed(post(signs_second, dict(FORGED), "/x/../orders/%37?page=%20", **how))
    assert seen.body == BODY
    sent = of_signature(seen)
    expected = signed("POST", "/orders/7", "?page=%20", BODY, timestamp=sent["x-timestamp"], nonce=sent["x-nonce"])
    assert sent == {name.lower(): value for name, value in expected.items()}
    refused(post(gateway, sent, "/orders/7?page=%20", body=b"{}"), 401)
    sent = of_signature(passed(post(signs_second, {}, "/orders/7?page=%20", **how)))
    passed(post(gateway, sent, "/orders/7?page=%20"))
    refused(post(gateway, sent, "/orders/7?page=%20"), 401)


def test_every_nonce_that_leaves_is_new(signs_second):
    nonces = {of_signature(passed(signs_second.get("/orders/7")))["x-nonce"] for _ in range(20)}
    assert len(nonces) == 20


class SignsEachTry(Gateway):
    """With the module among the filters of the upstream's cluster, behind the router, which tries again."""

    def _connection_manager(self, plugin):
        manager = super()._connection_manager(plugin)
        router = manager["http_filters"][-1]
        return {**manager, "http_filters": [router], "upgrade_configs": [], "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"], "routes": [{"match": {"prefix": ""}, "route": {
                "cluster": "upstream", "retry_policy": {"retry_on": "5xx", "num_retries": 1}}}],
        }]}}

    def _bootstrap(self):
        bootstrap = super()._bootstrap()
        codec = typed("envoy.filters.http.upstream_codec",
                      "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec", {})
        (options,) = bootstrap["static_resources"]["clusters"][0]["typed_extension_protocol_options"].values()
        options["http_filters"] = [self._module(egress("v2")), codec]
        return bootstrap


def test_as_a_filter_of_the_upstreams_cluster_the_module_signs_each_try(gateway, upstream):
    tries = []

    def answer(seen, send):
        tries.append(of_signature(seen))
        send(b"HTTP/1.1 %d Status\r\ncontent-length: 0\r\n\r\n" % (503 if len(tries) % 2 else 200))
        return True

    upstream.scripted[b"/orders/7?page=2"] = answer
    proxy = SignsEachTry(egress("v2"), upstream)
    try:
        for how in ({}, {"chunk": 3}):
            assert post(proxy, dict(FORGED), **how).status == 200
        refused(post(proxy, {}, body=b'"' + b"x" * 300_000 + b'"'), 413)
        assert not proxy.trapped()
    finally:
        proxy.close()
    upstream.scripted.clear()
    assert len(tries) == 4 and len({one["x-nonce"] for one in tries}) == 4
    for one in tries:
        passed(post(gateway, one))


def test_what_cannot_be_signed_does_not_leave(signs_second):
    refused(post(signs_second, {}, body=b'"' + b"x" * 300_000 + b'"'), 413)
