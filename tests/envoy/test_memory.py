"""A flood from a million addresses: memory stays what it was, and nobody's count is forgotten."""

import os
import struct
from socket import inet_ntoa

import pytest
from harness.configuration import plugin
from harness.expect import refused
from harness.flood import PIPELINED, flood

pytestmark = pytest.mark.alone

REQUESTS = int(os.environ.get("FLOOD_REQUESTS", "1000000"))
SLACK = 24 << 20
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


def blocks(process, start, requests):
    """Connections that send `requests` requests together, each from an address of its own."""
    share = requests // PROCESSES // CONNECTIONS
    def connection(first):
        line = b"GET /direct/1 HTTP/1.1\r\nhost: a\r\nx-forwarded-for: %s\r\n\r\n"
        for n in range(first, first + share, PIPELINED):
            yield b"".join([line % address(start + m) for m in range(n, n + PIPELINED)]), PIPELINED
    return [connection((process * CONNECTIONS + c) * share) for c in range(CONNECTIONS)]


def send(gateway, start, requests):
    counts, seconds = flood(gateway.port, lambda process: blocks(process, start, requests), PROCESSES)
    assert set(counts) <= {200, 429}, counts
    return counts, seconds


def test_a_million_addresses_cost_no_memory_and_free_nobody(gateway):
    exhausted = [("x-forwarded-for", EXHAUSTED)]
    assert [gateway.get("/direct/1", exhausted).status for _ in range(7)] == [200] * 5 + [429] * 2
    # Buffers, connections and the table itself are in use before the first look.
    first = min(REQUESTS // 2, 100_000)
    send(gateway, 1, first)
    before = gateway.rss()
    counts, seconds = send(gateway, 1 + first, REQUESTS - first)
    grown = gateway.rss() - before
    print(f"{sum(counts.values())} requests in {seconds:.1f} s, {dict(counts)}, memory {grown / 2**20:+.1f} MiB")
    assert grown < SLACK
    refused(gateway.get("/direct/1", exhausted), 429)
    degraded = [event for event in gateway.logged_events() if event["event_type"] == "DEGRADED"]
    assert degraded, "a full table says so"
