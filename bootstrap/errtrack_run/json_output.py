# SPDX-License-Identifier: MIT
"""``--json``: the same facts for programs, in ASCII, so that nothing in them can act on a terminal either."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


def write(value: Any) -> None:
    """Print *value* as indented JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=True, default=str)
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")
