# SPDX-License-Identifier: MIT
"""``errtrack config``: every setting, its value, and which source gave it; and a file to start from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from errtrack_run.terminal import Terminal, cells, escape, pad, wrap

if TYPE_CHECKING:
    from typing import Any

    from errtrack_run.cli import Settings


def run(settings: Settings) -> int:
    """Print the settings. Exit status 1 when one of them was given wrongly."""
    arguments, options = settings.arguments, settings.options
    if arguments.example:
        sys.stdout.write(example())
        return 0
    rows = options.as_rows()
    if arguments.changed:
        rows = [row for row in rows if row[2] != "default"]
    if arguments.json:
        from errtrack_run.json_output import write

        shown = [{"name": name, "value": value, "source": source} for name, value, source in rows]
        write({"settings": shown, "problems": options.problems, "config_file": options.config_file})
    else:
        _print(Terminal(), rows, options.problems, options.config_file)
    return 1 if options.problems else 0


def _print(
    terminal: Terminal, rows: list[tuple[str, Any, str]], problems: list[str], file: str | None
) -> None:
    terminal.print(
        "Configuration file: %s" % (escape(file) if file else "none (./errtrack.toml, or ERRTRACK_CONFIG)")
    )
    terminal.print()
    if not rows:
        terminal.print("Every setting has its default.")
    longest = max([len(name) for name, _, _ in rows] + [0])
    values = [escape(literal(value)) for _, value, _ in rows]
    room = max(terminal.width - longest - 4 - 16, 20)
    widest = min(max([cells(value) for value in values] + [0]), room)
    for (name, _, source), value in zip(rows, values):
        lines = wrap(value, room)
        is_default = source == "default"
        head = pad(name, longest) if is_default else terminal.paint(pad(name, longest), "bold")
        origin = terminal.paint("default", "dim") if is_default else terminal.paint(escape(source), "cyan")
        terminal.print("%s  %s  %s" % (head, pad(lines[0], widest), origin))
        for line in lines[1:]:
            terminal.print(" " * (longest + 2) + line)
    if problems:
        terminal.print()
        for problem in problems:
            for index, line in enumerate(wrap(escape(problem), terminal.width - 9)):
                terminal.print((terminal.paint("problem", "red") if not index else " " * 7) + "  " + line)


def literal(value: Any) -> str:
    """*value* as TOML would have it; nothing set is the empty text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[%s]" % ", ".join(literal(getattr(item, "__name__", item)) for item in value)
    if isinstance(value, dict):
        inner = ", ".join("%s = %s" % (_key(key), literal(item)) for key, item in value.items())
        return "{ %s }" % inner if inner else "{}"
    import json

    return json.dumps("" if value is None else str(value), ensure_ascii=False)


def _key(key: str) -> str:
    import json

    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def example() -> str:
    """A configuration file with every setting at its default, commented out (``config.example.toml``)."""
    from errtrack.options import OPTIONS

    lines = [
        "# Settings of errtrack-run, each with its default. Uncomment what you change.",
        "#",
        "# Read from ./errtrack.toml where errtrack-run is started, or from the file that --config or",
        "# ERRTRACK_CONFIG names. Every setting can also be given as an environment variable, which wins:",
        "# max_breadcrumbs is ERRTRACK_MAX_BREADCRUMBS. `errtrack config` shows what is in force, and why.",
        "",
    ]
    plain = [option for option in OPTIONS.values() if "." not in option.name]
    tables: dict[str, list[Any]] = {}
    for option in OPTIONS.values():
        table, dot, _ = option.name.partition(".")
        if dot:
            tables.setdefault(table, []).append(option)
    for option in plain:
        lines += _entry(option, option.name)
    for table, members in tables.items():
        lines += ["[%s]" % table, ""]
        for option in members:
            lines += _entry(option, option.name.partition(".")[2])
    return "\n".join(lines).rstrip() + "\n"


def _entry(option: Any, key: str) -> list[str]:
    other = ", or %s" % option.sentry_env if option.sentry_env else ""
    lines = ["# " + line for line in wrap("%s" % option.help, 98)]
    lines.append("# Unit: %s. Environment: %s%s" % (option.unit, option.env, other))
    return [*lines, "# %s = %s" % (key, literal(option.default)), ""]
