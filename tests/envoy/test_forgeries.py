"""Forged tokens: the published tricks on JWT libraries in one table, each refused, each beside a good token it differs from.

The tricks are those of RFC 8725 and of the attacks that libraries have had to answer for. Where only the spelling is wrong,
the signature is right: the token is refused for the spelling.
"""

import hashlib
import hmac
import json
import time
import zlib

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from harness.configuration import inline_jwks, plugin
from harness.credentials import ISSUER, SECRET, bearer, claims, jwk, private_key, token
from harness.dependency import Said, eventually
from harness.expect import passed, refused, unauthenticated
from jwt.utils import base64url_decode, base64url_encode

PARTNERS, DEVICES, MEMBERS = "https://partners.example.com", "https://devices.example.com", "https://members.example.com"
PLUGIN = plugin(f"""
authentication:
  jwt:
    partners:
      issuer: {PARTNERS}
      algorithms: [RS256, ES256]
      jwks: {{ inline: {inline_jwks(("RS256", "r1"), ("ES256", "e1"))} }}
      claims: {{ subject: sub }}
    devices:
      issuer: {DEVICES}
      algorithms: [EdDSA]
      jwks: {{ inline: {inline_jwks(("EdDSA", "d1"))} }}
    members:
      issuer: {MEMBERS}
      algorithms: [HS256]
      keys: [{{ secret: jwt_secret }}]
      claims: {{ subject: sub }}
      account: {{ cluster: accounts, uri: "http://accounts/{{subject}}" }}
limits: {{ each: {{ key: [subject], rate: 2/h }} }}
routes:
  - match: {{ path: "/admin/**" }}
    allow: [{{ roles: [admin] }}]
  - match: {{ path: "/owned/{{id}}" }}
    allow: [{{ owner: {{ path: id, claim: user_id }} }}]
  - match: {{ path: "/limited/**" }}
    limits: [each]
  - match: {{ path: "/**" }}
""")
# Order of the group of P-256.
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def encoded(part):
    part = part if isinstance(part, (bytes, str)) else json.dumps(part)
    return base64url_encode(part.encode() if isinstance(part, str) else part)


def hs256(secret):
    secret = secret.encode() if isinstance(secret, str) else secret
    return lambda signed: hmac.new(secret, signed, hashlib.sha256).digest()


def rs256(key):
    return lambda signed: key.sign(signed, padding.PKCS1v15(), hashes.SHA256())


def es256(key, digest=hashes.SHA256):
    """The two numbers in as many bytes as the key's own curve takes."""
    size = (key.curve.key_size + 7) // 8

    def sign(signed):
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(digest())))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return sign


def jws(header, payload, sign):
    """A compact JWS; header and payload may be text or bytes that are no JSON at all."""
    signed = encoded(header) + b"." + encoded(payload)
    return spelt(signed, sign)


def spelt(signed, sign):
    """The same for parts that are encoded already."""
    return (signed + b"." + base64url_encode(sign(signed))).decode()


def ours(header=None, payload=None, sign=hs256(SECRET), **changes):
    """A token of `users`."""
    return jws({"alg": "HS256", "typ": "JWT"} if header is None else header,
               claims(**changes) if payload is None else payload, sign)


def theirs(header=None, sign=None, algorithm="ES256", **changes):
    """A token of `partners`."""
    made = {"sub": "p-7", "iss": PARTNERS, "aud": None, "user_id": None} | changes
    header = {"alg": algorithm, "kid": "e1" if algorithm == "ES256" else "r1"} if header is None else header
    sign = sign or (es256 if algorithm == "ES256" else rs256)(private_key(algorithm))
    return jws(header, claims(**made), sign)


def unsigned():
    good = ours().rpartition(".")[2]
    for name in ["none", "None", "NONE", "nOnE", "none ", "", "HS256\0", "hs256"]:
        head = encoded({"alg": name, "typ": "JWT"}) + b"." + encoded(claims())
        for signature in [b"AAAA", good.encode()]:
            yield f"{name!r} with {signature[:4]!r}", "unsupported_algorithm", head + b"." + signature
        yield f"{name!r} without a signature", "malformed", head + b"."
        yield f"{name!r} in two parts", "malformed", head
    for name in [None, 0, ["HS256"], {"HS256": 1}]:
        yield f"{name!r}", "malformed", ours({"alg": name})
    yield "no alg", "malformed", ours({"typ": "JWT"})
    yield "good, then without its signature", "malformed", ours().rpartition(".")[0] + "."


def confused():
    public = private_key("RS256").public_key()
    made = jwk("RS256", "r1")
    secrets = {
        "PEM": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "PEM without its last newline": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        "PKCS #1 PEM": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "PKCS #1 DER": public.public_bytes(Encoding.DER, PublicFormat.PKCS1),
        "JWK": json.dumps(made).encode(),
        "modulus": base64url_decode(made["n"]),
        "EC point": private_key("ES256").public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        "nothing": b"",
    }
    for name, secret in secrets.items():
        for kid in ["r1", "e1"]:
            yield f"{name} as secret, {kid}", "unsupported_algorithm", theirs({"alg": "HS256", "kid": kid}, hs256(secret))
        yield f"{name} as secret, said to be of users", "bad_signature", ours({"alg": "HS256", "kid": "r1"}, sign=hs256(secret))
    for algorithm in ["HS384", "HS512", "PS256", "EdDSA", "ES384"]:
        yield f"{algorithm} for RS256", "unsupported_algorithm", theirs({"alg": algorithm, "kid": "r1"}, rs256(private_key("RS256")))
    yield "RS256 by the key for ES256", "unknown_key", theirs({"alg": "RS256", "kid": "e1"}, es256(private_key("ES256")))
    yield "ES256 by the key for RS256", "unknown_key", theirs({"alg": "ES256", "kid": "r1"}, rs256(private_key("RS256")))
    yield "RS256 for HS256", "unsupported_algorithm", ours({"alg": "RS256", "kid": "r1"}, sign=rs256(private_key("RS256")))


def named():
    tricks = ["../../../../dev/null", "/dev/null", "e1\0", "E1", "e1 ", "e1' OR '1'='1", "' UNION SELECT 'x", "e1;ls", "${jndi:x}",
              "https://evil.example.com/keys", "*", "d1", "r9", "e" * 4000, ""]
    for kid in tricks:
        yield f"kid {kid[:32]!r}", "unknown_key", theirs({"alg": "ES256", "kid": kid})
    for kid in [["e1"], {"e1": "e1"}, 1, None, True]:
        yield f"kid {kid!r}", "malformed", theirs({"alg": "ES256", "kid": kid})
    for kid in ["/dev/null", "../../../../dev/null", ""]:
        yield f"kid {kid!r} and an empty secret", "bad_signature", ours({"alg": "HS256", "kid": kid}, sign=hs256(b""))


def doubled():
    now = int(time.time())
    rest = json.dumps(claims())[1:]
    for first in ['"user_id": "1"', '"roles": ["admin"]', f'"exp": {now + 800}', f'"iss": "{PARTNERS}"', '"aud": "x"',
                  '"type": "access"', r'"user\u005fid": "1"', r'"\u0072oles": ["admin"]']:
        yield f"claims {first[:12]} twice", "malformed", ours(payload="{" + first + ", " + rest)
    for header in ['{"alg": "none", "alg": "HS256"}', '{"alg": "HS256", "alg": "none"}', '{"alg": "HS256", "alg": "HS256"}',
                   r'{"alg": "HS256", "\u0061lg": "none"}', '{"alg": "HS256", "kid": "a", "kid": "b"}']:
        yield header, "malformed", ours(header)


def outsized():
    deep = "[" * 2000 + "]" * 2000
    yield "17 KB of claims", "malformed", ours(note="x" * 13_000)
    yield "17 KB of header", "malformed", ours({"alg": "HS256", "note": "x" * 13_000})
    yield "50 KB of signature", "malformed", ours().rpartition(".")[0] + "." + "A" * 50_000
    yield "deep claims", "malformed", ours(payload='{"a": ' + deep + ", " + json.dumps(claims())[1:])
    yield "deep header", "malformed", ours('{"alg": "HS256", "a": ' + deep + "}")
    yield "deep unclosed claims", "malformed", ours(payload='{"a":' * 2000)


def no_claims():
    good = json.dumps(claims())
    texts = ["[]", '""', "null", "1", "", "{", good + good, good + "x", "\ufeff" + good, good.replace('"', "'"), "/**/" + good,
             good[:-1] + ",}", good[:-1] + ', "x": NaN}', good[:-1] + ', "x": 01}', good[:-1] + ', "x": "\t"}',
             f"[{good}]", json.dumps(good)]
    for text in texts:
        yield f"payload {text[:12]!r} ... {text[-8:]!r}", "malformed", ours(payload=text)
    yield "payload that is not UTF-8", "malformed", ours(payload=good[:-1].encode() + b', "x": "\xff"}')
    yield "payload in UTF-16", "malformed", ours(payload=good.encode("utf-16"))
    yield "payload compressed", "malformed", ours(payload=zlib.compress(good.encode()))
    for value in ["9999999999", [int(time.time()) + 60], {"a": 1}, True, "inf"]:
        yield f"exp {value!r}", "malformed", ours(exp=value)
    yield "exp null", "malformed", ours(payload=json.dumps(claims() | {"exp": None}))
    for text in ["1e999", "-1e999", "NaN", "-1"]:
        yield f"exp {text}", ("malformed", "expired", "too_long_lived"), ours(
            payload=json.dumps(claims(exp=None))[:-1] + f', "exp": {text}}}')


def signed_elsewhere():
    """ECDSA and RSA signatures of other keys, curves and numbers. (r, n - s) is missing: whoever has a good signature can
    make it, JWS allows it, and it says nothing but the good one."""
    good = es256(private_key("ES256"))
    for curve, digest in [(ec.SECP256K1, hashes.SHA256), (ec.SECP384R1, hashes.SHA256), (ec.SECP384R1, hashes.SHA384),
                          (ec.SECP521R1, hashes.SHA512), (ec.SECP256R1, hashes.SHA256)]:
        key = ec.generate_private_key(curve())
        yield f"{curve.name} with {digest.name}", "bad_signature", theirs(sign=es256(key, digest))
    yield "ES256 over SHA-384", "bad_signature", theirs(sign=es256(private_key("ES256"), hashes.SHA384))
    word = lambda number: (number % (1 << 256)).to_bytes(32, "big")
    numbers = {
        "0, 0": (0, 0), "0, 1": (0, 1), "1, 0": (1, 0), "1, 1": (1, 1), "n, n": (N, N), "n, 1": (N, 1), "1, n": (1, N),
        "n + 1, 1": (N + 1, 1), "-1, -1": (-1, -1), "-1, 1": (-1, 1), "the greatest": ((1 << 256) - 1, (1 << 256) - 1),
        "n - 1, n - 1": (N - 1, N - 1),
    }
    for name, (r, s) in numbers.items():
        yield f"r, s = {name}", "bad_signature", theirs(sign=lambda _, r=r, s=s: word(r) + word(s))
    changes = {
        "r alone": lambda made: made[:32] + bytes(32), "s alone": lambda made: bytes(32) + made[32:],
        "swapped": lambda made: made[32:] + made[:32], "short": lambda made: made[:-1], "long": lambda made: made + b"\0",
        "long at the front": lambda made: b"\0" + made, "half": lambda made: made[:32], "twice": lambda made: made + made,
        "of 66 bytes": lambda made: b"\0" + made[:32] + b"\0" + made[32:],
        "-r": lambda made: word(N - int.from_bytes(made[:32], "big")) + made[32:],
    }
    for name, change in changes.items():
        yield f"ES256 {name}", "bad_signature", theirs(sign=lambda signed, change=change: change(good(signed)))
    yield "ES256 as DER", "bad_signature", theirs(sign=lambda signed: private_key("ES256").sign(signed, ec.ECDSA(hashes.SHA256())))
    yield "DER of zeros", "bad_signature", theirs(sign=lambda _: bytes.fromhex("3006020100020100"))
    yield "DER of a negative number", "bad_signature", theirs(sign=lambda _: bytes.fromhex("30060201ff0201ff"))

    key, other = private_key("RS256"), rsa.generate_private_key(public_exponent=65537, key_size=2048)
    modulus = key.public_key().public_numbers().n
    for name, number in {"0": 0, "1": 1, "n": modulus, "n - 1": modulus - 1, "n + 1": modulus + 1}.items():
        yield f"RS256 of {name}", "bad_signature", theirs(algorithm="RS256", sign=lambda _, number=number: number.to_bytes(256, "big"))
    yield "RS256 of another key", "bad_signature", theirs(algorithm="RS256", sign=rs256(other))
    yield "RS256 over SHA-1", "bad_signature", theirs(algorithm="RS256", sign=lambda signed: key.sign(
        signed, padding.PKCS1v15(), hashes.SHA1()))
    yield "RS256 padded as PS256", "bad_signature", theirs(algorithm="RS256", sign=lambda signed: key.sign(
        signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()))
    yield "RS256 with a zero before", "bad_signature", theirs(algorithm="RS256", sign=lambda signed: b"\0" + rs256(key)(signed))
    yield "RS256 short", "bad_signature", theirs(algorithm="RS256", sign=lambda signed: rs256(key)(signed)[:-1])
    yield "HS256 short", "bad_signature", ours(sign=lambda signed: hs256(SECRET)(signed)[:16])
    yield "HS256 long", "bad_signature", ours(sign=lambda signed: hs256(SECRET)(signed) + b"\0")
    yield "HS256 in hexadecimal", "bad_signature", ours(sign=lambda signed: hs256(SECRET)(signed).hex().encode())
    for secret in ["", "secret", SECRET[:-1], SECRET + "\n", SECRET + "\0", SECRET.upper(), "null", "undefined", "jwt_secret"]:
        yield f"HS256 by {secret[:10]!r} ... {secret[-3:]!r}", "bad_signature", ours(sign=hs256(secret))


def misspelt():
    """Texts that a lenient decoder reads as a good token. What is signed is the text itself."""
    head, body = encoded({"alg": "HS256", "typ": "JWT"}), encoded(claims())
    sign = hs256(SECRET)
    # One byte more or less until there are bits to spare in the last character.
    loose = next(made for made in (encoded({"alg": "HS256", "n": "x" * n}) for n in range(3)) if len(made) % 4 == 2)
    slack = next(made for made in (encoded(claims(n="x" * n)) for n in range(3)) if len(made) % 4 == 2)
    stray = lambda part: part[:-1] + bytes([part[-1] + 1])
    padded = lambda part: part + b"=" * (-len(part) % 4)
    standard = lambda part: part.replace(b"-", b"+").replace(b"_", b"/")
    odd = encoded(claims(name="\xff\xfe?>~" * 6, nick="ÿÿÿÿ>>>???"))
    yield "stray bits in the header", "malformed", spelt(stray(loose) + b"." + body, sign)
    yield "stray bits in the payload", "malformed", spelt(head + b"." + stray(slack), sign)
    good = ours()
    last = good[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    yield "stray bits in the signature", "malformed", good[:-1] + alphabet[alphabet.index(last) + 1]
    yield "padded header", "malformed", spelt(padded(loose) + b"." + body, sign)
    yield "padded payload", "malformed", spelt(head + b"." + padded(slack), sign)
    yield "padded signature", "malformed", good + "="
    yield "padding alone", "malformed", good.rpartition(".")[0] + ".===="
    assert standard(odd) != odd
    yield "the standard alphabet", "malformed", spelt(head + b"." + standard(odd), sign)
    for between in [" ", "\t", "%0a", "\\n", "\u00a0", "\u200b"]:
        yield f"{between!r} in the payload", "malformed", spelt(head + b"." + body[:8] + between.encode() + body[8:], sign)
        yield f"{between!r} after a dot", "malformed", good.replace(".", "." + between, 1)
    for dot in ["%2e", "%2E", "..", "。", "．", "\u00b7"]:
        yield f"{dot!r} for a dot", "malformed", good.replace(".", dot)
    for more in [".", ".x", "..", "." + good.rpartition(".")[2]]:
        yield f"{more[:4]!r} behind", "malformed", good + more
        yield f"{more[:4]!r} before", "malformed", more + "." + good
    for empty in range(3):
        yield f"part {empty} empty", "malformed", ".".join("" if at == empty else part for at, part in enumerate(good.split(".")))


def other_forms():
    head, body, signature = ours().split(".")
    flat = {"payload": body, "protected": head, "signature": signature}
    general = {"payload": body, "signatures": [{"protected": head, "signature": signature}]}
    # A comma in a credential is how two of them are merged.
    for name, form in {"flattened": flat, "general": general}.items():
        yield f"{name} JSON", "ambiguous", json.dumps(form)
        yield f"{name} JSON without a comma", "malformed", encoded(form).decode()
    yield "protected header alone", "malformed", json.dumps({"protected": head})
    yield "JWE", "malformed", f"{encoded({'alg': 'dir', 'enc': 'A256GCM'}).decode()}..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA"
    yield "nested", "malformed", ours({"alg": "HS256", "cty": "JWT"}, payload=ours())
    yield "detached", "malformed", f"{head}..{signature}"
    for header in [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": False}, {"b64": True}, {"crit": "exp"},
                   {"crit": None}, {"crit": ["alg"]}]:
        yield f"{header}", "malformed", ours({"alg": "HS256", **header})
    plain = json.dumps(claims()).encode().replace(b",", b" ,").replace(b" ", b"")
    signed = encoded({"alg": "HS256", "b64": False, "crit": ["b64"]}) + b"." + plain
    yield "payload not encoded", ("malformed", "ambiguous"), spelt(signed, hs256(SECRET))


def embedded():
    key = ec.generate_private_key(ec.SECP256R1())
    made = jwt.get_algorithm_by_name("ES256").to_jwk(key.public_key(), as_dict=True)
    evil = "https://evil.example.com/keys"
    for name, value in {"jwk": made | {"kid": "e1"}, "jku": evil, "x5u": evil, "x5c": ["MIIB"], "x5t": "AAAA", "x5t#S256": "AAAA",
                        "url": evil}.items():
        yield f"{name} with the kid of a good key", "bad_signature", theirs({"alg": "ES256", "kid": "e1", name: value}, es256(key))
        yield f"{name} without a kid", "bad_signature", theirs({"alg": "ES256", name: value}, es256(key))
        yield f"{name} with a kid of its own", "unknown_key", theirs({"alg": "ES256", "kid": "mine", name: value}, es256(key))
    secret = {"kty": "oct", "k": encoded(b"x" * 64).decode(), "kid": "mine", "alg": "HS256"}
    yield "jwk that is a secret", "bad_signature", ours({"alg": "HS256", "jwk": secret}, sign=hs256(b"x" * 64))


def of_another_issuer():
    edwards = private_key("EdDSA").sign
    yield "by partners for users", "unsupported_algorithm", theirs(iss=ISSUER)
    yield "by users for partners", "unsupported_algorithm", ours(iss=PARTNERS)
    yield "by devices for partners", "unsupported_algorithm", theirs({"alg": "EdDSA", "kid": "d1"}, edwards)
    yield "by devices for partners with a good key's name", "unsupported_algorithm", theirs({"alg": "EdDSA", "kid": "e1"}, edwards)
    yield "by partners for devices", "unsupported_algorithm", theirs(iss=DEVICES)
    for issuer in [ISSUER + "/", ISSUER.upper(), ISSUER + "\0", " " + ISSUER, ISSUER + "@evil.example.com", ISSUER[:-1],
                   "https://auth。example.com", "", "users", None]:
        yield f"iss {issuer!r}", "unknown_issuer", ours(iss=issuer)
    for issuer in [[ISSUER], [PARTNERS, ISSUER], {"iss": ISSUER}, 1, True]:
        yield f"iss {issuer!r}", "malformed", ours(iss=issuer)
    yield "iss in the header alone", "unknown_issuer", ours({"alg": "HS256", "iss": ISSUER}, iss=None)


FORGERIES = {
    "unsigned": unsigned, "confused": confused, "kid": named, "doubled": doubled, "outsized": outsized, "no claims": no_claims,
    "signature": signed_elsewhere, "misspelt": misspelt, "other form": other_forms, "embedded key": embedded,
    "another issuer": of_another_issuer,
}


@pytest.fixture(scope="module")
def accounts(dependency):
    """Every account is an admin's."""
    return dependency(lambda _asked: Said({"is_active": True, "roles": ["admin"]}))


@pytest.fixture(scope="module")
def gateway(start, accounts):
    return start(PLUGIN, clusters={"accounts": accounts.port})


def good_ones():
    return {"users": ours(), "partners, ES256": theirs(), "partners, RS256": theirs(algorithm="RS256"),
            "partners with key locations": theirs({"alg": "ES256", "kid": "e1", "jku": "https://evil.example.com",
                                                   "jwk": {"kty": "EC"}, "x5c": ["MIIB"]}),
            "devices": theirs({"alg": "EdDSA", "kid": "d1"}, private_key("EdDSA").sign, iss=DEVICES)}


def test_what_the_forgeries_differ_from_is_good(gateway):
    for name, good in good_ones().items():
        assert gateway.get("/x", [bearer(good)]).status == 200, name


@pytest.mark.parametrize("kind", FORGERIES)
def test_no_forgery_passes_and_each_is_refused_for_what_it_is(gateway, kind):
    expected, found = {}, {}
    for name, reasons, forged in FORGERIES[kind]():
        value = b"Bearer " + (forged if isinstance(forged, bytes) else forged.encode())
        answer = gateway.get("/x", [("authorization", value)])
        assert (answer.status, answer.upstream) == (401, None), (name, answer.status, answer.body)
        expected[answer.request_id] = name, reasons

    def all_told():
        events = [event["details"] for event in gateway.logged_events() if event["event_type"] == "AUTH_FAILURE"]
        found.update({event["request_id"]: event["reason"] for event in events})
        return expected.keys() <= found.keys()

    assert eventually(all_told)
    told = [(name, reasons, found[at]) for at, (name, reasons) in expected.items()]
    wrong = [each for each in told if each[2] not in ((each[1],) if isinstance(each[1], str) else each[1])]
    assert not wrong, wrong
    assert len(told) > 5
    passed(gateway.get("/x", [bearer()]))


def test_a_forgery_is_no_better_in_a_cookie_or_the_query(gateway):
    for forged in [ours({"alg": "none"}), theirs({"alg": "HS256", "kid": "r1"}, hs256(b"")), ours(sign=hs256(b""))]:
        for target, headers in [("/x?access_token=" + forged, []), ("/x", [("cookie", "access_token=" + forged)])]:
            refused(gateway.get(target, headers), 401)


@pytest.mark.parametrize("hidden", [
    "k=1 access_token={}", "k=1\taccess_token={}", "k=1,access_token={}", "k=1; secure access_token={}",
    "?k=1;access_token={}", "?access.token={}", "?+access_token={}", "?%20access_token={}", "?Access-Token={}",
])
def test_a_forgery_does_not_reach_the_service_by_a_spelling_that_only_the_service_reads(gateway, hidden):
    def send(shown, *headers):
        if hidden.startswith("?"):
            return gateway.get("/x" + hidden.format(shown), [*headers])
        return gateway.get("/x", [("cookie", hidden.format(shown)), *headers])

    forged = ours(sign=hs256(b""))
    refused(send(forged), 401)
    refused(send(forged, bearer()), 401)
    seen = passed(send(token()))
    assert seen.target == b"/x"
    assert not [value for _, value in seen.headers if b"access_token" in value]


def test_a_token_gains_nothing_of_another_issuers_subject(gateway, accounts):
    """The same name at four issuers: no role, ownership, account or counter goes from one to another."""
    mine = [bearer(user_id="7", roles=["admin"])]
    foreign = {"sub": "7", "user_id": "7", "roles": ["admin"], "scope": "orders.read", "is_active": True}
    device = theirs({"alg": "EdDSA", "kid": "d1"}, private_key("EdDSA").sign, iss=DEVICES, **foreign)
    strangers = [bearer(theirs(**foreign)), bearer(device)]
    member = [bearer(token(iss=MEMBERS, aud=None, sub="7", user_id=None, roles=None))]

    assert passed(gateway.get("/admin/1", mine)).header("x-auth-roles") == "admin"
    assert passed(gateway.get("/admin/1", member)).header("x-auth-roles") == "admin"
    asked = len(accounts.asked)
    assert passed(gateway.get("/owned/7", mine))
    for stranger in strangers:
        assert not passed(gateway.get("/x", [stranger])).header("x-auth-roles")
        for target in ["/admin/1", "/owned/7"]:
            refused(gateway.get(target, [stranger]), 403)
    assert len(accounts.asked) == asked, "an account is looked up for its own issuer's subjects only"

    for caller in [mine, [strangers[0]], [strangers[1]], member]:
        assert [gateway.get("/limited/1", caller).status for _ in range(3)] == [200, 200, 429]
    nobody = [bearer(user_id="7", iss="https://x.example.com")]
    unauthenticated(gateway, "unknown_issuer", lambda: gateway.get("/limited/1", nobody))
