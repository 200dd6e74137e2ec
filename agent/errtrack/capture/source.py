# SPDX-License-Identifier: MIT
"""The source lines around a frame: from the file, from ``linecache`` for code without one, or from its
loader.

Files are read here, as bytes, and only the lines that are shown are decoded: importing ``linecache`` brings
in ``tokenize`` and costs 7 ms at the first event.
"""

from __future__ import annotations

import os
import sys

from errtrack import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Context = tuple[list[str], str, list[str]]

AROUND = 5
_LINE = 512
_LARGEST_FILE = 4_000_000
_FILES = 24
_MARKS = ('"""', "'''")

# Path -> (lines as bytes, encoding). Bounded; what a frame shows is remembered elsewhere.
_files: dict[str, tuple[list[bytes], str]] = {}


def context(path: str, lineno: int, module: str | None, namespace: Any) -> Context | None:
    """Five lines before, the line, five lines after; None where there is no source."""
    if lineno < 1:
        return None
    found = _from_linecache(path) or _from_file(path)
    if found is None:
        found = _from_loader(module, namespace)
    if found is None:
        return None
    lines, encoding = found
    if lineno > len(lines):
        return None
    start = max(0, lineno - 1 - AROUND)
    shown = _decoded(lines[start : lineno + AROUND], encoding)
    here = lineno - 1 - start
    return shown[:here], shown[here], shown[here + 1 :]


def _decoded(lines: list[Any], encoding: str) -> list[str]:
    if type(lines[0]) is bytes and max(map(len, lines)) <= _LINE:
        # Nothing will have to be cut: all at once.
        try:
            text = b"\n".join(lines).decode(encoding, "replace")
        except LookupError:
            text = b"\n".join(lines).decode("utf-8", "replace")
        found = text.replace("\0", "\ufffd").split("\n")
        if len(found) == len(lines):
            return found
    return [_decode(line, encoding) for line in lines]


def _decode(line: Any, encoding: str) -> str:
    if type(line) is bytes:
        line = line[: _LINE * 4]
        try:
            line = line.decode(encoding, "replace")
        except LookupError:
            line = line.decode("utf-8", "replace")
    text: str = line.rstrip("\r\n")
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text if len(text) <= _LINE else text[: _LINE - 3] + "..."


def _from_linecache(path: str) -> tuple[list[Any], str] | None:
    """Only what is there already: doctest, IPython and generated code put their source there."""
    linecache = sys.modules.get("linecache")
    cache = getattr(linecache, "cache", None)
    entry = cache.get(path) if type(cache) is dict else None
    if type(entry) is tuple and len(entry) >= 3 and type(entry[2]) is list:
        lines = entry[2]
        return (lines, "utf-8") if lines and type(lines[0]) is str else None
    return None


def _from_file(path: str) -> tuple[list[Any], str] | None:
    known = _files.get(path)
    if known is not None:
        return known
    if not path or path[0] == "<":
        return None
    try:
        status = os.stat(path)
        if status.st_mode & 0o170000 != 0o100000:  # no pipe, no device: reading one could wait for ever
            return None
        with open(path, "rb") as file:
            data = file.read(min(status.st_size or _LARGEST_FILE, _LARGEST_FILE))
    except (OSError, ValueError):
        return None
    found = _split(data)
    if len(_files) >= _FILES:
        _files.clear()
    if len(data) < _LARGEST_FILE // 4:
        _files[path] = found
    return found


def _split(data: bytes) -> tuple[list[bytes], str]:
    if data[:3] == b"\xef\xbb\xbf":
        data = data[3:]
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = data.split(b"\n")
    return lines, _encoding(lines[:2])


def _encoding(lines: list[bytes]) -> str:
    """The coding cookie of the first two lines (PEP 263), or UTF-8."""
    for line in lines:
        comment = line.partition(b"#")[2]
        cookie = comment.partition(b"coding")[2]
        if cookie[:1] in (b":", b"="):
            name = cookie[1:].strip().split(b" ")[0].split(b"-*-")[0]
            text = name.decode("ascii", "replace").strip()
            if text.replace("-", "").replace("_", "").replace(".", "").isalnum():
                return text
    return "utf-8"


def _from_loader(module: str | None, namespace: Any) -> tuple[list[Any], str] | None:
    """Archives and other importers know the source of what they loaded."""
    loader = dict.get(namespace, "__loader__") if issubclass(type(namespace), dict) else None
    if loader is None or not module:
        return None
    try:
        text = loader.get_source(module)
    except Exception as error:
        guard.pass_on(error)
        return None
    if type(text) is not str or len(text) > _LARGEST_FILE:
        return None
    return text.replace("\r\n", "\n").split("\n"), "utf-8"


def in_texts(lines: list[str]) -> list[bool]:
    """Of each line, whether it begins within a text in three quotes, as far as the lines tell."""
    for line in lines:
        if _MARKS[1] in line or (_MARKS[0] in line and line.count(_MARKS[0]) % 2):
            break
    else:
        return [False] * len(lines)  # each ends on the line that it begins on
    found = [(at, mark) for at, line in enumerate(lines) for mark in _MARKS for _ in range(line.count(mark))]
    mark = ""
    if len(found) % 2:
        # The first ends a text that began above, or the last begins one that goes on below.
        line = lines[found[0][0]].strip()
        before = line.partition(found[0][1])[0].rstrip()
        above = lines[found[0][0] - 1].rstrip() if found[0][0] else ""
        is_alone = line == found[0][1] and above[-1:] != ":"  # behind "def f():" a text begins
        if is_alone or (before and before[-1] not in "=(,[{:+bBfFrRuU"):
            mark = found[0][1]
    out: list[bool] = []
    for index in range(len(lines)):
        out.append(bool(mark))
        for at, one in found:
            if at == index and mark in ("", one):
                mark = "" if mark else one
    return out


def forget() -> None:
    """Drop the files that were read."""
    _files.clear()
