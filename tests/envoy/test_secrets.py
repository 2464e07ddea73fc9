"""Secrets that come from stores: fetched, rotated under load, kept while a store fails, and never told."""

import concurrent.futures
import hashlib
import hmac
import json
import time

import pytest
from harness.configuration import plugin
from harness.credentials import bearer, service_headers
from harness.dependency import FAULTS, Said, closed_port, eventually
from harness.expect import passed, refused
from harness.stores import ENVIRONMENT, SECRET_KEY, SESSION, TOKEN, Kubernetes, SecretsManager, Vault

KEYS = [f"key-{n}-of-the-tests-in-a-store-0123456789abcdef" for n in range(4)]
SERVICE = "service-key-in-kubernetes-0123456789abcdef"
ORDER = "order-token-in-secrets-manager-0123456789"
REFRESH = "/.portcullis/secrets/refresh"
LOGIN = b'{"username": "ann", "password": "correct horse"}'

SECRETS = """
secrets:
  jwt_secret: { vault: { cluster: vault, path: secret/data/jwt, field: key, token: { env: STORE_TOKEN } }, refresh: %s }
  service_key: { kubernetes: { cluster: kubernetes, namespace: default, secret: service, field: key,
                               token: { env: STORE_TOKEN } }, refresh: %s }
  order_token: { aws_secrets_manager: { cluster: secretsmanager, region: eu-west-1, secret_id: prod/order, field: token,
                                        access_key_id: { env: AWS_ACCESS_KEY_ID },
                                        secret_access_key: { env: AWS_SECRET_ACCESS_KEY },
                                        session_token: { env: AWS_SESSION_TOKEN } }, refresh: %s }
  admin_key: { env: SERVICE_SECRET_KEY }
authentication:
  jwt:
    admins:
      issuer: https://admins.example.com
      algorithms: [HS256]
      keys: [{ secret: admin_key }]
      from: [{ header: x-admin-token }]
      claims: { subject: sub, roles: roles }
  service:
    keys: [{ secret: service_key }]
    services: { order-service: { token: { secret: order_token } } }
    signatures: [v1]
    replay: { v1: allow }
intrusion: { failures: 10000, admin: { roles: [admin] } }
routes:
  - match: { path: "/services/**" }
    authenticate: [service]
  - match: { path: "/**" }
    authenticate: [jwt]
"""


def configuration(refresh):
    made = plugin(SECRETS % (refresh, refresh, refresh))
    # Merged over the base's, each would have two sources.
    base = made["secrets"]
    for name, kind in (("jwt_secret", "vault"), ("service_key", "kubernetes"), ("order_token", "aws_secrets_manager")):
        base[name] = {kind: base[name][kind], "refresh": base[name]["refresh"]}
    return made


class World:
    """The three stores and a gateway that fetches from them."""

    def __init__(self, dependency, start, refresh):
        self.vault = Vault(jwt={"key": KEYS[0]})
        self.kubernetes = Kubernetes(service={"key": SERVICE})
        self.aws = SecretsManager(**{"prod/order": json.dumps({"token": ORDER, "other": "x"})})
        stores = {"vault": self.vault, "kubernetes": self.kubernetes, "secretsmanager": self.aws}
        self.stores = {name: dependency(store) for name, store in stores.items()}
        clusters = {name: store.port for name, store in self.stores.items()}
        self.gateway = start(configuration(refresh), clusters=clusters, environment=ENVIRONMENT)

    def with_key(self, key):
        return self.gateway.get("/x", [bearer(key=key)])

    def accepts(self, key, times=12):
        """On both workers: connections of their own reach both."""
        return all(self.with_key(key).status == 200 for _ in range(times))

    def signed(self):
        return self.gateway.get("/services/x", service_headers(key=SERVICE, token=ORDER))

    def refresh(self):
        answer = self.gateway.send("POST", REFRESH, [admin()])
        assert answer.status == 202, (answer.status, answer.body)
        return json.loads(answer.body)

    def told(self, reason, dependency):
        events = [event["details"] for event in self.gateway.logged_events() if event["event_type"] == "DEGRADED"]
        return [event for event in events if (event["reason"], event.get("dependency")) == (reason, dependency)]


def admin(**changes):
    from harness.credentials import token
    from harness.gateway import ENVIRONMENT as USUAL

    claims = {"iss": "https://admins.example.com", "aud": None, "sub": "root", "roles": ["admin"], **changes}
    return ("x-admin-token", token(key=USUAL["SERVICE_SECRET_KEY"], **claims))


@pytest.fixture(scope="module")
def world(dependency, start):
    return World(dependency, start, "300s")


@pytest.fixture(scope="module")
def brief(dependency, start):
    """Values are read every second or two."""
    return World(dependency, start, "2s")


def test_fetches_from_every_store(world):
    for _ in range(8):
        passed(world.with_key(KEYS[0]))
        passed(world.signed())
    refused(world.with_key(KEYS[1]), 401)
    # Each worker and Envoy's main thread, and those that waited.
    assert 1 <= world.stores["vault"].count("/v1/secret/data/jwt") <= 6
    asked = world.stores["secretsmanager"].asked[0]
    assert (asked.method, asked.headers["host"]) == ("POST", "secretsmanager.eu-west-1.amazonaws.com")


def test_only_an_admin_demands_a_refresh(world):
    before = world.stores["vault"].count()
    refused(world.gateway.send("POST", REFRESH), 401)
    refused(world.gateway.send("POST", REFRESH, [admin(roles=["user"])]), 403)
    assert world.gateway.get(REFRESH, [admin()]).status == 405
    time.sleep(1.5)
    assert world.stores["vault"].count() == before


def test_rotates_under_load_without_refusing_a_single_good_token(world):
    signing, ends = [KEYS[0]], []

    def callers():
        statuses = []
        while not ends:
            statuses.append((world.with_key(signing[0]).status, world.signed().status))
        return statuses

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = [pool.submit(callers) for _ in range(2)]
        try:
            for key in KEYS[1:]:
                world.vault.write("jwt", {"key": key})
                assert world.refresh() == {"refreshing": ["jwt_secret", "order_token", "service_key"]}
                assert eventually(lambda: world.accepts(key))
                signing[0] = key
                assert world.accepts(key) and world.accepts(KEYS[KEYS.index(key) - 1]), "both, for the overlap"
        finally:
            ends.append(True)
        statuses = [status for caller in running for status in caller.result()]
    assert set(statuses) == {(200, 200)} and len(statuses) > 20, statuses[-5:]


ISSUING = """
secrets:
  jwt_secret: { vault: { cluster: vault, path: secret/data/jwt, field: key, token: { env: STORE_TOKEN } }, refresh: 4s }
  service_key: { vault: { cluster: vault, path: secret/data/service, field: key, token: { env: STORE_TOKEN } }, refresh: 4s }
authentication:
  service:
    keys: [{ secret: service_key }]
    services: { order-service: { token: { secret: order_token } } }
    signatures: [v1]
    replay: { v1: allow }
tokens:
  issuer: https://auth.example.com
  audience: microservices-api
  keys: [{ secret: jwt_secret }]
  login: { verify: { cluster: users, uri: "http://users/internal/verify-credentials" } }
outbound: { sign: { service: order-service, token: { secret: order_token }, keys: [{ secret: service_key }], signature: v1 } }
routes:
  - { match: { path: "/leaves/**" }, authenticate: none }
  - { match: { path: "/services/**" }, authenticate: [service] }
  - { match: { path: "/**" }, authenticate: [jwt] }
"""
SIGNATURE = ("x-service-name", "x-service-token", "x-timestamp", "x-signature")


def test_through_a_rotation_no_worker_refuses_what_another_issues_or_signs(dependency, start):
    vault = Vault(jwt={"key": KEYS[0]}, service={"key": SERVICE})
    ann = {"id": 42, "username": "ann", "email": "ann@example.com", "roles": ["user"], "is_active": True}
    made = plugin(ISSUING)
    for name in ("jwt_secret", "service_key"):
        made["secrets"][name] = {"vault": made["secrets"][name]["vault"], "refresh": "4s"}
    clusters = {"vault": dependency(vault).port, "users": dependency(lambda asked: Said(ann)).port}
    gateways = [start(made, clusters=clusters, environment=ENVIRONMENT) for _ in range(2)]
    # From here on the workers read at moments of their own.
    time.sleep(6)
    vault.write("jwt", {"key": KEYS[1]})
    vault.write("service", {"key": KEYS[2]})
    ends, rounds = time.monotonic() + 16, 0
    while time.monotonic() < ends:
        for gateway in gateways:
            login = gateway.send("POST", "/auth/login", [("content-type", "application/json")], LOGIN)
            token = json.loads(login.body)["access_token"]
            seen = passed(gateway.get("/leaves/x"))
            signature = [(name, seen.header(name)) for name in SIGNATURE]
            for other in gateways * 2:
                passed(other.get("/x", [("authorization", f"Bearer {token}")]))
                passed(other.get("/services/x", signature))
        rounds += 1
    assert rounds > 5
    assert all(not gateway.logged_events() for gateway in gateways)
    # By now all sign with the new values.
    seen = passed(gateways[0].get("/leaves/x"))
    name, token, at, code = (seen.header(name) for name in SIGNATURE)
    assert code == hmac.new(KEYS[2].encode(), f"{name}:{at}:{token}".encode(), hashlib.sha256).hexdigest()


def test_a_change_of_the_configuration_keeps_the_values_while_the_store_is_away(world):
    world.stores["vault"].fault = "down"
    try:
        changed = configuration("300s")
        changed["routes"].insert(0, {"match": {"path": "/new/**"}, "authenticate": "none"})
        assert world.gateway.push(changed)
        assert eventually(lambda: world.gateway.get("/new/x").status == 200)
        assert world.accepts(KEYS[3])
    finally:
        world.stores["vault"].fault = None


def test_an_old_value_ends_with_its_overlap_also_for_remembered_tokens(brief):
    remembered = bearer(key=KEYS[0])
    for _ in range(8):
        passed(brief.gateway.get("/x", [remembered]))
    brief.vault.write("jwt", {"key": KEYS[1]})
    assert eventually(lambda: brief.accepts(KEYS[1]))
    assert eventually(lambda: all(brief.gateway.get("/x", [remembered]).status == 401 for _ in range(8)))
    passed(brief.with_key(KEYS[1]))
    brief.vault.write("jwt", {"key": KEYS[0]})
    assert eventually(lambda: brief.accepts(KEYS[0]))


@pytest.mark.parametrize("store", ["vault", "kubernetes", "secretsmanager"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_fails_leaves_the_last_good_value(brief, fault, store):
    good = (lambda: brief.with_key(KEYS[0])) if store == "vault" else brief.signed
    passed(good())
    asked = brief.stores[store].count()
    name = {"vault": "jwt_secret", "kubernetes": "service_key", "secretsmanager": "order_token"}[store]
    dependency = f"secrets.{name}"
    # Half a document may be lost on the way or read as what it is not.
    reasons = {"html": ["secret_malformed"], "truncated": ["secret_unreachable", "secret_malformed"]}
    failures = lambda: sum(len(brief.told(reason, dependency)) for reason in reasons.get(fault, ["secret_unreachable"]))
    before, recovered = failures(), len(brief.told("secret_recovered", dependency))
    brief.stores[store].fault = fault
    try:
        assert eventually(lambda: failures() > before)
        assert brief.stores[store].count() > asked
        for _ in range(6):
            passed(good())
    finally:
        brief.stores[store].fault = None
    assert eventually(lambda: len(brief.told("secret_recovered", dependency)) > recovered)
    passed(good())


def test_a_secret_that_is_deleted_or_closed_to_us_keeps_its_value_and_is_told(brief):
    brief.vault.delete("jwt")
    assert eventually(lambda: brief.told("secret_not_found", "secrets.jwt_secret"))
    assert brief.accepts(KEYS[0])
    brief.vault.write("jwt", {"key": KEYS[0]})
    held = brief.kubernetes.secrets.pop("service")
    assert eventually(lambda: brief.told("secret_not_found", "secrets.service_key"))
    passed(brief.signed())
    brief.kubernetes.secrets["service"] = held


def test_without_a_first_value_nobody_passes_until_it_is_there(dependency, start):
    vault = dependency(Vault(jwt={"key": KEYS[0]}))
    vault.fault = "500"
    made = configuration("300s")
    clusters = {"vault": vault.port, "kubernetes": closed_port(), "secretsmanager": closed_port()}
    gateway = start(made, clusters=clusters, environment=ENVIRONMENT)
    answer = gateway.get("/x", [bearer(key=KEYS[0])])
    assert (answer.status, answer.upstream, answer.header("retry-after")) == (503, None, "5")
    event = gateway.event(answer)
    assert (event["event_type"], event["details"]["reason"]) == ("DEGRADED", "unavailable")
    refused(gateway.get("/x", [("authorization", "Bearer x.y.z")]), 401)
    vault.fault = None
    assert eventually(lambda: all(gateway.get("/x", [bearer(key=KEYS[0])]).status == 200 for _ in range(8)), 90)


def test_tells_no_secret_anywhere(world, brief):
    for gateway in (world.gateway, brief.gateway):
        told = gateway.log() + gateway.access_log_file.read_text() + gateway.prometheus() + gateway.admin("/stats")
        for secret in [*KEYS, SERVICE, ORDER, TOKEN, SECRET_KEY, SESSION]:
            assert secret not in told, secret
