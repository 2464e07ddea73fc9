"""Floods of distinct addresses, IPv4 and IPv6: memory stays what it was, nobody's count is forgotten, no block is lifted,
and strangers are served."""

import os
import struct
from socket import AF_INET6, inet_ntoa, inet_ntop

import pytest
from harness.configuration import merged, plugin
from harness.credentials import bearer
from harness.expect import passed, refused
from harness.flood import PIPELINED, flood

pytestmark = pytest.mark.alone

REQUESTS = int(os.environ.get("FLOOD_REQUESTS", "1000000"))
# What leaks grows in every part of a flood; what allocators keep grows in some.
PARTS = 3
SLACK = 2 << 20
FILLED = 64 << 20
EXHAUSTED = "203.0.113.77"

PLUGIN = plugin("""
limits: { per_address: { key: [client_ip], rate: 5/h } }
tables: { addresses: 65536, limits: 4096 }
events: { sample: 10/s }
inspection: { mode: "off" }
headers: { security: "off", rate_limit: "off" }
routes:
  - match: { path: "/direct/**" }
    authenticate: none
    limits: [per_address]
""")

PROCESSES, CONNECTIONS = 2, 48
MULTIPLIER = 2_654_435_761  # odd, so that n -> n * MULTIPLIER mod 2^32 never repeats


def address(n):
    return inet_ntoa(struct.pack("!I", n * MULTIPLIER & 0xFFFF_FFFF)).encode()


def network(n):
    """A client of a /64 of its own."""
    return inet_ntop(AF_INET6, struct.pack("!QQ", 0x2400 << 48 | n * MULTIPLIER & 0xFFFF_FFFF_FFFF, n)).encode()


def either(n):
    return address(n) if n % 2 else network(n)


def blocks(process, start, requests, address=address):
    """Connections that send `requests` requests together, each from an address of its own."""
    share = requests // PROCESSES // CONNECTIONS
    def connection(first):
        line = b"GET /direct/1 HTTP/1.1\r\nhost: a\r\nx-forwarded-for: %s\r\n\r\n"
        for n in range(first, first + share, PIPELINED):
            yield b"".join([line % address(start + m) for m in range(n, n + PIPELINED)]), PIPELINED
    return [connection((process * CONNECTIONS + c) * share) for c in range(CONNECTIONS)]


def send(gateway, start, requests, address=address):
    counts, seconds = flood(gateway.port, lambda process: blocks(process, start, requests, address), PROCESSES)
    assert set(counts) <= {200, 429}, counts
    return counts, seconds


def growth(gateway, start, requests, address=address):
    """Bytes by which Envoy's resident memory grew during a part of a flood."""
    before = gateway.rss()
    counts, seconds = send(gateway, start, requests, address)
    grown = gateway.rss() - before
    print(f"{sum(counts.values())} requests in {seconds:.1f} s, {dict(counts)}, memory {grown / 2**20:+.1f} MiB")
    return grown


def test_a_million_addresses_cost_no_memory_and_free_nobody(gateway):
    exhausted = [("x-forwarded-for", EXHAUSTED)]
    assert [gateway.get("/direct/1", exhausted).status for _ in range(7)] == [200] * 5 + [429] * 2
    # Each address of the first part may still take a counter of its own; then the table is full.
    grown = [growth(gateway, 1, REQUESTS * 7 // 10)]
    assert grown[0] < FILLED
    for part in range(PARTS):
        grown.append(growth(gateway, 1 + REQUESTS * (7 + part) // 10, REQUESTS // 10))
    assert min(grown[1:]) < SLACK
    refused(gateway.get("/direct/1", exhausted), 429)
    degraded = [event for event in gateway.logged_events() if event["event_type"] == "DEGRADED"]
    assert degraded, "a full table says so"


# The limit of public routes, blocks, and tables that a shorter flood fills.
MIXED = merged(PLUGIN, {
    "limits": {"per_address": {"rate": "100/15m"}},
    "tables": {"addresses": 4096},
    "intrusion": {"failures": 5, "within": "1h", "block_for": "1h"},
})
FORGED = bearer(key="another-secret-that-is-long-enough-for-hs256")
CLIENTS = {"IPv4": "203.0.113.%d", "IPv6": "2001:db8:0:%x::1"}
STRANGERS = 20


def client(kind, number):
    return ("x-forwarded-for", CLIENTS[kind] % number)


@pytest.fixture(scope="module")
def flooded(start):
    """A gateway after a flood of both kinds, with an exhausted and a blocked client of each kind from before."""
    routes = [{"match": {"path": "/token"}}, *MIXED["routes"]]
    gateway = start({**MIXED, "routes": routes})
    for kind in CLIENTS:
        statuses = [gateway.get("/direct/1", [client(kind, 1)]).status for _ in range(102)]
        assert statuses == [200] * 100 + [429] * 2
        assert [gateway.get("/token", [client(kind, 2), FORGED]).status for _ in range(6)] == [401] * 5 + [403]
    send(gateway, 1, REQUESTS // 20, either)
    share = REQUESTS // 10 // PARTS
    starts = range(1 + REQUESTS // 20, 1 + REQUESTS // 20 + PARTS * share, share)
    return gateway, [growth(gateway, start, share, either) for start in starts]


def test_a_flood_of_both_kinds_costs_no_memory(flooded):
    assert min(flooded[1]) < SLACK
    assert [event for event in flooded[0].logged_events() if event["event_type"] == "DEGRADED"], "a full table says so"


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_flood_of_both_kinds_frees_no_victim_and_shuts_out_no_stranger(flooded, kind):
    gateway, _ = flooded
    refused(gateway.get("/direct/1", [client(kind, 1)]), 429)
    refused(gateway.get("/direct/1", [client(kind, 2)]), 403)
    for number in range(10, 10 + STRANGERS):
        assert gateway.get("/direct/1", [client(kind, number)]).status == 200
    passed(gateway.get("/token", [client(kind, 3), bearer()]))
