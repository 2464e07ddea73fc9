"""An attack on the front proxy and the sidecar as they are shipped, watched by Prometheus: each of its steps must be found in
the events, in the metrics, among the alerts and on the dashboard."""

import importlib.util
import json
import os
import time
from pathlib import Path

import pytest
import yaml
from harness.configuration import plugin
from harness.credentials import bearer
from harness.dependency import closed_port
from harness.gateway import free_port
from harness.prometheus import BINARIES, MONITORING, Prometheus, promtool, until
from harness.shipped import GATEWAY, USERS, Mesh, Shipped, call, tls
from test_signatures import signed

pytestmark = pytest.mark.alone
if not (BINARIES / "prometheus").exists():
    pytest.skip("NOT RUN: .ci/prometheus unpacks Prometheus", allow_module_level=True)

SECONDS = 60
RATE = 20


def draw():
    """The script that draws the dashboard."""
    spec = importlib.util.spec_from_file_location("draw", MONITORING / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class World:
    """The set-up of envoy/compose.yaml: the front proxy, the sidecar, a service, Prometheus."""

    def __init__(self, upstream):
        self.mesh = Mesh()
        self.context = tls(self.mesh.public)
        self.sidecar = Shipped("sidecar", self.mesh, USERS, {
            "127.0.0.1:8080": upstream.port, "order-service.microservices.svc.cluster.local:8000": free_port()})
        service = {"user-service.microservices.svc.cluster.local:8000": self.sidecar.ports["0.0.0.0:8000"]}
        self.edge = Shipped("front-proxy", self.mesh, GATEWAY, service)
        self.prometheus = Prometheus({
            "front-proxy:9902": self.edge.ports["0.0.0.0:9902"], "user-service:9902": self.sidecar.ports["0.0.0.0:9902"]})
        # A counter grows only where it was seen before it did.
        assert until(lambda: self.prometheus.scraped() >= 2, 20)

    def send(self, method="GET", target="/public/a", headers=(), body=b"", address="127.0.0.1"):
        return call(self.edge.ports["0.0.0.0:8443"], self.context, method, target, headers, body, source=address)

    def close(self):
        for part in (self.prometheus, self.edge, self.sidecar):
            part.close()


@pytest.fixture(scope="module")
def world(upstream):
    world = World(upstream)
    yield world
    world.close()


def statuses(answers):
    return [answer.status for answer in answers]


def ordinary_traffic(world):
    """Two callers who do nothing wrong."""
    for number in range(20):
        answer = world.send(target=f"/api/v1/users/{number}", headers=[bearer(user_id=f"u{number % 2}")], address="127.0.0.9")
        assert answer.status == 200, answer.body


def credential_stuffing(world, upstream):
    """Seven addresses try passwords; each is shut out after the fifth that is wrong."""
    upstream.scripted[b"/api/v1/auth/login"] = lambda seen, write: write(
        b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n") or True
    for attacker in range(7):
        answers = [world.send("POST", "/api/v1/auth/login", [("content-type", "application/json")],
                              b'{"username": "ann", "password": "%d"}' % number, f"127.0.1.{attacker + 1}")
                   for number in range(6)]
        assert statuses(answers) == [401] * 5 + [403]
    upstream.scripted.clear()


def injection_probes(world):
    """Two addresses look for holes, until they are shut out."""
    probes = ["/public/a?q=1%27%20UNION%20SELECT%20login%2C%20secret%20FROM%20staff--%20",
              "/public/a?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/public/a?f=..%2f..%2f..%2fetc%2fpasswd",
              "/public/a?c=x%3B+cat+%2Fetc%2Fpasswd"]
    for attacker in ("127.0.2.1", "127.0.2.2"):
        assert statuses(world.send(target=probe, address=attacker) for probe in probes) == [403] * 4


def replay(world):
    """A signed request that somebody has seen is sent again."""
    headers = list(signed("POST", "/api/v1/webhooks/paid", body=b'{"order": 7}').items())
    headers.append(("content-type", "application/json"))
    answers = [world.send("POST", "/api/v1/webhooks/paid", headers, b'{"order": 7}', "127.0.3.1") for _ in range(2)]
    assert statuses(answers) == [200, 401]


def burst(world):
    """One address sends more than any may."""
    answers = [world.send(address="127.0.4.1") for _ in range(125)]
    assert statuses(answers) == [200] * 100 + [429] * 25


def test_every_step_of_an_attack_is_found_wherever_one_would_look(world, upstream):
    begun = time.monotonic()
    ordinary_traffic(world)
    assert not world.prometheus.firing()
    credential_stuffing(world, upstream)
    injection_probes(world)
    replay(world)
    burst(world)
    ordinary_traffic(world)

    events = world.edge.events(1)
    found = {(event["event_type"], event["details"].get("reason"), event["details"]["ip_address"]) for event in events
             if event["service"] == "api-gateway"}
    attackers = [f"127.0.1.{number}" for number in range(1, 8)]
    assert {("AUTH_FAILURE", "upstream_401", address) for address in attackers} <= found
    assert {("IP_BLOCKED", "failures", address) for address in attackers} <= found
    assert {("SUSPICIOUS_REQUEST", "injection", f"127.0.2.{n}") for n in (1, 2)} <= found
    assert ("REPLAY", "replayed", "127.0.3.1") in found
    assert ("RATE_LIMITED", "rate_limit", "127.0.4.1") in found
    assert not [entry for entry in found if entry[2] == "127.0.0.9" and entry[0] != "SENSITIVE_ACCESS"]

    query = world.prometheus.query
    wanted = {
        'auth_failures_total{service="api-gateway",reason="upstream_401"}': 35,
        'security_events_total{service="api-gateway",event_type="IP_BLOCKED"}': 7,
        'blocked_requests_total{service="api-gateway",reason="blocked_address"}': 7,
        'blocked_requests_total{service="api-gateway",reason="injection"}': 8,
        'security_events_total{service="api-gateway",event_type="REPLAY"}': 1,
    }
    counted = lambda: {name: sum(value for _, value in query(name)) for name in wanted} == wanted
    assert until(counted, 15), {name: query(name) for name in wanted}

    # What must not fire: nothing is down, nothing degraded, nothing undecided.
    alarms = {"CredentialStuffing", "AddressBlocked", "InjectionProbes", "SignatureReplayed", "RateLimitBurst",
              "SecurityEventSpike"}
    until(lambda: alarms <= world.prometheus.firing(), 15)
    assert world.prometheus.firing() == alarms

    picture = draw()
    shown = {panel["title"]: lines for panel, lines in picture.panels(world.prometheus.url, SECONDS, RATE)}
    high = lambda title, legend: max(value for name, points in shown[title] if name == legend for _, value in points)
    for title, legend in [
        ("Security events", "AUTH_FAILURE"), ("Security events", "IP_BLOCKED"), ("Security events", "SUSPICIOUS_REQUEST"),
        ("Security events", "REPLAY"), ("Security events", "RATE_LIMITED"),
        ("Refused requests, by reason", "injection"), ("Refused requests, by reason", "rate_limit"),
        ("Refused requests, by reason", "blocked_address"), ("Refused credentials, by reason", "upstream_401"),
        ("Refused credentials, by reason", "replayed"), ("Answers, by class", "4xx"),
        ("Active sessions", "api-gateway"), ("Time to decide", "p99"),
        *(("Alerts", alarm) for alarm in alarms),
    ]:
        assert high(title, legend) > 0, (title, legend)
    assert time.monotonic() - begun < SECONDS


def test_the_picture_of_the_dashboard_shows_every_panel(world):
    drawn = draw().draw(world.prometheus.url, 40, 6)
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    assert all(f">{panel['title']}<" in drawn for panel in dashboard["panels"])
    assert drawn.count("<polyline") >= len(dashboard["panels"])
    if os.environ.get("DASHBOARD"):
        Path(os.environ["DASHBOARD"]).write_text(drawn, encoding="utf-8")


@pytest.fixture(scope="module")
def ailing(start):
    """A Prometheus that watches a proxy whose provider of keys and whose store of secrets are away."""
    gateway = start(plugin("""
service: ailing
secrets:
  stored: { vault: { cluster: vault, path: secret/data/order-service, field: token, token: { env: VAULT_TOKEN } } }
authentication:
  jwt:
    partners:
      issuer: https://partners.example.com
      algorithms: [RS256]
      jwks: { cluster: idp, uri: https://partners.example.com/jwks.json }
  api_keys: { keys: { reporting: { secret: stored } } }
routes: [{ match: { path: "/**" }, authenticate: [jwt, api_keys] }]
"""), clusters={"idp": closed_port(), "vault": closed_port()}, environment={"VAULT_TOKEN": "token"})
    port = gateway.admin_port
    prometheus = Prometheus({"front-proxy:9902": port, "user-service:9902": port})
    yield prometheus
    prometheus.close()


def test_a_dependency_that_is_away_raises_the_alarm(ailing):
    until(lambda: {"CalloutFailures", "Degraded"} <= ailing.firing(), 45)
    assert ailing.firing() == {"CalloutFailures", "Degraded"}
    failed = {labels["name"] for labels, value in ailing.query("callout_failures_total") if value > 0}
    assert failed == {"idp", "vault"}


def test_every_query_of_the_dashboard_gives_series(world, ailing):
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    picture = draw()
    queries = [target for panel in dashboard["panels"] for target in panel["targets"]]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) >= 12
    shown = lambda prometheus, target: picture.series(prometheus.url, target, SECONDS, RATE)
    empty = [target["expr"] for target in queries if not shown(world.prometheus, target) and not shown(ailing, target)]
    assert not empty, empty
    [variable] = [entry for entry in dashboard["templating"]["list"] if entry["name"] == "service"]
    assert variable["query"]["query"] == "label_values(security_events_total, service)"
    assert {labels["service"] for labels, _ in world.prometheus.query("security_events_total")} == {"api-gateway", "user-service"}


def names(expression):
    """The metrics that an expression is about."""
    import re

    words = re.findall(r"[a-z_]{5,}(?=[{\[ ]|$)", re.sub(r'"[^"]*"|by \([^)]*\)|on \([^)]*\)', "", expression))
    return {word for word in words if "_" in word or word == "up"} - {"histogram_quantile", "count_over_time"}


def test_every_metric_of_an_alert_is_one_that_there_is(world, ailing):
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        for name in names(rule["expr"]):
            there = world.prometheus.query(f"count({name})") or ailing.query(f"count({name})")
            assert there, (rule["alert"], name)


def test_the_rules_and_the_configuration_of_prometheus_are_good():
    for arguments in [("check", "rules", "rules.yaml"), ("check", "config", "prometheus.yaml"), ("test", "rules", "rules_test.yaml")]:
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_and_says_what_to_do():
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    tested = (MONITORING / "rules_test.yaml").read_text()
    for rule in (rule for group in groups for rule in group["rules"]):
        assert f"alertname: {rule['alert']}\n" in tested or f'alertname="{rule["alert"]}"' in tested, rule["alert"]
        assert rule["annotations"]["summary"] and rule["annotations"]["action"]
        assert rule["labels"]["severity"] in ("warning", "critical")
