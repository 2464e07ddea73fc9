"""The front proxy's bootstrap as it is shipped, in front of the sidecar's, in front of a service."""

import json
import re
import socket
import ssl
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import httpx
import pytest
from harness.credentials import bearer
from harness.gateway import HOST, free_port
from harness.shipped import ENVOY, GATEWAY, ORDERS, USERS, Mesh, Peer, Shipped, call, seen, tls

MESH = Mesh()
SERVICE = "user-service.microservices.svc.cluster.local:8000"


@pytest.fixture(scope="module")
def sidecar(upstream):
    elsewhere = {"127.0.0.1:8080": upstream.port, "order-service.microservices.svc.cluster.local:8000": free_port()}
    proxy = Shipped("sidecar", MESH, USERS, elsewhere)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def edge(sidecar):
    proxy = Shipped("front-proxy", MESH, GATEWAY, {SERVICE: sidecar.ports["0.0.0.0:8000"]})
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def impostor():
    peer = Peer(MESH, ORDERS)
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def lost(impostor):
    """A front proxy whose service is another one."""
    proxy = Shipped("front-proxy", MESH, GATEWAY, {SERVICE: impostor.port})
    yield proxy
    proxy.close()


def send(edge, method="GET", target="/public/a", headers=(), body=b""):
    return call(edge.ports["0.0.0.0:8443"], tls(MESH.public), method, target, headers, body)


def test_a_request_goes_through_both_proxies_to_the_service(edge):
    path, headers = seen(send(edge, target="/api/v1/users/7?page=2", headers=[bearer()]))
    assert path == "/api/v1/users/7?page=2"
    assert headers["x-auth-subject"] == "42" and headers["x-auth-peer"] == GATEWAY
    assert "authorization" not in headers


BODY = json.dumps({"rows": ["a row of a long letter, " * 10] * 3_500}).encode()


def test_a_body_of_almost_a_mebibyte_reaches_the_service(edge):
    headers = [bearer(user_id="44", roles=["manager"]), ("content-type", "application/json")]
    answer = send(edge, "POST", "/api/v1/users", headers, BODY)
    assert answer.status == 200, answer.body
    assert json.loads(answer.body)["method"] == "POST"


def test_clients_may_speak_http2(edge):
    headers = dict([bearer(user_id="45", roles=["manager"]), ("host", HOST), ("content-type", "application/json")])
    with httpx.Client(http2=True, verify=tls(MESH.public, host=None)) as client:
        url = f"https://127.0.0.1:{edge.ports['0.0.0.0:8443']}/api/v1/users"
        answer = client.post(url, content=BODY, headers=headers, extensions={"sni_hostname": HOST})
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200), answer.content


def handshake(edge, version, ciphers=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(MESH.public.path)
    with warnings.catch_warnings():
        # What nobody should speak any more is offered on purpose.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers or "DEFAULT:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", edge.ports["0.0.0.0:8443"]), timeout=5) as raw:
        with context.wrap_socket(raw, server_hostname=HOST) as secured:
            return secured.version()


def test_tls_is_of_today(edge):
    assert handshake(edge, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert handshake(edge, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    # What the proxy says of it, not what the client would not even offer.
    for version, ciphers, said in [(ssl.TLSVersion.TLSv1_1, None, "ALERT_PROTOCOL_VERSION"),
                                   (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA", "ALERT_HANDSHAKE_FAILURE")]:
        with pytest.raises(ssl.SSLError) as refusal:
            handshake(edge, version, ciphers)
        assert said in refusal.value.reason


def test_plain_http_is_sent_to_https(edge):
    answer = call(edge.ports["0.0.0.0:8080"], target="/public/a?b=c")
    assert (answer.status, answer.header("location")) == (308, f"https://{HOST}:443/public/a?b=c")


@pytest.mark.parametrize("target, path", [
    ("/public/a", "/public/a"), ("//public//a", "/public/a"), ("/public/./a", "/public/a"),
    ("/public/%61", "/public/a"), ("/public/b/%2e%2e/a", "/public/a"),
])
def test_the_service_gets_the_one_form_of_a_path(edge, target, path):
    assert seen(send(edge, target=target))[0] == path


def test_the_edge_calls_nobody_in_the_place_of_the_service(lost, impostor):
    assert send(lost, target="/health").status == 503
    assert impostor.called == []
    assert "cluster.user-service.ssl.fail_verify_san: 0" not in lost.admin("/stats?filter=user-service.ssl.fail_verify_san")


def test_paths_without_one_form_are_refused_and_block_who_sends_them(lost):
    for target, reason in [
        ("/public/a;x=1", "path_parameters"), ("/public/..%2fadmin", "path_encoded_slash"),
        ("/public/..%5cadmin", "path_backslash"), ("/public/%252e%252e/admin", "path_double_encoding"),
        ("/../etc/passwd", "path_above_root"), ("/..%2fetc/passwd", "path_encoded_slash"),
    ]:
        answer = send(lost, target=target)
        assert answer.status == 400, target
        assert lost.events(1, answer.problem["request_id"])[0]["details"]["reason"] == reason
    answer = send(lost)
    [event] = lost.events(1, answer.problem["request_id"])
    assert (answer.status, event["details"]["reason"]) == (403, "blocked_address")


def test_a_client_cannot_choose_its_address_its_certificate_or_its_identity(edge):
    forged = [("x-forwarded-for", "10.9.9.9"), ("x-forwarded-client-cert", f"URI={ORDERS}"), ("x-auth-subject", "1"),
              ("x-auth-peer", ORDERS)]
    _, headers = seen(send(edge, target="/api/v1/users/7", headers=[bearer(user_id="43"), *forged]))
    assert headers["x-auth-subject"] == "43" and headers["x-auth-peer"] == GATEWAY
    assert "x-forwarded-client-cert" not in headers
    refused = send(edge, target="/api/v1/users/7", headers=forged)
    event = edge.events(1, refused.problem["request_id"])[0]
    assert event["details"]["ip_address"] == "127.0.0.1"


@pytest.mark.parametrize("headers, status", [
    ([(f"x-{number}", "1") for number in range(90)], 200),
    ([(f"x-{number}", "1") for number in range(101)], 431),
    ([("x-long", "x" * 20_000)], 200),
    ([("x-long", "x" * 33_000)], 431),
    ([("x_auth_subject", "1")], 400),
], ids=["many", "too-many", "long", "too-long", "underscore"])
def test_heads_are_bounded(edge, headers, status):
    assert send(edge, headers=headers).status == status


def test_who_sends_a_head_slowly_is_cut_off_and_so_is_who_shakes_no_hand(edge):
    def slow_head():
        with socket.create_connection(("127.0.0.1", edge.ports["0.0.0.0:8443"]), timeout=20) as raw:
            with tls(MESH.public).wrap_socket(raw, server_hostname=HOST) as secured:
                secured.sendall(b"GET /public/a HTTP/1.1\r\nhost: ")
                return secured.recv(4096)[:12]

    def no_handshake():
        with socket.create_connection(("127.0.0.1", edge.ports["0.0.0.0:8443"]), timeout=20) as raw:
            return raw.recv(10)

    with ThreadPoolExecutor() as both:
        slow, silent = both.submit(slow_head), both.submit(no_handshake)
        assert slow.result() == b"HTTP/1.1 408" and silent.result() == b""


@contextmanager
def http2(edge):
    """A TLS connection with HTTP/2 on it: (socket, protocol)."""
    context = tls(MESH.public)
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", edge.ports["0.0.0.0:8443"]), timeout=10) as raw:
        with context.wrap_socket(raw, server_hostname=HOST) as secured:
            protocol = h2.connection.H2Connection()
            protocol.initiate_connection()
            secured.sendall(protocol.data_to_send())
            yield secured, protocol


def test_http2_connections_are_told_their_limits(edge):
    with http2(edge) as (secured, protocol):
        changed = []
        while not changed:
            received = secured.recv(65536)
            assert received, "closed before it said anything"
            changed = [event.changed_settings for event in protocol.receive_data(received)
                       if isinstance(event, h2.events.RemoteSettingsChanged)]
    codes = h2.settings.SettingCodes
    assert changed[0][codes.MAX_CONCURRENT_STREAMS].new_value == 100
    assert changed[0][codes.INITIAL_WINDOW_SIZE].new_value == 1179648


def test_who_opens_streams_only_to_reset_them_is_cut_off(edge):
    fields = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/health")]
    with http2(edge) as (secured, protocol), pytest.raises((OSError, h2.exceptions.ProtocolError)):
        for _ in range(1500):
            stream = protocol.get_next_available_stream_id()
            protocol.send_headers(stream, fields, end_stream=True)
            protocol.reset_stream(stream)
            secured.sendall(protocol.data_to_send())
        while received := secured.recv(65536):
            protocol.receive_data(received)
        raise ConnectionError("closed")
    assert "http.public.downstream_rq_too_many_premature_resets: 1" in edge.admin("/stats?filter=premature")
    assert send(edge).status == 200


def test_the_stats_listener_shows_metrics_and_readiness_and_nothing_else(edge):
    port = edge.ports["0.0.0.0:9902"]
    assert call(port, target="/ready").status == 200
    metrics = call(port, target="/stats/prometheus").body.decode()
    assert 'security_events_total{event_type="AUTH_FAILURE",service="api-gateway"}' in metrics
    for method, target in [("GET", "/"), ("GET", "/config_dump"), ("POST", "/quitquitquit"), ("POST", "/ready"),
                           ("GET", "/stats"), ("GET", "/stats/prometheus/../../config_dump"), ("GET", "/certs")]:
        assert call(port, method=method, target=target).status == 404, target
    assert edge.process.poll() is None


def test_administration_listens_on_the_loopback_only(edge):
    admin = json.loads(edge.admin("/config_dump"))["configs"][0]["bootstrap"]["admin"]
    assert admin["address"]["socket_address"]["address"] == "127.0.0.1"


def test_every_request_is_one_line_without_its_query(edge):
    answer = send(edge, target="/public/logged?access_token=secret", headers=[("user-agent", "logged")])
    identity = seen(answer)[1]["x-request-id"]
    deadline = time.monotonic() + 30
    while not (lines := [line for line in edge.lines() if line.get("request_id") == identity]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert lines[0]["path"] == "/public/logged" and lines[0]["status"] == 200
    for hidden in (";jsessionid=secret/b", "%3bjsessionid=secret", "#access_token=secret", "%3Faccess_token=secret", "%23secret"):
        send(edge, target="/public/hiding" + hidden)
    wait = lambda: [line for line in edge.lines() if line.get("path") == "-"]
    while len(wait()) < 5:
        assert time.monotonic() < deadline, edge.lines()
        time.sleep(0.02)
    assert "secret" not in edge.output.read_text()


def test_every_document_logs_paths_in_the_same_way():
    texts = {path: path.read_text() for path in ENVOY.rglob("*.yaml")}
    logged = {path.parent.name: re.findall(r'path: "(%.*)"', text) for path, text in texts.items()}
    logged = {name: formats for name, formats in logged.items() if formats}
    assert set(logged) == {"front-proxy", "sidecar", "envoy-gateway"}
    assert len({format for formats in logged.values() for format in formats}) == 1


def test_a_trapped_module_lets_nothing_pass(edge):
    assert set(find(json.loads(edge.admin("/config_dump")), "failure_policy")) == {"FAIL_RELOAD"}


def find(node, name):
    if isinstance(node, dict):
        if name in node:
            yield node[name]
        node = list(node.values())
    for entry in node if isinstance(node, list) else ():
        yield from find(entry, name)


def test_a_proxy_without_memory_sheds_load_and_still_shows_its_metrics():
    def little(bootstrap):
        heap = bootstrap["overload_manager"]["resource_monitors"][0]["typed_config"]
        assert heap["max_heap_size_bytes"] < 1 << 30
        heap["max_heap_size_bytes"] = 1

    proxy = Shipped("front-proxy", MESH, GATEWAY, {SERVICE: free_port()}, little)
    try:
        deadline = time.monotonic() + 30
        active = 'overload.envoy.overload_actions.stop_accepting_requests.active: 1'
        while active not in proxy.admin("/stats?filter=overload"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises((OSError, ssl.SSLError)):
            context = tls(MESH.public)
            raw = socket.create_connection(("127.0.0.1", proxy.ports["0.0.0.0:8443"]), timeout=2)
            context.wrap_socket(raw, server_hostname=HOST)
    finally:
        proxy.close()
