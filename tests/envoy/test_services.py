"""Service-to-service signatures, made by plain Python as an unmodified service makes them."""

import time

import pytest
from harness.configuration import plugin
from harness.credentials import bearer, service_headers
from harness.expect import passed, refused, unauthenticated

PLUGIN = plugin("""
authentication:
  service:
    keys: [{ secret: service_key }, { secret: old_service_key }]
    services: { order-service: { token: { secret: order_token } } }
    max_clock_skew: 300s
    signatures: [v1]
    replay: { v1: allow }
secrets: { old_service_key: { inline: the-key-before-the-rotation-0123456789 } }
routes:
  - match: { path: "/both/**" }
    authenticate: { all: [jwt, service] }
  - match: { path: "/either/**" }
    authenticate: [jwt, service]
  - match: { path: "/roles/**" }
    authenticate: [service]
    allow: [{ roles: [user] }]
  - match: { path: "/**" }
    authenticate: [service]
""")


@pytest.mark.parametrize("age", [0, 290, -290])
def test_accepts_a_plain_clients_signature_and_takes_it_away(gateway, age):
    seen = passed(gateway.get("/x", service_headers(age=age)))
    assert not [name for name in seen.names() if name in
                (b"x-service-token", b"x-service-name", b"x-timestamp", b"x-signature")]
    assert seen.header("x-auth-subject") == "order-service"
    assert seen.header("x-auth-method") == "service"


def test_accepts_whole_seconds(gateway):
    passed(gateway.get("/x", service_headers(timestamp=str(int(time.time())))))


def test_accepts_the_key_before_the_rotation(gateway):
    passed(gateway.get("/x", service_headers(key="the-key-before-the-rotation-0123456789")))


@pytest.mark.parametrize(("reason", "detail", "changes"), [
    ("invalid_timestamp", "Invalid timestamp", {"timestamp": "yesterday"}),
    ("invalid_timestamp", "Invalid timestamp", {"timestamp": "inf"}),
    ("invalid_timestamp", "Invalid timestamp", {"timestamp": "nan"}),
    ("invalid_timestamp", "Invalid timestamp", {"timestamp": "1.7e9"}),
    ("invalid_timestamp", "Invalid timestamp", {"timestamp": "+1700000000"}),
    ("timestamp_too_old", "Request timestamp too old", {"age": 301}),
    ("timestamp_too_old", "Request timestamp too old", {"age": -310}),
    ("timestamp_too_old", "Request timestamp too old", {"timestamp": "0"}),
    ("bad_service_signature", "Invalid service credentials", {"key": "a-forged-key"}),
    ("bad_service_signature", "Invalid service credentials", {"signature": "0" * 64}),
    ("bad_service_signature", "Invalid service credentials", {"signature": "zz"}),
    ("unknown_service", "Invalid service credentials", {"name": "intruder"}),
    ("bad_service_signature", "Invalid service credentials", {"token": "a-stolen-guess"}),
], ids=str)
def test_refuses_a_forged_old_or_invalid_signature(gateway, reason, detail, changes):
    answer, _ = unauthenticated(gateway, reason, lambda: gateway.get("/x", service_headers(**changes)))
    assert answer.problem["detail"] == detail
    passed(gateway.get("/x", service_headers()))


def test_refuses_an_upper_case_signature_because_the_form_is_lower_case(gateway):
    headers = [(name, value.upper() if name == "X-Signature" else value) for name, value in service_headers()]
    refused(gateway.get("/x", headers), 401)


def test_refuses_a_signature_for_another_name_or_time(gateway):
    good = dict(service_headers())
    later = str(float(good["X-Timestamp"]) + 1)
    refused(gateway.get("/x", list((good | {"X-Timestamp": later}).items())), 401)


def test_refuses_a_name_with_the_separator_in_it(gateway):
    refused(gateway.get("/x", service_headers(name="order-service:1")), 401)


@pytest.mark.parametrize("left_out", range(4))
def test_needs_all_four_headers(gateway, left_out):
    headers = service_headers()
    del headers[left_out]
    unauthenticated(gateway, "missing", lambda: gateway.get("/x", headers))


def test_refuses_a_repeated_header(gateway):
    headers = service_headers()
    answer = gateway.get("/x", [*headers, headers[0]])
    assert answer.status in (400, 401)
    assert answer.upstream is None


def test_all_needs_both_and_either_takes_one(gateway):
    passed(gateway.get("/both/1", [bearer(), *service_headers()]))
    unauthenticated(gateway, "missing", lambda: gateway.get("/both/1", [bearer()]))
    unauthenticated(gateway, "missing", lambda: gateway.get("/both/1", service_headers()))
    passed(gateway.get("/either/1", [bearer()]))
    passed(gateway.get("/either/1", service_headers()))
    refused(gateway.get("/either/1", service_headers(key="a-forged-key")), 401)


def test_a_service_has_no_role_of_a_user(gateway):
    refused(gateway.get("/roles/1", service_headers()), 403)
