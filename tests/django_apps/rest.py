# SPDX-License-Identifier: MIT
"""Views of Django REST framework, in the shop."""

import shop  # noqa: F401
from django.urls import path
from rest_framework.authentication import BasicAuthentication
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView


class Plain(APIView):
    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (JSONRenderer,)
    parser_classes = (JSONParser, FormParser, MultiPartParser)


class Parsed(Plain):
    def get(self, request):
        request.data
        raise RuntimeError("parsed")

    post = get


class Unparsed(Plain):
    def post(self, request):
        raise RuntimeError("unparsed")


class Authenticated(Plain):
    authentication_classes = (BasicAuthentication,)

    def get(self, request):
        return Response({"user": str(request.user)})


class Anonymous(Plain):
    def get(self, request):
        return Response({"user": str(request.user)})


def raising(error):
    class Raising(Plain):
        def get(self, request):
            raise error

    return Raising


class TeaPot(APIException):
    status_code = 500


urlpatterns = [
    path("parsed/", Parsed.as_view()),
    path("unparsed/", Unparsed.as_view()),
    path("authenticated/", Authenticated.as_view()),
    path("anonymous/", Anonymous.as_view()),
    path("not-found/", raising(NotFound()).as_view()),
    path("invalid/", raising(ValidationError({"a": "bad"})).as_view()),
    path("teapot/", raising(TeaPot()).as_view()),
]
