"""Forged tokens whose signatures no function of the host verifies, PS256 and EdDSA: what they may cost is bounded, and nobody
who shows something else waits for them."""

import os
from pathlib import Path

import jwt
import pytest
from harness.configuration import inline_jwks, plugin
from harness.credentials import bearer, claims, private_key
from harness.dependency import eventually
from harness.flood import PIPELINED, flood
from harness.gateway import HOST, WORKERS
from jwt.utils import base64url_encode

pytestmark = pytest.mark.alone

# What one worker verifies of them in a second, and at once after a rest.
PER_SECOND = 50
# Seconds of a core that one worker may spend on them in a second: a thirtieth as measured, and some for slower machines.
SHARE = 0.12
TOKENS, PROCESSES, CONNECTIONS = 6_000, 2, 10
# A neighbour on the machine makes a run dearer, never cheaper: of so many, the cheapest is what they cost.
RUNS = 3

ISSUERS = {"PS256": "https://partners.example.com", "EdDSA": "https://devices.example.com", "RS256": "https://hosted.example.com"}
# An RSA key for either scheme: PyJWT calls both RSA.
JWKS = {"PS256": inline_jwks(("RS256", "p1")).replace("alg: RS256", "alg: PS256"), "EdDSA": inline_jwks(("EdDSA", "d1")),
        "RS256": inline_jwks(("RS256", "r1"))}
PLUGIN = plugin(f"""
authentication:
  unverified_credentials: 1000000/s
  jwt:
    partners: {{ issuer: {ISSUERS["PS256"]}, algorithms: [PS256], jwks: {{ inline: {JWKS["PS256"]} }} }}
    devices: {{ issuer: {ISSUERS["EdDSA"]}, algorithms: [EdDSA], jwks: {{ inline: {JWKS["EdDSA"]} }} }}
    hosted: {{ issuer: {ISSUERS["RS256"]}, algorithms: [RS256], jwks: {{ inline: {JWKS["RS256"]} }} }}
events: {{ sample: 10/s }}
intrusion: {{ mode: "off" }}
routes: [{{ match: {{ path: "/direct/**" }} }}]
""")


def good(algorithm, **changes):
    made = claims(iss=ISSUERS[algorithm], aud=None, user_id=None, sub="7", **changes)
    return jwt.encode(made, private_key("RS256" if algorithm == "PS256" else algorithm), algorithm)


def forged(algorithm, number, says=None):
    """Another claim under the signature of a good token: as dear to refuse as a good one is to accept."""
    head, _, signature = good(algorithm).split(".")
    if says is not None:
        head = base64url_encode(b'{"alg":"%s"}' % says.encode()).decode()
    made = str(claims(iss=ISSUERS[algorithm], aud=None, jti=str(number))).replace("'", '"').replace("True", "true")
    return f"{head}.{base64url_encode(made.encode()).decode()}.{signature}"


def cpu(gateway):
    """Seconds of CPU time that Envoy has used."""
    fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send(gateway, tokens):
    """Sends each once; gives what was answered, how long it took, and the CPU time."""
    share = len(tokens) // PROCESSES // CONNECTIONS
    line = "GET /direct/1 HTTP/1.1\r\nhost: %s\r\nauthorization: Bearer %s\r\n\r\n"

    def blocks(process):
        for connection in range(CONNECTIONS):
            first = (process * CONNECTIONS + connection) * share
            own = [(line % (HOST, token)).encode() for token in tokens[first:first + share]]
            yield [(b"".join(own[at:at + PIPELINED]), PIPELINED) for at in range(0, share, PIPELINED)]

    before = cpu(gateway)
    counts, seconds = flood(gateway.port, lambda process: list(blocks(process)), PROCESSES)
    return counts, seconds, cpu(gateway) - before


@pytest.mark.parametrize("algorithm", ["PS256", "EdDSA"])
def test_forged_tokens_stay_within_their_budget_and_keep_nobody_else_out(gateway, algorithm):
    hosted = bearer(good("RS256"))
    assert gateway.get("/direct/1", [hosted]).status == 200
    # The same requests, refused before there is anything to verify.
    template = forged(algorithm, 0, says="ES384").split(".")
    dismissed = [".".join([template[0], forged(algorithm, n).split(".")[1], template[2]]) for n in range(TOKENS)]
    head, _, signature = forged(algorithm, 0).split(".")
    shown = [".".join([head, token.split(".")[1], signature]) for token in dismissed]
    without, over = [], []
    for _ in range(RUNS):
        counts, _, spent = send(gateway, dismissed)
        assert counts == {401: TOKENS}, counts
        without.append(spent)
        counts, seconds, spent = send(gateway, shown)
        print(f"{algorithm}: {counts} in {seconds:.1f} s, {spent:.2f} s of CPU time, {without[-1]:.2f} s without verification")
        assert set(counts) == {401, 429} and sum(counts.values()) == TOKENS
        assert counts[401] <= WORKERS * PER_SECOND * (seconds + 1)
        over.append(spent - WORKERS * SHARE * (seconds + 1))
    assert min(over) < min(without)

    # Whoever has spent nothing of it: a token that the host verifies, one that was seen to be good, a shared secret.
    for other in (hosted, bearer(good("RS256", jti="new")), bearer()):
        assert gateway.get("/direct/1", [other]).status == 200
    answer = next(a for a in (gateway.get("/direct/1", [bearer(forged(algorithm, -n))]) for n in range(1, 400)) if a.status == 429)
    assert answer.header("retry-after") == "1"
    assert eventually(lambda: gateway.get("/direct/1", [bearer(good(algorithm, jti="later"))]).status == 200)
