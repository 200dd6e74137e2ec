# SPDX-License-Identifier: MIT
"""docs/raven.md promises only what there is."""

from __future__ import annotations

import re
from pathlib import Path

import errtrack
from errtrack import options
from errtrack_instrumentations import table

TEXT = (Path(__file__).parents[1] / "docs" / "raven.md").read_text(encoding="utf-8")
ROWS = [
    row
    for row in re.findall(r"^\| (.+) \| (.+) \|$", TEXT, re.M)
    if row[0] != "raven" and not row[0].startswith("-")
]


def test_every_row_has_an_answer_and_every_no_a_reason() -> None:
    assert len(ROWS) > 80
    for raven, ours in ROWS:
        assert len(ours) > 2, raven
        if ours.startswith("**no**"):
            assert re.match(r"\*\*no\*\*( code for each)?: .{15}", ours), raven


def test_functions_that_are_named_exist() -> None:
    named = set(re.findall(r"`errtrack\.(\w+)", TEXT)) - {"toml"}
    assert named > {"capture_exception", "set_user", "monitor", "init"}
    for name in named - {"release"}:
        assert callable(getattr(errtrack, name)), name
    from errtrack.release import git_commit

    assert callable(git_commit)


def test_settings_that_are_named_exist() -> None:
    ours = " ".join(answer for _, answer in ROWS)
    words = set(re.findall(r"`([a-z_.]+)(?: = [^`]+)?`", ours))
    known = set(options.OPTIONS) | set(table.INSTRUMENTATIONS)
    others = {
        "importlib.metadata.version", "linecache", "timestamp", "date", "time_spent", "request", "extra", "f",
        "errtrack.toml", "handler", "dict", "debug", "__tracebackhide__",
        ".pyc", "except",
    }  # fmt: skip
    unknown = {word for word in words - known - others if not word.startswith("errtrack.")}
    assert unknown == set()
    assert len(words & set(options.OPTIONS)) > 30


def test_each_of_its_own_settings_is_answered() -> None:
    """The constructor's arguments and the client's methods, as raven 6 had them."""
    asked = " ".join(raven for raven, _ in ROWS)
    for name in (
        "raise_send_errors transport install_sys_hook install_logging_hook hook_libraries enable_breadcrumbs "
        "include_paths exclude_paths name auto_log_stacks capture_locals string_max_length list_max_length site "
        "include_versions processors sanitize_keys context tags environment release repos sample_rate "
        "ignore_exceptions captureException captureMessage captureQuery captureBreadcrumb user_context tags_context "
        "extra_context http_context last_event_id is_enabled set_dsn get_public_dsn build_msg get_ident "
        "skip_error_for_logging fetch_git_sha fetch_package_version ignore_logger SentryHandler"
    ).split():
        assert name in asked, name
