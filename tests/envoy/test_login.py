"""Log in, refresh and log out at the proxy: what clients get, what they may do with it, and what happens to the rest."""

import itertools
import json
import threading
import time

import jwt
import pytest
from harness.configuration import plugin
from harness.credentials import AUDIENCE, ISSUER, SECRET, token
from harness.dependency import FAULTS, Said, eventually
from harness.expect import counted, passed, refused

PASSWORD = "correct horse' OR 1=1 --"
PEOPLE = {
    "ann": {"id": 42, "username": "ann", "email": "ann@example.com", "roles": ["user"], "is_active": True},
    "bob": {"id": 43, "username": "bob", "email": "bob@example.com", "roles": ["user"], "is_active": False},
}


def settings(**over):
    tokens = {"limits": "[]", "limit": "1000/m", "revocations": 65536, **over}
    return plugin(f"""
tokens:
  issuer: {ISSUER}
  audience: {AUDIENCE}
  keys: [{{ secret: jwt_secret }}]
  login: {{ verify: {{ cluster: users, uri: "http://users/internal/verify-credentials", timeout: 2s }} }}
  refresh: {{ lookup: {{ cluster: users, uri: "http://users/internal/accounts/{{user_id}}", timeout: 2s }} }}
  logout: {{ path: /auth/logout }}
  limits: {tokens["limits"]}
limits: {{ per_address: {{ key: [client_ip], rate: {tokens["limit"]} }} }}
tables: {{ revocations: {tokens["revocations"]} }}
intrusion: {{ failures: 5, count: [bad_login], block_for: 1h }}
headers: {{ cors: {{ origins: ["https://app.example.com"], methods: [POST], headers: [content-type] }} }}
routes:
  - {{ match: {{ path: "/auth/**" }}, authenticate: none }}
  - {{ match: {{ path: "/admin/**" }}, allow: [{{ roles: [admin] }}] }}
  - {{ match: {{ path: "/**" }} }}
""")


class Users:
    def __init__(self):
        self.people = json.loads(json.dumps(PEOPLE))

    def __call__(self, asked):
        if asked.method == "GET":
            account = asked.target.rpartition("/")[2]
            found = [person for person in self.people.values() if str(person["id"]) == account]
            return Said(found[0]) if found else Said({"error": "not found"}, 404)
        sent = asked.json()
        person = self.people.get(sent["username"])
        if person is None or sent["password"] != PASSWORD:
            return Said({"error": "Invalid credentials"}, 401)
        return Said(person)


_addresses = itertools.count(1)


@pytest.fixture
def address():
    """A client's address that no other test uses, as the header that says so."""
    return ("x-forwarded-for", f"203.0.113.{next(_addresses)}")


@pytest.fixture(scope="module")
def serve(start, dependency):
    def serve(**over):
        users = Users()
        service = dependency(users)
        return start(settings(**over), clusters={"users": service.port}), users, service

    return serve


@pytest.fixture(scope="module")
def plain(serve):
    return serve()


def login(gateway, address, username="ann", password=PASSWORD, headers=()):
    body = json.dumps({"username": username, "password": password}).encode()
    return gateway.post("/auth/login", body, headers=[address, *headers])


def logged_in(gateway, address):
    answer = login(gateway, address)
    assert answer.status == 200, answer.body
    assert answer.upstream is None
    return json.loads(answer.body)


def show(gateway, path, shown, address):
    return gateway.post(path, json.dumps({"refresh_token": shown}).encode(), headers=[address])


def bearer(access):
    return ("authorization", f"Bearer {access}")


def failed(gateway, answer, status, detail, reason=None):
    problem = answer.problem
    assert (answer.status, problem["status"], problem["detail"], problem["error"]) == (status, status, detail, detail)
    assert answer.upstream is None and problem["title"] and problem["request_id"]
    if reason:
        assert gateway.event(answer)["details"]["reason"] == reason


def decoded(text, **more):
    return jwt.decode(text, SECRET, algorithms=["HS256"], issuer=ISSUER, **more)


def test_the_whole_cycle(plain, address):
    gateway, users, service = plain
    answer = login(gateway, address)
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-type") == "application/json"
    first = json.loads(answer.body)
    assert first["user"] == {"id": 42, "username": "ann", "email": "ann@example.com"}
    assert service.asked[-1].json() == {"username": "ann", "password": PASSWORD}
    assert service.asked[-1].headers["content-type"] == "application/json"
    access = decoded(first["access_token"], audience=AUDIENCE)
    refresh = decoded(first["refresh_token"])
    assert set(access) == {"user_id", "username", "email", "roles", "exp", "iat", "type", "jti", "sid", "iss", "aud"}
    assert set(refresh) == {"user_id", "exp", "iat", "type", "jti", "sid", "iss"}
    assert (access["type"], refresh["type"], access["sid"]) == ("access", "refresh", refresh["sid"])
    assert (access["exp"] - access["iat"], refresh["exp"] - refresh["iat"]) == (900, 7 * 86400)
    assert abs(access["iat"] - time.time()) < 5
    assert passed(gateway.get("/things", [address, bearer(first["access_token"])])).header("x-auth-subject") == "42"
    refused(gateway.get("/things", [address, bearer(first["refresh_token"])]), 401)
    # Roles are those of now, not of then.
    users.people["ann"]["roles"] = ["admin"]
    refused(gateway.get("/admin/1", [address, bearer(first["access_token"])]), 403)
    answer = show(gateway, "/auth/refresh", first["refresh_token"], address)
    assert answer.status == 200 and answer.header("cache-control") == "no-store"
    second = json.loads(answer.body)
    assert set(second) == {"access_token"}
    renewed = decoded(second["access_token"], audience=AUDIENCE)
    assert renewed["sid"] == access["sid"] and renewed["jti"] != access["jti"]
    passed(gateway.get("/admin/1", [address, bearer(second["access_token"])]))
    users.people["ann"]["roles"] = ["user"]
    assert show(gateway, "/auth/logout", first["refresh_token"], address).status == 204
    # The other worker knows within a tenth of a second.
    time.sleep(0.2)
    failed(gateway, show(gateway, "/auth/refresh", first["refresh_token"], address), 401, "Invalid token", "revoked")
    time.sleep(0.2)
    for shown in (first["access_token"], second["access_token"]):
        for _ in range(6):
            refused(gateway.get("/things", [address, bearer(shown)]), 401)


def test_identifiers_are_never_the_same_twice(plain, address):
    gateway, _, _ = plain
    shown = [logged_in(gateway, address) for _ in range(20)]
    claims = [decoded(each[name], options={"verify_aud": False}) for each in shown
              for name in ("access_token", "refresh_token")]
    assert len({each["jti"] for each in claims}) == 40 and len({each["sid"] for each in claims}) == 20
    assert all(len(each["jti"]) == len(each["sid"]) == 22 for each in claims)


def test_what_is_no_login(plain, address):
    gateway, _, service = plain
    asked = service.count()
    for body in (b"", b"x", b"{}", b"[]", b'{"username": "ann"}', b'{"username": "ann", "password": ""}',
                 b'{"username": "ann", "password": 7}', b'{"username": "", "password": "x"}', b"\xff"):
        failed(gateway, gateway.post("/auth/login", body, headers=[address]), 400, "Username and password required")
    failed(gateway, gateway.send("POST", "/auth/login", [address]), 400, "Username and password required")
    failed(gateway, gateway.post("/auth/refresh", b"{}", headers=[address]), 400, "Refresh token required")
    failed(gateway, gateway.post("/auth/logout", b"{}", headers=[address]), 400, "Token required")
    for path in ("/auth/login", "/auth/refresh", "/auth/logout/"):
        answer = gateway.get(path, [address])
        failed(gateway, answer, 405, "The method is not allowed here")
        assert answer.header("allow") == "POST"
    large = json.dumps({"username": "ann", "password": "x" * 100_000}).encode()
    failed(gateway, gateway.post("/auth/login", large, headers=[address], chunk=10_000), 413, "The body is too large")
    failed(gateway, login(gateway, address, username="x' UNION SELECT password FROM users --"), 403,
           "The request was refused", "injection")
    assert service.count() == asked


def test_bad_credentials_are_events_and_counted_and_never_logged(plain, address):
    gateway, _, _ = plain
    secret = "hunter2-that-nobody-may-see"
    with counted(gateway, "auth_failures_total", service="user-service", reason="bad_login"), \
            counted(gateway, "security_events_total", event_type="AUTH_FAILURE", service="user-service"):
        answer = login(gateway, address, password=secret)
    failed(gateway, answer, 401, "Invalid credentials", "bad_login")
    assert answer.header("www-authenticate")
    failed(gateway, login(gateway, address, username="nobody"), 401, "Invalid credentials", "bad_login")
    failed(gateway, login(gateway, address, username="bob"), 401, "Invalid credentials", "inactive_account")
    assert secret not in gateway.log() and PASSWORD not in gateway.log()


def test_a_page_may_read_the_answers_and_their_errors(plain, address):
    gateway, _, _ = plain
    origin = ("origin", "https://app.example.com")
    preflight = gateway.send("OPTIONS", "/auth/login", [address, origin, ("access-control-request-method", "POST")])
    assert preflight.status == 204 and preflight.header("access-control-allow-methods") == "POST"
    for answer in (login(gateway, address, headers=[origin]), login(gateway, address, password="x", headers=[origin]),
                   gateway.post("/auth/login", b"{}", headers=[address, origin])):
        assert answer.header("access-control-allow-origin") == origin[1], answer.status


def test_guessing_is_blocked_on_every_worker(plain, address):
    gateway, _, service = plain
    for _ in range(5):
        failed(gateway, login(gateway, address, password="guess"), 401, "Invalid credentials")
    asked = service.count()
    for _ in range(8):
        assert login(gateway, address).status == 403
    assert service.count() == asked


def test_logins_have_limits_of_their_own(serve, address):
    gateway, _, _ = serve(limits="[per_address]", limit="3/m")
    statuses = [login(gateway, address).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    answer = login(gateway, address)
    failed(gateway, answer, 429, "Too many requests", "rate_limit")
    assert int(answer.header("retry-after")) >= 1


def test_refresh_takes_nothing_but_good_refresh_tokens_of_accounts_that_are_there(plain, address):
    gateway, users, _ = plain
    good = logged_in(gateway, address)
    mine = {"type": "refresh", "aud": None, "sid": "s", "jti": "j", "user_id": 42}
    for shown, detail, reason in (
        (good["access_token"], "Invalid token", "wrong_type"),
        (token(**mine, key="another-secret-that-is-long-enough-for-hs256"), "Invalid token", "bad_signature"),
        (token(**{**mine, "exp": int(time.time()) - 120}), "Token has expired", "expired"),
        (token(**{**mine, "user_id": 43}), "User account is inactive", "inactive"),
        (token(**{**mine, "user_id": 44}), "User not found", "unknown_user"),
        (token(**{**mine, "sid": None}), "Invalid token", "malformed"),
        (token(algorithm="none", **mine), "Invalid token", "malformed"),
        ("x", "Invalid token", "malformed"),
    ):
        failed(gateway, show(gateway, "/auth/refresh", shown, address), 401, detail, reason)
    users.people["ann"]["is_active"] = False
    failed(gateway, show(gateway, "/auth/refresh", good["refresh_token"], address), 401, "User account is inactive")
    users.people["ann"]["is_active"] = True
    assert show(gateway, "/auth/refresh", good["refresh_token"], address).status == 200


@pytest.mark.parametrize("fault", FAULTS)
def test_a_service_that_does_not_answer_is_our_failure_and_nobodys_guess(plain, address, fault):
    gateway, _, service = plain
    good = logged_in(gateway, address)
    service.fault, service.delay = fault, 6.0
    try:
        for _ in range(3):
            failed(gateway, login(gateway, address), 503, "The request cannot be decided at the moment",
                   "identity_service_unavailable")
            failed(gateway, show(gateway, "/auth/refresh", good["refresh_token"], address), 503,
                   "The request cannot be decided at the moment", "identity_service_unavailable")
    finally:
        service.fault = None
    assert eventually(lambda: login(gateway, address).status == 200)


def test_a_question_that_fails_is_counted_once(plain, address):
    gateway, _, service = plain
    shown = logged_in(gateway, address)["refresh_token"]
    service.fault = "500"
    try:
        for ask in (lambda: login(gateway, address), lambda: show(gateway, "/auth/refresh", shown, address)):
            with counted(gateway, "callout_failures_total", service="user-service", name="users"):
                assert ask().status == 503
    finally:
        service.fault = None


def test_clients_that_go_away_while_they_wait_hurt_nobody(plain, address):
    gateway, _, service = plain
    service.fault, service.delay = "slow", 1.0
    threads = [threading.Thread(target=lambda: login(gateway, address)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    service.fault = None
    assert eventually(lambda: login(gateway, address).status == 200)


def test_behind_a_buffer_filter(start, dependency, address):
    service = dependency(Users())
    gateway = start({**settings(), "bodies": {"hold": "buffer_filter"}}, clusters={"users": service.port},
                    buffer_filter=True)
    shown = logged_in(gateway, address)
    assert show(gateway, "/auth/refresh", shown["refresh_token"], address).status == 200
    failed(gateway, login(gateway, address, password="x"), 401, "Invalid credentials", "bad_login")
    assert show(gateway, "/auth/logout", shown["refresh_token"], address).status == 204
