"""Published key sets: fetched ahead, fetched for a key that nobody knows yet, and kept whatever comes later."""

import json
import threading
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from harness.configuration import plugin
from harness.credentials import bearer
from harness.dependency import FAULTS, Said, eventually, together
from harness.expect import passed, refused, unauthenticated

ISSUER, OTHER = "https://partners.example.com", "https://other.example.com"
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in "abcdefgh"}


def jwk(name):
    made = jwt.get_algorithm_by_name("ES256").to_jwk(KEYS[name].public_key(), as_dict=True)
    return {"kty": "EC", "crv": "P-256", "x": made["x"], "y": made["y"], "kid": name}


class Provider:
    """Publishes the keys with these names."""

    def __init__(self, names):
        self.names, self.pause = names, 0.0

    def __call__(self, _asked):
        names = self.names
        time.sleep(self.pause)
        return Said({"keys": [jwk(name) for name in names]})


def token(name, issuer=ISSUER, key=None, **changes):
    now = int(time.time())
    claims = {"iss": issuer, "sub": "p-7", "iat": now, "exp": now + 900, **changes}
    return jwt.encode(claims, KEYS[key or name], "ES256", headers={"kid": name})


def by(name, **changes):
    return [bearer(token(name, **changes))]


def settings(refresh="300s", timeout="2s"):
    return plugin(f"""
authentication:
  jwt:
    partners:
      issuer: {ISSUER}
      algorithms: [ES256]
      jwks: {{ cluster: idp, uri: "https://partners.example.com/keys", refresh: {refresh}, timeout: {timeout} }}
    others:
      issuer: {OTHER}
      algorithms: [ES256]
      jwks: {{ cluster: other, uri: "https://other.example.com/keys", refresh: {refresh}, timeout: {timeout} }}
routes: [{{ match: {{ path: "/**" }} }}]
""")


@pytest.fixture
def serve(start, dependency):
    """A gateway and its two providers, which publish the key `a` and the key `h`."""

    def serve(fault=None, **options):
        provider, other = Provider("a"), Provider("h")
        services = dependency(provider), dependency(other)
        services[0].fault = fault
        gateway = start(settings(**options), clusters={"idp": services[0].port, "other": services[1].port})
        return gateway, provider, services[0]

    return serve


def test_keys_are_fetched_before_anybody_asks_and_by_one_worker(serve):
    gateway, _, service = serve()
    assert eventually(lambda: service.count("/keys"))
    time.sleep(1.5)
    assert service.count("/keys") == 1
    assert service.asked[0].headers["host"] == "partners.example.com"
    for answer in together(20, lambda _: gateway.get("/a", by("a"))):
        passed(answer)
    assert service.count("/keys") == 1, "every worker has the set"


def test_an_unknown_key_waits_for_one_fetch_of_its_worker(serve):
    gateway, provider, service = serve()
    passed(gateway.get("/a", by("a")))
    before, provider.names, provider.pause = service.count(), "ab", 0.5
    for answer in together(24, lambda _: gateway.get("/a", by("b"))):
        passed(answer)
    assert 1 <= service.count() - before <= 2, "one for each worker at most"


def test_a_request_with_a_body_waits_as_well(serve):
    gateway, provider, _ = serve()
    passed(gateway.get("/a", by("a")))
    provider.names, provider.pause = "ab", 0.3
    body = json.dumps({"notes": ["x" * 1000] * 100}).encode()
    upstream = passed(gateway.post("/a", body, headers=by("b")))
    assert upstream.body == body


def test_rotation_under_load_refuses_no_good_token(serve):
    gateway, provider, service = serve()
    passed(gateway.get("/a", by("a")))
    current, refusals, stop, sent = ["a"], [], threading.Event(), [0] * 6

    def load(at):
        while not stop.is_set():
            name = current[0]
            answer = gateway.get("/a", by(name, jti=str(time.monotonic())))
            sent[at] += 1
            if answer.status != 200:
                refusals.append((name, answer.status, answer.body))
        return True

    def everybody_has_seen_it():
        """Whoever still had the key before last in hand has shown it."""
        before = list(sent)
        time.sleep(0.6)
        return eventually(lambda: all(now >= then + 2 for now, then in zip(sent, before)), 60)

    def rotate():
        try:
            for old, new in zip("abcd", "bcde"):
                assert everybody_has_seen_it()
                provider.names = old + new
                current[0] = new
            assert everybody_has_seen_it()
        finally:
            stop.set()

    rotation = threading.Thread(target=rotate)
    rotation.start()
    together(6, load)
    rotation.join()
    assert not refusals, refusals[:3]
    assert current == ["e"] and sum(sent) > 50
    assert service.count() <= 1 + 2 * 4 * 2


def test_a_spent_budget_refuses_at_once(serve):
    gateway, _, service = serve()
    passed(gateway.get("/a", by("a")))
    started = time.monotonic()
    answers = [gateway.get("/a", by("b", jti=str(at))) for at in range(40)]
    assert {answer.status for answer in answers} == {401}
    # Five for each worker, one regained every five seconds, and the one ahead.
    assert service.count() <= 1 + 2 * (5 + 1 + (time.monotonic() - started) / 5)

    def without_asking():
        asked = service.count()
        unauthenticated(gateway, "unknown_key", lambda: gateway.get("/a", by("b")))
        return service.count() == asked

    # One fetch may have been regained meanwhile, by each worker.
    assert any(without_asking() for _ in range(10))
    passed(gateway.get("/a", by("a")))


def test_a_withdrawn_key_ends_what_it_verified(serve):
    gateway, provider, service = serve(refresh="1s")
    for answer in together(8, lambda _: gateway.get("/a", by("a"))):
        passed(answer)
    shown = by("a")
    passed(gateway.get("/a", shown))
    provider.names = "b"
    assert eventually(lambda: gateway.get("/a", shown).status == 401)
    time.sleep(1.2)
    assert {answer.status for answer in together(12, lambda _: gateway.get("/a", shown))} == {401}
    passed(gateway.get("/a", by("b")))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_last_good_set_stays_whatever_the_provider_does(serve, fault):
    gateway, provider, service = serve(refresh="1s", timeout="500ms")
    for answer in together(8, lambda _: gateway.get("/a", by("a"))):
        passed(answer)
    before, service.fault, service.delay = service.count(), fault, 60.0
    assert eventually(lambda: any(event["details"].get("reason") == "key_set_unavailable"
                                  for event in gateway.logged_events()))
    assert service.count() > before
    for answer in together(8, lambda _: gateway.get("/a", by("a"))):
        passed(answer)
    started = time.monotonic()
    unauthenticated(gateway, "unavailable", lambda: gateway.get("/a", by("b")))
    assert time.monotonic() - started < 20
    provider.names, service.fault = "ab", None
    assert eventually(lambda: gateway.get("/a", by("b")).status == 200)


@pytest.mark.parametrize("fault", FAULTS)
def test_before_the_first_set_a_failed_fetch_refuses_and_nothing_hangs(serve, fault):
    gateway, _, service = serve(fault, timeout="500ms")
    service.delay = 60.0
    started = time.monotonic()
    for answer in together(12, lambda _: gateway.get("/a", by("a"))):
        refused(answer, 401)
    assert time.monotonic() - started < 30
    passed(gateway.get("/a", by("h", issuer=OTHER)))
    service.fault = None
    assert eventually(lambda: gateway.get("/a", by("a")).status == 200, 30)


def test_keys_of_one_provider_never_verify_tokens_of_another(serve):
    gateway, _, _ = serve()
    passed(gateway.get("/a", by("a")))
    passed(gateway.get("/a", by("h", issuer=OTHER)))
    unauthenticated(gateway, "unknown_key", lambda: gateway.get("/a", by("a", issuer=OTHER)))
    unauthenticated(gateway, "bad_signature", lambda: gateway.get("/a", by("h", key="a", issuer=OTHER)))


def test_shared_secrets_in_a_published_set_verify_nothing(start, dependency):
    secret = "a-published-secret-that-everybody-can-read-0123456789"
    oct_key = {"kty": "oct", "kid": "s", "alg": "HS256", "k": jwt.utils.base64url_encode(secret.encode()).decode()}
    service = dependency(lambda _asked: Said({"keys": [oct_key, jwk("a")]}))
    gateway = start(settings(), clusters={"idp": service.port, "other": service.port})
    passed(gateway.get("/a", by("a")))
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": "p-7", "iat": now, "exp": now + 900}
    forged = jwt.encode(claims, secret, "HS256", headers={"kid": "s"})
    unauthenticated(gateway, "unsupported_algorithm", lambda: gateway.get("/a", [bearer(forged)]))


def test_a_reload_keeps_the_keys(serve):
    gateway, _, service = serve()
    passed(gateway.get("/a", by("a")))
    service.fault = "down"
    assert gateway.push(settings(timeout="1s"))
    for answer in together(8, lambda _: gateway.get("/a", by("a"))):
        passed(answer)
