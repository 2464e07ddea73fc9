"""Where the endpoints are."""

from django.urls import path

from . import views

urlpatterns = [
    path("api/v1/auth/login", views.Login.as_view()),
    path("api/v1/auth/refresh", views.Refresh.as_view()),
    path("api/v1/users", views.Users.as_view()),
    path("api/v1/users/<int:pk>", views.UserDetail.as_view()),
    path("api/v1/users/<int:pk>/deactivation", views.Deactivation.as_view()),
    path("internal/verify-credentials", views.VerifyCredentials.as_view()),
    path("internal/accounts/<int:pk>", views.Account.as_view()),
    path("api/v1/caller", views.Caller.as_view()),
    path("kept/api/v1/caller", views.Caller.as_view()),
    path("throttled", views.Throttled.as_view()),
    path("limited", views.Caller.as_view()),
]
