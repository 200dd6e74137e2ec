# SPDX-License-Identifier: MIT
"""The contents page, ``catalogue.txt``, for whoever looks at all of it: ``errtrack doctor``, and the tests.

Boot reads the text alone.
"""

import os

with open(os.path.join(os.path.dirname(__file__), "catalogue.txt"), encoding="utf-8") as _file:
    _, _on, _opt_in = ([*zip(*[iter(part.split())] * 2)] for part in _file.read().split("----"))
_rows = _on + _opt_in

#: Import name, or attribute of ``sys`` that boot replaces by a lazy wire, or what runs at exit -> files.
ROWS = {name: ",".join(files for other, files in _rows if other == name) for name, _ in _rows}

#: Attribute of ``sys`` -> file.
WIRES = {name: files for name, files in ROWS.items() if name.startswith("sys.")}

#: Files that have something to do as the interpreter ends, where the client was loaded; with commas between.
AT_EXIT = ROWS["atexit._run_exitfuncs"]

#: Import name -> files, with commas between.
HOOKS = {name: files for name, files in ROWS.items() if name not in WIRES and name != "atexit._run_exitfuncs"}

#: Files that stay off, and cost nothing, unless the option ``enable`` names them.
OPT_IN = tuple(dict.fromkeys(file for _, files in _opt_in for file in files.split(",")))
