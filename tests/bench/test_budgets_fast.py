# SPDX-License-Identifier: MIT
"""Budgets that hold on a busy machine: counts of instructions, modules, memory blocks, threads and descriptors.

The numbers stand in ``bench/budgets.toml`` under ``[fast]``. Instructions are counted by valgrind, where there is one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from bench.rounds import Figures, Spread  # noqa: E402

from bench import generated, processes, report  # noqa: E402

needs_valgrind = pytest.mark.skipif(
    not shutil.which("valgrind"), reason="instructions are counted by valgrind"
)
#: A minute each.
takes_long = pytest.mark.skipif(
    not os.environ.get("ERRTRACK_TEST_LEVEL"), reason="takes minutes under valgrind: nox -s counts"
)


#: How much more of the instructions than on Python 3.11, whose counts the bounds are: there was no adaptive interpreter
#: before, and later ones begin with more.
ALLOWED = 2.4 if sys.version_info < (3, 11) else 1.0 if sys.version_info < (3, 12) else 1.25


@pytest.fixture(scope="module")
def fast() -> dict[str, float]:
    bounds = report.load_budgets()[1]
    return {name: most * (ALLOWED if "instructions" in name else 1) for name, most in bounds.items()}


def is_cheap(most: float, cost: Callable[[list[str]], float], least: float = 0) -> bool:
    """Whether *cost* is at most so much in one of four layouts of memory, which a Python's flags make.

    Where two attributes share an entry of CPython's cache of types' attributes, each look throws the other out: that
    costs thousands, and comes and goes with any change of a line of anybody's.
    """
    found = []
    for flags in ([], ["-W", "ignore"], ["-X", "utf8"], ["-W", "ignore", "-X", "utf8"]):
        found.append(cost(flags))
        if least < found[-1] <= most:
            return True
    print("layout by layout:", found)
    return False


class House:
    """The three packages compiled in a folder of their own, as an installer leaves them, and a clean environment."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        for root, package in (
            ("agent", "errtrack"),
            ("instrumentations", "errtrack_instrumentations"),
            ("bootstrap", "errtrack_run"),
        ):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / root / package, self.site / package, ignore=ignored)
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(self.site)], check=True)
        generated.write(folder / "generated")
        self.folder = folder
        self.bare = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            # Bare as well, so that imports look through the same folders.
            "PYTHONPATH": str(self.site),
            "BENCH_GENERATED": str(folder / "generated"),
            "BENCH_AGENT": "bare",
        }
        inject = self.site / "errtrack_run" / "inject"
        self.ours = {
            **self.bare,
            "PYTHONPATH": "%s:%s" % (inject, self.site),
            "ERRTRACK_STORE": str(folder / "state"),
            "BENCH_AGENT": "errtrack",
        }

    def run(self, environ: dict[str, str], *arguments: str) -> str:
        """Run Python and return what it prints."""
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        done = subprocess.run(
            [sys.executable, *arguments],
            env=environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def instructions(self, environ: dict[str, str], *arguments: str) -> float:
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        return processes.instructions([sys.executable, *arguments], environ)

    def instructions_each(
        self, environ: dict[str, str], few: int, many: int, arguments: Sequence[str]
    ) -> float:
        """Instructions of one repetition, from two runs; ``{}`` in *arguments* stands for how many."""
        counted = [
            self.instructions(environ, *(word.format(count) for word in arguments)) for count in (few, many)
        ]
        return (counted[1] - counted[0]) / (many - few)

    def is_within(
        self,
        most: float,
        few: int,
        many: int,
        arguments: Sequence[str],
        environ: dict[str, str] | None = None,
    ) -> bool:
        """Whether one repetition costs at most so many instructions over bare."""
        settings = environ or {}

        def over_bare(flags: list[str]) -> float:
            bare = self.instructions_each({**self.bare, **settings}, few, many, [*flags, *arguments])
            return self.instructions_each({**self.ours, **settings}, few, many, [*flags, *arguments]) - bare

        return is_cheap(most, over_bare)

    def facts(self, environ: dict[str, str]) -> dict[str, float]:
        result = self.folder / "facts.json"
        self.run({**environ, "BENCH_RESULT": str(result)}, processes.script("facts"))
        found: dict[str, float] = json.loads(result.read_text())
        return found


def without_collector(script: str, *arguments: str) -> list[str]:
    """Run a script of ``bench/work``; that the garbage collector comes in one of two runs only would be a tenth of it."""
    program = (
        "import gc, os, runpy, sys; gc.disable(); del sys.argv[0]; sys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    return ["-c", program, processes.script(script), *arguments]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("house"))


def test_a_start_adds_few_modules_and_neither_threads_nor_descriptors(
    house: House, fast: dict[str, float]
) -> None:
    bare, ours = house.facts(house.bare), house.facts(house.ours)
    assert ours["modules"] > bare["modules"], "errtrack did not start at all"
    assert ours["modules"] - bare["modules"] <= fast["boot_modules"]
    assert ours["threads"] - bare["threads"] == fast["boot_threads"]
    assert ours["fds"] - bare["fds"] == fast["boot_descriptors"]


@needs_valgrind
def test_a_start_executes_few_instructions(house: House, fast: dict[str, float]) -> None:
    added = house.instructions(house.ours, "-c", "pass") - house.instructions(house.bare, "-c", "pass")
    assert 0 < added <= fast["boot_instructions"]


@needs_valgrind
@pytest.mark.parametrize("program", ["pass", "import threading"])
def test_a_start_where_the_installer_compiled_nothing_costs_hardly_more(
    house: House, fast: dict[str, float], program: str
) -> None:
    # The wheel's own compiled files are checked by the hash of their source, which is read for it.
    by_hash = house.folder / "by hash"
    if not by_hash.exists():
        shutil.copytree(house.site, by_hash, ignore=shutil.ignore_patterns("__pycache__"))
        command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
        subprocess.run([*command, str(by_hash)], check=True)
    path = "%s:%s" % (by_hash / "errtrack_run" / "inject", by_hash)
    ours = house.instructions({**house.ours, "PYTHONPATH": path}, "-c", program)
    added = ours - house.instructions(house.ours, "-c", program)
    assert 0 < added <= fast["by_hash_instructions"]


@needs_valgrind
def test_a_start_without_compiled_files_executes_few_instructions(
    house: House, fast: dict[str, float]
) -> None:
    cold = house.folder / "cold"
    shutil.copytree(house.site, cold, ignore=shutil.ignore_patterns("__pycache__"))
    path = "%s:%s" % (cold / "errtrack_run" / "inject", cold)
    ours = house.instructions({**house.ours, "PYTHONPATH": path}, "-c", "pass")
    added = ours - house.instructions(house.bare, "-c", "pass")
    # Python itself takes a third of it, for the classes of its syntax tree, whatever it compiles first.
    assert 0 < added <= fast["boot_cold_instructions"]


def test_the_launcher_imports_next_to_nothing(house: House) -> None:
    script = ROOT / "bootstrap" / "bin" / "errtrack-run"
    bare = imported(house, "-c", "pass")
    ours = imported(house, str(script), "true")
    assert ours - bare == {
        "errtrack_run",
        "errtrack_run.launcher",
        "errtrack_run.cautions",
        "errtrack_run.pythonpath",
    }


def imported(house: House, *arguments: str) -> set[str]:
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, env=house.bare, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_the_first_capture_leaves_what_only_delivery_needs_to_its_thread(house: House) -> None:
    program = (
        "import sys; sys.path.insert(0, %r)\n"
        "import errtrack, failing\n"
        "from errtrack.delivery import forks\n"
        "forks.start_new_thread = lambda *a: None\n"
        "assert errtrack.capture_exception(failing.error(0, 30, 1))\n"
        "import os; print(*sys.modules, flush=True); os._exit(0)"
    ) % str(processes.WORK)
    for dsn in ("", "http://key@127.0.0.1:9/1"):
        loaded = set(house.run({**house.ours, "ERRTRACK_DSN": dsn}, "-c", program).split())
        assert "errtrack.delivery.transport" in loaded
        assert not {name for name in loaded if name.startswith("errtrack.delivery.")} & {
            "errtrack.delivery.%s" % name
            for name in ("bounds", "connection", "drain", "limits", "post", "quarantine", "sender", "tally")
        }
        assert not loaded & {
            "json",
            "re",
            "logging",
            "traceback",
            "urllib3",
            "socket",
            "ssl",
            "sqlite3",
            "uuid",
        }


@needs_valgrind
def test_a_log_line_costs_few_instructions(house: House, fast: dict[str, float]) -> None:
    program = (
        "import gc, logging, os; gc.disable()\n"
        "logger = logging.getLogger('shop'); logger.setLevel(20); logger.addHandler(logging.NullHandler())\n"
        "for number in range({}): logger.info('order %s of %s', number, 'Ada')\n"
        "os._exit(0)"
    )
    assert house.is_within(fast["log_instructions"], 300, 1300, ["-c", program])


@needs_valgrind
def test_the_import_of_a_module_that_nobody_watches_costs_next_to_nothing(
    house: House, fast: dict[str, float]
) -> None:
    program = (
        "import gc, os, sys; gc.disable(); sys.path.append(os.environ['BENCH_GENERATED'])\n"
        "for number in range({}): __import__('tiny.m%04d' % number)"
    )
    # Where imports are first tried decides what they cost: both look through the same folders, ours no further.
    assert house.is_within(fast["tiny_import_instructions"], 20, 120, ["-c", program])


@needs_valgrind
def test_a_good_request_costs_few_instructions(house: House, fast: dict[str, float]) -> None:
    script = without_collector("request", "plain", "/", "{}", "100")
    assert house.is_within(fast["request_plain_instructions"], 50, 250, script)


@needs_valgrind
@pytest.mark.parametrize("framework", ["flask", "django"])
def test_a_good_request_of_a_framework_costs_few_instructions(
    house: House, fast: dict[str, float], framework: str
) -> None:
    pytest.importorskip(framework)
    settings = {"DJANGO_SETTINGS_MODULE": "django_settings"}
    script = without_collector("request", framework, "/", "{}", "60")
    assert house.is_within(fast["request_%s_instructions" % framework], 20, 70, script, settings)


# Without a worker that delivers meanwhile, and without what the collector happens to do in between.
TRACED = """
import gc, os, sys
sys.path.insert(0, %r)
if os.environ["BENCH_AGENT"] == "errtrack":
    from errtrack.delivery import forks
    forks.start_new_thread = lambda *a: None
import apps, request
from wsgiref.simple_server import WSGIServer, WSGIRequestHandler
server = WSGIServer(("127.0.0.1", 0), WSGIRequestHandler, bind_and_activate=False)
server.set_app(apps.%s())
app = server.get_app()
request.serve(app, "/", 30)
gc.disable()
request.serve(app, "/", {})
os._exit(0)
"""


@needs_valgrind
@takes_long
@pytest.mark.parametrize("kind, rate", [("unsampled", "0.00001"), ("sampled", "1.0")])
@pytest.mark.parametrize("framework", ["flask", "django"])
def test_a_good_request_that_may_be_traced_costs_few_instructions(
    house: House, fast: dict[str, float], framework: str, kind: str, rate: str
) -> None:
    pytest.importorskip(framework)
    settings = {
        "DJANGO_SETTINGS_MODULE": "django_settings",
        "ERRTRACK_TRACES_SAMPLE_RATE": rate,
        "ERRTRACK_DSN": "http://key@127.0.0.1:9/1",
    }
    program = ["-c", TRACED % (str(processes.WORK), framework)]
    most = fast["request_%s_%s_instructions" % (framework, kind)]
    assert house.is_within(most, 10, 50, program, settings)


@needs_valgrind
def test_a_request_of_http_client_costs_few_instructions(house: House, fast: dict[str, float]) -> None:
    program = (
        "import gc, os, sys; gc.disable(); sys.path.insert(0, %r)\n"
        "import small\n"
        "small.requests({}); os._exit(0)"
    ) % str(processes.WORK)
    assert house.is_within(fast["http_instructions"], 50, 250, ["-c", program])


@needs_valgrind
def test_a_thread_costs_few_instructions(house: House, fast: dict[str, float]) -> None:
    program = (
        "import gc, os, sys; gc.disable(); sys.path.insert(0, %r)\n"
        "import small\n"
        "small.threads({}); os._exit(0)"
    ) % str(processes.WORK)
    assert house.is_within(fast["thread_instructions"], 50, 250, ["-c", program])


FRAMEWORKS = "import celery.app, django.core.handlers.wsgi, django.http, flask, os, sys\n"


def test_to_import_frameworks_loads_the_tables_of_their_patches_and_no_more(house: House) -> None:
    for name in ("celery", "django", "flask"):
        pytest.importorskip(name)
    loaded = house.run(house.ours, "-c", FRAMEWORKS + "print(*sys.modules, flush=True); os._exit(0)").split()
    assert "errtrack_instrumentations.flask" in loaded
    assert [name for name in loaded if name.startswith("errtrack_instrumentations._")] == [
        "errtrack_instrumentations._late"
    ]
    assert not {"errtrack.api", "errtrack.client", "errtrack.context.unit", "errtrack.context.trace"} & set(
        loaded
    )


@needs_valgrind
@takes_long
def test_to_import_frameworks_costs_few_instructions(house: House, fast: dict[str, float]) -> None:
    for name in ("celery", "django", "flask"):
        pytest.importorskip(name)
    program = ["-c", FRAMEWORKS + "os._exit(0)"]
    added = house.instructions(house.ours, *program) - house.instructions(house.bare, *program)
    assert 1_000_000 < added <= fast["imports_instructions"]


#: Without a thread that delivers meanwhile: what is counted is a capture until it is durable. ``{}`` stands for how many.
CAPTURE = """
import _thread, os, sys
_thread.start_new_thread = lambda *arguments: 1
sys.path.insert(0, %r)
import failing
for number in range({}):
    error = failing.error(0, 30, number if not %%d else 1)
    if %%d:
        import errtrack
        errtrack.capture_exception(error)
os._exit(0)
""" % str(processes.WORK)

#: valgrind makes a program so slow that captures would be taken for too dear, and leave out what is to be counted.
UNBOUNDED = {
    "ERRTRACK_DSN": "http://key@127.0.0.1:9/1",
    "ERRTRACK_MAX_CAPTURE_TIME": "0",
    "ERRTRACK_MAX_CAPTURE_CPU": "0",
}


@needs_valgrind
def test_a_capture_costs_few_instructions(house: House, fast: dict[str, float]) -> None:
    each = house.instructions_each({**house.ours, **UNBOUNDED}, 4, 12, ["-c", CAPTURE % (0, 1)])
    assert 1_000_000 < each <= fast["capture_instructions"], "raising the error itself is a tenth of it"


@needs_valgrind
@pytest.mark.parametrize(
    "program, bound", [("", "first_event"), ("import logging\n", "first_event_with_logging")]
)
def test_the_first_event_of_a_process_costs_bounded_instructions(
    house: House, fast: dict[str, float], program: str, bound: str
) -> None:
    both = [["-c", program + (CAPTURE % (0, captured)).format(1)] for captured in (0, 1)]
    without, with_it = (house.instructions({**house.ours, **UNBOUNDED}, *each) for each in both)
    assert 10_000_000 < with_it - without <= fast[bound + "_instructions"]


@needs_valgrind
def test_a_repeat_that_is_only_counted_costs_few_instructions(house: House, fast: dict[str, float]) -> None:
    # So few a minute that none is due while valgrind counts.
    held_back = {"ERRTRACK_MAX_EVENTS_BURST": "1", "ERRTRACK_MAX_EVENTS_PER_MINUTE": "0.001"}
    environ = {**house.ours, **UNBOUNDED, **held_back}

    def counted(flags: list[str]) -> float:
        raised = house.instructions_each(environ, 20, 120, [*flags, "-c", CAPTURE % (1, 0)])
        return house.instructions_each(environ, 20, 120, [*flags, "-c", CAPTURE % (1, 1)]) - raised

    assert is_cheap(fast["repeat_instructions"], counted, 10_000)


BLOCKS = """
import gc, sys
sys.path.insert(0, %r)
def blocks():
    gc.collect()
    return sys.getallocatedblocks()
%%s
def least(): # caches breathe from round to round: the least of six is what stays
    found = []
    for _ in range(6):
        work()
        found.append(blocks())
    return min(found)
work()
before = least()
print(least() - before)
""" % str(processes.WORK)

REQUESTS = """
from wsgiref.simple_server import WSGIServer, WSGIRequestHandler
import apps, request
server = WSGIServer(("127.0.0.1", 0), WSGIRequestHandler, bind_and_activate=False)
server.set_app(apps.plain())
app = server.get_app()
def work(): request.serve(app, "/", 500)
"""

CAPTURES = """
import errtrack, failing
def work():
    for number in range(20):
        assert errtrack.capture_exception(failing.error(0, 30, number))
    assert errtrack.flush(20)
"""


def test_good_requests_leave_no_memory_behind(house: House, fast: dict[str, float]) -> None:
    assert int(house.run(house.ours, "-c", BLOCKS % REQUESTS)) <= fast["request_plain_blocks"]


def test_errors_at_a_known_place_leave_no_memory_behind(house: House, fast: dict[str, float]) -> None:
    assert int(house.run(house.ours, "-c", BLOCKS % CAPTURES)) <= fast["capture_blocks"]


def test_every_figure_of_the_budgets_file_can_be_printed() -> None:
    tables, _ = report.load_budgets()
    figures = Figures()
    for name, entry in tables.items():
        for number, (contestant, value) in enumerate([("bare", 1.0), ("ours", 2.0), ("sentry", 40.0)] * 2):
            figures.add(entry.get("figure", name), contestant, number // 3, value)
    lines, missed, slow = report.table(figures, ["sentry", "ddtrace", "otel", "newrelic", "elastic"])
    assert not slow
    assert len(lines) == len(tables) + 2
    assert max(map(len, lines)) <= 120
    assert "boot.wall" not in missed
    assert "shutdown.hanging.10.lost" in missed
    assert "small.info" not in missed, "what is not built yet fails nothing"


def test_a_time_past_its_budget_on_a_slower_machine_is_told_apart_and_still_a_miss() -> None:
    figures = Figures()
    for figure, bare, ours in [("request.flask", 80.0, 98.0), ("boot.modules", 30.0, 44.0)]:
        figures.add(figure, "bare", 0, bare)
        figures.add(figure, "ours", 0, ours)
    both = ["boot.modules", "request.flask"]
    assert report.table(figures, [], report.pace(2 * report.START_OF_BARE))[1:] == (both, ["request.flask"])
    assert report.table(figures, [], report.pace(1.5 * report.START_OF_BARE))[1:] == (both, [])
    assert report.pace(report.START_OF_BARE / 2) == 1.0, "a faster machine has no smaller budgets"


def test_a_figure_is_compared_within_its_round() -> None:
    figures = Figures()
    for number, bare in enumerate([1.0, 100.0, 10.0]):
        figures.add("boot.wall", "bare", number, bare)
        figures.add("boot.wall", "ours", number, bare + 2)
    figures.add("boot.wall", "ours", 3, 1000.0)  # bare took no part in that round
    found = figures.compared("boot.wall", "ours", "difference")
    assert found is not None
    assert (found.low, found.median, found.high) == (2, 2, 2)
    assert Spread([1.0, 2.0, 3.0, 4.0, 100.0]).median == 3
