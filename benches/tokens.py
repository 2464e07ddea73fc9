"""The tokens of the bench, and the keys that sign them."""

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

ISSUER, AUDIENCE = "https://auth.example.com", "microservices-api"
SECRET = b"jwt-secret-key-of-the-benchmark-0123456789-0123456789-0123456789"
# Fernet's, for fields.
FIELD_KEY = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="


def segment(value):
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return urlsafe_b64encode(raw).rstrip(b"=")


def claims(number):
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": f"user-{number}", "user_id": f"user-{number}", "iat": now,
            "exp": now + 7200, "type": "access", "roles": ["user"]}


def token(number, algorithm, sign):
    signed = segment({"alg": algorithm, "typ": "JWT", "kid": algorithm}) + b"." + segment(claims(number))
    return signed + b"." + segment(sign(signed))


RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def hs256(number):
    return token(number, "HS256", lambda text: hmac.digest(SECRET, text, "sha256"))


def rs256(number):
    return token(number, "RS256", lambda text: RSA_KEY.sign(text, padding.PKCS1v15(), hashes.SHA256()))


def es256(number):
    def sign(text):
        r, s = utils.decode_dss_signature(EC_KEY.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return token(number, "ES256", sign)


def hashes_of(text, size):
    """Bytes that look like a signature of this text."""
    return hashlib.shake_256(text).digest(size)


def number(n):
    return segment(n.to_bytes((n.bit_length() + 7) // 8, "big")).decode()


JWKS = {"keys": [
    {"kty": "oct", "kid": "HS256", "alg": "HS256", "k": segment(SECRET).decode()},
    {"kty": "RSA", "kid": "RS256", "alg": "RS256", "n": number(RSA_KEY.public_key().public_numbers().n), "e": "AQAB"},
    {"kty": "EC", "kid": "ES256", "alg": "ES256", "crv": "P-256", "x": number(EC_KEY.public_key().public_numbers().x),
     "y": number(EC_KEY.public_key().public_numbers().y)},
]}
