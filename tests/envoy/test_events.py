"""Events and metrics: one JSON line each, in Envoy's log and in the access log; nothing a client sends breaks one."""

import json
import re
import time

import pytest
from harness import client
from harness.configuration import merged, plugin
from harness.credentials import bearer, service_headers, token
from harness.dependency import Said, eventually
from harness.expect import passed, refused
from harness.gateway import ENVIRONMENT, Gateway

PLUGIN = plugin("""
service: order-service
authentication:
  service:
    keys: [{ secret: service_key }]
    services: { order-service: { token: { secret: order_token } } }
    signatures: [v1]
    replay: { v1: allow }
events: { sensitive_paths: ["/admin/**", "/api/*/users/**"], sample: 10000/s }
defaults: { authenticate: [jwt, service] }
limits: { few: { key: [client_ip], rate: 2/h } }
routes:
  - match: { path: "/open/**" }
    authenticate: none
  - match: { path: "/few/**" }
    authenticate: none
    limits: [few]
  - match: { path: "/admin/**" }
    allow: [{ roles: [admin] }]
  - match: { path: "/**" }
""")

SAMPLED = plugin("""
events: { sample: 5/s }
routes: [{ match: { path: "/**" } }]
""")

SESSIONS = plugin("""
service: sessions
routes: [{ match: { path: "/**" } }]
""")

REMOTE = plugin("""
service: remote
authentication:
  jwt:
    partners: { issuer: https://p.example, algorithms: [RS256], jwks: { cluster: idp, uri: https://p.example/jwks } }
routes: [{ match: { path: "/**" } }]
""")

NASTY = [
    b'"', b"\\", b'","event_type":"IP_UNBLOCKED","x":"', b"\xff\xfe", b"\xe2\x80\xa8", b"%0a%0d", b"\\u000a", b"\t",
    b"%FILTER_STATE(x)%", b"{}[]", "Grüße".encode(), b"A" * 8192, b"\x7f",
]


@pytest.mark.parametrize("value", NASTY, ids=lambda value: repr(value[:20]))
def test_nothing_a_client_sends_breaks_a_line(gateway, value):
    answer = gateway.get("/things/1", [("user-agent", value), ("x-forwarded-for", "203.0.113.9")])
    if answer.status == 400 and answer.header("content-type") != "application/problem+json":
        return  # Envoy itself refused these bytes
    assert answer.upstream is None
    event = gateway.event(answer)
    assert event["event_type"] in ("AUTH_FAILURE", "SUSPICIOUS_REQUEST")
    assert set(event) == {"timestamp", "event_type", "service", "details"}
    assert len(event["details"].get("user_agent", "")) <= 2048
    for line in gateway.log().split("\n"):
        if answer.request_id in line:
            assert json.loads(line[line.index("{") :])["details"]["request_id"] == answer.request_id


def test_an_event_says_what_an_operator_needs(gateway):
    headers = [bearer(), ("user-agent", "curl/8"), ("x-forwarded-for", "203.0.113.1")]
    answer = gateway.send("DELETE", "/admin/7?q=private", headers)
    refused(answer, 403)
    denied, access = gateway.events(answer)
    assert abs(denied["timestamp"] - time.time()) < 60
    assert (denied["event_type"], denied["service"]) == ("ACCESS_DENIED", "order-service")
    details = denied["details"]
    assert details["path"] == "/admin/7"
    assert (details["method"], details["ip_address"], details["user_agent"]) == ("DELETE", "203.0.113.1", "curl/8")
    assert (details["user"], details["status"], details["reason"]) == ("42", 403, "forbidden")
    assert details["rule"]
    assert access["event_type"] == "SENSITIVE_ACCESS"
    assert "private" not in json.dumps([denied, access])


def test_use_of_a_sensitive_path_is_told_with_its_outcome(gateway):
    answer = gateway.get("/api/v1/users/7", [bearer()])
    passed(answer)
    event = gateway.event(answer)
    assert event["event_type"] == "SENSITIVE_ACCESS"
    assert (event["details"]["status"], event["details"]["user"]) == (200, "42")
    assert 0 <= event["details"]["response_time"] < 10
    line = next(line for line in gateway.log().splitlines() if answer.request_id in line)
    assert "[info]" in line


def test_what_is_not_sensitive_and_good_is_no_event(gateway):
    answer = gateway.get("/things/1", [bearer()])
    passed(answer)
    assert gateway.events(answer, seconds=3) == []


def test_the_access_log_has_the_same_objects_bare(gateway):
    answer = gateway.get("/things/1")
    refused(answer, 401)
    assert gateway.event(answer)["event_type"] == "AUTH_FAILURE"
    for event in gateway.access_logged_events():
        assert set(event) == {"timestamp", "event_type", "service", "details"}


def test_the_access_log_prints_every_line_of_a_request_bare_in_their_order(gateway):
    answer = gateway.get("/admin/7", [bearer(), ("x-forwarded-for", "203.0.113.1")])
    refused(answer, 403)
    assert [event["event_type"] for event in gateway.events(answer)] == ["ACCESS_DENIED", "SENSITIVE_ACCESS"]
    raw = [line for line in gateway.access_log_file.read_text().splitlines() if answer.request_id in line]
    assert len(raw) == 2
    assert all(json.loads(line)["details"]["request_id"] == answer.request_id for line in raw)


def test_an_event_names_its_trace(gateway):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = gateway.get("/things/1", [("traceparent", f"00-{trace}-00f067aa0ba902b7-01")])
    assert gateway.event(answer)["details"]["trace_id"] == trace
    answer = gateway.get("/things/1", [("traceparent", f"00-{trace.upper()}-00f067aa0ba902b7-01")])
    assert "trace_id" not in gateway.event(answer)["details"]


def test_the_metrics_have_exactly_the_published_names_and_labels(gateway):
    gateway.get("/things/1")
    gateway.get("/things/1", [bearer(exp=int(time.time()) - 600, iat=int(time.time()) - 700)])
    gateway.get("/admin/1", [bearer()])
    for _ in range(3):
        gateway.get("/few/1", [("x-forwarded-for", "203.0.113.50")])
    gateway.get("/open/1?q=%3Cscript%3Ealert(1)%3C/script%3E")
    page = gateway.prometheus()
    for line in (
        r'security_events_total{event_type="AUTH_FAILURE",service="order-service"} \d+',
        r'security_events_total{event_type="ACCESS_DENIED",service="order-service"} \d+',
        r'security_events_total{event_type="RATE_LIMITED",service="order-service"} \d+',
        r'security_events_total{event_type="SUSPICIOUS_REQUEST",service="order-service"} \d+',
        r'auth_failures_total{service="order-service",reason="missing"} \d+',
        r'auth_failures_total{service="order-service",reason="expired"} \d+',
        r'blocked_requests_total{service="order-service",reason="invalid_credentials"} \d+',
        r'blocked_requests_total{service="order-service",reason="forbidden"} \d+',
        r'blocked_requests_total{service="order-service",reason="rate_limit"} \d+',
        r'blocked_requests_total{service="order-service",reason="injection"} \d+',
    ):
        assert re.search("^" + line.replace("{", r"\{").replace("}", r"\}") + "$", page, re.MULTILINE), line
    ours = re.findall(r'^(\w+)\{([^}]*service="order-service"[^}]*)\}', page, re.MULTILINE)
    counters = {"security_events_total", "auth_failures_total", "blocked_requests_total"}
    histogram = {f"decision_microseconds_{part}" for part in ("bucket", "count", "sum")}
    assert {name for name, _ in ours} - histogram == {*counters, "active_sessions", "table_use_percent"}
    labels = {tuple(re.findall(r"(\w+)=", labels)) for _, labels in ours}
    assert labels - {("service", "le")} == {("event_type", "service"), ("service", "reason"), ("service",),
                                            ("service", "name")}
    assert set(re.findall(r'table_use_percent\{service="order-service",name="(\w+)"\} \d+', page)) == {
        "limits", "addresses", "replay", "revocations"}


def test_callers_are_estimated_and_decisions_timed_by_all_workers_together(start):
    gateway = start(SESSIONS)
    callers = [f"caller-{number}" for number in range(40)]
    for caller in callers * 2:
        passed(gateway.get("/things/1", [bearer(user_id=caller)]))
    refused(gateway.get("/things/1"), 401)
    within = lambda: 38 <= gateway.counter("active_sessions", service="sessions") <= 42
    timed = lambda: gateway.counter("decision_microseconds_count", service="sessions") == 81
    assert eventually(lambda: within() and timed()), gateway.prometheus()
    page = gateway.prometheus()
    buckets = re.findall(r'^decision_microseconds_bucket\{service="sessions",le="([^"]+)"\} (\d+)$', page, re.MULTILINE)
    counts = [int(count) for _, count in buckets]
    assert counts == sorted(counts) and counts[-1] == 81
    # A decision takes some time, and less than a tenth of a second.
    assert 0 < gateway.counter("decision_microseconds_sum", service="sessions") < 81 * 100_000


def test_calls_that_fail_and_keys_that_never_came_are_measured(start, dependency):
    idp = dependency(lambda asked: Said(status=503))
    gateway = start(REMOTE, clusters={"idp": idp.port})
    assert eventually(lambda: gateway.counter("callout_failures_total", service="remote", name="idp") >= 1)
    assert eventually(lambda: gateway.counter("jwks_age_seconds", service="remote", name="partners") >= 2)


def test_what_was_left_out_is_stated_when_another_configuration_comes(start):
    configuration = merged(PLUGIN, {"events": {"sample": "3/h"}})
    gateway = start(configuration)
    for _ in range(60):
        refused(gateway.get("/things/1"), 401)
    assert gateway.push(merged(configuration, {"mode": "monitor"}))

    def accounted_for():
        details = [event["details"] for event in gateway.logged_events()]
        return sum(one.get("left_out", 0) + (one.get("reason") == "missing") for one in details)

    assert eventually(lambda: accounted_for() == 60), accounted_for()


def test_a_flood_of_events_is_sampled_and_the_number_left_out_is_stated(start):
    gateway = start(SAMPLED)
    sent = 150
    for _ in range(sent):
        gateway.get("/things/1")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        events = gateway.logged_events()
        told = len([event for event in events if event["details"].get("reason") == "missing"])
        left_out = sum(event["details"].get("left_out", 0) for event in events)
        if told + left_out == sent:
            break
        time.sleep(0.5)
    assert told + left_out == sent
    assert left_out > 0
    assert gateway.counter("security_events_total", event_type="AUTH_FAILURE", service="user-service") == sent


def test_no_secret_and_no_token_is_ever_told(gateway):
    good, expired = token(user_id="secretive"), token(exp=1, user_id="secretive")
    forged = service_headers(key="a-forged-key")
    shown = [[bearer(good)], [bearer(expired)], [("cookie", "access_token=" + expired)], forged, service_headers()]
    for headers in shown:
        for target in ("/admin/1", "/things/1"):
            gateway.get(target, headers)
    gateway.get("/things/1?access_token=" + expired)
    gateway.get("/things/1?access_token=" + good)
    for semicolon in (";", "%3B", "%253b"):
        for one in (good, expired):
            assert gateway.event(gateway.get(f"/things;access_token={one}/1".replace(";", semicolon)))
    gateway.post("/open/1", json.dumps({"note": f"{good} <script>alert(1)</script>"}).encode())
    time.sleep(0.1)
    told = gateway.log() + gateway.access_log_file.read_text() + gateway.admin("/stats") + gateway.prometheus()
    signatures = [dict(forged)["X-Signature"], good.split(".")[2], expired.split(".")[2]]
    for secret in (*ENVIRONMENT.values(), *signatures, good.split(".")[1], expired.split(".")[1]):
        assert secret not in told


class TwoPlugins(Gateway):
    """With another plugin of the module before it in the filter chain, which reports only."""

    def _connection_manager(self, plugin):
        manager = super()._connection_manager(plugin)
        before = self._module(merged(SESSIONS, {"service": "edge", "mode": "monitor"}))
        before["typed_config"]["config"]["name"] = "edge"
        return {**manager, "http_filters": [before, *manager["http_filters"]]}


def test_the_access_log_has_the_events_of_every_plugin_in_the_chain(upstream):
    proxy = TwoPlugins(SESSIONS, upstream)
    try:
        refused(proxy.get("/things/1"), 401)
        told = lambda events: sorted((event["service"], event["details"]["reason"]) for event in events)
        assert eventually(lambda: len(proxy.access_logged_events()) > 1)
        assert told(proxy.access_logged_events()) == told(proxy.logged_events())
        # What the other plugin refuses is no answer of the upstream.
        assert told(proxy.access_logged_events()) == [("edge", "missing"), ("sessions", "missing")]
    finally:
        proxy.close()
