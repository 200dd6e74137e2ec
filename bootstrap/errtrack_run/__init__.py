# SPDX-License-Identifier: MIT
"""Two words in front of a command: ``errtrack-run gunicorn app:wsgi``. The doors of errtrack.

Nothing is imported here that is not there in any Python: every one that a launched command starts reads this file.
"""

import sys
from _frozen_importlib_external import SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # noqa: F401  # in comments, which nothing compiles

__version__ = "0.1.0"


def beside(name):  # type: (str) -> Any
    """Return the module *name* of this package, executed without an import.

    Finders are asked under importlib's lock: to import there could be a deadlock with a thread that imports the same
    file and waits for that lock. And it is cheaper: importlib would list the folder first.
    """
    full = "errtrack_run." + name
    module = sys.modules.get(full)
    if module is None:
        module = type(sys)(full)
        module.__file__ = path = "%s/%s.py" % (__path__[0], name)
        SourceFileLoader(full, path).exec_module(module)
        module = globals()[name] = sys.modules.setdefault(full, module)
    return module
