# SPDX-License-Identifier: MIT
"""The contents page: what is instrumented, and which touch loads it. Plain data, read at every boot.

The hooks are one text, since Python compiles a text in no time where nothing can be compiled in advance.

Adding a library: its file, its rows here, a row in ``table.py``, a test, and a row in the README's table.
"""

#: Import name, and the files loaded once it was imported. Name the module that defines what is patched.
_HOOKS = """
awslambdaric.bootstrap aws_lambda
awslambdaric.lambda_runtime_client aws_lambda
aiohttp.web_protocol aiohttp
aiohttp.web_app aiohttp
aiohttp.web_urldispatcher aiohttp
aiohttp.web_ws aiohttp
flask.app flask
flask.signals flask
tornado.web tornado
tornado.websocket tornado
django.core.signals django
django.core.handlers.base django,django_middleware
django.core.handlers.exception django
django.core.handlers.wsgi django
django.core.handlers.asgi django
django.db.backends.utils django_database
django.db.backends.base.base django_database
django.template.base django_templates
django.template.backends.django django_templates
django.template.backends.jinja2 django_templates
django.template.response django_middleware
django.dispatch.dispatcher django_signals
django.core.cache django_cache
django.tasks.base django_tasks
rest_framework.views rest_framework
rest_framework.request rest_framework
channels.routing channels
channels.consumer channels
gunicorn.app.base wsgi_servers
wsgiref.simple_server wsgi_servers
wsgiref.handlers wsgi_servers
waitress.server wsgi_servers
werkzeug.serving wsgi_servers
werkzeug.debug wsgi_servers
cheroot.wsgi wsgi_servers
cherrypy._cprequest wsgi_servers
cherrypy._cplogging wsgi_servers
gevent.pywsgi wsgi_servers
eventlet.wsgi wsgi_servers
tornado.wsgi wsgi_servers
uwsgi uwsgi
uvicorn.config asgi_servers
uvicorn.server asgi_servers
hypercorn.app_wrappers asgi_servers
daphne.server asgi_servers
uvicorn.middleware.wsgi asgi_servers
a2wsgi.wsgi asgi_servers
asgiref.wsgi asgi_servers
starlette.middleware.wsgi asgi_servers
starlette.applications starlette
starlette._exception_handler starlette
starlette.middleware.exceptions starlette
starlette.requests starlette
starlette.responses starlette
starlette.middleware starlette_middleware
starlette.routing starlette_middleware
fastapi.routing starlette_middleware
starlette.templating starlette_templates
celery.app.trace celery
celery.app.base celery
celery.concurrency.base celery
celery.signals celery
celery.worker.request celery
billiard.pool celery
celery.beat celery_beat
kombu.messaging kombu
sanic.app sanic
sanic.handlers sanic
sanic.handlers.error sanic
logging logging
http.client stdlib
subprocess stdlib
gevent.subprocess stdlib
exceptiongroup._formatting excepthook
code excepthook
typer.main typer
threading threading
faulthandler faulthandler
concurrent.futures.thread concurrent_futures
concurrent.futures._base concurrent_futures
errtrack.instrumentation faulthandler,backlog
asyncio.base_events asyncio
uvloop asyncio
multiprocessing.process multiprocessing
loguru loguru
loguru._logger loguru
gevent.hub gevent
errtrack.context.unit tracing,backlog
errtrack.client faulthandler,atexit,argv,modules,dedupe,gnu_backtrace,executing,pure_eval,cloud_resource_context
socket socket
openai._streaming openai
openai.resources.chat.completions openai
openai.resources.chat.completions.completions openai
openai.resources.beta.chat.completions openai
openai.resources.beta.responses.responses openai
openai.resources.responses.responses openai
openai.resources.embeddings openai
openai.resources.completions openai
openai.lib.streaming.chat._completions openai
openai.lib.streaming.responses._responses openai
sqlite3.dbapi2 sqlite3
psycopg.cursor psycopg
psycopg.cursor_async psycopg
psycopg2 psycopg2
pymysql.cursors mysql
MySQLdb.cursors mysql
asyncpg.connection asyncpg
asyncpg.prepared_stmt asyncpg
asyncpg.cursor asyncpg
sqlalchemy sqlalchemy
redis.client redis
redis.asyncio.client redis
redis.cluster redis
ldclient.hook launchdarkly
ldclient.client launchdarkly
ldclient.async_client launchdarkly
statsig.statsig_server statsig
statsig_python_core.statsig statsig
openfeature.hook openfeature
openfeature.api openfeature
UnleashClient unleash
UnleashClient.clients.unleash_client unleash
UnleashClient.clients.async_unleash_client unleash
"""
_WORDS = _HOOKS.split()

#: Import name -> files, with commas between.
HOOKS = dict(zip(_WORDS[::2], _WORDS[1::2]))

#: Attributes of ``sys`` that boot replaces by a lazy wire.
WIRES = {
    "sys.excepthook": "excepthook",
    "sys.unraisablehook": "unraisablehook",
    "sys.exit": "sys_exit",
}

#: Files that have something to do as the interpreter ends, where the client was loaded; with commas between.
AT_EXIT = "atexit"

#: Files that stay off, and cost nothing, unless the option ``enable`` names them.
OPT_IN = ("sys_exit", "socket", "gnu_backtrace", "executing", "pure_eval", "cloud_resource_context")
