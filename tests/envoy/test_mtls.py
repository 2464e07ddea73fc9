"""Client certificates over real TLS: validated, only presented, forwarded, and what tokens are bound to."""

import ssl
from types import SimpleNamespace

import pytest
from harness import client
from harness.certificates import Authority
from harness.configuration import inline_jwks, plugin
from harness.credentials import bearer, private_key, token
from harness.expect import counted, passed, refused
from harness.gateway import HOST

ORDERS = "spiffe://cluster.local/ns/microservices/sa/order-service"
OTHERS = "spiffe://cluster.local/ns/microservices/sa/other-service"
AUTHORITY = Authority()
ORDER_SERVICE = AUTHORITY.issue(ORDERS)
OTHER_SERVICE = AUTHORITY.issue(OTHERS)
PLUGIN = plugin("""
authentication:
  service:
    keys: [{ secret: service_key }]
    services: { order-service: { token: { secret: order_token } } }
    signatures: [v1]
  mtls: { trust_domains: [cluster.local] }
  jwt:
    devices:
      issuer: https://devices.example.com
      algorithms: [ES256]
      jwks: { inline: %s }
      claims: { subject: user_id }
      bound_to_certificate: required
limits: { each: { key: [subject], rate: 2/h } }
routes:
  - match: { path: "/peer/**" }
    authenticate: [mtls]
  - match: { path: "/orders/**" }
    authenticate: [jwt.users, service, mtls]
    allow: [{ roles: [admin] }, { principals: ["%s"] }]
  - match: { path: "/denied/**" }
    authenticate: [mtls]
    deny: [{ principals: ["spiffe://cluster.local/ns/microservices/*"], except: { principals: ["%s"] } }]
  - match: { path: "/both/**" }
    authenticate: { all: [mtls, jwt.users] }
    allow: [{ roles: [user] }]
  - match: { path: "/bound/**" }
    authenticate: [jwt.devices]
  - match: { path: "/limited/**" }
    authenticate: [mtls]
    limits: [each]
  - match: { path: "/token/**" }
    authenticate: [jwt]
""" % (inline_jwks(("ES256", "d1")), ORDERS, ORDERS))
OPTIONS = {"tls": True, "client_ca": AUTHORITY.path}


def with_mtls(**settings):
    return {**PLUGIN, "authentication": {**PLUGIN["authentication"], "mtls": settings}}


def shown(gateway, certificate, target="/peer/1", headers=()):
    return gateway.get(target, headers, tls=True, certificate=certificate and certificate.path)


def no_certificate(gateway, reason, send):
    """403 for this reason: problem document, one AUTH_FAILURE and its metrics."""
    service = "user-service"
    with counted(gateway, "auth_failures_total", service=service, reason=reason), \
            counted(gateway, "security_events_total", event_type="AUTH_FAILURE", service=service), \
            counted(gateway, "blocked_requests_total", service=service, reason="invalid_credentials"):
        answer = send()
        assert refused(answer, 403)["detail"] == "Invalid client certificate"
    assert answer.header("www-authenticate") is None
    event = gateway.event(answer)
    assert event["event_type"] == "AUTH_FAILURE"
    assert (event["details"]["reason"], event["details"]["status"]) == (reason, 403)


def test_a_validated_certificate_names_the_peer(gateway):
    seen = passed(shown(gateway, ORDER_SERVICE, headers=[("X-Auth-Peer", "spiffe://forged/x")]))
    assert seen.header("x-auth-peer") == seen.header("x-auth-subject") == ORDERS
    assert seen.header("x-auth-method") == "mtls"


def test_no_certificate_is_refused_with_and_without_tls(gateway):
    no_certificate(gateway, "no_certificate", lambda: shown(gateway, None))
    no_certificate(gateway, "no_certificate", lambda: gateway.get("/peer/1"))


@pytest.mark.parametrize("certificate", [
    Authority("Another CA").issue(ORDERS), Authority().issue(ORDERS), AUTHORITY.issue(ORDERS, expired=True),
], ids=["another CA", "a CA of the same name", "expired"])
def test_a_certificate_that_does_not_verify_never_gets_a_connection(gateway, certificate):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shown(gateway, certificate)


@pytest.mark.parametrize("options", [
    {},
    {"require_client_certificate": True},
    {"require_client_certificate": True, "client_ca": AUTHORITY.path, "accept_untrusted": True},
], ids=["not asked for", "required without a CA", "accepted although untrusted"])
def test_a_certificate_that_was_only_presented_is_no_peer(start, options):
    gateway = start(PLUGIN, tls=True, **options)
    forged = Authority("Another CA").issue(ORDERS)
    # Without a CA Envoy does not even ask for one.
    reason = "unverified_certificate" if "client_ca" in options else "no_certificate"
    no_certificate(gateway, reason, lambda: shown(gateway, forged))
    refused(shown(gateway, forged, "/orders/1", [bearer()]), 403)
    no_certificate(gateway, reason, lambda: shown(gateway, forged, "/both/1", [bearer()]))
    bound = device(forged)
    refused(shown(gateway, forged, "/bound/1", [bearer(bound)]), 401)


def test_a_listener_that_requires_certificates_serves_those_who_have_one(start):
    gateway = start(PLUGIN, **OPTIONS, require_client_certificate=True)
    passed(shown(gateway, ORDER_SERVICE))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shown(gateway, None)


def resumed(gateway):
    """Both answers on a session and its resumption, and whether it was one."""
    raw = client.head("GET", "/peer/1", [("host", HOST)])
    with client.Connection(gateway.port, True, ORDER_SERVICE.path) as connection:
        connection.send(raw)
        first = connection.read()
        earlier = SimpleNamespace(context=connection.socket.context, session=connection.socket.session)
    with client.Connection(gateway.port, True, session=earlier) as connection:
        connection.send(raw)
        return first.status, connection.read().status, connection.socket.session_reused


def test_a_resumed_session_proves_nothing_unless_the_operator_says_so(start, gateway):
    assert resumed(gateway) == (200, 403, True)
    stated = start(with_mtls(listener_verifies=True), **OPTIONS, require_client_certificate=True)
    assert resumed(stated) == (200, 200, True)
    assert resumed(start(PLUGIN, **OPTIONS, resume=False)) == (200, 200, False)


@pytest.mark.parametrize(("uris", "subject", "reason"), [
    ([], "client", "untrusted_domain"),
    (["https://cluster.local/ns"], "client", "untrusted_domain"),
    (["spiffe://cluster.local.example.org/ns/a/sa/b"], "client", "untrusted_domain"),
    (["spiffe://example.org/ns/a/sa/b"], "client", "untrusted_domain"),
    (["spiffe://cluster.local//sa/b"], "client", "malformed_certificate"),
    (["spiffe://cluster.local/ns/../b"], "client", "malformed_certificate"),
    (["spiffe://cluster.local:80/ns"], "client", "malformed_certificate"),
    (["SPIFFE://cluster.local/ns"], "client", "malformed_certificate"),
    ([], ORDERS, "untrusted_domain"),
], ids=str)
def test_only_a_spiffe_id_of_a_trust_domain_counts(gateway, uris, subject, reason):
    certificate = AUTHORITY.issue(*uris, subject=subject)
    no_certificate(gateway, reason, lambda: shown(gateway, certificate))


@pytest.fixture(scope="module")
def open_to_all(start):
    return start(with_mtls(), **OPTIONS)


@pytest.mark.parametrize(("uris", "subject", "name"), [
    ([], "client", "CN=client"),
    (["https://example.org/x"], "client", "CN=client"),
    (["spiffe://example.org/x"], "client", "spiffe://example.org/x"),
    (["spiffe://a/b"], "", "spiffe://a/b"),
    ([], ORDERS, f"CN={ORDERS}"),
], ids=str)
def test_without_trust_domains_every_validated_certificate_counts(open_to_all, uris, subject, name):
    seen = passed(shown(open_to_all, AUTHORITY.issue(*uris, subject=subject)))
    assert seen.header("x-auth-peer") == name
    if subject == ORDERS:
        refused(shown(open_to_all, AUTHORITY.issue(subject=subject), "/orders/1"), 403)


def test_principals_tell_peers_and_callers_apart(gateway):
    passed(shown(gateway, ORDER_SERVICE, "/orders/1"))
    refused(shown(gateway, OTHER_SERVICE, "/orders/1"), 403)
    passed(shown(gateway, OTHER_SERVICE, "/orders/1", [bearer(roles=["admin"])]))
    # A subject that looks like a peer is none.
    refused(gateway.get("/orders/1", [bearer(user_id=ORDERS)]), 403)
    refused(shown(gateway, OTHER_SERVICE, "/orders/1", [bearer(user_id=ORDERS)]), 403)


def test_the_token_names_the_caller_and_the_certificate_the_peer(gateway):
    seen = passed(shown(gateway, ORDER_SERVICE, "/orders/1", [bearer()]))
    assert (seen.header("x-auth-subject"), seen.header("x-auth-method")) == ("42", "jwt")
    assert seen.header("x-auth-peer") == ORDERS


def test_deny_entries_know_the_peer(gateway):
    refused(shown(gateway, OTHER_SERVICE, "/denied/1"), 403)
    passed(shown(gateway, ORDER_SERVICE, "/denied/1"))


def test_all_needs_the_certificate_and_the_token_of_one_request(gateway):
    seen = passed(shown(gateway, OTHER_SERVICE, "/both/1", [bearer()]))
    assert (seen.header("x-auth-subject"), seen.header("x-auth-peer")) == ("42", OTHERS)
    refused(shown(gateway, OTHER_SERVICE, "/both/1"), 401)
    refused(shown(gateway, OTHER_SERVICE, "/both/1", [bearer("x.y.z")]), 401)
    no_certificate(gateway, "no_certificate", lambda: gateway.get("/both/1", [bearer()]))


def device(certificate=None, **changes):
    confirmed = {"cnf": {"x5t#S256": certificate.thumbprint}} if certificate else {}
    changes = {"iss": "https://devices.example.com", **confirmed, **changes}
    return token(private_key("ES256"), "ES256", {"kid": "d1"}, **changes)


def test_a_bound_token_is_good_on_its_certificates_connections_only(gateway):
    bound = bearer(device(ORDER_SERVICE))
    stolen = lambda: shown(gateway, OTHER_SERVICE, "/bound/1", [bound])
    for _ in range(2 * 2):
        # Seen before or not, by whichever worker.
        refused(stolen(), 401)
        assert passed(shown(gateway, ORDER_SERVICE, "/bound/1", [bound])).header("x-auth-subject") == "42"
        refused(gateway.get("/bound/1", [bound]), 401)
    with counted(gateway, "auth_failures_total", service="user-service", reason="unbound"):
        assert gateway.event(stolen())["details"]["reason"] == "unbound"


def test_a_token_without_a_binding_is_refused_where_one_is_required(gateway):
    for unbound in [device(), device(cnf={}), device(cnf={"x5t#S256": ORDER_SERVICE.hash}), device(cnf="x")]:
        refused(shown(gateway, ORDER_SERVICE, "/bound/1", [bearer(unbound)]), 401)


def test_a_certificate_outside_the_trust_domains_can_still_hold_a_token(gateway):
    certificate = AUTHORITY.issue(subject="device-7")
    passed(shown(gateway, certificate, "/bound/1", [bearer(device(certificate))]))


def test_peers_that_call_for_themselves_are_limited_by_their_names(gateway):
    for certificate in [ORDER_SERVICE, OTHER_SERVICE]:
        assert [shown(gateway, certificate, "/limited/1").status for _ in range(3)] == [200, 200, 429]


def xfcc(certificate, uri=ORDERS, **more):
    fields = {"By": "spiffe://cluster.local/ns/edge/sa/gateway", "Hash": certificate.hash,
              "Subject": '"CN=client"', "URI": uri, **more}
    return ";".join(f"{key}={value}" for key, value in fields.items())


def allowing(start, proxies=None, **options):
    configured = with_mtls(trust_domains=["cluster.local"], forwarded_client_cert="allow")
    if proxies:
        configured["client_ip"] = {"trusted_proxies": proxies}
    return start(configured, **{**OPTIONS, "forward_client_cert": "ALWAYS_FORWARD_ONLY", **options})


@pytest.fixture(scope="module")
def behind_a_proxy(start):
    return allowing(start)


def test_a_trusted_proxy_forwards_the_certificate_of_its_client(behind_a_proxy):
    gateway = behind_a_proxy
    forwarded = xfcc(ORDER_SERVICE)
    seen = passed(gateway.get("/peer/1", [("X-Forwarded-Client-Cert", forwarded)]))
    assert seen.header("x-auth-peer") == seen.header("x-auth-subject") == ORDERS
    assert seen.header("x-forwarded-client-cert") == forwarded
    passed(gateway.get("/orders/1", [("X-Forwarded-Client-Cert", forwarded)]))
    bound = bearer(device(ORDER_SERVICE))
    passed(gateway.get("/bound/1", [bound, ("X-Forwarded-Client-Cert", forwarded)]))
    refused(gateway.get("/bound/1", [bound, ("X-Forwarded-Client-Cert", xfcc(OTHER_SERVICE))]), 401)
    no_certificate(gateway, "no_certificate", lambda: gateway.get("/peer/1"))


def test_what_the_nearest_proxy_appended_counts(behind_a_proxy):
    chain = f"{xfcc(ORDER_SERVICE)},{xfcc(OTHER_SERVICE, OTHERS)}"
    for headers in [[chain], chain.split(",")]:
        headers = [("X-Forwarded-Client-Cert", value) for value in headers]
        assert passed(behind_a_proxy.get("/peer/1", headers)).header("x-auth-peer") == OTHERS
        refused(behind_a_proxy.get("/orders/1", headers), 403)


def test_a_forwarded_certificate_outweighs_the_proxys_own(behind_a_proxy):
    headers = [("X-Forwarded-Client-Cert", xfcc(OTHER_SERVICE, OTHERS))]
    assert passed(shown(behind_a_proxy, ORDER_SERVICE, headers=headers)).header("x-auth-peer") == OTHERS
    assert passed(shown(behind_a_proxy, ORDER_SERVICE)).header("x-auth-peer") == ORDERS


def test_what_envoy_appends_of_the_connection_itself_is_not_the_proxys_client(start):
    gateway = allowing(start, forward_client_cert="APPEND_FORWARD")
    headers = [("X-Forwarded-Client-Cert", xfcc(OTHER_SERVICE, OTHERS))]
    assert passed(shown(gateway, ORDER_SERVICE, headers=headers)).header("x-auth-peer") == OTHERS
    assert passed(shown(gateway, ORDER_SERVICE)).header("x-auth-peer") == ORDERS


@pytest.mark.parametrize("value", [
    "", "x", "URI=", "Hash=abc", f'Subject="CN=a;URI={ORDERS}', f"URI={ORDERS},", f"URI={ORDERS};URI={OTHERS}",
    f"URI={ORDERS}/", "By=" + ORDERS, f'URI="{ORDERS}"x', b"URI=spiffe://cluster.local/\xff",
], ids=str)
def test_a_forwarded_certificate_that_cannot_be_read_is_refused(behind_a_proxy, value):
    send = lambda: behind_a_proxy.get("/peer/1", [("X-Forwarded-Client-Cert", value)])
    if value == "":
        # Envoy drops a header without a value, or hands it over: either way there is no certificate.
        refused(send(), 403)
    else:
        no_certificate(behind_a_proxy, "malformed_certificate", send)


def test_a_forwarded_identity_of_another_trust_domain_is_refused(behind_a_proxy):
    headers = [("X-Forwarded-Client-Cert", xfcc(ORDER_SERVICE, "spiffe://example.org/x"))]
    no_certificate(behind_a_proxy, "untrusted_domain", lambda: behind_a_proxy.get("/peer/1", headers))


def spoofed(gateway):
    for name in ["X-Forwarded-Client-Cert", "X_Forwarded_Client_Cert"]:
        no_certificate(gateway, "no_certificate", lambda: gateway.get("/peer/1", [(name, xfcc(ORDER_SERVICE))]))
        refused(gateway.get("/bound/1", [(name, xfcc(ORDER_SERVICE)), bearer(device(ORDER_SERVICE))]), 401)
        seen = passed(gateway.get("/token/1", [(name, xfcc(ORDER_SERVICE)), bearer()]))
        assert not [field for field in seen.names() if b"client" in field.lower()]


def test_nobody_else_forwards_certificates(start):
    gateway = allowing(start, proxies=["10.255.255.255/32"])
    spoofed(gateway)
    headers = [("X-Forwarded-Client-Cert", xfcc(OTHER_SERVICE, OTHERS)), ("X-Forwarded-For", "10.255.255.255")]
    assert passed(shown(gateway, ORDER_SERVICE, headers=headers)).header("x-auth-peer") == ORDERS


def test_forwarded_certificates_count_only_where_they_may(start):
    gateway = start(PLUGIN, **OPTIONS, forward_client_cert="ALWAYS_FORWARD_ONLY")
    spoofed(gateway)


def test_another_spelling_of_the_header_is_stripped_from_trusted_proxies_too(behind_a_proxy):
    seen = passed(behind_a_proxy.get("/token/1", [("X_Forwarded_Client_Cert", xfcc(ORDER_SERVICE)), bearer()]))
    assert not [field for field in seen.names() if b"client" in field.lower()]
