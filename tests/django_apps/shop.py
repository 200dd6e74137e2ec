# SPDX-License-Identifier: MIT
"""A Django project in one file, for the tests: settings, middleware, views, URLs, WSGI and ASGI applications."""

import asyncio
import json
import os
import sys
import threading
import time

import django
from django.conf import settings

FOLDER = os.environ.get("SHOP_FOLDER") or os.getcwd()

if not settings.configured:
    settings.configure(
        SECRET_KEY="x",
        ALLOWED_HOSTS=["*"] if "SHOP_HOSTS" not in os.environ else os.environ["SHOP_HOSTS"].split(","),
        DEBUG=os.environ.get("SHOP_DEBUG") == "1",
        ROOT_URLCONF=os.environ.get("SHOP_URLS", "shop"),
        USE_TZ=True,
        USE_I18N=True,
        LANGUAGE_CODE="en",
        LANGUAGES=[("en", "English"), ("de", "Deutsch")],
        SESSION_COOKIE_NAME="basket",
        CSRF_COOKIE_NAME="forgery",
        USE_X_FORWARDED_HOST=os.environ.get("SHOP_FORWARDED") == "1",
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.path.join(FOLDER, "shop.sqlite3"),
                "ATOMIC_REQUESTS": os.environ.get("SHOP_ATOMIC") == "1",
                "OPTIONS": {"timeout": 30},
            }
            if "SHOP_POSTGRES" not in os.environ
            else {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "postgres",
                "USER": "test",
                "HOST": "127.0.0.1",
                "PORT": os.environ["SHOP_POSTGRES"],
            }
        },
        CACHES={
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
            if "SHOP_REDIS" not in os.environ
            else {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": "redis://:@127.0.0.1:%s/1" % os.environ["SHOP_REDIS"],
            }
        },
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [os.path.join(FOLDER, "templates")],
                "OPTIONS": {"debug": os.environ.get("SHOP_TEMPLATE_DEBUG") == "1"},
            }
        ],
        MIDDLEWARE=[]
        if os.environ.get("SHOP_BARE") == "1"
        else [
            "shop.early",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.locale.LocaleMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "shop.FailingMiddleware",
            "shop.both",
            *(["shop.Hooks"] if os.environ.get("SHOP_HOOKS") else []),
        ],
        LOGGING={"version": 1, "disable_existing_loggers": False},
    )
    django.setup()

from asgiref.sync import async_to_sync, sync_to_async  # noqa: E402

try:
    from asgiref.sync import iscoroutinefunction
except ImportError:  # an old asgiref
    from asyncio import iscoroutinefunction
from django.conf.urls.i18n import i18n_patterns  # noqa: E402
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.db.models.signals import post_save  # noqa: E402
from django.http import Http404, HttpResponse, HttpResponseServerError, StreamingHttpResponse  # noqa: E402
from django.shortcuts import render  # noqa: E402
from django.template.response import TemplateResponse  # noqa: E402
from django.urls import include, path, re_path  # noqa: E402
from django.utils.decorators import sync_and_async_middleware  # noqa: E402
from django.utils.deprecation import MiddlewareMixin  # noqa: E402
from django.views import View  # noqa: E402
from django.views.decorators.cache import cache_page  # noqa: E402

import errtrack  # noqa: E402


@sync_and_async_middleware
def early(get_response):
    def look(request):
        if request.path == "/item/early/7/":
            raise RuntimeError("early")
        if request.path.startswith("/other/"):
            request.urlconf = "shop_other"

    if iscoroutinefunction(get_response):

        async def middleware(request):
            look(request)
            return await get_response(request)
    else:

        def middleware(request):
            look(request)
            return get_response(request)

    return middleware


@sync_and_async_middleware
def both(get_response):
    if iscoroutinefunction(get_response):

        async def middleware(request):
            return await get_response(request)
    else:

        def middleware(request):
            return get_response(request)

    return middleware


class FailingMiddleware(MiddlewareMixin):
    """Fails in its response phase."""

    def process_request(self, request):
        if request.path == "/looked-at/" or "look" in request.GET:
            request.user.is_authenticated

    def process_response(self, request, response):
        if request.path == "/twice/":
            raise RuntimeError("second")
        if request.path == "/twice-forbidden/":
            raise PermissionDenied("second")
        return response


def ok(request, n=""):
    errtrack.set_tag("healthy", str(n))
    return HttpResponse("fine %s" % n)


def fail(request, n=0, **_):
    errtrack.set_tag("n", str(n))
    errtrack.set_user({"id": "user-%s" % n})
    errtrack.add_breadcrumb(message="about to fail %s" % n)
    time.sleep(0.01)
    raise RuntimeError("failed %s" % n)


async def afail(request, n=0):
    errtrack.set_tag("n", str(n))
    errtrack.set_user({"id": "user-%s" % n})
    errtrack.add_breadcrumb(message="about to fail %s" % n)
    until = time.perf_counter() + 0.01
    while time.perf_counter() < until:  # uvloop's clock ticks in milliseconds: a sleep may end early
        await asyncio.sleep(0.01)
    raise RuntimeError("failed %s" % n)


async def aforbidden(request):
    raise PermissionDenied("async")


async def through_threads(request):
    errtrack.set_tag("outside", "yes")

    def inside():
        errtrack.set_tag("inside", "yes")

        async def deeper():
            errtrack.set_tag("deeper", "yes")
            raise RuntimeError("in a thread")

        async_to_sync(deeper)()

    await sync_to_async(inside)()


in_flight = 0


async def together(request):
    """Fails once five requests are at this place at the same time; alone, if they never are."""
    global in_flight
    errtrack.set_tag("number", request.GET["number"])
    in_flight += 1
    deadline = time.monotonic() + 25
    while in_flight < 5 and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    raise RuntimeError("together" if in_flight >= 5 else "alone")


def raising(error):
    def view(request):
        raise error("not for us")

    return view


def answers_500(request):
    return HttpResponseServerError("said so itself")


def leave(request):
    sys.exit(1)


async def aleave(request):
    sys.exit(1)


async def aunread(request):
    errtrack.set_tag("async", "yes")
    raise RuntimeError("async, unread")


async def alooked_at(request):
    await request.auser()
    raise RuntimeError("looked at, async")


async def anot_looked_at(request):
    raise RuntimeError("not looked at, async")


def host(request):
    return HttpResponse(request.get_host())


def switch_on(request):
    """Tracing, in a process that has served requests without."""
    import spy

    errtrack.init(traces_sample_rate=1.0, before_send_transaction=spy.keep)
    return HttpResponse("on")


async def named_by_itself(request):
    errtrack.set_transaction_name("mine")
    return HttpResponse("named")


def one_of_templates(request):
    """The first of the templates that there is, with rows that nobody asks for."""
    from django.contrib.auth.models import User

    return TemplateResponse(request, ["nowhere.html", "base.html"], {"users": User.objects.all(), "n": 1})


class Hooks:
    """A middleware with every hook; its exceptions are of its view's making."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        return None

    def process_exception(self, request, exception):
        return None

    def process_template_response(self, request, response):
        return response


def echo_json(request):
    json.loads(request.body)
    raise RuntimeError("json")


def unread(request):
    raise RuntimeError("unread")


def captured_before_it_is_read(request):
    errtrack.capture_message("before")
    return HttpResponse(request.read() if request.GET.get("stream") else request.body)


def is_read(request):
    """Whether a capture has read the body."""
    errtrack.capture_message("before")
    return HttpResponse(str("_body" in vars(request)))


def form(request):
    request.POST
    raise RuntimeError("form")


def consumed(request):
    request.read()
    raise RuntimeError("consumed")


def uploads_later(request):
    errtrack.capture_message("before the handlers are set")
    from django.core.files.uploadhandler import MemoryFileUploadHandler

    request.upload_handlers = [MemoryFileUploadHandler(request)]
    return HttpResponse(request.FILES["file"].read())


def stream(request):
    errtrack.set_tag("streamed", "yes")

    def pieces():
        yield b"first"
        raise RuntimeError("mid-stream")

    return StreamingHttpResponse(pieces())


class Thing(View):
    def get(self, request):
        raise RuntimeError("class-based")

    def post(self, request):
        raise RuntimeError("class-based")


class AsyncThing(View):
    async def get(self, request):
        raise RuntimeError("async class-based")


def log_in(request):
    from django.contrib.auth import login
    from django.contrib.auth.models import User

    login(request, User.objects.get(username="ada"), backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse("welcome")


def looked_at(request):
    raise RuntimeError("looked at")


def session_looked_at(request):
    request.session.get("language")
    raise RuntimeError("session looked at")


def not_looked_at(request):
    raise RuntimeError("not looked at")


def queries_of_a_capture(request):
    """How many queries a capture makes, the local variables and the lazy user included."""
    from django.contrib.auth.models import User
    from django.db import connection

    kept = {"users": User.objects.all(), "nested": [User.objects.filter(username="ada")]}
    lazy = request.user
    made = []

    def count(execute, sql, params, many, context):
        made.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count):
        try:
            raise RuntimeError("no queries")
        except RuntimeError as error:
            errtrack.capture_exception(error)
    return HttpResponse(json.dumps(made))


def write_and_fail(request):
    from django.contrib.auth.models import User

    User.objects.create(username="lost")
    raise RuntimeError("rolled back")


def broken_transaction(request):
    from django.db import DatabaseError, connection

    try:
        connection.cursor().execute("SELECT * FROM nowhere")
    except DatabaseError:
        raise RuntimeError("the query failed")


def query(request):
    from django.contrib.auth.models import User

    list(User.objects.filter(username="ada"))
    raise RuntimeError("after a query")


def many(request):
    from django.contrib.auth.models import Group
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO auth_group (name) VALUES (%s)", [["a%d" % time.time_ns()], ["b"]])
    list(Group.objects.raw("SELECT id, name FROM auth_group WHERE name = %(name)s", {"name": "b"}))
    raise RuntimeError("after many")


def slow_query(request):
    from django.db import connection

    connection.ensure_connection()
    connection.connection.create_function("nap", 1, time.sleep)
    with connection.cursor() as cursor:
        cursor.execute("SELECT nap(%s)", [0.2])
        cursor.execute("SELECT 1")
    return HttpResponse("slept")


def atomic(request):
    from django.contrib.auth.models import Group
    from django.db import transaction

    with transaction.atomic():
        Group.objects.create(name="kept %d" % time.time_ns())
    try:
        with transaction.atomic():
            Group.objects.create(name="lost")
            raise ValueError
    except ValueError:
        return HttpResponse("half")


def through_a_signal(request):
    from django.contrib.auth.models import Group
    from django.dispatch import Signal

    ordered = Signal()

    def pack(sender, **kwargs):
        return "packed"

    def ship(sender, **kwargs):
        return "shipped"

    async def bill(sender, **kwargs):
        return "billed"

    ordered.connect(pack)
    ordered.connect(ship)
    if django.VERSION >= (5, 0):
        later = Signal()
        later.connect(bill)
        assert later.send("shop") == [(bill, "billed")]
    answers = ordered.send("shop") + ordered.send_robust("shop")
    Group.objects.create(name="signal %d" % time.time_ns())
    return HttpResponse(str([(receiver in (pack, ship), answer) for receiver, answer in answers]))


def on_group_saved(sender, **kwargs):
    pass


def through_the_cache(request):
    from django.core.cache import cache

    cache.delete("k")
    missed = cache.get("k")
    cache.set("k", "value")
    found = cache.get("k", "value")
    cache.set_many({"a": 1, "b": 2})
    return HttpResponse(str([missed, found, sorted(cache.get_many(["a", "b"]).items())]))


def traced_page(request):
    errtrack.capture_message("rendered")
    return render(request, "meta.html")


async def left(request):
    """Waits for a client that goes away."""
    with open(os.path.join(FOLDER, "begun"), "w"):
        pass
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        with open(os.path.join(FOLDER, "left"), "w"):
            pass
        raise


def in_thread(request):
    return HttpResponse(str(threading.get_ident()))


def cached_page(request):
    return render(request, "fragment.html")


def template_response(request):
    return TemplateResponse(request, "meta.html", {"sentry_trace_meta": "mine"})


def page(request):
    return render(request, request.GET["template"], {"boom": Boom(), "sentry": "mine"})


def fail_other(request, pk):
    raise RuntimeError("other urlconf")


class Boom:
    def __str__(self):
        raise RuntimeError("boom in a template")

    def go(self):
        raise RuntimeError("boom in a template")


def who_am_i(request):
    errtrack.capture_message("who")
    return HttpResponse("ok")


def handler500(request):
    request.META.get("HTTP_HOST"), request.method
    return HttpResponse("custom page", status=500)


def handler404(request, exception):
    if request.path == "/broken-404/":
        raise RuntimeError("in the 404 handler")
    return HttpResponse("custom 404", status=404)


nested = [
    path("<slug:name>/", fail, name="nested"),
    re_path(r"^y(?P<year>[0-9]{4})(?:/(?P<page>\d+))?/(en|de)/$", fail),
]

urlpatterns = [
    path("ok/<int:n>/", ok),
    path("fail/<int:n>/", fail, name="fail"),
    path("afail/<int:n>/", afail),
    path("aforbidden/", aforbidden),
    path("through-threads/", through_threads),
    path("together/", together),
    path("missing/", raising(Http404)),
    path("forbidden/", raising(PermissionDenied)),
    path("bad/", raising(BadRequest)),
    path("suspicious/", raising(SuspiciousOperation)),
    path("answers-500/", answers_500),
    path("exit/", leave),
    path("aexit/", aleave),
    path("aunread/", aunread),
    path("alooked-at/", alooked_at),
    path("anot-looked-at/", anot_looked_at),
    path("host/", host),
    path("switch-on/", switch_on),
    path("one-of-templates/", one_of_templates),
    path("named-by-itself/", named_by_itself),
    path("twice/", unread),
    path("twice-forbidden/", unread),
    path("is-read/", is_read),
    path("json/", echo_json),
    path("unread/", unread),
    path("before/", captured_before_it_is_read),
    path("form/", form),
    path("consumed/", consumed),
    path("uploads-later/", uploads_later),
    path("stream/", stream),
    path("thing/", Thing.as_view()),
    path("async-thing/", AsyncThing.as_view()),
    path("log-in/", log_in),
    path("looked-at/", looked_at),
    path("session-looked-at/", session_looked_at),
    path("not-looked-at/", not_looked_at),
    path("queries/", queries_of_a_capture),
    path("write/", write_and_fail),
    path("broken-transaction/", broken_transaction),
    path("query/", query),
    path("page/", page),
    path("many/", many),
    path("slow-query/", slow_query),
    path("atomic/", atomic),
    path("thread/", in_thread),
    path("traced-page/", traced_page),
    path("left/", left),
    path("cached-page/", cache_page(60)(cached_page)),
    path("template-response/", template_response),
    path("signal/", through_a_signal),
    path("cache/", through_the_cache),
    path("who/", who_am_i),
    path("item/early/<int:pk>/", ok),
    path("a/", include(nested)),
    path("b/", include(nested)),
]

post_save.connect(on_group_saved, sender="auth.Group")

urlpatterns += i18n_patterns(path("greeting/<str:name>/", fail))

application = WSGIHandler()
asgi = ASGIHandler()
