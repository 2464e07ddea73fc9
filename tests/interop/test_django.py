"""A Django service with Django REST framework behind the module: its users' tokens, its service client, its throttle."""

import time

import jwt
import pytest
from harness.configuration import plugin
from harness.gateway import ENVIRONMENT
from project import Django, service, upstream  # noqa: F401, F811 (fixtures)

# The provider `django` stands alone, as in a system that has no other.
PLUGIN = plugin("""
authentication:
  service:
    keys: [{ secret: service_key }]
    services: { order-service: { token: { secret: order_token } } }
    signatures: [v1]
    replay: { v1: allow }
limits: { three: { key: [client_ip], rate: 3/m } }
defaults: { authenticate: [jwt, service] }
routes:
  - match: { path: "/api/v1/auth/**" }
    authenticate: none
  - match: { path: /api/v1/users, methods: [POST] }
    authenticate: none
  - match: { path: /api/v1/users, methods: [GET] }
    allow: [{ roles: [admin] }, { principals: ["service:order-service"] }]
  - match: { path: "/api/v1/users/{id}" }
    allow: [{ owner: { path: id, claim: user_id } }, { roles: [admin] }]
  - match: { path: "/api/v1/users/{id}/deactivation" }
    allow: [{ roles: [admin] }]
  - match: { path: /api/v1/caller }
  - match: { path: /kept/api/v1/caller }
    authenticate: [jwt]
  - match: { path: /limited }
    authenticate: none
    limits: [three]
  - match: { path: /throttled }
    authenticate: none
""")
PROVIDER = {"algorithms": ["HS256"], "keys": [{"secret": "jwt_secret"}],
            "claims": {"subject": "user_id", "type": "type", "roles": "roles"}}


def settings(**provider):
    authentication = {**PLUGIN["authentication"], "jwt": {"django": {**PROVIDER, **provider}}}
    return {**PLUGIN, "authentication": authentication}


@pytest.fixture(scope="module")
def serve(start, upstream):
    """Starts a gateway by the settings of its provider."""
    return lambda **provider: Django(start(settings(**provider), clusters={"users": upstream.port}).port)


@pytest.fixture(scope="module")
def careful(serve):
    """A gateway that asks the service for the account of each caller, and leaves the service its tokens."""
    account = {"cluster": "users", "uri": "http://users/internal/accounts/{subject}", "cache": "1s"}
    return serve(forward="allow", account=account)


@pytest.fixture(scope="module")
def django(serve):
    made = serve()
    assert made.post("/api/v1/users", username="ann", email="ann@example.com", password="Ann-password-1").status_code == 201
    return made


@pytest.fixture(scope="module")
def ann(django):
    return django.log_in("ann", "Ann-password-1")


@pytest.fixture(scope="module")
def root(django):
    return django.log_in("root", "Root-password-1")


def test_tokens_that_django_made_open_what_their_users_may_have(django, ann, root):
    claims = jwt.decode(ann["access_token"], options={"verify_signature": False})
    assert {"iss", "aud"}.isdisjoint(claims) and isinstance(claims["user_id"], int)
    own, others = f"/api/v1/users/{ann['user']['id']}", f"/api/v1/users/{root['user']['id']}"
    # The token stays with the module; the service is told who calls.
    told = django.get("/api/v1/caller", ann["access_token"]).json()
    assert told["authorization"] is False
    assert (told["told"]["x-auth-subject"], told["told"]["x-auth-roles"]) == (str(ann["user"]["id"]), "user")
    assert told["told"]["x-auth-method"].startswith("jwt")
    for path, token, status in [(others, ann["access_token"], 403), ("/api/v1/users", ann["access_token"], 403),
                                (own, None, 401), (own, ann["refresh_token"], 401), ("/api/v1/users", ann["refresh_token"], 401)]:
        answer = django.get(path, token)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (path, answer.text)


def test_a_service_that_reads_tokens_itself_keeps_them(careful, ann, root):
    caller = careful.get("/kept/api/v1/caller", ann["access_token"]).json()
    assert (caller["username"], caller["told"]["x-auth-subject"]) == ("ann", str(ann["user"]["id"]))
    own = f"/api/v1/users/{ann['user']['id']}"
    assert careful.get(own, ann["access_token"]).json()["username"] == "ann"
    assert careful.get(own, root["access_token"]).status_code == 200
    listed = careful.get("/api/v1/users", root["access_token"]).json()
    assert {user["username"] for user in listed} == {"ann", "root"} and not any("password" in user for user in listed)


def test_an_account_that_the_service_closes_is_closed_at_once(careful, root):
    assert careful.post("/api/v1/users", username="bob", email="bob@example.com", password="Bob-password-1").status_code == 201
    bob = careful.log_in("bob", "Bob-password-1")
    own, closing = f"/api/v1/users/{bob['user']['id']}", f"/api/v1/users/{bob['user']['id']}/deactivation"
    assert careful.get(own, bob["access_token"]).status_code == 200
    assert careful.post(closing, bob["access_token"]).status_code == 403
    assert careful.post(closing, root["access_token"]).status_code == 204
    time.sleep(1.1)
    answer = careful.get(own, bob["access_token"])
    assert (answer.status_code, answer.json()["detail"]) == (401, "User account is inactive")

    stranger = jwt.encode(jwt.decode(bob["access_token"], options={"verify_signature": False}) | {"user_id": 99},
                          ENVIRONMENT["JWT_SECRET_KEY"], "HS256")
    answer = careful.get("/api/v1/users/99", stranger)
    assert (answer.status_code, answer.json()["detail"]) == (401, "User not found")
    assert careful.get(f"/internal/accounts/{bob['user']['id']}", root["access_token"]).status_code == 403


def test_refresh_tokens_open_nothing_but_a_refresh(django, ann):
    assert django.get("/api/v1/caller", ann["refresh_token"]).json()["detail"] == "Invalid token"
    answer = django.post("/api/v1/auth/refresh", refresh_token=ann["refresh_token"])
    fresh = answer.json()["access_token"]
    assert django.get("/api/v1/caller", fresh).json()["told"]["x-auth-subject"] == str(ann["user"]["id"])
    assert django.post("/api/v1/auth/refresh", refresh_token=ann["access_token"]).status_code == 401


def test_the_module_and_the_service_refuse_the_same_tokens(django, service, ann):
    """What one of them takes and the other does not would be a way around."""
    now = int(time.time())
    good = jwt.decode(ann["access_token"], options={"verify_signature": False})
    secret = ENVIRONMENT["JWT_SECRET_KEY"]
    made = lambda key=secret, algorithm="HS256", **changes: jwt.encode(good | changes, key, algorithm)
    shown = {
        "good": (ann["access_token"], 200), "remade": (made(), 200), "expired": (made(exp=now - 120), 401),
        "another key": (made("another-secret-that-is-long-enough-for-hs256"), 401), "unsigned": (made(None, "none"), 401),
        "HS512": (made(algorithm="HS512"), 401), "from tomorrow": (made(nbf=now + 86_400), 401),
        "refresh": (ann["refresh_token"], 401), "garbage": ("garbage", 401), "cut": (ann["access_token"][:-2], 401),
    }
    for name, (token, status) in shown.items():
        assert service.get("/api/v1/caller", token).status_code == status, name
        assert django.get("/api/v1/caller", token).status_code == status, name


def test_a_failed_login_at_the_service_is_the_services_answer(django):
    answer = django.post("/api/v1/auth/login", username="ann", password="guessed")
    assert answer.status_code == 401
    assert answer.json() == {"detail": "Invalid credentials"}


def test_the_service_client_is_accepted_as_it_is(django, service):
    caller = django.client().get("/api/v1/caller")
    assert caller.status_code == 200, caller.text
    assert (caller.json()["told"]["x-auth-subject"], caller.json()["told"]["x-auth-method"]) == ("order-service", "service")
    # The service's own check says the same of each.
    assert service.client().get("/api/v1/caller").json()["username"] == "order-service"
    for wrong in [{"service_name": "stranger"}, {"service_token": "guessed"}, {"secret_key": "guessed"}]:
        refusal = django.client(**wrong).get("/api/v1/caller")
        assert (refusal.status_code, refusal.json()["detail"]) == (401, "Invalid service credentials"), wrong
        assert service.client(**wrong).get("/api/v1/caller").status_code == 401
    # Signed by the right key, and not among those who may.
    assert django.client().get("/api/v1/users/1").status_code == 403


def test_a_limit_admits_as_many_as_django_rest_framework_does(django):
    for path in ["/throttled", "/limited"]:
        answers = [django.get(path) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429], path
        assert 0 < int(answers[-1].headers["retry-after"]) <= 62
