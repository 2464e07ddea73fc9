"""Log in, refresh and log out at the module, with a Django service that knows the accounts; and requests that the module
signs, which the service accepts by its own means."""

import time

import jwt
import pytest
from harness.configuration import plugin
from harness.gateway import ENVIRONMENT
from project import Django, service, upstream  # noqa: F401, F811 (fixtures)

# Neither issuer nor audience: the service reads these tokens as its own.
TOKENS = """
  keys: [{ secret: jwt_secret }]
  access_lifetime: 5m
  login: { path: /auth/login, verify: { cluster: users, uri: "http://users/internal/verify-credentials", timeout: 10s } }
  refresh: { path: /auth/refresh, lookup: { cluster: users, uri: "http://users/internal/accounts/{user_id}", timeout: 10s } }
  logout: { path: /auth/logout }
"""
PLUGIN = plugin(f"""
tokens: {TOKENS}
routes:
  - match: {{ path: "/api/v1/users", methods: [POST] }}
    authenticate: none
  - match: {{ path: "/api/v1/users/{{id}}/deactivation" }}
    allow: [{{ roles: [admin] }}]
  - match: {{ path: "/**" }}
""")
PLUGIN["authentication"]["jwt"] = {"users": {
    "algorithms": ["HS256"], "keys": [{"secret": "jwt_secret"}], "type": "access", "forward": "allow",
    "claims": {"subject": "user_id", "roles": "roles", "type": "type"},
}}

EGRESS = plugin("""
service: order-service
outbound:
  sign: { service: order-service, token: { secret: order_token }, keys: [{ secret: service_key }], signature: v1 }
defaults: { authenticate: none }
unmatched: allow
""")
PASSWORD = "Ann-pass!word-1"


@pytest.fixture(scope="module")
def django(start, service):
    made = Django(start(PLUGIN, clusters={"users": service.port}).port)
    for name in ("ann", "bob"):
        assert made.post("/api/v1/users", username=name, email=f"{name}@example.com", password=PASSWORD).status_code == 201
    return made


def log_in(django, username, password=PASSWORD):
    answer = django.post("/auth/login", username=username, password=password)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_who_logs_in_at_the_module_is_who_the_service_says(django, service):
    shown = log_in(django, "ann")
    known = service.stored()["ann"]
    assert shown["user"] == {"id": known["id"], "username": "ann", "email": "ann@example.com"}
    assert set(shown) == {"access_token", "refresh_token", "user"}
    claims = jwt.decode(shown["access_token"], ENVIRONMENT["JWT_SECRET_KEY"], algorithms=["HS256"])
    assert set(claims) == {"user_id", "username", "email", "roles", "exp", "iat", "type", "jti", "sid"}
    assert (claims["user_id"], claims["roles"], claims["exp"] - claims["iat"]) == (known["id"], ["user"], 300)


def test_the_service_takes_the_modules_tokens_for_its_own(django, service):
    shown = log_in(django, "ann")
    # By way of the module, and without it.
    for asked in (django, service):
        assert asked.get("/kept/api/v1/caller", shown["access_token"]).json()["username"] == "ann"
        assert asked.get("/kept/api/v1/caller", shown["refresh_token"]).status_code == 401
    renewed = service.post("/api/v1/auth/refresh", refresh_token=shown["refresh_token"])
    assert renewed.status_code == 200, renewed.text


def test_what_the_service_refuses_is_no_login(django):
    for username, password in [("ann", "guessed"), ("nobody", PASSWORD), ("ANN", PASSWORD), ("ann", PASSWORD + " ")]:
        answer = django.post("/auth/login", username=username, password=password)
        assert (answer.status_code, answer.json()["error"]) == (401, "Invalid credentials"), username
        assert password not in answer.text
    for members in [{}, {"username": "ann"}, {"password": PASSWORD}, {"username": "", "password": ""}]:
        answer = django.post("/auth/login", **members)
        assert (answer.status_code, answer.json()["error"]) == (400, "Username and password required"), members


def test_a_refresh_looks_the_account_up_again_and_a_logout_ends_the_session(django):
    shown = log_in(django, "ann")
    fresh = django.post("/auth/refresh", refresh_token=shown["refresh_token"])
    assert fresh.status_code == 200 and set(fresh.json()) == {"access_token"}
    access = fresh.json()["access_token"]
    assert django.get("/kept/api/v1/caller", access).json()["username"] == "ann"
    assert django.post("/auth/refresh", refresh_token=shown["access_token"]).status_code == 401
    assert django.post("/auth/refresh").status_code == 400

    other = log_in(django, "ann")
    assert django.post("/auth/logout", refresh_token=shown["refresh_token"]).status_code == 204
    time.sleep(0.3)
    assert django.post("/auth/refresh", refresh_token=shown["refresh_token"]).status_code == 401
    for token in (shown["access_token"], access):
        assert [django.get("/kept/api/v1/caller", token).status_code for _ in range(4)] == [401] * 4
    assert django.get("/kept/api/v1/caller", other["access_token"]).status_code == 200


def test_an_account_that_the_service_closes_logs_in_and_refreshes_no_more(django, service):
    bob, root = log_in(django, "bob"), log_in(django, "root", "Root-password-1")
    closing = f"/api/v1/users/{bob['user']['id']}/deactivation"
    assert django.post(closing, bob["access_token"]).status_code == 403
    assert django.post(closing, root["access_token"]).status_code == 204
    assert service.stored()["bob"]["is_active"] == 0
    answer = django.post("/auth/refresh", refresh_token=bob["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (401, "User account is inactive")
    assert django.post("/auth/login", username="bob", password=PASSWORD).status_code == 401


def test_the_service_accepts_what_the_module_signs_on_its_way_out(start, service):
    egress = Django(start(EGRESS).port)
    for path in ["/api/v1/caller", "/kept/api/v1/caller?page=2"]:
        answer = egress.get(path)
        assert (answer.status_code, answer.json()["username"]) == (200, "order-service"), answer.text
        # Nothing that a client says of itself is left beside it.
        forged = {"X-Service-Name": "intruder", "X-Signature": "00", "X-Timestamp": "1", "X-Service-Token": "guessed"}
        assert egress.get(path, **forged).json()["username"] == "order-service"
        assert service.get(path, **forged).status_code == 401
        assert service.get(path).json()["username"] != "order-service"


def test_the_service_refuses_what_is_signed_by_another_key_or_name(start):
    for settings in [{"keys": [{"secret": "jwt_secret"}]}, {"service": "payment-service"}, {"token": {"secret": "jwt_secret"}}]:
        sign = EGRESS["outbound"]["sign"] | settings
        egress = Django(start({**EGRESS, "outbound": {"sign": sign}}).port)
        assert egress.get("/api/v1/caller").status_code == 401, settings
