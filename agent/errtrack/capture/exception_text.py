# SPDX-License-Identifier: MIT
"""The text of an exception, as its author meant it, with its notes.

An exception's own ``__str__`` is called, guarded: it was written to be read here. The interpreter's
``__str__`` is not, unless its arguments are plain: it would call ``__str__`` or ``__repr__`` of whatever the
exception was given.
"""

from __future__ import annotations

from errtrack import guard
from errtrack.capture import shapes
from errtrack.capture.shapes import exact, mro_of, namespace_of, shape_of
from errtrack.capture.wire import Notes, cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.options import Options

LONGEST = 8192
_NOTES = 20
_args_of = BaseException.__dict__["args"].__get__


def text_of(error: BaseException, options: Options, notes: Notes, path: tuple[object, ...]) -> str:
    """The message and notes of *error* in at most 8,192 characters."""
    try:
        text = _message(error, options.locals == "repr", 0)
    except Exception as failure:
        guard.pass_on(failure)
        text = "<unprintable %s object>" % shapes.names_of(type(error))[0]
    try:
        text += _added_notes(error)
    except Exception as failure:
        guard.pass_on(failure)
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return cut(text, LONGEST, notes, path)


def _message(error: BaseException, call: bool, depth: int) -> str:
    own = _attributes(error)
    for name in ("message", "detail"):
        text = exact(own.get(name))
        if text:
            return text
    if call or not _is_shown_by_us(error):
        text = exact(str(error))
        return text if text is not None else ""
    arguments = _args_of(error)
    if not arguments:
        return ""
    whole = arguments[0] if len(arguments) == 1 else arguments
    if issubclass(type(error), KeyError) or len(arguments) > 1:
        return show(whole, depth)
    text = exact(whole)
    if text is not None:
        return text[: LONGEST + 1000]
    if issubclass(type(whole), BaseException) and depth < 5:
        return _message(whole, call, depth + 1)
    return show(whole, depth)


def _is_shown_by_us(error: BaseException) -> bool:
    """Whether ``__str__`` is the interpreter's and would call into what the exception was given."""
    for cls in mro_of(type(error)):
        if "__str__" not in namespace_of(cls):
            continue
        if shapes.names_of(cls)[1] is not None:
            return False
        if cls is BaseException or cls is KeyError:
            return True
        # OSError, ImportError, SyntaxError, UnicodeError, groups: they show attributes; plain ones are
        # harmless.
        values = [*_args_of(error), *(_member(error, cls, name) for name in ("filename", "filename2", "msg"))]
        return not all(_is_plain(value) for value in values)
    return True


def _member(error: BaseException, cls: type, name: str) -> Any:
    """A C-level member of a builtin exception class, or None."""
    member = namespace_of(cls).get(name)
    return member.__get__(error) if member is not None else None


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is tuple or kind is list:  # SyntaxError's place, a group's members
        return len(value) < 20 and all(_is_plain(item) for item in value)
    return (
        value is None
        or kind is int
        or kind is bool
        or ((kind is str or kind is bytes) and len(value) < 100_000)
        or issubclass(kind, BaseException)
    )


def _attributes(error: BaseException) -> dict[str, Any]:
    read = shape_of(type(error)).read_dict
    own = read(error) if read is not None else None
    return own if type(own) is dict else {}


def _added_notes(error: BaseException) -> str:
    given = _attributes(error).get("__notes__")
    if type(given) is not list and type(given) is not tuple:
        return ""
    texts = [exact(note) for note in given[:_NOTES]]
    return "".join("\n" + text[:LONGEST] for text in texts if text is not None)


def show(value: Any, depth: int = 0) -> str:
    """A value on one line, like its repr, without running its code."""
    kind = type(value)
    text = exact(value)
    if text is not None:
        return repr(text[:LONGEST])
    if kind is int:
        return "%d" % value if -(10**100) < value < 10**100 else "<int of %d bits>" % value.bit_length()
    if value is None or kind is bool or kind is float:
        return repr(value)
    if kind is bytes:
        return repr(value[:LONGEST])
    if depth < 4:
        if kind is tuple or kind is list:
            inner = ", ".join(show(item, depth + 1) for item in value[:20])
            inner += ", ..." if len(value) > 20 else ""
            return "[%s]" % inner if kind is list else "(%s%s)" % (inner, "," if len(value) == 1 else "")
        if kind is dict:
            pairs = shapes.first(value.items(), 20)
            inner = ", ".join("%s: %s" % (show(k, depth + 1), show(v, depth + 1)) for k, v in pairs)
            return "{%s}" % (inner + (", ..." if len(value) > 20 else ""))
        if kind is set or kind is frozenset:
            return "{%s}" % ", ".join(show(item, depth + 1) for item in shapes.first(value, 20))
    shape = shape_of(kind)
    if shape.show is not None:
        return shape.show(value)
    if shape.kind == shapes.CLASS:
        return "<class '%s'>" % shapes.label_of(value)
    if shape.kind == shapes.ENUM:
        return "<%s.%s>" % (shape.label, exact(dict(shapes.state_of(value, shape)).get("_name_")))
    if shape.kind == shapes.ERROR:
        return "%s%s" % (shape.label, show(_args_of(value), depth + 1)) if depth < 4 else shape.label
    return "<%s object>" % shape.label
