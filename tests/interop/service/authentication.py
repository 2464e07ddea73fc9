"""Who calls: a user by a token, a service by a signature."""

import hashlib
import hmac
import time

import jwt
from django.conf import settings
from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from . import tokens


class TokenAuthentication(BaseAuthentication):
    def authenticate(self, request):
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return None
        try:
            claims = tokens.read(token)
        except jwt.ExpiredSignatureError as error:
            raise AuthenticationFailed("Token has expired") from error
        except jwt.InvalidTokenError as error:
            raise AuthenticationFailed("Invalid token") from error
        if claims.get("type") != "access":
            raise AuthenticationFailed("Invalid token type")
        user = User.objects.filter(id=claims["user_id"]).first()
        if user is None:
            raise AuthenticationFailed("User not found")
        return user, claims

    def authenticate_header(self, request):
        return "Bearer"


class Service:
    """A calling service, as `request.user`."""

    is_authenticated = True

    def __init__(self, name):
        self.username = name


class ServiceAuthentication(BaseAuthentication):
    def authenticate(self, request):
        names = ("X-Service-Token", "X-Service-Name", "X-Timestamp", "X-Signature")
        token, name, timestamp, signature = (request.headers.get(header) for header in names)
        if not all((token, name, timestamp, signature)):
            return None
        try:
            age = abs(time.time() - float(timestamp))
        except ValueError as error:
            raise AuthenticationFailed("Invalid timestamp") from error
        if age > 300:
            raise AuthenticationFailed("Request timestamp too old")
        message = f"{name}:{timestamp}:{token}".encode()
        expected = hmac.new(settings.SERVICE_SECRET_KEY.encode(), message, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature, expected) or settings.SERVICE_TOKENS.get(name) != token:
            raise AuthenticationFailed("Invalid service credentials")
        return Service(name), None
