"""Tokens as PyJWT makes them, service signatures as plain Python services make them."""

import hmac
import json
import time
from functools import cache
from hashlib import sha256

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from .gateway import ENVIRONMENT

ISSUER = "https://auth.example.com"
AUDIENCE = "microservices-api"
SECRET = ENVIRONMENT["JWT_SECRET_KEY"]


@cache
def private_key(algorithm):
    if algorithm.startswith("RS"):
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if algorithm.startswith("ES"):
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def jwk(algorithm, kid):
    public = private_key(algorithm).public_key()
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
    kept = {name: made[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in made}
    return {**kept, "kid": kid, "alg": algorithm, "use": "sig"}


def claims(**changes):
    """Claims of a good access token of `users`; a change to None takes the claim away."""
    now = int(time.time())
    made = {
        "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 3600, "type": "access",
        "user_id": "42", "email": "ann@example.com", "roles": ["user"], "scope": "orders.read", "is_active": True,
    }
    made.update(changes)
    return {name: value for name, value in made.items() if value is not None}


def token(key=SECRET, algorithm="HS256", headers=None, **changes):
    if algorithm == "none":
        key = None
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def tampered(good, **changes):
    """A good token with other claims under its old signature."""
    head, payload, signature = good.split(".")
    body = json.loads(jwt.utils.base64url_decode(payload)) | changes
    return ".".join([head, jwt.utils.base64url_encode(json.dumps(body).encode()).decode(), signature])


def bearer(value=None, **changes):
    """The header that carries a token."""
    return ("authorization", "Bearer " + (value if value is not None else token(**changes)))


def service_headers(name="order-service", timestamp=None, token=ENVIRONMENT["ORDER_SERVICE_TOKEN"],
                    key=ENVIRONMENT["SERVICE_SECRET_KEY"], signature=None, age=0):
    """The four headers of a signature v1, made `age` seconds ago."""
    timestamp = str(time.time() - age) if timestamp is None else timestamp
    if signature is None:
        signature = hmac.new(key.encode(), f"{name}:{timestamp}:{token}".encode(), sha256).hexdigest()
    return [("X-Service-Name", name), ("X-Timestamp", timestamp), ("X-Service-Token", token),
            ("X-Signature", signature)]
