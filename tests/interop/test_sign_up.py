"""The sign-up route of the reference configuration before a Django service that trusts whatever it is sent, stores it, and
shows all of it again. What the database holds is read from its file."""

import json
from pathlib import Path

import pytest
import yaml
from cryptography.fernet import Fernet
from harness.configuration import plugin
from project import Django, service, upstream  # noqa: F401, F811 (fixtures)

REFERENCE = yaml.safe_load((Path(__file__).parents[2] / "envoy/examples/reference.yaml").read_text())
ROUTES = [route for route in REFERENCE["routes"]
          if (route["match"]["path"], route["match"].get("methods", [""])[0]) in
          [("/api/v1/users", "POST"), ("/api/v1/users/{id}", "PUT")]]
KEY, OLD_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()
OPTIONS = {"environment": {"PII_KEY": KEY, "OLD_PII_KEY": OLD_KEY}}
PLUGIN = {
    # The service reads tokens itself, to know whom it serves.
    **plugin("""
authentication: { jwt: { users: { forward: allow, issuer: null, audiences: null, max_lifetime: null } } }
"""),
    "encryption": REFERENCE["encryption"],
    "limits": REFERENCE["limits"],
    "routes": [*ROUTES, {"match": {"path": "/api/v1/auth/**"}, "authenticate": "none"}],
}
PLUGIN["limits"] = {"per_address": REFERENCE["limits"]["per_address"]}
PLUGIN["secrets"] |= {"pii_key": {"env": "PII_KEY"}, "old_pii_key": {"env": "OLD_PII_KEY"}}
USERS = PLUGIN["authentication"]["jwt"]["users"]
PLUGIN["authentication"]["jwt"]["users"] = {name: value for name, value in USERS.items() if value is not None}

PASSWORD, NUMBER, SSN = "Ann-pass!word-1", "+49 30 901820", "078-05-1120"
ANN = {"username": "ann_1", "email": "ann@example.com", "password": PASSWORD}


@pytest.fixture(scope="module")
def django(start):
    return Django(start(PLUGIN, **OPTIONS).port)


def sign_up(django, **changes):
    """Signs up with everything that is not None."""
    members = {name: value for name, value in (ANN | changes).items() if value is not None}
    return django.post("/api/v1/users", **members)


def test_the_routes_are_those_of_the_reference():
    create, change = ROUTES
    assert set(create["body"]) == {"schema", "sanitize_html", "encrypt"} and create["response"] == {"fields": {"deny": ["password"]}}
    assert change["match"]["methods"] == ["PUT", "PATCH", "DELETE"] and change["response"]["decrypt"] == ["phone_number", "ssn"]


REFUSED = [
    # Each rule of a password by itself.
    ({"password": "ann-pass!word-1"}, [("/password", "format")]),
    ({"password": "ANN-PASS!WORD-1"}, [("/password", "format")]),
    ({"password": "Ann-pass!word-x"}, [("/password", "format")]),
    ({"password": "Ann-pass-word-1"}, [("/password", "format")]),
    ({"password": "Ann-1!"}, [("/password", "minLength")]),
    ({"password": "Aa1!" * 12 + "xyz"}, [("/password", "maxLength")]),
    ({"password": ""}, [("/password", "minLength"), ("/password", "format")]),
    ({"password": None}, [("/password", "required")]),
    ({"password": ["Ann-pass!word-1"]}, [("/password", "type")]),
    # Names, all but the last few good enough for Django.
    ({"username": "ann.one"}, [("/username", "format")]),
    ({"username": "ann@one"}, [("/username", "format")]),
    ({"username": "ann+one"}, [("/username", "format")]),
    ({"username": "änn"}, [("/username", "format")]),
    ({"username": "аnn"}, [("/username", "format")]),
    ({"username": "a" * 151}, [("/username", "format")]),
    ({"username": "ann one"}, [("/username", "format")]),
    ({"username": "ann\n"}, [("/username", "format")]),
    ({"username": "ann\0"}, [("/username", "format")]),
    ({"username": ""}, [("/username", "format")]),
    ({"username": 7}, [("/username", "type")]),
    ({"email": "ann"}, [("/email", "format")]),
    ({"email": "a" * 95 + "@x.org"}, [("/email", "maxLength"), ("/email", "format")]),
    ({"bio": "x" * 2001}, [("/bio", "maxLength")]),
    ({"phone_number": "1" * 33}, [("/phone_number", "maxLength")]),
    ({"ssn": "1" * 17}, [("/ssn", "maxLength")]),
    # What nobody may say of himself.
    ({"is_staff": True}, [("/is_staff", "additionalProperties")]),
    ({"id": 1}, [("/id", "additionalProperties")]),
    ({"username": "ann one", "password": "x", "is_staff": True},
     [("/is_staff", "additionalProperties"), ("/username", "format"), ("/password", "minLength"), ("/password", "format")]),
]


@pytest.mark.parametrize(("changes", "errors"), REFUSED)
def test_refuses_by_pointer_and_stores_nothing(django, service, changes, errors):
    before = service.stored()
    answer = sign_up(django, **changes)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    assert sorted((error["pointer"], error["keyword"]) for error in answer.json()["errors"]) == sorted(errors)
    assert all(set(error) == {"pointer", "keyword"} for error in answer.json()["errors"]), "a value was told"
    for value in changes.values():
        assert not isinstance(value, str) or len(value) < 5 or value not in answer.text
    assert service.stored() == before


def test_the_service_by_itself_takes_most_of_these_and_shows_passwords(service):
    """What the tests here rest on: it is the module that refuses and hides, and not the service."""
    for number, changes in enumerate([{"password": "x"}, {"username": "ann@one"}, {"username": "аnn"}, {"is_staff": True}]):
        answer = sign_up(service, **({"username": f"careless{number}"} | changes))
        assert answer.status_code == 201, answer.text
        assert answer.json()["password"].startswith("md5$")
    assert service.stored()["careless3"]["is_staff"] == 1


BIO = '<p onclick="steal()">Hi, I am <strong>Ann</strong><script>steal()</script></p><img src=x onerror=steal()>'


@pytest.fixture(scope="module")
def ann(django):
    """What she was told when she signed up."""
    answer = sign_up(django, username="ann_2", bio=BIO, phone_number=NUMBER, ssn=SSN)
    assert answer.status_code == 201, answer.text
    return answer


def test_the_answer_to_a_sign_up_never_shows_the_password(ann):
    shown = ann.json()
    assert set(shown) == {"id", "username", "email", "is_staff", "bio", "phone_number", "ssn"}
    assert PASSWORD not in ann.text and "md5$" not in ann.text and "password" not in ann.text
    assert int(ann.headers["content-length"]) == len(ann.content)


def test_what_is_stored_is_sanitised_and_encrypted(service, ann):
    stored = service.stored()["ann_2"]
    assert stored["bio"] == "<p>Hi, I am <strong>Ann</strong></p>" and stored["is_staff"] == 0
    tokens = [stored["phone_number"], stored["ssn"]]
    assert [Fernet(KEY).decrypt(token).decode() for token in tokens] == [NUMBER, SSN]
    text = json.dumps(stored)
    assert all(secret not in text for secret in (NUMBER, SSN, PASSWORD, "steal"))
    assert [ann.json()["phone_number"], ann.json()["ssn"]] == tokens, "the answer to a sign-up decrypts nothing"


def test_who_signed_up_logs_in_and_reads_her_own_again(django, service, ann):
    token = django.log_in("ann_2", PASSWORD)["access_token"]
    own = f"/api/v1/users/{ann.json()['id']}"
    answer = django.send("PATCH", own, '{"email": "ann@example.org"}', token)
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["email"], shown["phone_number"], shown["ssn"]) == ("ann@example.org", NUMBER, SSN)
    assert "password" not in shown and "md5$" not in answer.text
    assert service.stored()["ann_2"]["email"] == "ann@example.org"
    refusal = django.send("PATCH", "/api/v1/users/1", '{"email": "ann@example.org"}', token)
    assert refusal.status_code == 403 and service.stored()["root"]["email"] == "root@example.com"


@pytest.mark.parametrize("spelling", [
    '{"username": "spelt%d", "email": "a@example.com", "password": "%s", "passw\\u006frd": "x"}',
    '{"username": "spelt%d", "email": "a@example.com", "password": "x", "password": "%s"}',
    '{"username": "spelt%d", "email": "a@example.com", "password": "%s"',
    '[{"username": "spelt%d", "email": "a@example.com", "password": "%s"}]',
])
def test_no_spelling_gets_a_user_stored(django, service, spelling):
    before = service.stored()
    answer = django.send("POST", "/api/v1/users", spelling % (len(before), PASSWORD))
    assert answer.status_code in (400, 422), answer.text
    assert PASSWORD not in answer.text and service.stored() == before
