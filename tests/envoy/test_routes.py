"""One canonical path for rules and upstream; roles per route and method."""

from pathlib import Path

import pytest
import yaml
from harness.configuration import plugin
from harness.credentials import bearer
from harness.expect import counted, passed, refused
from harness.gateway import Gateway

ENVOY_FILES = Path(__file__).parents[2] / "envoy"

PLUGIN = plugin("""
inspection: { mode: "off" }
routes:
  - match: { path: /health, methods: [GET] }
    authenticate: none
  - match: { path: "/public/**" }
    authenticate: none
  - match: { path: "/admin/**" }
    allow: [{ roles: [admin] }]
  - match: { path: "/teams/{id}", methods: [GET] }
    allow: [{ roles: [user] }]
  - match: { path: "/teams/{id}", methods: [PUT] }
    allow: [{ roles: [manager] }]
  - match: { path: "/teams/{id}", methods: [DELETE] }
    allow: [{ roles: [admin] }, { roles: [owner] }]
  - match: { path: "/inside/**" }
    authenticate: none
    deny: [{ client_ip: [0.0.0.0/0, "::/0"], except: { client_ip: [10.0.0.0/8] } }]
  - match: { path: "/hosts/**", hosts: [intern.example.com] }
    authenticate: none
  - match: { path: "/tried/**" }
    mode: monitor
    allow: [{ roles: [admin] }]
  - match: { path: "/half/**" }
    authenticate: none
    deny: [{ client_ip: [0.0.0.0/0] }]
    enforce_percent: 50
""")

ONE_PATH = {
    "/admin/x": "/admin/x",
    "/admin": "/admin",
    "/admin/": "/admin/",
    "/admin/x/": "/admin/x/",
    "//admin/x": "/admin/x",
    "/admin//x": "/admin/x",
    "///admin///x": "/admin/x",
    "/./admin/./x": "/admin/x",
    "/public/../admin/x": "/admin/x",
    "/public/%2e%2e/admin/x": "/admin/x",
    "/public/.%2E/admin/x": "/admin/x",
    "/%61dmin/%78": "/admin/x",
    "/%61%64%6D%69%6E/x": "/admin/x",
    "/admin/a%2cb": "/admin/a%2Cb",
    "/admin/%c3%a9": "/admin/%C3%A9",
    "/admin/x?next=//a/../b%2f;c": "/admin/x?next=//a/../b%2f;c",
    "/admin/x?": None,
}

NO_PATH = [
    "/admin%2fx", "/public/..%2Fadmin/x", "/public%2f..%2fadmin", "/admin%5cx", "/public/..\\admin\\x",
    "/public/%252e%252e/admin/x", "/admin%252fx", "/admin;x=1/y", "/public;/../admin/x", "/admin/x%3bv=1",
    "/admin/%00", "/public/x%00/../../admin", "/public/%c0%ae%c0%ae/admin/x", "/public/%e0%80%ae./admin",
    "/admin/%ff", "/..", "/../admin/x", "/public/../../admin/x", "/admin/%zz", "/admin/%", "/admin/%2",
    "/admin/%0a", "/public/%c2%80", b"/admin/\xc3\xa9", b"/admin/\xff", "*", "admin/x", "/admin/x#y",
]


@pytest.mark.parametrize("sent", ONE_PATH)
def test_the_upstream_gets_the_very_path_that_the_role_rule_saw(gateway, sent):
    seen = passed(gateway.get(sent, [bearer(roles=["admin"])]))
    wanted = ONE_PATH[sent]
    assert seen.target.decode() in ([wanted] if wanted else ["/admin/x", "/admin/x?"])
    answer = gateway.get(sent, [bearer(roles=["user"])])
    refused(answer, 403)
    event = gateway.event(answer)
    assert event["event_type"] == "ACCESS_DENIED"
    assert event["details"]["path"] == seen.target.decode().split("?")[0]
    assert event["details"]["user"] == "42"
    refused(gateway.get(sent), 401)


@pytest.mark.parametrize("sent", NO_PATH)
@pytest.mark.parametrize("roles", ["user", "admin"])
def test_a_path_that_two_servers_read_differently_is_refused_for_everybody(gateway, sent, roles):
    answer = gateway.get(sent, [bearer(roles=[roles])])
    assert answer.status == 400, answer.status
    assert answer.upstream is None


def test_a_malformed_path_is_a_suspicious_request(gateway):
    with counted(gateway, "security_events_total", event_type="SUSPICIOUS_REQUEST", service="user-service"), \
            counted(gateway, "blocked_requests_total", service="user-service", reason="malformed_request"):
        answer = gateway.get("/public/..%2fadmin")
        refused(answer, 400)
    assert gateway.event(answer)["event_type"] == "SUSPICIOUS_REQUEST"


@pytest.mark.parametrize(("method", "least"), [("GET", "user"), ("PUT", "manager"), ("DELETE", "admin")])
def test_each_method_has_its_role_and_a_role_stands_for_those_below(gateway, method, least):
    order = ["guest", "user", "manager", "admin"]
    for role in order:
        answer = gateway.send(method, "/teams/7", [bearer(roles=[role])])
        if order.index(role) >= order.index(least):
            passed(answer)
        else:
            with_event = refused(answer, 403) and gateway.event(answer)
            assert with_event["event_type"] == "ACCESS_DENIED"
            assert with_event["details"]["rule"]


def test_any_entry_of_allow_is_enough(gateway):
    passed(gateway.send("DELETE", "/teams/7", [bearer(roles=["owner"])]))


def test_a_method_that_no_route_names_is_unmatched(gateway):
    refused(gateway.send("PATCH", "/teams/7", [bearer(roles=["admin"])]), 403)


@pytest.mark.parametrize("target", ["/nowhere", "/", "/healthy", "/health/x", "/HEALTH"])
def test_what_no_route_matches_is_denied(gateway, target):
    with counted(gateway, "blocked_requests_total", service="user-service", reason="forbidden"):
        answer = gateway.get(target, [bearer(roles=["admin"])])
        refused(answer, 403)
    assert gateway.event(answer)["details"]["reason"] == "no_route"


def test_public_routes_are_public(gateway):
    passed(gateway.get("/health"))
    passed(gateway.get("/health/"))
    passed(gateway.get("/public"))
    passed(gateway.get("/public/a/b/c"))


def test_deny_entries_speak_first_and_by_address(gateway):
    answer = gateway.get("/inside/1", [("x-forwarded-for", "203.0.113.9")])
    refused(answer, 403)
    assert gateway.event(answer)["details"]["ip_address"] == "203.0.113.9"
    passed(gateway.get("/inside/1", [("x-forwarded-for", "10.1.2.3")]))


def test_a_route_of_one_host_is_not_there_for_another(gateway):
    passed(gateway.get("/hosts/1", host="intern.example.com"))
    passed(gateway.get("/hosts/1", host="INTERN.example.com:80"))
    refused(gateway.get("/hosts/1"), 403)


class WithVirtualHosts(Gateway):
    """Envoy chooses among virtual hosts by name, as the shipped bootstraps tell it to, and answers for each."""

    def _connection_manager(self, plugin):
        def answering(name, domain):
            answer = {"status": 200, "body": {"inline_string": name}}
            return {"name": name, "domains": [domain], "routes": [{"match": {"prefix": ""}, "direct_response": answer}]}

        hosts = [("public", "public.example.com"), ("loopback", "[::1]"), ("below", "*.example.com"), ("rest", "*")]
        manager = super()._connection_manager(plugin)
        manager["route_config"] = {"ignore_port_in_host_matching": True,
                                   "virtual_hosts": [answering(*host) for host in hosts]}
        return manager


def test_the_virtual_host_is_that_of_the_name_that_the_rule_saw(upstream):
    gateway = WithVirtualHosts(plugin("""
routes:
  - match: { hosts: [public.example.com, "[::1]"] }
    authenticate: none
"""), upstream)
    try:
        for host, expected in [
            ("public.example.com", "public"), ("PUBLIC.example.com", "public"), ("public.example.com.", "public"),
            ("public.example.com:80", "public"), ("public.example.com.:8443", "public"), ("[::1]", "loopback"),
            ("[0::1]", "loopback"), ("[0:0::0.0.0.1]:81", "loopback"),
        ]:
            for answer in (gateway.get("/a", host=host), gateway.send2("GET", "/a", host=host)):
                assert (answer.status, answer.body) == (200, expected.encode()), host
        for host in ("sub.example.com", "sub.example.com.", "other.example.org"):
            refused(gateway.get("/a", host=host), 403)
        assert not gateway.trapped()
    finally:
        gateway.close()


def test_the_upstream_gets_the_host_that_the_rule_saw_with_its_port(gateway):
    for sent, received in [("Intern.example.com.", "intern.example.com"), ("intern.example.com:8443", None)]:
        assert passed(gateway.get("/hosts/1", host=sent)).header("host") == (received or sent)


@pytest.mark.parametrize("file", ["demo/envoy.yaml", "front-proxy/envoy.yaml", "sidecar/envoy.yaml"])
def test_every_bootstrap_chooses_virtual_hosts_whatever_the_port(file):
    bootstrap = yaml.safe_load((ENVOY_FILES / file).read_text())
    chains = [chain for listener in bootstrap["static_resources"]["listeners"] for chain in listener["filter_chains"]]
    managers = [filter["typed_config"] for chain in chains for filter in chain["filters"]]
    ours = [one for one in managers if "portcullis" in [filter["name"] for filter in one["http_filters"]]]
    assert ours
    assert all(manager["route_config"]["ignore_port_in_host_matching"] for manager in ours)


def test_monitor_lets_pass_and_says_so(gateway):
    answer = gateway.get("/tried/1", [bearer(roles=["user"])])
    passed(answer)
    event = gateway.event(answer)
    assert (event["event_type"], event["details"]["mode"]) == ("ACCESS_DENIED", "monitor")
    # Nothing is taken from a token that was not verified.
    forged = bearer(key="another-secret-that-is-long-enough-for-hs256")
    answer = gateway.get("/tried/1", [forged, ("x-auth-subject", "1")])
    assert passed(answer).all("x-auth-subject") == []


def test_enforce_percent_enforces_on_about_that_share(gateway):
    statuses = [gateway.get("/half/1").status for _ in range(200)]
    assert set(statuses) == {200, 403}
    assert 60 <= statuses.count(403) <= 140
