# SPDX-License-Identifier: MIT
"""What every event of a process says of it: runtime, system, container, cloud, release, environment.

Found out once, at the first event, from what lies ready: no child process, no request over the network.
"""

from __future__ import annotations

import os
import sys

from errtrack import release as releases
from errtrack import surroundings
from errtrack.delivery import envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.options import Options


def describe(options: Options, integrations: tuple[str, ...]) -> dict[str, Any]:
    """The attributes that are the same on every event; *integrations* are the names of those in force."""
    static: dict[str, Any] = {
        "platform": "python",
        "environment": options.environment,
        "server_name": options.server_name or host_name(),
        "contexts": _contexts(),
        "sdk": {
            "name": envelope.SDK_NAME,
            "version": envelope.VERSION,
            "integrations": sorted(integrations),
            "packages": [{"name": "pypi:errtrack-run", "version": envelope.VERSION}],
        },
    }
    release = release_of(options)
    if release:
        static["release"] = release
    if options.dist:
        static["dist"] = options.dist
    if options.tags:
        static["tags"] = options.tags
    return static


def release_of(options: Options) -> str:
    """The release that was set, or that is found out for free; or an empty text."""
    if options.release:
        return str(options.release)
    return releases.detect(options.root or "/", os.environ)


def host_name() -> str:
    """The name of this machine, without asking the network for it."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _contexts() -> dict[str, Any]:
    version = sys.version_info
    contexts: dict[str, Any] = {
        "runtime": {
            "type": "runtime",
            "name": {"cpython": "CPython", "pypy": "PyPy"}.get(
                sys.implementation.name, sys.implementation.name
            ),
            "version": "%d.%d.%d" % version[:3],
            "build": sys.version.replace("\n", " "),
        },
    }
    if hasattr(os, "uname"):
        system = os.uname()
        contexts["os"] = {
            "type": "os",
            "name": "macOS" if system.sysname == "Darwin" else system.sysname,
            "version": system.release,
            "kernel_version": system.release,
            "build": system.version,
        }
        contexts["device"] = {"type": "device", "arch": system.machine}
        contexts["os"].update(surroundings.distribution())
    count = os.cpu_count()
    if count:
        contexts.setdefault("device", {"type": "device"})["processor_count"] = count
    contexts.update(surroundings.detect(os.environ))
    return contexts
