"""Accounts of subjects: looked up after verification, kept for a while, and what happens when nobody answers."""

import json
import time

import pytest
from harness.configuration import plugin
from harness.credentials import bearer
from harness.dependency import FAULTS, Said, eventually, together
from harness.expect import counted, passed, refused, unauthenticated

ACCOUNTS = {
    "1": {"is_active": True},
    "2": {"is_active": False},
    "3": {"is_active": True, "roles": ["admin"]},
    "4": {},
}


def settings(on_error="deny", cache="60s"):
    return plugin(f"""
authentication:
  jwt:
    users:
      account: {{ cluster: users, uri: "http://users/internal/accounts/{{subject}}", cache: {cache}, on_error: {on_error} }}
routes:
  - {{ match: {{ path: "/admin/**" }}, allow: [{{ roles: [admin] }}] }}
  - {{ match: {{ path: "/**" }} }}
""")


class Service:
    def __init__(self):
        self.accounts, self.pause = dict(ACCOUNTS), 0.0

    def __call__(self, asked):
        time.sleep(self.pause)
        subject = asked.target.rpartition("/")[2]
        if subject not in self.accounts:
            return Said({"error": "not found"}, 404)
        return Said(self.accounts[subject])


@pytest.fixture(scope="module")
def serve(start, dependency):
    def serve(**options):
        answers = Service()
        service = dependency(answers)
        return start(settings(**options), clusters={"users": service.port}), answers, service

    return serve


@pytest.fixture(scope="module")
def plain(serve):
    return serve()


def by(subject, **changes):
    return [bearer(user_id=subject, **changes)]


def test_existing_and_active_accounts_pass_and_others_do_not(plain):
    gateway, _, service = plain
    for subject in ("1", "3", "4"):
        assert passed(gateway.get("/a", by(subject))).header("x-auth-subject") == subject
    assert service.asked[0].target == "/internal/accounts/1"
    answer, _ = unauthenticated(gateway, "unknown_user", lambda: gateway.get("/a", by("99")))
    assert answer.problem["detail"] == "User not found"
    unauthenticated(gateway, "inactive", lambda: gateway.get("/a", by("2")))


def test_roles_of_the_account_stand_instead_of_those_of_the_token(plain):
    gateway, _, _ = plain
    upstream = passed(gateway.get("/admin/a", by("3", roles=["user"])))
    assert upstream.header("x-auth-roles") == "admin"
    refused(gateway.get("/admin/a", by("4", roles=["user"])), 403)


def test_a_subject_stays_one_segment_of_the_path(plain):
    gateway, _, service = plain
    refused(gateway.get("/a", by("../admin?x=1#y")), 401)
    assert service.asked[-1].target == "/internal/accounts/..%2Fadmin%3Fx%3D1%23y"


def test_requests_of_one_subject_share_one_question_and_its_answer_is_kept(serve):
    gateway, answers, service = serve()
    answers.pause = 0.5
    for answer in together(24, lambda at: gateway.get("/a", by("1", jti=str(at)))):
        passed(answer)
    assert service.count() <= 2, "one for each worker"
    answers.pause, asked = 0.0, service.count()
    for _ in range(20):
        passed(gateway.get("/a", by("1")))
        refused(gateway.get("/a", by("99")), 401)
    assert service.count("/99") <= 2, "bad answers are kept as well"
    assert service.count("/1") <= asked + 2


def test_a_request_with_a_body_waits_for_the_answer(serve):
    gateway, answers, _ = serve()
    answers.pause = 0.3
    body = json.dumps({"notes": ["x" * 1000] * 100}).encode()
    assert passed(gateway.post("/a", body, headers=by("1"))).body == body
    refused(gateway.post("/a", body, headers=by("99")), 401)


def test_an_account_that_goes_is_refused_when_its_answer_is_old(serve):
    gateway, answers, _ = serve(cache="1s")
    shown = by("1")
    passed(gateway.get("/a", shown))
    answers.accounts["1"] = {"is_active": False}
    assert eventually(lambda: gateway.get("/a", shown).status == 401)
    time.sleep(1.1)
    assert {answer.status for answer in together(8, lambda _: gateway.get("/a", shown))} == {401}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_service_that_does_not_answer_refuses_or_makes_nobody_of_the_caller(serve, fault):
    for on_error in ("deny", "allow"):
        gateway, _, service = serve(on_error=on_error)
        service.fault, service.delay = fault, 120.0
        started = time.monotonic()
        if on_error == "deny":
            unauthenticated(gateway, "unavailable", lambda: gateway.get("/a", by("1")))
        else:
            with counted(gateway, "security_events_total", event_type="DEGRADED", service="user-service"):
                upstream = passed(gateway.get("/a", by("1")))
            assert not upstream.all("x-auth-subject") and not upstream.all("authorization")
            refused(gateway.get("/admin/a", by("3")), 403)
        for answer in together(6, lambda _: gateway.get("/a", by("1"))):
            assert answer.status == (401 if on_error == "deny" else 200)
        assert time.monotonic() - started < 60
        service.fault = None

        def known():
            seen = gateway.get("/a", by("1")).upstream
            return seen is not None and seen.header("x-auth-subject") == "1"

        assert eventually(known)
