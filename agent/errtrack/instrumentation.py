# SPDX-License-Identifier: MIT
"""The kit: what an instrumentation is made of, and the one driver that runs its handlers.

A handler is a generator function with one ``yield``. The driver makes the application's call at that point, so no
handler can lose the call, repeat it or swallow its exception, and our faults stop here::

    def name_it(call: Call) -> Advice:
        '''Router.resolve(request) -> Match'''
        match = yield                         # the application's call is made here, by the driver
        errtrack.get_current_scope().set_transaction_name(match.route, source="route")

Before the call: above the ``yield``; after it: below. The call's exception is raised at the ``yield``. Change what
goes in by assigning ``call.args`` or ``call.kwargs``; replace what comes out by ``return new``.

Where a call happens all the time, a handler is written in :class:`~errtrack.driver.Steps` instead.

To import a library shall cost its table of patches and no more: what handlers alone need is loaded at their first call,
``from ._late import _wsgi`` in place of ``from . import _wsgi``, and a handler that stands in such a module is told
by ``Late(lambda: _wsgi.handle)``, or :class:`~errtrack.driver.LateSteps`.

Nothing is imported at top level: hooks on modules of the standard library fire in the middle of other imports.
"""

from __future__ import annotations

from errtrack.driver import (
    Call,
    Changed,
    Late,
    LateSteps,
    Steps,
    driven,
    is_async,
    leave_no_frame,
    shielded,
    static,
    traceback_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

    from errtrack.driver import Advice

__all__ = (
    "Advice", "Call", "Changed", "Instrumentation", "Late", "LateSteps", "OnImport", "Patch", "Steps", "active",
    "driven", "is_async", "leave_no_frame", "shielded", "trace_now", "traceback_of",
)  # fmt: skip

#: Methods of classes written in C or Rust: a function in their place is bound as they are.
_BOUND_AS_FUNCTIONS = (type(list.append), type(object.__init__))

#: Everything applied in this process, by name, for ``errtrack doctor`` and the ``sdk.integrations`` of events.
active: dict[str, Instrumentation] = {}

#: Patches that wait for tracing to be switched on, each with its instrumentation and its module.
_untraced: list[tuple[Instrumentation, Patch, ModuleType]] = []


class Patch:
    """One patch point: *attribute* (``function`` or ``Class.method``) of *module*, and the handler for its calls.

    ``skip(args)`` tells calls apart that are none of the handler's business, such as the inner of two layers; it may
    do by itself the little that there is to do. Where calls happen all the time, the handler is in
    :class:`~errtrack.driver.Steps`, which have no *skip*; or, if it only runs *after* them, however they end, a plain
    function with their own parameters. What is *traced* only is left alone until tracing is on.
    """

    __slots__ = ("after", "attribute", "handler", "module", "skip", "traced")

    def __init__(
        self,
        module: str,
        attribute: str,
        handler: Callable[..., Any] | Steps,
        skip: Callable[[Any], bool] | None = None,
        after: bool = False,
        traced: bool = False,
    ) -> None:
        self.after = after
        self.traced = traced
        self.module = module
        self.attribute = attribute
        self.handler = handler
        self.skip = skip

    @property
    def target(self) -> str:
        return self.module + "." + self.attribute


class OnImport:
    """Run *function*\\ (module) once *module* has been imported, where a library has a registration of its own."""

    __slots__ = ("function", "module")

    def __init__(self, module: str, function: Callable[[ModuleType], None]) -> None:
        self.module = module
        self.function = function


class Instrumentation:
    """What errtrack does to one library.

    *supports* is a version range (``">=1.1,<4"``) of *distribution* (by default *name*); outside of it, or where
    an attribute is missing, nothing is touched and ``errtrack doctor`` says so. *opt_in*: off, unless the option
    ``enable`` names it.
    """

    def __init__(
        self,
        name: str,
        *,
        supports: str = "",
        distribution: str | None = None,
        opt_in: bool = False,
        patches: Iterable[Patch] = (),
        on_import: Iterable[OnImport] = (),
        at_exit: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.supports = supports
        self.distribution = distribution or name
        self.opt_in = opt_in
        self.patches = tuple(patches)
        self.on_import = tuple(on_import)
        self.missing: list[str] = []
        self.refused = ""
        self._at_exit = at_exit
        self._applied: list[tuple[Any, str, Any, Any, bool]] = []

    def apply(self, module_name: str, module: ModuleType) -> None:
        """Patch *module*, which has just been imported as *module_name*. Never raises."""
        from errtrack import guard

        try:
            if not self._is_wanted():
                return
        except Exception as error:
            guard.fault(self.name, error)
            return
        self._activate()
        for patch in self.patches:
            if patch.module == module_name:
                if patch.traced and not _is_traced():
                    _untraced.append((self, patch, module))
                else:
                    self._try(patch, module)
        for row in self.on_import:
            if row.module == module_name:
                try:
                    row.function(module)
                except Exception as error:
                    guard.fault("%s: %s" % (self.name, row.module), error)

    def wrap(self, target: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """Put the handler of *target* (``sys.excepthook``) around *original*; for the wires that boot lays."""
        if self._is_wanted():
            for patch in self.patches:
                if patch.target == target:
                    self._activate()
                    return driven(self.name, patch.handler, original, patch.skip)
        return original

    def at_exit(self) -> None:
        """Run what stands to be done as the last thing before the interpreter ends. Never raises."""
        from errtrack import guard

        try:
            if self._at_exit is not None and self._is_wanted():
                self._at_exit()
        except Exception as error:
            guard.fault(self.name, error)

    def remove(self) -> None:
        """Take every patch off again, where nobody has put a patch of their own on top of it."""
        while self._applied:
            owner, attribute, original, replacement, was_own = self._applied.pop()
            if vars(owner).get(attribute) is replacement:
                if was_own:
                    setattr(owner, attribute, original)
                else:
                    delattr(owner, attribute)
        active.pop(self.name, None)

    def _activate(self) -> None:
        from errtrack import guard

        active[self.name] = self
        guard.breakers[self.name] = self._switch_off

    def _switch_off(self, error: BaseException) -> None:
        """Too many faults of ours: the application goes on as if we had never been there."""
        from errtrack import breaker, guard, options

        self.remove()
        guard.tell(
            "%s failed %d times (%s) and is switched off in this process; ERRTRACK_DEBUG=1 tells more"
            % (self.name, guard.MOST_FAULTS, type(error).__name__)
        )
        breaker.note(options.current(), self.name, type(error).__name__)

    def _is_wanted(self) -> bool:
        """Not disabled, not failing, and the installed version is one that we know. The one place that asks."""
        from errtrack import guard, options

        if self.name in guard.tripped:
            self.refused = "switched off after %d internal faults" % guard.MOST_FAULTS
            return False
        if options.current().is_disabled(self.name, self.opt_in):
            self.refused = "disabled"
            return False
        if self.supports:
            from errtrack import distributions

            version = distributions.version_of(self.distribution)
            if version is not None and not distributions.satisfies(version, self.supports):
                if not self.refused:
                    guard.debug("%s %s is not supported (%s)" % (self.distribution, version, self.supports))
                self.refused = "version %s is outside of %s" % (version, self.supports)
                return False
        self.refused = ""
        return True

    def _try(self, patch: Patch, module: ModuleType) -> None:
        from errtrack import guard

        try:
            self._patch(patch, module)
        except Exception as error:
            guard.fault("%s: %s" % (self.name, patch.target), error)

    def _patch(self, patch: Patch, module: ModuleType) -> None:
        from errtrack import guard

        owner: Any = module
        *path, attribute = patch.attribute.split(".")
        for part in path:
            owner = vars(owner).get(part) if part in vars(owner) else getattr(owner, part, None)
        original = static(owner, attribute)
        if original is None:
            self.missing.append(patch.target)
            guard.debug("%s has no %s; left alone" % (patch.module, patch.attribute))
            return
        if _is_driven(original):
            return  # reloaded, or reached under two names: one layer is enough
        replacement = _replacement(self.name, patch, original)
        was_own = attribute in vars(owner)
        setattr(owner, attribute, replacement)
        self._applied.append((owner, attribute, original, replacement, was_own))


def trace_now() -> None:
    """Apply what was left alone because tracing was off, if it is on now. Never raises."""
    if _untraced and _is_traced():
        waiting, _untraced[:] = list(_untraced), []
        for instrumentation, patch, module in waiting:
            if active.get(instrumentation.name) is instrumentation:
                instrumentation._try(patch, module)


def _is_traced() -> bool:
    from errtrack import options

    return options.current().traces


def _is_driven(stored: Any) -> bool:
    if hasattr(type(stored), "_self_errtrack_driven"):
        return True
    try:
        return "__errtrack_driven__" in vars(getattr(stored, "__func__", stored))
    except TypeError:
        return False


def _replacement(name: str, patch: Patch, original: Any) -> Any:
    kind = type(original)
    if kind in (classmethod, staticmethod):
        return kind(driven(name, patch.handler, original.__func__, patch.skip))
    if patch.after:
        from errtrack.driver_flat import followed

        return followed(name, patch.handler, original)  # type: ignore[arg-type] # those have no steps
    if getattr(original, "__code__", None) is not None or kind in _BOUND_AS_FUNCTIONS:
        return driven(name, patch.handler, original, patch.skip)
    if kind is type(len) and "." not in patch.attribute:
        return driven(name, patch.handler, original, patch.skip)  # in a module nothing binds
    # Builtins and callable objects bind in ways of their own; their modules are never the standard library's
    # early ones, so wrapt (which imports a lot) may be loaded here.
    import wrapt

    base: Any = wrapt.FunctionWrapper

    class DrivenWrapper(base):  # type: ignore[misc]
        _self_errtrack_driven = True

    def enter(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        return driven(name, patch.handler, wrapped, patch.skip)(*args, **kwargs)

    return DrivenWrapper(original, enter)
