# SPDX-License-Identifier: MIT
"""The applications that uWSGI loads are watched, though its C code finds them, and no command line names them.

What it is to load stands in ``uwsgi.opt``, a module that is there only once Python has started. A module (``module``,
``mount``) is imported as any other, and hooked as it is asked for. A file (``wsgi-file``) is executed by C, which tells
importlib of it just before: its application is taken as its code returns.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack_run.boot import Finder

_FILE = "uwsgi_file_"


class Door:
    """Stands on ``sys.meta_path`` until uWSGI can be asked what it loads."""

    def __init__(self, finder: "Finder") -> None:
        self.finder = finder
        self.is_open = False

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> None:
        """Hook what uWSGI loads, at the first import after it has been told; find nothing."""
        if self.is_open:
            return
        opt = getattr(sys.modules.get("uwsgi"), "opt", None)
        if isinstance(opt, dict):
            self.is_open = True
            for module in modules(opt):
                self.finder.hooks[module] = self.finder.hooks.get(module, "") + ",uwsgi"


def modules(opt: "dict[str, Any]") -> "list[str]":
    """The names of the modules that hold applications; options are bytes, lists of them, or True."""
    found = []
    for option in ("module", "wsgi", "mount"):
        values = opt.get(option)
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, bytes):
                name = value.decode("utf-8", "replace").rpartition("=")[2].partition(":")[0].strip()
                if name and not name.endswith(".py") and name.replace(".", "_").isidentifier():
                    found.append(name)
    return list(dict.fromkeys(found))


def open_door(finder: "Finder") -> None:
    """Arrange that applications are watched as uWSGI finds them, where it is uWSGI that runs this Python."""
    if not os.path.basename(sys.executable).startswith("uwsgi"):
        return
    import _frozen_importlib_external

    external: Any = _frozen_importlib_external

    sys.meta_path.insert(0, Door(finder))
    fix_up = external._fix_up_module

    def fix_up_module(namespace: "dict[str, Any]", name: str, *rest: "Any") -> None:
        fix_up(namespace, name, *rest)
        if name.startswith(_FILE):
            watch_return(namespace, name)

    external._fix_up_module = fix_up_module


def watch_return(namespace: "dict[str, Any]", name: str) -> None:
    """Have the application in *namespace* watched as soon as the code that fills it returns."""
    previous = sys.getprofile()
    if previous is not None:
        return  # somebody measures this process: their business comes first

    def profile(frame: "Any", event: str, argument: "Any") -> None:
        if event == "return" and frame.f_globals is namespace and frame.f_code.co_name == "<module>":
            sys.setprofile(None)
            try:
                from errtrack_run import hooking

                hooking.load("uwsgi").apply(name, sys.modules[name])
            except Exception as error:
                from errtrack_run import hooking

                hooking.fault("uwsgi", error)

    sys.setprofile(profile)
