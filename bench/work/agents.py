# SPDX-License-Identifier: MIT
"""The same three verbs for every agent: capture an error, flush, wrap a WSGI application by hand.

``BENCH_AGENT`` names the agent of this process. Nothing of an agent is imported before it is used.
"""

from __future__ import annotations

import os
import sys

# Nothing else at the top: what is imported here would be missing from the cost of a first event.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NAME = os.environ.get("BENCH_AGENT", "bare")


def report(**figures: float) -> None:
    """Hand the figures of this process to the harness."""
    import json

    with open(os.environ["BENCH_RESULT"], "w", encoding="utf-8") as file:
        json.dump(figures, file)


def generated() -> None:
    """Make the generated modules importable."""
    sys.path.append(os.environ["BENCH_GENERATED"])


def capture_function() -> Callable[[BaseException], Any]:
    """How this agent captures an exception in code; for bare Python a function that does nothing."""
    if NAME == "errtrack":
        import errtrack

        return errtrack.capture_exception
    if NAME == "sentry":
        import sentry_sdk

        return sentry_sdk.capture_exception
    if NAME == "elastic":
        return _elastic_capture()
    if NAME == "ddtrace":
        return _ddtrace_capture()
    if NAME == "otel":
        return _otel_capture()
    if NAME == "newrelic":
        return _newrelic_capture()
    return lambda error: None


def flush(seconds: float) -> None:
    """Wait until all is delivered, *seconds* at most."""
    if NAME == "errtrack":
        import errtrack

        errtrack.flush(seconds)
    elif NAME == "sentry":
        import sentry_sdk

        sentry_sdk.flush(seconds)
    elif NAME == "elastic" and _elastic:
        _elastic[0]._transport.flush()
    elif NAME == "otel":
        from opentelemetry import trace

        trace.get_tracer_provider().force_flush(int(seconds * 1000))  # type: ignore[attr-defined]
    elif NAME == "ddtrace":
        from ddtrace.trace import tracer

        tracer.flush()


def wrap_wsgi(app: Any) -> Any:
    """*app* as this agent's documentation wraps it; errtrack takes it at the server's door by itself."""
    if NAME == "sentry":
        from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

        return SentryWsgiMiddleware(app)
    if NAME == "ddtrace":
        from ddtrace.contrib.wsgi import DDWSGIMiddleware

        return DDWSGIMiddleware(app)
    if NAME == "otel":
        from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

        return OpenTelemetryMiddleware(app)
    if NAME == "newrelic":
        from newrelic.api.wsgi_application import WSGIApplicationWrapper

        return WSGIApplicationWrapper(app)
    return app


_elastic: list[Any] = []


def _elastic_capture() -> Callable[[BaseException], Any]:
    import elasticapm

    client = elasticapm.get_client() or elasticapm.Client()
    _elastic.append(client)
    return lambda error: client.capture_exception((type(error), error, error.__traceback__))


def _ddtrace_capture() -> Callable[[BaseException], Any]:
    from ddtrace.trace import tracer

    def capture(error: BaseException) -> None:
        with tracer.trace("bench") as span:
            span.set_exc_info(type(error), error, error.__traceback__)

    return capture


def _otel_capture() -> Callable[[BaseException], Any]:
    from opentelemetry import trace

    tracer = trace.get_tracer("bench")

    def capture(error: BaseException) -> None:
        with tracer.start_as_current_span("bench") as span:
            span.record_exception(error)

    return capture


def _newrelic_capture() -> Callable[[BaseException], Any]:
    import newrelic.agent

    application = newrelic.agent.register_application(timeout=1.0)

    def capture(error: BaseException) -> None:
        newrelic.agent.notice_error((type(error), error, error.__traceback__), application=application)

    return capture
