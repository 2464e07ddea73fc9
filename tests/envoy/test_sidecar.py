"""The sidecar's bootstrap as it is shipped: who comes in with which certificate, and what leaves."""

import json
import socket
import ssl

import pytest
from harness.certificates import Authority
from harness.credentials import bearer
from harness.shipped import GATEWAY, ORDERS, PAYMENTS, SECRETS, USERS, Mesh, Peer, Shipped, call, seen, tls
from test_signatures import signed

MESH = Mesh()
ORDER_SERVICE = "order-service.microservices.svc.cluster.local:8000"


@pytest.fixture(scope="module")
def orders():
    peer = Peer(MESH, ORDERS)
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def sidecar(upstream, orders):
    proxy = Shipped("sidecar", MESH, USERS, {"127.0.0.1:8080": upstream.port, ORDER_SERVICE: orders.port})
    yield proxy
    proxy.close()


def send(sidecar, identity=GATEWAY, target="/api/v1/users/7", headers=(), method="GET"):
    certificate = identity if not isinstance(identity, str) else MESH.identities[identity]
    context = tls(MESH.mesh, certificate, host=None)
    return call(sidecar.ports["0.0.0.0:8000"], context, method, target, headers, host="user-service")


@pytest.mark.parametrize("certificate", [
    None,
    Authority("Another CA").issue(GATEWAY),
    MESH.mesh.issue(GATEWAY, expired=True),
    MESH.mesh.issue("spiffe://example.org/ns/gateway/sa/api-gateway"),
    MESH.mesh.issue(),
], ids=["none", "another-authority", "expired", "another-domain", "nobody"])
def test_without_a_certificate_of_the_mesh_there_is_no_connection(sidecar, certificate):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        send(sidecar, certificate) if certificate else call(sidecar.ports["0.0.0.0:8000"], tls(MESH.mesh, host=None))


def test_plain_http_is_not_spoken(sidecar):
    with socket.create_connection(("127.0.0.1", sidecar.ports["0.0.0.0:8000"]), timeout=15) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nhost: user-service\r\n\r\n")
        assert not raw.recv(100).startswith(b"HTTP")


@pytest.mark.parametrize("identity, headers, status", [
    (GATEWAY, [bearer()], 200), (GATEWAY, [], 401), (GATEWAY, [bearer("x.y.z")], 401),
    (ORDERS, [bearer()], 403), (PAYMENTS, [bearer()], 403),
], ids=["edge", "edge-without-a-token", "edge-with-a-bad-token", "orders", "payments"])
def test_users_come_through_the_edge_only_and_with_their_token(sidecar, identity, headers, status):
    answer = send(sidecar, identity, headers=headers)
    assert answer.status == status
    if status == 200:
        assert seen(answer)[1]["x-auth-peer"] == GATEWAY


def internal(name="order-service"):
    return list(signed("GET", "/internal/users/7", name=name).items())


@pytest.mark.parametrize("identity, headers, status", [
    (ORDERS, internal, 200), (ORDERS, list, 401), (GATEWAY, internal, 403), (PAYMENTS, internal, 403),
    (ORDERS, lambda: internal("payment-service"), 401),
], ids=["orders", "unsigned", "edge", "payments", "in-another-name"])
def test_the_inner_endpoint_is_for_the_signed_requests_of_one_service(sidecar, identity, headers, status):
    assert send(sidecar, identity, "/internal/users/7", headers()).status == status


def test_a_signature_is_good_once(sidecar):
    headers = internal()
    assert [send(sidecar, ORDERS, "/internal/users/7", headers).status for _ in range(2)] == [200, 401]


@pytest.mark.parametrize("target, path", [
    ("//public//./b/../a", "/public/a"), ("/public/..%2fadmin", None), ("/public/%5c", None),
])
def test_paths_have_one_form_or_are_refused(sidecar, target, path):
    answer = send(sidecar, target=target)
    if path:
        assert seen(answer)[0] == path
    else:
        assert answer.status == 400


def test_heads_are_bounded(sidecar):
    assert send(sidecar, target="/public/a", headers=[(f"x-{n}", "1") for n in range(121)]).status == 431
    assert send(sidecar, target="/public/a", headers=[("x-long", "x" * 66_000)]).status == 431
    assert send(sidecar, target="/public/a", headers=[("x_long", "x")]).status == 400


def leave(sidecar, target="/orders/7", headers=(), host="order-service", method="GET", body=b""):
    return call(sidecar.ports["127.0.0.1:9000"], None, method, target, headers, body, host=host)


def test_what_leaves_is_signed_and_goes_to_the_service_that_is_meant(sidecar, orders):
    assert leave(sidecar, method="POST", body=b'{"a": 1}', headers=[("x-request-id", "of-the-caller")]).status == 200
    called = orders.called[-1]
    assert (called.method, called.target, called.names) == ("POST", "/orders/7", [USERS])
    assert called.headers["x-service-name"] == "user-service"
    assert called.headers["x-service-token"] == SECRETS["USER_SERVICE_TOKEN"]
    again = signed("POST", "/orders/7", "", b'{"a": 1}', name="user-service", timestamp=called.headers["x-timestamp"],
                   nonce=called.headers["x-nonce"])
    # The tests' own function signs with another token, which is not part of the signature.
    assert called.headers["x-signature"] == again["X-Signature"]
    assert called.headers["x-request-id"] == "of-the-caller"


@pytest.mark.parametrize("host", ["payment-service", "example.com", "order-service.example.com"])
def test_only_services_that_are_named_can_be_called(sidecar, orders, host):
    before = len(orders.called)
    assert leave(sidecar, host=host).status == 404
    assert len(orders.called) == before


def test_only_the_service_itself_gets_its_requests_signed(sidecar):
    listeners = json.loads(sidecar.admin("/listeners?format=json"))["listener_statuses"]
    addresses = {entry["name"]: entry["local_address"]["socket_address"]["address"] for entry in listeners}
    assert addresses == {"inbound": "0.0.0.0", "outbound": "127.0.0.1", "stats": "0.0.0.0"}


def test_another_service_in_the_place_of_the_one_that_is_meant_gets_nothing(upstream):
    impostor = Peer(MESH, PAYMENTS)
    proxy = Shipped("sidecar", MESH, USERS, {"127.0.0.1:8080": upstream.port, ORDER_SERVICE: impostor.port})
    try:
        assert leave(proxy).status == 503
        assert impostor.called == []
    finally:
        proxy.close()
        impostor.close()


def test_the_stats_listener_shows_metrics_of_both_directions_and_nothing_else(sidecar):
    port = sidecar.ports["0.0.0.0:9902"]
    assert call(port, target="/ready").status == 200
    metrics = call(port, target="/stats/prometheus").body.decode()
    assert 'security_events_total{event_type="AUTH_FAILURE",service="user-service"}' in metrics
    assert [call(port, method=method, target=target).status for method, target in
            [("GET", "/config_dump"), ("POST", "/quitquitquit")]] == [404, 404]


def test_all_that_is_printed_is_json(sidecar):
    send(sidecar, ORDERS, headers=[bearer()])
    [event] = [event for event in sidecar.events(1) if event["details"].get("reason") == "forbidden"][:1]
    assert event["service"] == "user-service"
    assert {line["peer"] for line in sidecar.lines() if "peer" in line} >= {ORDERS}


