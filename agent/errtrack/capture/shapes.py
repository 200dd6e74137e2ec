# SPDX-License-Identifier: MIT
"""What a class looks like from outside, learned without running a line of it.

A value is never asked anything: not its attributes, not its class, not its ``repr``. Its type is taken with
the exact ``type()``, and everything about that type is read through ``type``'s own descriptors, so that no
property, metaclass hook or ``__getattribute__`` of the application runs.
"""

from __future__ import annotations

import sys
from _weakref import ref
from itertools import islice

from errtrack import guard
from errtrack.capture.wire import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Reader = Callable[[Any], Any]

qualname_of: Reader = type.__dict__["__qualname__"].__get__
module_of: Reader = type.__dict__["__module__"].__get__
mro_of: Reader = type.__dict__["__mro__"].__get__
namespace_of: Reader = type.__dict__["__dict__"].__get__
_flags_of: Reader = type.__dict__["__flags__"].__get__

_HEAPTYPE = 1 << 9
_FUNCTION = type(lambda: 0)
_GETSET = type(type.__dict__["__qualname__"])
_MEMBER = type(_FUNCTION.__dict__["__globals__"])
MODULE = type(sys)
_module_dict: Reader = vars(MODULE)["__dict__"].__get__

#: Kinds of shapes: how a value of the class is described.
OBJECT, DICT, LIST, TUPLE, SET, STR, BYTES, INT, FLOAT, CLASS, ERROR, ENUM, STANDARD, RECORD, NAMED = range(
    15
)

_BASES: tuple[tuple[type, int], ...] = (
    (dict, DICT),
    (list, LIST),
    (tuple, TUPLE),
    (set, SET),
    (frozenset, SET),
    (str, STR),
    (bytes, BYTES),
    (bytearray, BYTES),
    (int, INT),
    (float, FLOAT),
    (BaseException, ERROR),
    (type, CLASS),
    (MODULE, NAMED),
)

_LIMIT = 1000


class Shape:
    """How instances of one class are described.

    ``label`` is ``module.Qualname`` (builtins without module). ``read_dict`` reads the instance ``__dict__``
    or is None. ``slots`` are (name, reader) pairs. ``fields`` are a named tuple's names. ``show`` describes
    a standard library value as text, which ``is_harmless`` where it can hold no secret. ``word`` is the JSON of
    an instance in one word, ``head`` begins it as an object.
    """

    __slots__ = (
        "fields",
        "head",
        "is_harmless",
        "kind",
        "label",
        "mark",
        "read_dict",
        "show",
        "slots",
        "word",
    )

    def __init__(self, cls: type) -> None:
        self.mark = ref(cls)
        self.label = label_of(cls)
        self.word = quote("<%s>" % self.label)
        self.head = '"__class__":' + self.word
        self.is_harmless = False
        self.kind = OBJECT
        self.read_dict: Reader | None = None
        self.slots: tuple[tuple[str, Reader], ...] = ()
        self.fields: tuple[str, ...] = ()
        self.show: Callable[[Any], str] | None = None
        self._learn(cls)

    def _learn(self, cls: type) -> None:
        show = _standard(cls) or _unevaluated(cls)
        if show is not None:
            self.kind, self.show = STANDARD, show
            self.is_harmless = show is _moment or show is _decimal
            return
        for base, kind in _BASES:
            if issubclass(cls, base):
                self.kind = kind
                break
        if self.kind in (CLASS, NAMED):
            return
        slots: list[tuple[str, Reader]] = []
        enum = sys.modules.get("enum")
        enum_class = enum.__dict__.get("Enum") if type(enum) is MODULE else None
        for klass in mro_of(cls):
            names = namespace_of(klass)
            getter = names.get("__dict__")
            # Only the getter that the interpreter itself makes: a property would be the application's code.
            own = _flags_of(klass) & _HEAPTYPE or klass is BaseException
            if self.read_dict is None and type(getter) is _GETSET and own:
                self.read_dict = getter.__get__
            if "__slots__" in names and own and len(slots) < 30:
                slots += [(n, m.__get__) for n, m in names.items() if type(n) is str and type(m) is _MEMBER]
            if klass is enum_class:
                self.kind = ENUM
        self.slots = tuple(slots[:30])
        if self.kind == TUPLE:
            self.fields = _fields_of(cls)
            if self.fields:
                self.kind = RECORD


_shapes: dict[int, Shape] = {}


def shape_of(cls: type) -> Shape:
    """The shape of *cls*, remembered. Classes are found by address: hashing one may run its metaclass."""
    shape = _shapes.get(id(cls))
    if shape is not None and shape.mark() is cls:
        return shape
    shape = Shape(cls)
    if len(_shapes) >= _LIMIT:
        _shapes.clear()
    _shapes[id(cls)] = shape
    return shape


def label_of(cls: type) -> str:
    """``module.Qualname`` of a class, at most 256 characters; builtins without their module."""
    name, module = names_of(cls)
    return ("%s.%s" % (module, name) if module else name)[:256]


def names_of(cls: type) -> tuple[str, str | None]:
    """Qualified name and module of a class; the module is None for builtins."""
    try:
        name = qualname_of(cls)
        module = module_of(cls)
    except Exception as error:
        guard.pass_on(error)
        return "?", None
    name = exact(name) or "?"
    module = exact(module)
    return name, None if module in ("builtins", "__builtins__", "") else module


def exact(value: Any) -> str | None:
    """A str as an exact str (a subclass read through the base class), anything else as None."""
    if type(value) is str:
        return value
    if issubclass(type(value), str):
        return "".join((str.__str__(value),)) if str.__len__(value) else ""
    return None


def module_name(module: Any) -> str:
    """The name of a module object, read past whatever a lazy module does on attribute access."""
    return exact(_module_dict(module).get("__name__")) or "?"


def is_named(cls: type, module: str, name: str) -> bool:
    """Whether *cls* is the very class that the imported standard *module* holds under *name*."""
    home = sys.modules.get(module)
    return type(home) is MODULE and home.__dict__.get(name) is cls


def _fields_of(cls: type) -> tuple[str, ...]:
    for klass in mro_of(cls):
        fields = namespace_of(klass).get("_fields")
        if fields is not None:
            good = type(fields) is tuple and all(type(f) is str for f in fields)
            return fields if good else ()
    return ()


def state_of(value: Any, shape: Shape) -> list[tuple[str, Any]]:
    """The instance's own attributes: ``__dict__``, then slots. At most 60, names that are not text left
    out.
    """
    out: list[tuple[str, Any]] = []
    if shape.read_dict is not None:
        own = shape.read_dict(value)
        if issubclass(type(own), dict):
            pairs = first(dict.items(own), 60)
            out = [pair for pair in pairs if type(pair[0]) is str and pair[0][:2] != "__"]
    for name, read in shape.slots:
        try:
            item = read(value)
        except AttributeError:
            continue  # a slot that is not filled
        out.append((name, item))
    return out


def first(items: Any, count: int) -> list[Any]:
    """The first *count* of an iterable of a builtin type; what another thread is changing gives what was
    read.
    """
    out: list[Any] = []
    try:
        out.extend(islice(items, count))
    except RuntimeError:
        pass
    return out


def _standard(cls: type) -> Callable[[Any], str] | None:
    """How to show a class of the standard library whose text is its own; only the very class, no subclass."""
    name, module = names_of(cls)
    show = _SHOWN.get((module or "builtins", name))
    if show is None:
        return None
    if module is None:
        return show if not _flags_of(cls) & _HEAPTYPE else None
    return show if is_named(cls, module, name) else None


def _unevaluated(cls: type) -> Callable[[Any], str] | None:
    """How to show a query of Django's that its own repr would ask the database for; of subclasses as well."""
    if any(names_of(base) == ("QuerySet", "django.db.models.query") for base in mro_of(cls)):
        return _query_set
    return None


def _query_set(value: Any) -> str:
    return "<QuerySet from %s at 0x%x>" % (label_of(type(value)), id(value))


def _moment(value: Any) -> str:
    zone = value.tzinfo
    # isoformat() asks the zone; only the interpreter's own zones are asked.
    kind = type(zone)
    if zone is not None and not (
        is_named(kind, "datetime", "timezone") or is_named(kind, "zoneinfo", "ZoneInfo")
    ):
        return "%s <%s>" % (value.replace(tzinfo=None).isoformat(), label_of(kind))
    return value.isoformat()  # type: ignore[no-any-return]


def _decimal(value: Any) -> str:
    size = value.__sizeof__()
    return "<Decimal of %d bytes>" % size if size > 1000 else repr(value)


_SHOWN: dict[tuple[str, str], Callable[[Any], str]] = {
    ("datetime", "datetime"): _moment,
    ("datetime", "time"): _moment,
    ("datetime", "date"): lambda value: str(value.isoformat()),
    ("datetime", "timedelta"): repr,
    ("decimal", "Decimal"): _decimal,
    ("uuid", "UUID"): repr,
    ("re", "Pattern"): repr,
    ("builtins", "complex"): repr,
    ("builtins", "ellipsis"): repr,
    ("builtins", "NotImplementedType"): repr,
    ("builtins", "function"): lambda value: "<function %s>" % value.__qualname__,
    ("builtins", "builtin_function_or_method"): lambda value: "<built-in function %s>" % value.__qualname__,
    ("builtins", "generator"): lambda value: "<generator %s>" % value.__qualname__,
    ("builtins", "coroutine"): lambda value: "<coroutine %s>" % value.__qualname__,
    ("builtins", "async_generator"): lambda value: "<async_generator %s>" % value.__qualname__,
    ("builtins", "code"): lambda value: "<code %s>" % value.co_name,
    ("builtins", "memoryview"): lambda value: "<memoryview>",
}
for _module in ("pathlib", "pathlib._local"):
    for _name in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"):
        _SHOWN[_module, _name] = lambda value: "%s(%r)" % (type(value).__name__, str(value))
