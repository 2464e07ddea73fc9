"""Fields and bodies that the upstream only sees encrypted, with Python's `cryptography` on the other side."""

import base64
import json

import pytest
from cryptography.fernet import Fernet, InvalidToken
from harness.configuration import plugin
from harness.credentials import bearer
from harness.expect import refused

NEW, OLD, OTHER = (Fernet.generate_key() for _ in range(3))
OPTIONS = {"environment": {"PII_KEY": NEW.decode(), "OLD_PII_KEY": OLD.decode()}}

ROUTES = """
secrets: { pii_key: { env: PII_KEY }, old_pii_key: { env: OLD_PII_KEY } }
encryption: { keys: [{ secret: pii_key }, { secret: old_pii_key }] }
inspection: { body_limit: 2MiB }
routes:
  - match: { path: "/users/**", methods: [POST] }
    authenticate: none
    mode: monitor
    body: { encrypt: [phone_number, ssn, people.*.ssn] }
  - match: { path: "/users/**" }
    authenticate: none
    response: { decrypt: [phone_number, ssn, people.*.ssn], fields: { deny: [password] } }
  - match: { path: "/files/**", methods: [PUT, POST] }
    authenticate: none
    mode: off
    body: { encrypt_whole: true }
  - match: { path: "/files/**" }
    authenticate: none
    response: { decrypt_whole: true }
  - match: { path: "/**" }
    authenticate: none
"""

PLUGIN = plugin("bodies: { hold: headers, string_length: 2000000 }" + ROUTES)
BEHIND = plugin("bodies: { hold: buffer_filter, string_length: 2000000 }" + ROUTES)
SSN = "078-05-1120"


@pytest.fixture(scope="module")
def behind(start):
    return start(BEHIND, buffer_filter=True, **OPTIONS)


@pytest.fixture(params=["gateway", "behind"])
def holding(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def serve(upstream):
    """Lets the upstream answer a path with this body."""
    def serve(target, body, headers=b"content-type: application/json\r\n"):
        head = b"HTTP/1.1 200 OK\r\n" + headers + b"content-length: %d\r\n\r\n" % len(body)
        upstream.scripted[target.encode()] = lambda seen, send: send(head + body) is None
        return target
    return serve


def opened(token):
    return Fernet(NEW).decrypt(token).decode()


@pytest.mark.parametrize("chunk", [0, 1, 40])
def test_the_upstream_sees_fields_encrypted_and_with_their_length(holding, chunk):
    sent = {"name": "Ann", "ssn": SSN, "phone_number": "+49 30 é", "n": 1.5,
            "people": [{"ssn": "1"}, {"ssn": None}, {"ssn": 7, "x": [SSN[:3]]}]}
    body = json.dumps(sent).replace("1.5", "1.50").encode()
    headers = [("content-digest", "sha-256=:x:"), ("digest", "x")]
    answer = holding.post("/users/1", body, headers=headers, chunk=chunk)
    assert answer.status == 200, answer.body
    seen = answer.upstream
    got = json.loads(seen.body)
    assert SSN.encode() not in seen.body and b"1.50" in seen.body
    assert opened(got["ssn"]) == SSN and opened(got["phone_number"]) == "+49 30 é"
    assert [got["people"][0]["ssn"][:6], got["people"][1], opened(got["people"][2]["ssn"])] == \
        ["gAAAAA", {"ssn": None}, "7"]
    assert list(got) == list(sent)
    assert seen.header("content-length") in (None, str(len(seen.body)))
    assert seen.header("content-digest") is None and seen.header("digest") is None
    again = json.loads(holding.post("/users/1", body).upstream.body)
    assert again["ssn"] != got["ssn"], "an initialisation vector was used twice"


def test_no_trailer_vouches_for_the_body_that_was_sent(gateway):
    trailers = [("content-digest", "sha-256=:x:"), ("Digest", "x"), ("x-checksum", "1")]
    for target, body in [("/users/1", json.dumps({"ssn": SSN}).encode()), ("/other", b"{}")]:
        answer = gateway.send2("POST", target, [("content-type", "application/json")], [body], [
            (name.lower(), value) for name, value in trailers
        ])
        names = [name.lower() for name, _ in answer.upstream.trailers]
        assert names == ([b"x-checksum"] if target == "/users/1" else [b"content-digest", b"digest", b"x-checksum"])


def test_over_http2_and_with_trailers_too(holding):
    body = json.dumps({"ssn": SSN}).encode()
    for pieces, trailers in [([body], None), ([body[:5], body[5:]], [("x-checksum", "1")])]:
        answer = holding.send2("POST", "/users/1", [("content-type", "application/json")], pieces, trailers)
        assert opened(json.loads(answer.upstream.body)["ssn"]) == SSN


@pytest.mark.parametrize(("content_type", "body", "headers", "status"), [
    ("application/x-www-form-urlencoded", b"ssn=078-05-1120", (), 400),
    ("application/x-www-form-urlencoded", b'"&ssn=078-05-1120&"', (), 400),
    ("application/json", b'{"ssn":1,"\\u0073sn":"078-05-1120"}', (), 400),
    ("application/json", b'{"ssn":"078-05-1120"', (), 400),
    ("application/json", b"{}", (("content-encoding", "gzip"),), 415),
    ("application/json", b"[" * 100, (), 413),
    ("application/json", b" " * (3 << 20), (), 413),
])
def test_a_body_whose_fields_cannot_be_found_is_refused_in_monitor_mode_too(gateway, content_type, body, headers, status):
    refused(gateway.post("/users/1", body, content_type, headers), status)


def test_an_empty_body_and_one_without_such_fields_go_on_as_they_are(holding):
    assert holding.send("POST", "/users/1").upstream.body == b""
    body = b'{ "name" : "Ann" }'
    assert holding.post("/users/1", body).upstream.body == body


@pytest.mark.parametrize("size", [1, 15, 16, 64 << 10, 1 << 20])
def test_whole_bodies_come_back_as_they_were(holding, serve, size):
    plain = bytes(range(256)) * (size // 256 + 1)
    plain = plain[:size]
    for method in ("PUT", "POST"):
        seen = holding.send(method, "/files/a", [("content-type", "image/png")], plain).upstream
        assert Fernet(NEW).decrypt(seen.body) == plain
        assert (seen.header("content-type"), seen.header("content-length")) == ("image/png", str(len(seen.body)))
    assert holding.send("PUT", "/files/a").upstream.body == b""
    target = serve(f"/files/{size}", seen.body, b"content-type: image/png\r\netag: x\r\n")
    answer = holding.get(target)
    assert (answer.status, answer.body, answer.header("content-type")) == (200, plain, "image/png")
    assert answer.header("etag") is None


def test_a_compressed_body_is_not_encrypted_as_a_whole(gateway):
    refused(gateway.send("PUT", "/files/a", [("content-encoding", "gzip")], b"x"), 415)


def test_reads_what_python_wrote_with_any_key_and_coded_twice(holding, serve):
    new, old = Fernet(NEW).encrypt("ä".encode()), Fernet(OLD).encrypt(b"old")
    twice = base64.b64encode(new)
    body = {"ssn": old.decode(), "phone_number": twice.decode(), "password": new.decode(),
            "people": [{"ssn": base64.urlsafe_b64encode(old).decode()}, {"ssn": None}], "email": new.decode()}
    answer = holding.get(serve("/users/7", json.dumps(body).encode()))
    assert json.loads(answer.body) == {
        "ssn": "old", "phone_number": "ä", "people": [{"ssn": "old"}, {"ssn": None}], "email": new.decode(),
    }
    assert holding.events(answer, seconds=3) == []


def test_what_does_not_decrypt_stays_and_is_told(gateway, serve):
    foreign = Fernet(OTHER).encrypt(b"x").decode()
    changed = Fernet(NEW).encrypt(b"x").decode()
    changed = changed[:40] + ("A" if changed[40] != "A" else "B") + changed[41:]
    body = {"ssn": foreign, "phone_number": SSN, "people": [{"ssn": changed}] * 100}
    answer = gateway.get(serve("/users/8", json.dumps(body).encode()))
    assert json.loads(answer.body) == body
    told = [(event["event_type"], event["details"]["reason"], event["details"]["parameter"])
            for event in gateway.events(answer)]
    assert sorted(told) == [("DEGRADED", "decrypt_failed", "phone_number"), ("DEGRADED", "decrypt_failed", "ssn")]
    assert SSN not in json.dumps(gateway.events(answer))
    answer = gateway.get(serve("/files/bad", b"no token", b"content-type: text/plain\r\n"))
    assert answer.body == b"no token"
    assert gateway.event(answer)["details"]["reason"] == "decrypt_failed"


def test_no_key_is_ever_said(gateway):
    text = gateway.log() + gateway.prometheus()
    assert NEW.decode() not in text and OLD.decode() not in text
    with pytest.raises(InvalidToken):
        Fernet(OLD).decrypt(gateway.post("/files/a", b"x", "text/plain").upstream.body)
