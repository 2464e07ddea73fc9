"""A configuration pushed while requests are served: the last good one of this plugin stays in force."""

import os
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml
from harness.configuration import merged, plugin
from harness.credentials import bearer
from harness.dependency import eventually
from harness.expect import passed, refused

RULES = Path(__file__).parents[2] / "envoy/monitoring/rules.yaml"
PLUGIN = plugin("""
limits: { per_address: { key: [client_ip], rate: 5/h } }
routes:
  - match: { path: "/limited/**" }
    authenticate: none
    limits: [per_address]
  - match: { path: "/old/**" }
    authenticate: none
  - match: { path: "/**" }
""")

BAD = {
    "an unknown field": ({"routs": []}, "routs"),
    "a wrong type": ({"limits": {"per_address": {"key": ["client_ip"], "rate": "often"}}}, "limits.per_address.rate"),
    "an unknown secret": (
        {"authentication": {"jwt": {"users": {"keys": [{"secret": "nowhere"}]}}}}, "authentication.jwt.users.keys",
    ),
    "an unset variable": ({"secrets": {"jwt_secret": {"env": "NOT_SET_ANYWHERE"}}}, "secrets.jwt_secret"),
    "something not supported yet": ({"encryption": {"keys": [{"secret": "jwt_secret"}]}}, "encryption"),
}


def with_route(path):
    routes = [{"match": {"path": path}, "authenticate": "none"}, *PLUGIN["routes"]]
    return merged(PLUGIN, {"routes": routes})


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_configuration_leaves_the_good_one_in_force_and_says_which_field(gateway, fault):
    change, field = BAD[fault]
    assert not gateway.push(merged(PLUGIN, change))
    assert field in "\n".join(line for line in gateway.log().splitlines() if "refused" in line)
    for _ in range(6):
        passed(gateway.get("/old/1"))
        refused(gateway.get("/things/1"), 401)
        passed(gateway.get("/things/1", [bearer()]))


def test_the_log_says_once_which_configuration_was_accepted_as_check_names_it(start):
    proxy = start(PLUGIN)
    accepted = lambda: re.findall(r"configuration accepted: fingerprint (\w+), service [\w-]+, routes: (\d+)", proxy.log())
    assert eventually(lambda: accepted()) and accepted() == [(fingerprint(PLUGIN), "3")]
    changed = with_route("/other/**")
    assert proxy.push(changed)
    assert eventually(lambda: len(accepted()) > 1) and accepted()[1:] == [(fingerprint(changed), "4")]
    assert not proxy.push(merged(PLUGIN, {"routs": []}))
    assert "configuration refused: its fingerprint is " in proxy.log() and len(accepted()) == 2


def fingerprint(configuration):
    """What the tool says of the same as YAML."""
    said = subprocess.run([os.environ["PORTCULLIS"], "check", "-"], input=yaml.safe_dump(configuration), text=True,
                          capture_output=True, check=True)
    return said.stdout.rsplit(" ", 1)[1].strip()


def test_a_plugin_without_a_configuration_leaves_the_good_one_in_force(gateway):
    assert not gateway.push(None)
    for _ in range(6):
        passed(gateway.get("/old/1"))
        refused(gateway.get("/things/1"), 401)
    assert gateway.push(with_route("/after/**")), "and the next good one is taken"
    assert eventually(lambda: gateway.get("/after/1").status == 200)
    refused(gateway.get("/things/1"), 401)


def test_a_good_configuration_takes_over_after_a_bad_one_and_counts_go_on(gateway):
    who = [("x-forwarded-for", "203.0.113.5")]
    assert [gateway.get("/limited/1", who).status for _ in range(4)] == [200] * 4
    assert not gateway.push(merged(PLUGIN, {"mode": "perhaps"}))
    refused(gateway.get("/new/1"), 401)
    assert gateway.push(with_route("/new/**"))
    deadline = time.monotonic() + 60
    while gateway.get("/new/1").status != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(6):
        passed(gateway.get("/new/1"))
    assert [gateway.get("/limited/1", who).status for _ in range(3)] == [200, 429, 429]
    refused(gateway.get("/things/1"), 401)


def test_a_configuration_that_is_refused_moves_a_series_that_the_alert_is_about(gateway):
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    [alert] = [rule["expr"] for rule in rules if rule["alert"] == "ConfigurationRefused"]
    [name] = re.findall(r'__name__=~"([^"]+)"', alert)
    series = rf"^{name.replace('(', '(?:')}{{.*}} (\S+)$"
    count = lambda: sum(float(value) for value in re.findall(series, gateway.prometheus(), re.MULTILINE))
    before = count()
    assert not gateway.push(merged(PLUGIN, {"routs": []}))
    assert count() == before + 1


def test_nothing_unauthenticated_passes_while_configurations_come_and_go(gateway):
    statuses, stop = set(), threading.Event()

    def knock():
        while not stop.is_set():
            answer = gateway.get("/things/1")
            statuses.add(answer.status)
            assert answer.upstream is None

    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        for n in range(4):
            gateway.push(with_route(f"/round-{n}/**"))
            gateway.push(merged(PLUGIN, {"routs": []}))
    finally:
        stop.set()
        knocking.join()
    assert statuses == {401}


def test_a_first_configuration_that_is_bad_denies_and_a_good_one_repairs_it(start):
    gateway = start(merged(PLUGIN, {"routs": []}), serves=False)
    with pytest.raises(ConnectionError):
        gateway.get("/old/1")
    assert gateway.push(PLUGIN)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            passed(gateway.get("/old/1"))
            break
        except ConnectionError:
            time.sleep(0.1)
    passed(gateway.get("/old/1"))
    refused(gateway.get("/things/1"), 401)
