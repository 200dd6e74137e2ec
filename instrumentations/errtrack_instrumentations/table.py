# SPDX-License-Identifier: MIT
"""What each instrumentation is called and what a user gets from it: the README's table, and ``errtrack doctor``'s.

Apart from the catalogue, since that is read at every boot and this is not.
"""

#: File -> (name to show, what a user gets from it).
INSTRUMENTATIONS = {
    "excepthook": ("Unhandled exceptions", "every exception that ends the program"),
    "unraisablehook": ("Errors nobody can catch", "failing finalisers, raw threads, callbacks at exit"),
    "sys_exit": ("sys.exit", "calls of `sys.exit` with a failure, and their stack; opt-in"),
    "faulthandler": (
        "Fatal signals",
        "the stacks of a process that dies of SIGSEGV and the like, reported by the next one",
    ),
    "backlog": (
        "What was left behind",
        "what an earlier process could not deliver goes out with the next one",
    ),
    "atexit": ("Exit", "a bounded wait for events that are still on their way"),
    "tracing": ("Traces", "requests and tasks as transactions, named functions as spans; off by default"),
    "argv": ("Command line", "the command line of the process, on every event"),
    "modules": ("Installed packages", "installed distributions and their versions, on every event"),
    "dedupe": ("Duplicates", "one event for one failure, however many layers see it"),
    "logging": (
        "logging",
        "breadcrumbs from INFO on, events from ERROR on, with the exception where one was logged",
    ),
    "stdlib": (
        "http.client and subprocess",
        "breadcrumbs of requests and started processes; the trace goes with them",
    ),
    "threading": ("threading", "threads that die of an exception, with the tags of whoever started them"),
    "concurrent_futures": (
        "concurrent.futures",
        "errors nobody collects; tasks have the tags of their submitter",
    ),
    "asyncio": ("asyncio, uvloop", "tasks never awaited and failing callbacks; a scope for each task"),
    "multiprocessing": (
        "multiprocessing",
        "child processes that die of an exception, however they are started",
    ),
    "loguru": ("loguru", "breadcrumbs from INFO on, events from ERROR on"),
    "gevent": ("gevent", "greenlets that die of an exception"),
    "wsgi_servers": (
        "WSGI servers (gunicorn, waitress, wsgiref, werkzeug, cheroot, CherryPy, gevent, eventlet, tornado)",
        "failed requests of any WSGI application",
    ),
    "uwsgi": ("uWSGI", "failed requests of any WSGI application that it loads, by module or by file"),
    "asgi_servers": (
        "ASGI servers (uvicorn, hypercorn, daphne, granian)",
        "failed requests, websockets and start-ups of any ASGI application",
    ),
    "starlette": (
        "Starlette, FastAPI",
        "failed requests with route, background tasks, the body that was read",
    ),
    "starlette_middleware": ("Starlette's and FastAPI's middlewares", "spans, by option"),
    "starlette_templates": ("Starlette's and FastAPI's templates", "`sentry_trace_meta`"),
    "flask": (
        "Flask",
        "failed requests with endpoint, and with form or JSON the view has read; `sentry_trace_meta`",
    ),
    "tornado": ("Tornado", "failed requests with handler and body; a scope for each websocket message"),
    "django": ("Django", "failed requests with route, body and user; WSGI, ASGI, `runserver`, test clients"),
    "celery": ("Celery", "failed tasks in every pool, with arguments and retries; lost ones from the parent"),
    "celery_beat": ("Celery beat", "runs of the schedule as cron check-ins; tasks that cannot be sent"),
    "kombu": ("kombu", "published messages as spans"),
    "sanic": (
        "Sanic",
        "failed requests with route and body, websockets, background tasks, exception handlers",
    ),
    "django_database": (
        "Django's databases",
        "breadcrumbs and spans of queries; slow ones with the line that made them",
    ),
    "django_templates": (
        "Django's templates",
        "the failing template's own lines as a frame; `sentry_trace_meta`; spans",
    ),
    "django_middleware": ("Django's middlewares and views", "spans, by option"),
    "django_signals": ("Django's signals", "spans of their receivers"),
    "django_cache": ("Django's caches", "spans with keys and hits, by option"),
    "django_tasks": ("Django's tasks", "spans of what is enqueued (Django 6)"),
    "rest_framework": ("Django REST framework", "the data that it parsed; spans of authentication"),
    "channels": ("Django Channels", "failing websocket consumers, by name"),
    "aws_lambda": (
        "AWS Lambda",
        "failed invocations with their event, delivered in time; functions that cannot be loaded; timeouts",
    ),
    "aiohttp": ("aiohttp", "failed requests of its server, with handler and the body that was read"),
    "typer": ("Typer", "errors that end a command, with pretty tracebacks or without"),
    "openai": ("OpenAI", "errors of requests to models; spans with models, tokens and times"),
    "sqlite3": ("sqlite3", "with tracing on, statements as spans"),
    "psycopg": ("psycopg", "statements as breadcrumbs and spans, blocking and async"),
    "psycopg2": ("psycopg2", "with tracing on, statements as spans"),
    "mysql": ("PyMySQL, mysqlclient", "statements as breadcrumbs and spans"),
    "asyncpg": ("asyncpg", "statements as breadcrumbs and spans"),
    "sqlalchemy": ("SQLAlchemy", "statements as breadcrumbs and spans, whatever driver is below"),
    "redis": ("redis", "commands and pipelines as breadcrumbs and spans, values filtered"),
    "launchdarkly": ("LaunchDarkly", "flags and what they were evaluated to, on later events"),
    "statsig": ("Statsig (both packages)", "gates and what they were checked to be, on later events"),
    "openfeature": ("OpenFeature", "flags and what they were evaluated to, on later events"),
    "unleash": ("Unleash", "toggles and whether they were on, on later events"),
    "socket": ("socket", "breadcrumbs and spans of connections and of names that are looked up; opt-in"),
    "gnu_backtrace": ("GNU backtraces", "frames of C and C++ that stand in an error's text; opt-in"),
    "executing": ("executing", "qualified names of functions in frames; opt-in"),
    "pure_eval": ("pure_eval", "expressions around the failing statement, with their values; opt-in"),
    "cloud_resource_context": ("AWS, Google Cloud", "account, region, zone and host of the machine; opt-in"),
}
