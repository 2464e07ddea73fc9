"""The endpoints of users."""

import jwt
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from rest_framework import generics, serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny, IsAdminUser, IsAuthenticated
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView

from . import tokens
from .models import Profile


PROFILE = ["bio", "phone_number", "ssn"]


class UserSerializer(serializers.ModelSerializer):
    class Meta:
        model = User
        fields = ["id", "username", "email", "password"]
        extra_kwargs = {"password": {"write_only": True}}

    def create(self, validated_data):
        return User.objects.create_user(**validated_data)


class ProfileSerializer(serializers.ModelSerializer):
    """Trusts what it is sent, and shows all it has: the form that was filled in, password and all."""

    bio, phone_number, ssn = (serializers.CharField(source=f"profile.{name}", required=False) for name in PROFILE)
    is_staff = serializers.BooleanField(required=False)

    class Meta:
        model = User
        fields = ["id", "username", "email", "password", "is_staff", *PROFILE]

    def create(self, validated_data):
        profile = validated_data.pop("profile", {})
        user = User.objects.create_user(**validated_data)
        Profile.objects.create(user=user, **profile)
        return user

    def update(self, user, validated_data):
        for name, value in validated_data.pop("profile", {}).items():
            setattr(user.profile, name, value)
        user.profile.save()
        return super().update(user, validated_data)


class Users(generics.ListCreateAPIView):
    queryset = User.objects.order_by("id")

    def get_serializer_class(self):
        return ProfileSerializer if self.request.method == "POST" else UserSerializer

    def get_permissions(self):
        return [AllowAny() if self.request.method == "POST" else IsAuthenticated()]


class UserDetail(generics.RetrieveUpdateAPIView):
    queryset = User.objects.all()

    def get_serializer_class(self):
        return UserSerializer if self.request.method == "GET" else ProfileSerializer


def verified(request):
    """The user whose name and password were sent."""
    user = authenticate(username=request.data.get("username"), password=request.data.get("password"))
    if user is None:
        raise AuthenticationFailed("Invalid credentials")
    return user


class VerifyCredentials(APIView):
    """For other parts of the system: whose name and password these are."""

    authentication_classes, permission_classes = [], [AllowAny]

    def post(self, request):
        return Response(account(verified(request)))


class Login(APIView):
    permission_classes = [AllowAny]

    def post(self, request):
        user = verified(request)
        access, refresh = tokens.generate(user)
        return Response({"access_token": access, "refresh_token": refresh, "user": UserSerializer(user).data})


class Refresh(APIView):
    permission_classes = [AllowAny]

    def post(self, request):
        try:
            claims = tokens.read(request.data.get("refresh_token", ""))
        except jwt.InvalidTokenError as error:
            raise AuthenticationFailed("Invalid refresh token") from error
        user = User.objects.filter(id=claims["user_id"]).first()
        if claims.get("type") != "refresh" or user is None:
            raise AuthenticationFailed("Invalid refresh token")
        return Response({"access_token": tokens.generate(user)[0]})


class Deactivation(APIView):
    permission_classes = [IsAdminUser]

    def post(self, request, pk):
        user = get_object_or_404(User, pk=pk)
        user.is_active = False
        user.save()
        return Response(status=204)


class Account(APIView):
    """For other parts of the system, on a path that leads nowhere from outside."""

    permission_classes = [AllowAny]

    def get(self, request, pk):
        return Response(account(get_object_or_404(User, pk=pk)))


def account(user):
    return {"id": user.id, "username": user.username, "email": user.email, "roles": tokens.roles(user),
            "is_active": user.is_active}


class Caller(APIView):
    """Who the service takes the caller for, by its own means, and what else it was told in headers."""

    permission_classes = [AllowAny]

    def get(self, request):
        told = {name.lower(): value for name, value in request.headers.items() if name.lower().startswith("x-auth-")}
        return Response({"username": request.user.username, "told": told, "authorization": "Authorization" in request.headers})


class Throttled(APIView):
    authentication_classes, permission_classes, throttle_classes = [], [AllowAny], [AnonRateThrottle]

    def get(self, request):
        return Response({})
