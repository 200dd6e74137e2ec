# SPDX-License-Identifier: MIT
"""What ``errtrack doctor`` tells of each library: is it there, is it known, and is everything there to be patched?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Instrumentation
    from errtrack.options import Options

#: States of a check; ``absent`` is a library that is not installed. Only ``problem`` makes the exit status 1.
OK, NOTE, OFF, ABSENT, PROBLEM = "ok", "note", "off", "absent", "problem"


def row(file: str, facts: dict[str, Any], options: Options) -> tuple[str, str]:
    """One line of the catalogue: would it be on, for what, in which versions?"""
    from errtrack import distributions
    from errtrack_instrumentations import catalogue

    module = __import__("errtrack_instrumentations." + file, fromlist=["INSTRUMENTATION"])
    instrumentation = module.INSTRUMENTATION
    if not options.enabled:
        return OFF, "errtrack is switched off"
    if file in options.disable:
        return OFF, "disabled by %s" % options.source("disable")
    if instrumentation.opt_in and file not in options.enable:
        return OFF, "opt-in; name it in ERRTRACK_ENABLE, or in `enable` of the file"
    if file == "tracing" and not options.traces:
        return OFF, "no traces_sample_rate, and no traces_sampler"
    supports = ", supported: %s" % instrumentation.supports if instrumentation.supports else ""
    tops = library_names(file)
    if not tops or file in (*catalogue.WIRES.values(), *catalogue.AT_EXIT.split(",")):
        return OK, "on" + supports
    # The range is that of one distribution; a row may watch modules of others besides.
    named = facts["distributions"].get(instrumentation.distribution.replace("_", "-").lower())
    if named and supports and not distributions.satisfies(named, instrumentation.supports):
        return PROBLEM, "%s %s is not supported (%s)" % (
            instrumentation.distribution,
            named,
            instrumentation.supports,
        )
    present, absent = [], []
    for top in tops:
        version = facts["distributions"].get(top.replace("_", "-").lower())
        if version is None and (top == instrumentation.name or len(tops) == 1):
            version = named
        if version or facts["modules"].get(top):
            present.append("%s %s" % (top, version) if version else top)
        else:
            absent.append(top)
    if not present:
        return ABSENT, "%s not installed%s" % (" and ".join(absent), supports)
    text = "on for %s%s" % (" and ".join(present), supports)
    known = {point: facts.get("points", {}).get(point) for point in points_of(instrumentation)}
    # A row may name places of libraries that are not installed, or of other releases of one that is.
    asked = {point: why for point, why in known.items() if why is not None and why != "not installed"}
    missing = ["%s (%s)" % (point.replace(":", "."), why) for point, why in asked.items() if why]
    if missing and len(missing) == len(asked):
        # A row for a part of a library, such as django_tasks, has nothing to do in releases without that part.
        if named and file.startswith(instrumentation.distribution + "_"):
            return OFF, "%s %s has no such part" % (instrumentation.distribution, named)
        return PROBLEM, "%s; nothing to patch: %s" % (text, ", ".join(missing))
    if asked:
        text += "; %d of %d patch points are there" % (len(asked) - len(missing), len(asked))
    return (NOTE if missing else OK), text + ("; missing: " + ", ".join(missing) if missing else "")


def watched_modules() -> list[str]:
    """The top names of all libraries in the catalogue."""
    from errtrack_instrumentations import table

    return sorted({name for file in table.INSTRUMENTATIONS for name in library_names(file)})


def patch_points() -> list[str]:
    """Every place that would be patched in a library, as ``module:attribute``."""
    from errtrack_instrumentations import table

    found: list[str] = []
    for file in table.INSTRUMENTATIONS:
        module = __import__("errtrack_instrumentations." + file, fromlist=["INSTRUMENTATION"])
        found += points_of(module.INSTRUMENTATION)
    return list(dict.fromkeys(found))


def points_of(instrumentation: Instrumentation) -> list[str]:
    """The places that *instrumentation* patches; those of the interpreter itself and of errtrack are left out."""
    rows = [(patch.module, patch.attribute) for patch in instrumentation.patches]
    rows += [(row.module, "") for row in instrumentation.on_import]
    return ["%s:%s" % row for row in rows if row[0] != "sys" and not row[0].startswith("errtrack")]


def library_names(file: str) -> list[str]:
    """The top names of the libraries that load *file*; none for what concerns the interpreter itself."""
    from errtrack_instrumentations import catalogue

    if file in catalogue.WIRES.values():
        return []
    tops = [name.partition(".")[0] for name, files in catalogue.HOOKS.items() if file in files.split(",")]
    return [top for top in dict.fromkeys(tops) if top != "errtrack"]
