"""The public API is typed as it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_public_api_as_a_typed_application_uses_it() -> None:
    pytest.importorskip("mypy")
    folder = Path(__file__).parent
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-incremental",
            str(folder / "typing" / "public_api.py"),
        ],
        cwd=folder.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
