"""Makes and reads the tokens of users."""

from datetime import datetime, timedelta, timezone

import jwt
from django.conf import settings


def roles(user):
    return ["admin", "user"] if user.is_staff else ["user"]


def generate(user):
    """The access token and the refresh token of a user."""
    now = datetime.now(timezone.utc)
    access = {
        "user_id": user.id,
        "username": user.username,
        "email": user.email,
        "roles": roles(user),
        "exp": now + timedelta(seconds=settings.ACCESS_TOKEN_SECONDS),
        "iat": now,
        "type": "access",
    }
    refresh = {
        "user_id": user.id,
        "exp": now + timedelta(seconds=settings.REFRESH_TOKEN_SECONDS),
        "iat": now,
        "type": "refresh",
    }
    return tuple(jwt.encode(claims, settings.JWT_SECRET_KEY, settings.JWT_ALGORITHM) for claims in (access, refresh))


def read(token):
    """The claims of a token that is good; PyJWT's errors otherwise."""
    return jwt.decode(token, settings.JWT_SECRET_KEY, algorithms=[settings.JWT_ALGORITHM])
