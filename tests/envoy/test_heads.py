"""Heads that lie or are broken: forged addresses and identities, bytes that are not text, ambiguous fields."""

import pytest
from harness import client
from harness.configuration import PROXIES, plugin
from harness.credentials import bearer, service_headers
from harness.expect import passed, refused
from harness.gateway import own_addresses

PLUGIN = plugin("""
client_ip: { trusted_proxies: [%s, 10.0.0.0/8] }
authentication:
  jwt: { users: { claim_to_headers: { x-user-email: email }, payload_header: x-jwt-payload } }
limits: { per_address: { key: [client_ip], rate: 3/h } }
routes:
  - match: { path: "/limited/**" }
    authenticate: none
    limits: [per_address]
  - match: { path: "/open/**" }
    authenticate: none
  - match: { path: "/**" }
""" % ", ".join(PROXIES))

DIRECT = plugin("""
client_ip: { trusted_proxies: [] }
limits: { per_address: { key: [client_ip], rate: 3/h } }
routes:
  - match: { path: "/limited/**" }
    authenticate: none
    limits: [per_address]
  - match: { path: "/**" }
""")

# What frameworks take for the method, or for the host, of the request.
METHODS = ["x-http-method-override", "x-http-method", "x-method-override", "x-original-method", "x-forwarded-method"]
HOSTS = ["forwarded", "x-forwarded-host", "x-forwarded-prefix", "x-original-host", "x-host"]

# What services take for the address of the client.
CLIENTS = ["x-real-ip", "client-ip", "true-client-ip", "cf-connecting-ip", "x-client-ip"]

# Of what the first one says Gunicorn takes the beginning off the path.
PATHS = ["SCRIPT_NAME", "x-script-name", "path-info", "x-original-url", "x-rewrite-url"]

IDENTITY = ["x-auth-subject", "x-auth-roles", "x-auth-method", "x-auth-peer", "x-user-email", "x-jwt-payload",
            "x-client-cert", "x-forwarded-client-cert"]

# What is decided on in a head, and what some servers would take out of trailers all the same.
HEAD_ONLY = ["authorization", "cookie", "content-type", "origin", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"]


def spellings(name):
    return [name, name.upper(), name.title(), name.replace("-", "_"), name.replace("-", "_").upper(),
            name.replace("-", "_", 1), name.replace("-", ".")]


def folded(name):
    return name.lower().replace(b"_", b"-").replace(b".", b"-")


@pytest.mark.parametrize("target", ["/open/1", "/things/1"])
@pytest.mark.parametrize("name", IDENTITY)
def test_a_forged_identity_header_reaches_the_upstream_in_no_spelling(gateway, target, name):
    forged = [(spelling, "forged-by-the-client") for spelling in spellings(name)]
    seen = passed(gateway.get(target, [bearer(), *forged]))
    assert not [field for field in seen.headers if b"forged-by-the-client" in field[1]]
    assert len([key for key in seen.names() if folded(key) == name.encode()]) <= 1
    seen = passed(gateway.send2("GET", target, [bearer(), *((key.lower(), value) for key, value in forged)]))
    assert not [field for field in seen.headers if b"forged-by-the-client" in field[1]]


@pytest.mark.parametrize("names", [IDENTITY, HEAD_ONLY], ids=["identity", "head only"])
def test_a_trailer_that_says_what_only_a_head_may_does_not_reach_the_upstream(gateway, names):
    forged = [(spelling, "forged-by-the-client") for name in names for spelling in spellings(name)]
    trailers = [("x-checksum", "1"), *forged]
    fields = [("host", "api.example.com"), bearer(), ("content-type", "text/plain"),
              ("transfer-encoding", "chunked"), ("x-marker", "trailers-1")]
    raw = client.head("POST", "/things/1", fields) + b"2\r\nhi\r\n0\r\n"
    raw += b"".join(b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in trailers) + b"\r\n"
    answer = client.http1(gateway.port, raw, "POST")
    assert answer.status == 200
    seen = gateway.upstream.by_marker[b"trailers-1"]
    assert seen.body == b"hi"
    assert [key.lower() for key, _ in seen.trailers] == [b"x-checksum"]
    answer = gateway.send2("POST", "/things/1", [bearer(), ("content-type", "text/plain")], [b"hi"],
                           [(name.lower(), value) for name, value in trailers])
    assert passed(answer).body == b"hi"
    assert [key.lower() for key, _ in answer.upstream.trailers] == [b"x-checksum"]


ADDRESSES = [
    ([], None),
    (["203.0.113.1"], "203.0.113.1"),
    (["6.6.6.6, 203.0.113.2"], "203.0.113.2"),
    (["6.6.6.6", "203.0.113.3"], "203.0.113.3"),
    (["6.6.6.6, 203.0.113.4, 10.0.0.1"], "203.0.113.4"),
    (["6.6.6.6, 203.0.113.5, 10.0.0.1, 10.0.0.2"], "203.0.113.5"),
    (["2001:db8::1"], "2001:db8::1"),
    (["[2001:db8::2]:443"], "2001:db8::2"),
    (["203.0.113.6:1234"], "203.0.113.6"),
    (["203.0.113.7, garbage"], None),
    (["203.0.113.8, , 10.0.0.1"], "203.0.113.8"),
]


@pytest.mark.parametrize(("forwarded", "address"), ADDRESSES, ids=str)
def test_the_address_is_what_trusted_proxies_vouch_for(gateway, forwarded, address):
    answer = gateway.get("/things/1", [("x-forwarded-for", value) for value in forwarded])
    refused(answer, 401)
    assert gateway.event(answer)["details"]["ip_address"] in ([address] if address else own_addresses())


def test_a_client_that_forges_its_address_does_not_escape_its_limit(gateway):
    def send(n):
        return gateway.get("/limited/1", [("x-forwarded-for", f"198.51.100.{n}, 203.0.113.77, 10.0.0.1")]).status

    assert [send(n) for n in range(5)] == [200, 200, 200, 429, 429]


def test_without_trusted_proxies_the_peer_is_the_client_whatever_it_says(start):
    gateway = start(DIRECT)
    answer = gateway.get("/things/1", [("x-forwarded-for", "10.9.9.9")])
    refused(answer, 401)
    assert gateway.event(answer)["details"]["ip_address"] == "127.0.0.1"
    statuses = [gateway.get("/limited/1", [("x-forwarded-for", f"198.51.100.{n}")]).status for n in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


def test_no_client_names_another_host_path_method_or_client_than_the_one_that_was_decided_on(gateway, start):
    for name in PATHS:
        forged = [(spelling, "/open") for spelling in spellings(name)]
        seen = passed(gateway.get("/open/things/1", forged))
        assert not [field for field in seen.headers if field[1] == b"/open"]
    for name in METHODS:
        assert passed(gateway.get("/open/1", [(name, "DELETE")])).all(name) == []
    direct = start(DIRECT)
    for name in [*HOSTS, *CLIENTS]:
        forged = [(spelling, "admin.example.com") for spelling in spellings(name)]
        seen = passed(direct.get("/things/1", [bearer(), *forged]))
        assert not [field for field in seen.headers if b"admin.example.com" in field[1]]
        # The tests come by as a trusted proxy.
        assert passed(gateway.get("/open/1", [(name, "app.example.com")])).header(name) == "app.example.com"


def test_what_was_decided_by_a_header_is_said_in_no_other_spelling(gateway):
    names = ["content-length", "x-forwarded-for", "x-forwarded-proto", "x-request-id"]
    forged = [(spelling, "7") for name in names for spelling in spellings(name) if "-" not in spelling]
    seen = passed(gateway.post("/open/1", b"hi", "text/plain", forged))
    assert seen.body == b"hi"
    assert not [field for field in seen.headers if b"_" in field[0] or b"." in field[0]]


BROKEN = [
    ("user-agent", b"\xff\xfe\xfd"), ("x-anything", b"\xc3\x28"), ("cookie", b"access_token=\xff; \xff=1"),
    ("authorization", b"\xff\xff"), ("authorization", b"Bearer \xff"), ("x-forwarded-for", b"\xff"),
    ("origin", b"\xff"), ("content-type", b"application/json; charset=\xff"), ("x-service-name", b"\xff"),
    ("x-auth-subject", b"\xff"), ("accept", b"\x80" * 4000), ("x-forwarded-proto", b"\xff"), ("referer", b"\xff/%"),
    ("x-request-id", b"\xff"), ("x-user-email", b"\xed\xa0\x80"),
]


@pytest.mark.parametrize("header", BROKEN, ids=str)
def test_bytes_that_are_not_text_are_refused_or_passed_on_but_break_nothing(gateway, header):
    for method, target, body in (("GET", "/open/1", b""), ("GET", "/things/1", b""), ("POST", "/open/1", b"{}")):
        answer = gateway.send(method, target, [header], body)
        assert answer.status in (200, 400, 401, 403, 415), answer.status
        answer = gateway.send2(method, target, [header], [body] if body else [])
        assert answer.status in (0, 200, 400, 401, 403, 415), answer.status
    passed(gateway.get("/things/1", [bearer()]))
    assert not gateway.trapped()


def test_broken_service_headers_break_nothing(gateway):
    for at in range(4):
        headers = service_headers()
        headers[at] = (headers[at][0], b"\xff\x80")
        assert gateway.get("/things/1", headers).status == 401
    assert not gateway.trapped()


@pytest.mark.parametrize("value", [" Bearer forged", "\tBearer forged", "Bearer forged ", "Bearer forged\t"])
def test_a_value_that_http1_would_trim_is_refused_over_http2(gateway, value):
    for target in ("/open/1", "/things/1"):
        answer = gateway.send2("GET", target, [("authorization", value)])
        refused(answer, 400)
        assert gateway.event(answer)["details"]["reason"] == "header_padded"
    # HTTP/1 has no such values: Envoy trims them.
    refused(gateway.get("/things/1", [("authorization", value)]), 401)


@pytest.mark.parametrize("method", ["get", "Get", "delete"])
def test_a_method_in_another_case_is_refused_over_http2(gateway, method):
    answer = gateway.send2(method, "/open/1")
    refused(answer, 400)
    assert gateway.event(answer)["details"]["reason"] == "method_malformed"


def test_two_hosts_are_refused(gateway):
    answer = gateway.get("/open/1", [("host", "admin.example.com")])
    assert answer.status == 400
    assert answer.upstream is None


def test_many_and_long_headers_break_nothing(gateway):
    many = [(f"x-h{n}", "v" * 100) for n in range(90)]
    assert gateway.get("/open/1", many).status == 200
    assert gateway.get("/open/1", [("user-agent", "a" * 50_000)]).status in (200, 403, 431)
    passed(gateway.get("/open/1"))
