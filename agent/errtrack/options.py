# SPDX-License-Identifier: MIT
"""Every setting: its default, its unit, its environment variable, and where its value came from.

Precedence, later wins: default < TOML file < ``ERRTRACK_*`` environment < launcher option < ``errtrack.init()``.
Some of Sentry's variables, such as ``SENTRY_DSN``, are read where ours are absent. The file is the one
that ``ERRTRACK_CONFIG`` names (the launcher passes its absolute path on); it is read when the core is loaded, never
at boot. A wrong value is told in one line with key, source and remedy, and the default is used; but for filters, which
let nothing pass then.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    Converter = Callable[[Any], Any]
    Row = tuple[Any, ...]

try:
    #: The working directory as the settings are loaded, which is when the first library is instrumented: a daemon
    #: that goes to "/" later on has left the folder of its code.
    STARTED_IN = os.getcwd()
except OSError:
    STARTED_IN = ""

_PREFIX = "ERRTRACK_"

_TRUE = frozenset(("1", "true", "t", "yes", "y", "on"))
_FALSE = frozenset(("0", "false", "f", "no", "n", "off"))


class BadValue(ValueError):
    """A setting's value cannot be used; the message completes "must be ...".

    *kept* takes its place nevertheless: a filter that cannot be called drops what it is asked about, where the default
    would let everything pass.
    """

    def __init__(self, expected: str, kept: Any = None) -> None:
        super().__init__(expected)
        self.kept = kept


def boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise BadValue("true or false")


def _number(low: float, high: float | None, kind: type, expected: str) -> Converter:
    def convert(value: Any) -> Any:
        try:
            if isinstance(value, bool):
                raise ValueError
            number = kind(value)
        except (TypeError, ValueError, OverflowError):
            raise BadValue(expected) from None
        # "not >=" rather than "<": NaN must not pass.
        if not number >= low or (high is not None and number > high):
            raise BadValue(expected)
        return number

    return convert


def text(value: Any) -> str:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise BadValue("a text")
    return str(value).strip()


def path(value: Any) -> str:
    """A file or folder; it stays the one that it is now, wherever the program goes."""
    found = os.path.expanduser(text(value))
    if not found or os.path.isabs(found):
        return found
    try:
        return os.path.abspath(found)
    except OSError:
        raise BadValue("an absolute path, as the working directory is gone") from None


def names(value: Any) -> tuple[str, ...]:
    """A list of texts; in the environment and on the command line separated by commas."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, (list, tuple, set, frozenset)) or not all(isinstance(v, str) for v in value):
        raise BadValue("a list of texts (in the environment: separated by commas)")
    return tuple(v.strip() for v in value if v.strip())


def errors(value: Any) -> tuple[Any, ...]:
    """Like :func:`names`, but exception classes may stand among the texts (in code)."""
    if isinstance(value, str):
        return names(value)
    if not isinstance(value, (list, tuple, set, frozenset)) or not all(
        isinstance(v, str) or (isinstance(v, type) and issubclass(v, BaseException)) for v in value
    ):
        raise BadValue("a list of exception names")
    return tuple(v.strip() if isinstance(v, str) else v for v in value)


def names_or_objects(value: Any) -> tuple[Any, ...]:
    """Like :func:`names`, but the objects themselves may stand among the texts (in code)."""
    if isinstance(value, str):
        return names(value)
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise BadValue("a list of texts (in the environment: separated by commas)")
    return tuple(v.strip() if isinstance(v, str) else v for v in value)


def pairs(value: Any) -> dict[str, str]:
    """A table of texts; in the environment ``key=value,key=value``."""
    if isinstance(value, str):
        out: dict[str, str] = {}
        for part in value.split(","):
            if not part.strip():
                continue
            key, separator, item = part.partition("=")
            if not separator or not key.strip():
                raise BadValue("a table (in the environment: key=value,key=value)")
            out[key.strip()] = item.strip()
        return out
    if not isinstance(value, dict):
        raise BadValue("a table (in the environment: key=value,key=value)")
    return {str(k): str(v) for k, v in value.items()}


def hook(value: Any) -> Any:
    """A callable (in code), or where to find one: ``package.module:function``. Imported at its first use."""
    if callable(value):
        return value
    name = text(value)
    if name and not all(part.isidentifier() for part in name.replace(":", ".").split(".")):
        raise BadValue("a callable's place such as package.module:function", kept=name)
    return name or None


def hooks(value: Any) -> tuple[Any, ...]:
    """A list of what :func:`hook` takes; in the environment separated by commas."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, (list, tuple)):
        raise BadValue("a list of callables' places such as package.module:function", (text(value),))
    found, bad = [], None
    for item in value:
        try:
            found.append(hook(item))
        except BadValue as error:
            bad = error
            found.append(error.kept)
    kept = tuple(item for item in found if item is not None)
    if bad is not None:
        raise BadValue(str(bad), kept)
    return kept


def spotlight(value: Any) -> str:
    """The URL of a local Spotlight; true for the one it listens at by default, false for none."""
    word = str(value).strip()
    if word.lower() in _TRUE:
        # Switched on in code, it goes where the environment says, if that names a place.
        given = os.environ.get("ERRTRACK_SPOTLIGHT") or os.environ.get("SENTRY_SPOTLIGHT") or ""
        return given if given.startswith(("http://", "https://")) else "http://localhost:8969/stream"
    if word.lower() in _FALSE or not word:
        return ""
    if not word.startswith(("http://", "https://")):
        raise BadValue("true, false, or the URL of a Spotlight such as http://localhost:8969/stream")
    return word


def choice(*allowed: str) -> Converter:
    expected = "one of " + ", ".join(filter(None, allowed))

    def convert(value: Any) -> str:
        word = str(value).strip().lower()
        if word not in allowed:
            raise BadValue(expected)
        return word

    return convert


#: Names of log levels and their numbers; "none" is above them all.
_LEVELS = {
    "TRACE": 5, "DEBUG": 10, "INFO": 20, "SUCCESS": 25, "WARNING": 30, "WARN": 30, "ERROR": 40, "CRITICAL": 50,
    "FATAL": 50, "NONE": float("inf"), "OFF": float("inf"),
}  # fmt: skip


def log_level(value: Any) -> str:
    """A log level: the name of one, a number, or none."""
    word = str(value).strip().upper()
    if word not in _LEVELS and not (word.isascii() and word.isdigit()):
        raise BadValue("the name of a log level such as ERROR, a number, or none")
    return word


def level_number(level: str) -> float:
    """The number of what :func:`log_level` let pass; infinite for none."""
    return _LEVELS[level] if level in _LEVELS else int(level)


def dsn_text(value: Any) -> str:
    """A DSN, checked; the empty text means the embedded store."""
    from errtrack.dsn import BadDsn, Dsn

    word = text(value)
    if word:
        try:
            Dsn.parse(word)
        except BadDsn as error:
            raise BadValue("a DSN such as https://KEY@HOST/PROJECT: %s" % error) from None
    return word


def patterns(value: Any) -> tuple[str, ...]:
    """Like :func:`names`; each a regular expression. Compiled where they are used."""
    found = names(value)
    if found:
        import re

        for pattern in found:
            try:
                re.compile(pattern)
            except re.error as error:
                raise BadValue("a list of regular expressions (%s: %s)" % (pattern, error)) from None
    return found


def exit_signals(value: Any) -> tuple[str, ...]:
    """Names of signals, of the two that end a process politely: SIGTERM, SIGHUP."""
    found = tuple(name.upper() for name in names(value))
    if not set(found) <= {"SIGTERM", "SIGHUP"}:
        raise BadValue("a list of SIGTERM and SIGHUP")
    return found


class Statuses(tuple):  # type: ignore[type-arg]
    """HTTP status codes as they are written, ``("403", "500-599")``; ``in`` asks for a number."""

    __slots__ = ()

    def __contains__(self, status: object) -> bool:
        if type(status) is not int:
            return False
        ends = (part.partition("-") for part in self)
        return any(int(first) <= status <= int(last or first) for first, _, last in ends)


def statuses(value: Any) -> Statuses:
    """HTTP status codes: numbers and ranges such as ``500-599``; in code a set or range of numbers as well."""
    if isinstance(value, str):
        value = value.split(",")
    out = []
    for part in value if isinstance(value, (list, tuple, set, frozenset, range)) else [""]:
        text = str(part).replace(" ", "")
        first, dash, last = text.partition("-")
        if text and not (first.isdigit() and (last.isdigit() if dash else True)):
            raise BadValue("a list of status codes such as 403 and 500-599")
        out += [text] if text else []
    if not out and value not in ((), [], [""], set(), frozenset()):
        raise BadValue("a list of status codes such as 403 and 500-599")
    return Statuses(out)


count = _number(0, None, int, "a whole number, 0 or more")
seconds = _number(0, None, float, "a number of seconds, 0 or more")
ratio = _number(0, 1, float, "a number between 0 and 1")
milliseconds = _number(0, None, float, "a number of milliseconds, 0 or more")
size = _number(0, None, int, "a number of bytes, 0 or more")


def methods(value: Any) -> tuple[str, ...]:
    """Names of HTTP methods, in upper case."""
    return tuple(name.upper() for name in names(value))


def optional_ratio(value: Any) -> float | None:
    """Like ``ratio``; the empty text leaves it unset."""
    return None if value == "" else ratio(value)


class Option:
    """One setting. ``unit`` and ``help`` are what the documentation and ``config.example.toml`` say of it."""

    __slots__ = ("attribute", "convert", "default", "help", "name", "sentry_env", "unit")

    def __init__(
        self, name: str, default: Any, convert: Converter, unit: str, help: str, sentry_env: str = ""
    ) -> None:
        self.name = name
        #: Its attribute on :class:`Options`: ``flask.transaction_style`` is ``flask_transaction_style``.
        self.attribute = _attribute(name)
        self.default = default
        self.convert = convert
        self.unit = unit
        self.help = help
        self.sentry_env = sentry_env

    @property
    def env(self) -> str:
        """Its environment variable: ``max_breadcrumbs`` is ``ERRTRACK_MAX_BREADCRUMBS``."""
        return _PREFIX + self.attribute.upper()


def _attribute(name: str) -> str:
    return name.replace(".", "_")


#: So long is the row of an option that a variable of Sentry's sets as well.
_WITH_SENTRY_ENV = 6

# What makes an :class:`Option`, one a line.
# fmt: off
_ROWS: tuple[Row, ...] = (
    # Where to
    ("dsn", "", dsn_text, "DSN", "Where events are sent. Empty: they go to the embedded store.", "SENTRY_DSN"),
    ("enabled", True, boolean, "true/false", "false switches errtrack off altogether."),
    ("environment", "production", text, "text", "Deployment stage shown with every event.", "SENTRY_ENVIRONMENT"),
    ("release", "", text, "text", "Version of the application. Empty: found out, if that is free.", "SENTRY_RELEASE"),
    ("dist", "", text, "text", "Build of the release."),
    ("server_name", "", text, "text", "Name of this machine. Empty: its host name."),
    ("tags", {}, pairs, "table", "Tags set on every event."),
    ("debug", False, boolean, "true/false", "Tell on stderr what is sent, and what went wrong inside errtrack."),
    # What is captured
    ("disable", (), names, "list", "Instrumentations that stay off, by name: [\"flask\", \"excepthook\"]."),
    ("enable", (), names, "list", "Opt-in instrumentations to switch on, by name: [\"sys_exit\", \"socket\"]."),
    ("sample_rate", 1.0, ratio, "0 to 1", "Share of the error events that is kept."),
    ("error_sampler", None, hook, "package.module:function", "Called as f(event, hint) instead of sample_rate: a share from 0 to 1, or true or false. Failing, it keeps the event."),
    ("max_events_per_minute", 5.0, _number(0, None, float, "a number, 0 or more"), "events per minute", "Of one error (class and place) no more than this after max_events_burst; the rest is counted. 0: no cap."),
    ("max_events_burst", 500, _number(1, None, int, "a whole number, 1 or more"), "events", "How many events of one error are kept at full speed before max_events_per_minute holds."),
    ("max_capture_time", 50.0, milliseconds, "milliseconds", "CPU time that describing one error may take; the variables, then source lines, that come after it are left out. 0: no bound."),
    ("max_capture_cpu", 20.0, _number(0, 100, float, "a number between 0 and 100"), "percent", "Of one processor, in the last ten seconds, that captures may take; more, and events go without variables; twice as much, and errors are only counted. 0: no bound."),
    ("ignore_errors", (), errors, "list", "Exceptions never reported: names, full names, or prefixes with *."),
    ("before_send", None, hook, "package.module:function", "Called as f(event, hint) before an event is kept; None drops it."),
    ("before_send_transaction", None, hook, "package.module:function", "Called as f(event, hint) before a transaction is kept; None drops it."),
    ("before_breadcrumb", None, hook, "package.module:function", "Called as f(crumb, hint); None drops the breadcrumb."),
    ("processors", (), hooks, "list", "Event processors, called as f(event, hint) in this order: [\"package.module:function\"]; None drops the event."),
    ("max_breadcrumbs", 100, count, "breadcrumbs", "How many are kept in a scope; 0 keeps none."),
    ("attach_stacktrace", False, boolean, "true/false", "Give events without an exception the stack they were captured at."),
    ("pytest", False, boolean, "true/false", "Report from inside pytest as well."),
    # How much of it
    ("include_local_variables", True, boolean, "true/false", "Local variables in stack frames."),
    ("locals", "safe", choice("safe", "repr"), "safe or repr", "safe describes values without running the application's code; repr calls repr()."),
    ("custom_repr", None, hook, "package.module:function", "Called as f(value) for objects; the text it returns describes them, None leaves it to errtrack."),
    ("include_source_context", True, boolean, "true/false", "Source lines around each stack frame."),
    ("max_value_length", 1024, count, "characters", "Longest text kept in a value."),
    ("max_request_body_size", "medium", choice("never", "small", "medium", "always"), "never, small (1 kB), medium (10 kB), always", "Largest request body that is kept."),
    ("in_app_include", (), names, "list", "Module prefixes whose frames count as the application's."),
    ("in_app_exclude", (), names, "list", "Module prefixes whose frames do not."),
    ("project_root", "", path, "path", "Folder of the application's code. Empty: the working directory at start."),
    # Personal data and secrets
    ("send_default_pii", False, boolean, "true/false", "Send personal data: user, client address, cookies."),
    ("scrub_keys", (), names, "list", "Further keys whose values are replaced by [Filtered], as parts of names."),
    ("scrub_allow", (), names, "list", "Keys that are never filtered, as whole names."),
    # Delivery
    ("shutdown_timeout", 2.0, seconds, "seconds", "Longest wait at exit for events on their way. What is left stays on disk."),
    ("uploader", "auto", choice("auto", "on", "off"), "auto, on or off", "on: a process of its own delivers what is pending at exit, within a minute, and exit does not wait. auto: at a terminal, outside of containers."),
    ("connect_timeout", 2.0, seconds, "seconds", "Longest wait for a connection to the server."),
    ("request_timeout", 10.0, seconds, "seconds", "Longest wait for the server's answer."),
    ("http_proxy", "", text, "URL", "Proxy for http DSNs. Empty: from the environment; \"none\": no proxy."),
    ("https_proxy", "", text, "URL", "Proxy for https DSNs. Empty: from the environment; \"none\": no proxy."),
    ("ca_certs", "", path, "path", "CA bundle. Empty: the system's, or certifi's where there is none."),
    ("cert_file", "", path, "path", "Client certificate."),
    ("key_file", "", path, "path", "Key of the client certificate."),
    ("send_client_reports", True, boolean, "true/false", "Tell the server how many events were dropped, and why."),
    ("strict_protocol", False, boolean, "true/false", "Discard on 429 and 5xx as the protocol says, instead of keeping the event."),
    ("spotlight", "", spotlight, "true/false or URL", "Send a copy of everything to a Spotlight on this machine.", "SENTRY_SPOTLIGHT"),
    ("auto_session_tracking", False, boolean, "true/false", "Release health: count requests and sessions that end well, in error, or in a crash. Needs a release."),
    # On disk
    ("store", "", path, "folder", "Embedded store and spool. Empty: below the user's state directory."),
    ("store_max_age", 30.0, _number(0, None, float, "a number of days, 0 or more"), "days", "Events in the embedded store older than this are deleted; 0 keeps them."),
    ("store_max_size", 256_000_000, size, "bytes", "Largest size of the embedded store; the oldest events go first; 0 is unbounded."),
    ("spool_dir", "", path, "folder", "Where captured events wait for delivery. Empty: in the store's folder."),
    ("spool_max_size", 64_000_000, size, "bytes", "Most that waits for one destination; the oldest go first."),
    ("spool_sync", "fatal", choice("off", "fatal", "always"), "off, fatal, always", "What outlives a loss of power at once: nothing, what ends a process, all. What waits is written out every second, but with off."),
    ("spool_reserve", 262_144, size, "bytes", "Kept free on the disk for the event of a fatal error; 0 keeps none."),
    ("spool_max_age", 7.0, _number(0, None, float, "a number of days, 0 or more"), "days", "Events that could not be delivered for so long are given up; 0 keeps them."),
    # Traces
    ("traces_sample_rate", None, optional_ratio, "0 to 1", "Share of the traces begun here that is recorded. Unset: tracing is off; 0: only what others have begun.", "SENTRY_TRACES_SAMPLE_RATE"),
    ("traces_sampler", None, hook, "package.module:function", "Called as f(context) before each transaction instead of traces_sample_rate: a share from 0 to 1, or true or false."),
    ("http_methods_to_capture", ("CONNECT", "DELETE", "GET", "PATCH", "POST", "PUT", "TRACE"), methods, "list", "HTTP methods whose requests are transactions. Errors are reported with any."),
    ("trace_ignore_status_codes", Statuses(), statuses, "list", "Requests answered with one of these are no transactions: [\"404\", \"500-599\"]."),
    ("functions_to_trace", (), names, "list", "Functions whose calls are spans, by their dotted path: [\"shop.models.Order.save\"]."),
    ("propagate_traceparent", False, boolean, "true/false", "Requests carry the W3C header traceparent as well. It is always read."),
    ("enable_http_request_source", True, boolean, "true/false", "Note on slow spans of HTTP requests which line of the application sent them."),
    ("http_request_source_threshold_ms", 100.0, milliseconds, "milliseconds", "From how long on an HTTP request is slow."),
    ("enable_db_query_source", True, boolean, "true/false", "Note on slow spans of queries which line of the application made them."),
    ("db_query_source_threshold_ms", 100.0, milliseconds, "milliseconds", "From how long on a query is slow."),
    ("enable_backpressure_handling", True, boolean, "true/false", "Halve traces_sample_rate every ten seconds while little can be delivered."),
    ("ignore_transactions", (), names, "list", "Transactions that are not sent: names, or prefixes with *: [\"health\", \"/internal/*\"]."),
    ("strict_trace_continuation", False, boolean, "true/false", "Continue only traces of the same Sentry organisation."),
    ("org_id", "", text, "text", "Sentry organisation, for strict_trace_continuation. Empty: as the DSN's host has it."),
    ("max_spans", 1000, count, "spans", "Most spans kept in one transaction; the others are counted."),
    # Child processes and other services
    ("propagate", True, boolean, "true/false", "Instrument child Python processes too."),
    ("trace_propagation_targets", (".*",), patterns, "list", "Regular expressions: requests to URLs that one is found in carry trace headers."),
    # Instrumentations
    ("asyncio.task_spans", False, boolean, "true/false", "With tracing on: spans for the tasks of asyncio."),
    ("atexit.signals", (), exit_signals, "list", "Deliver what is pending before [\"SIGTERM\", \"SIGHUP\"] end the process. Empty: no handler is installed."),
    ("celery.propagate_traces", True, boolean, "true/false", "Tasks continue the trace of whoever sends them."),
    ("celery.report_retries", False, boolean, "true/false", "Report the error that a task is retried for as well, as a warning."),
    ("celery.monitor_beat_tasks", False, boolean, "true/false", "Tell the server of each run of beat's schedule, as cron check-ins."),
    ("celery.exclude_beat_tasks", (), patterns, "list", "Regular expressions: entries of beat's schedule, by their whole name, that are not told."),
    ("aiohttp.failed_request_status_codes", Statuses(("500-599",)), statuses, "list", "HTTP exceptions of aiohttp handlers with one of these are reported: [\"403\", \"500-599\"]."),
    ("aiohttp.transaction_style", "handler_name", choice("handler_name", "method_and_path_pattern"), "handler_name or method_and_path_pattern", "Name of an aiohttp request: its handler, or method and route."),
    ("aws_lambda.timeout_warning", False, boolean, "true/false", "Report 1.5 seconds before a Lambda function runs out of time."),
    ("cloud_resource_context.cloud_provider", "", choice("", "aws", "gcp"), "aws or gcp", "Whose metadata server to ask. Empty: found out."),
    ("django.transaction_style", "url", choice("url", "function_name"), "url or function_name", "Name of a Django request: its URL pattern or its view."),
    ("django.failed_request_status_codes", Statuses(("500-599",)), statuses, "list", "Exceptions that Django answers with one of these are reported: [\"403\", \"500-599\"]."),
    ("django.middleware_spans", False, boolean, "true/false", "Spans for each middleware and for the view."),
    ("django.signals_spans", True, boolean, "true/false", "Spans for the receivers of Django's signals."),
    ("django.signals_denylist", (), names_or_objects, "list", "Signals whose receivers get no spans: [\"django.db.models.signals.post_save\"]."),
    ("django.cache_spans", False, boolean, "true/false", "Spans for what is read from caches and written to them."),
    ("django.db_transaction_spans", False, boolean, "true/false", "Spans for COMMIT and ROLLBACK."),
    ("excepthook.always_run", False, boolean, "true/false", "Report errors typed at an interactive prompt as well."),
    ("flask.transaction_style", "endpoint", choice("endpoint", "url"), "endpoint or url", "Name of a Flask request: its endpoint or its URL rule."),
    ("sanic.unsampled_statuses", Statuses(("404",)), statuses, "list", "Sanic requests answered with one of these are no transactions: [\"404\"]."),
    ("starlette.failed_request_status_codes", Statuses(("500-599",)), statuses, "list", "Exceptions that a handler answers with one of these are reported: [\"403\", \"500-599\"]. FastAPI's too."),
    ("starlette.transaction_style", "url", choice("url", "endpoint"), "url or endpoint", "Name of a Starlette or FastAPI request: its route's path or its endpoint."),
    ("starlette.middleware_spans", False, boolean, "true/false", "Spans for each middleware, and for what it receives and sends. FastAPI's too."),
    ("subprocess.propagate_trace", True, boolean, "true/false", "Hand the trace to child processes in ERRTRACK_TRACE and ERRTRACK_BAGGAGE (for sentry_sdk: SUBPROCESS_SENTRY_TRACE and SUBPROCESS_BAGGAGE)."),
    ("sys_exit.capture_successful_exits", False, boolean, "true/false", "Report sys.exit(0) and sys.exit(None) as well."),
    ("loguru.level", "INFO", log_level, "level or none", "From which level on loguru's messages become breadcrumbs."),
    ("loguru.event_level", "ERROR", log_level, "level or none", "From which level on loguru's messages become events."),
    ("threading.propagate_scope", True, boolean, "true/false", "Threads and tasks of thread pools start with what was said where they were started."),
    ("logging.level", "INFO", log_level, "level or none", "From which level on log records become breadcrumbs."),
    ("logging.event_level", "ERROR", log_level, "level or none", "From which level on log records become events."),
    ("logging.ignore_loggers", (), names, "list", "Loggers that are left out: names, or patterns such as noisy.*"),
    ("openai.errors", "event", choice("event", "breadcrumb"), "event or breadcrumb", "What a failed request to a model is; as a breadcrumb it becomes an event only if nothing handles it."),
    ("openai.include_prompts", True, boolean, "true/false", "With send_default_pii: what models were told and what they answered is sent, too."),
    ("openai.tiktoken_encoding_name", "", text, "text", "Encoding to count tokens by where the API does not, as cl100k_base; tiktoken may download it. Empty: none."),
    ("flags.all_types", False, boolean, "true/false", "Keep feature flags that are texts or numbers, not only those that are on or off."),
    ("wsgi.use_x_forwarded_for", False, boolean, "true/false", "Build request URLs from X-Forwarded-Host and X-Forwarded-Proto."),
)
# fmt: on

#: Attribute of :class:`Options` -> what is said of it above. Most processes set a few, and want objects of no others.
_BY_ATTRIBUTE = {_attribute(row[0]): row for row in _ROWS}

_DEFAULTS = {attribute: row[1] for attribute, row in _BY_ATTRIBUTE.items()}

if TYPE_CHECKING:
    #: Every setting by its name; made when somebody asks for it.
    OPTIONS: dict[str, Option]
else:

    def __getattr__(name: str) -> dict[str, Option]:  # PEP 562
        if name != "OPTIONS":
            raise AttributeError("module 'errtrack.options' has no attribute %r" % name)
        made = globals()["OPTIONS"] = {row[0]: Option(*row) for row in _ROWS}
        return made


def _option(name: str) -> Option | None:
    row = _BY_ATTRIBUTE.get(_attribute(name))
    return Option(*row) if row is not None and row[0] == name else None


#: Set by the launcher: which ERRTRACK_* variables it set from its own options, as ``dsn,environment``.
LAUNCHER_MARK = "ERRTRACK_RUN_OPTIONS"

#: ERRTRACK_* variables that are not settings: how launcher, bootstrap and tools talk to each other.
INTERNAL_VARIABLES = frozenset(
    (
        LAUNCHER_MARK,
        "ERRTRACK_RUN",
        "ERRTRACK_RUN_PYTHONPATH",
        "ERRTRACK_CONFIG",
        "ERRTRACK_AUTOLOAD",
        "ERRTRACK_TRACE",
        "ERRTRACK_BAGGAGE",
    )
)


class Options:
    """The settings in force, as attributes; ``source(name)`` tells where each came from."""

    problems: list[str]
    config_file: str | None

    def __init__(self) -> None:
        self._sources: dict[str, str] = {}
        self.problems = []
        self.config_file = None
        vars(self).update(_DEFAULTS)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @property
    def root(self) -> str:
        """The folder of the application's code: ``project_root``, or where it was started; may be empty."""
        return str(self.project_root or STARTED_IN)

    def source(self, name: str) -> str:
        """Where the value of *name* came from: ``default``, a file's path, a variable, ``--dsn`` or ``init()``."""
        return self._sources.get(name, "default")

    def set(self, name: str, value: Any, source: str) -> bool:
        """Set one option from *source*; a wrong name or value becomes a problem and changes nothing."""
        option = _option(name)
        if option is None:
            near = nearest(name, [row[0] for row in _ROWS])
            hint = "did you mean %s?" % near if near else "remove it; `errtrack config` lists every setting"
            self.problems.append("%s: unknown setting %s: %s" % (source, name, hint))
            return False
        try:
            converted = option.convert(value)
        except BadValue as error:
            if error.kept is not None:
                setattr(self, option.attribute, error.kept)
                self._sources[name] = source
            outcome = (
                "until then it fails" if error.kept else "using %s" % _shown(getattr(self, option.attribute))
            )
            self.problems.append("%s: %s must be %s; %s" % (source, name, error, outcome))
            return False
        setattr(self, option.attribute, converted)
        self._sources[name] = source
        return True

    def is_disabled(self, instrumentation: str, opt_in: bool = False) -> bool:
        """The one place that says whether an instrumentation is off; one that is *opt_in* is, unless named."""
        if not self.enabled or instrumentation in self.disable:
            return True
        return opt_in and instrumentation not in self.enable

    @property
    def is_quiet(self) -> bool:
        """Whether this is inside of pytest, where nothing is captured unless it is asked for. The one place that says so."""
        return not self.pytest and "_pytest" in sys.modules

    @property
    def traces(self) -> bool:
        """Whether traces are recorded. The one place that says so."""
        return self.traces_sample_rate is not None or self.traces_sampler is not None

    def as_rows(self) -> list[tuple[str, Any, str]]:
        """Every setting as (name, value, source), secrets masked; for ``errtrack config``."""
        from errtrack.dsn import Dsn

        rows: list[tuple[str, Any, str]] = []
        for attribute, (name, *_) in _BY_ATTRIBUTE.items():
            value = getattr(self, attribute)
            if name == "dsn" and value:
                value = Dsn.parse(value).masked
            elif name.endswith("_proxy") and "@" in value:
                value = "***@" + value.rpartition("@")[2]
            elif callable(value):
                value = "%s:%s" % (getattr(value, "__module__", "?"), getattr(value, "__qualname__", "?"))
            rows.append((name, value, self.source(name)))
        return rows


def resolve(environ: Mapping[str, str] | None = None, code: Mapping[str, Any] | None = None) -> Options:
    """Read every source and return the settings. *code* holds what ``errtrack.init()`` was given."""
    environ = os.environ if environ is None else environ
    options = Options()
    _read_file(options, environ)
    _read_environment(options, environ)
    for name, value in (code or {}).items():
        if value is not None:
            options.set(_dotted(name), value, "init()")
    return options


def _dotted(name: str) -> str:
    """Option names as keyword arguments have no dots: ``flask_transaction_style``."""
    return str(_BY_ATTRIBUTE[name][0]) if name in _BY_ATTRIBUTE else name


def _read_file(options: Options, environ: Mapping[str, str]) -> None:
    path = environ.get("ERRTRACK_CONFIG")
    if not path:
        return
    options.config_file = path
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        is_option = "config" in environ.get(LAUNCHER_MARK, "").split(",")
        source = "--config" if is_option else "ERRTRACK_CONFIG"
        options.problems.append(
            "%s: cannot read %s (%s); name an existing TOML file" % (source, path, error.strerror)
        )
        return
    toml = _toml_parser()
    if toml is None:
        options.problems.append(
            "%s: this Python has no TOML parser; install errtrack-run or tomli into its environment,"
            " or use ERRTRACK_* variables" % path
        )
        return
    try:
        settings = toml.loads(data.decode("utf-8"))
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        options.problems.append("%s: not valid TOML: %s; the whole file is left out" % (path, error))
        return
    for name, value in settings.items():
        if isinstance(value, dict) and _option(name) is None:
            for key, item in value.items():
                options.set("%s.%s" % (name, key), item, path)
        else:
            options.set(name, value, path)


def _toml_parser() -> Any:
    for name in ("tomllib", "tomli"):
        try:
            return __import__(name)
        except ImportError:
            continue
    return None


def _read_environment(options: Options, environ: Mapping[str, str]) -> None:
    from_launcher = environ.get(LAUNCHER_MARK, "").split(",")
    # Asked for its names once: each look into os.environ encodes a name, and most options are not there.
    others = {name for name in environ if name.startswith(_PREFIX)} - INTERNAL_VARIABLES
    set_here = {name[len(_PREFIX) :].lower() for name in others}
    for attribute, row in _BY_ATTRIBUTE.items():
        if attribute not in set_here and len(row) < _WITH_SENTRY_ENV:
            continue
        option, value = Option(*row), None
        if attribute in set_here:
            value = environ.get(option.env)
            others.discard(option.env)
        if value is not None and (value or option.convert in (text, path, dsn_text)):
            launcher_option = option.name in from_launcher
            options.set(option.name, value, "--" + option.name if launcher_option else option.env)
        elif option.sentry_env and environ.get(option.sentry_env):
            options.set(option.name, environ[option.sentry_env], option.sentry_env)
    for name in sorted(others):
        # Only a likely misspelling is told: Kubernetes sets ERRTRACK_SERVICE_HOST and the like by itself.
        near = nearest(name[len(_PREFIX) :], [attribute.upper() for attribute in _BY_ATTRIBUTE])
        if near:
            options.problems.append("%s: unknown setting: did you mean ERRTRACK_%s?" % (name, near))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that *name* was most likely meant to be, or None."""
    from difflib import get_close_matches

    names = list(known)
    # In a short name two letters are much; changed places are likely all the same.
    same = [other for other in names if sorted(other.lower()) == sorted(name.lower())]
    matches = same or get_close_matches(name, names, n=1, cutoff=0.7)
    return matches[0] if matches else None


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[%s]" % ", ".join(map(str, value))
    return "none" if value in ("", None) else str(value)


_current: dict[str, Options] = {}


def current() -> Options:
    """The settings in force in this process; read at the first call."""
    known = _current.get("options")
    # setdefault instead of a lock: two threads may both read, one result is kept.
    return known if known is not None else _current.setdefault("options", resolve())


def install(options: Options) -> None:
    """Put *options* in force (``errtrack.init()`` was called)."""
    _current["options"] = options
