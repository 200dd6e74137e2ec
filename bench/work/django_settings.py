# SPDX-License-Identifier: MIT
"""A module, and named in the environment before the start, as OpenTelemetry's Django instrumentation needs it."""

SECRET_KEY = "bench"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "django_urls"
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
LOGGING_CONFIG = None
