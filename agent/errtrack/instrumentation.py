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

Nothing is imported at top level: hooks on modules of the standard library fire in the middle of other imports.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from types import ModuleType
    from typing import Any

    Advice = Generator[None, Any, Any]
    Handler = Callable[["Call"], Advice]

#: Methods of classes written in C or Rust: a function in their place is bound as they are.
_BOUND_AS_FUNCTIONS = (type(list.append), type(object.__init__))

# inspect.CO_COROUTINE, and CO_VARARGS with CO_VARKEYWORDS, without importing inspect
_COROUTINE = 0x80
_VARIADIC = 0x04 | 0x08

#: Everything applied in this process, by name, for ``errtrack doctor`` and the ``sdk.integrations`` of events.
active: dict[str, Instrumentation] = {}

#: Patches that wait for tracing to be switched on, each with its instrumentation and its module.
_untraced: list[tuple[Instrumentation, Patch, ModuleType]] = []


class Call:
    """One call of a patched function: its arguments, which a handler may replace before its ``yield``."""

    __slots__ = ("args", "kwargs")

    #: Whether the driver awaits the call: what a handler's ``yield`` gives is then the result, and no coroutine.
    awaited = False

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """The argument at *position* (counting ``self``) or called *name*."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if len(self.args) > position else default

    def replace(self, position: int, name: str, value: Any) -> None:
        """Pass *value* on in place of the argument at *position* or called *name*."""
        if name in self.kwargs or len(self.args) <= position:
            self.kwargs = {**self.kwargs, name: value}
        else:
            self.args = self.args[:position] + (value,) + self.args[position + 1 :]


class _EmptyCall(Call):
    """A call that the driver fills: on the path of every patched call a constructor in Python is too dear."""

    __slots__ = ()

    __init__ = object.__init__


class AwaitedCall(Call):
    """One call of a patched coroutine function."""

    __slots__ = ()

    awaited = True


class Patch:
    """One patch point: *attribute* (``function`` or ``Class.method``) of *module*, and the handler for its calls.

    ``skip(args)`` tells calls apart that are none of the handler's business, such as the inner of two layers; it may
    do by itself the little that there is to do. A handler that is to run *after* calls that happen all the time is a
    plain function with the parameters of what it follows, one that is to see what they *returned* one of (args,
    kwargs, result): both are cheaper. What is *traced* only is left alone until tracing is on.
    """

    __slots__ = ("after", "attribute", "handler", "module", "returned", "skip", "traced")

    def __init__(
        self,
        module: str,
        attribute: str,
        handler: Callable[..., Any],
        skip: Callable[[Any], bool] | None = None,
        after: bool = False,
        returned: bool = False,
        traced: bool = False,
    ) -> None:
        self.after = after
        self.returned = returned
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
        original = _static(owner, attribute)
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

    now = options.current()
    return now.traces_sample_rate is not None or now.traces_sampler is not None


def driven(
    name: str, handler: Handler, original: Callable[..., Any], skip: Callable[[Any], bool] | None = None
) -> Callable[..., Any]:
    """Return a function that calls *original* with *handler* around it; async where *original* is.

    *name* is the instrumentation that an internal fault is counted for. A call for which ``skip(args)`` is true is
    none of the handler's business, and costs next to nothing.
    """
    from errtrack import guard

    def fault(name: str, error: BaseException) -> None:
        nonlocal handler
        if guard.fault(name, error):
            handler = _idle  # whoever holds this wrapper is left in peace from now on

    def begin(call: Call) -> Advice | None:
        args, kwargs = call.args, call.kwargs
        try:
            advice = handler(call)
            advice.send(None)
            return advice
        except StopIteration:
            return None  # the handler had nothing to do after the call
        except Exception as error:
            call.args, call.kwargs = args, kwargs
            fault(name, error)
            return None

    def end(advice: Advice, result: Any) -> Any:
        try:
            advice.send(result)
        except StopIteration as stop:
            return result if stop.value is None else stop.value
        except Exception as error:
            fault(name, error)
            return result
        return too_many(advice, result)

    def too_many(advice: Advice, result: Any) -> Any:
        try:
            advice.close()
            raise RuntimeError("a handler yields once")
        except Exception as error:
            fault(name, error)
        return result

    def fail(advice: Advice, raised: BaseException) -> None:
        tb = raised.__traceback__
        try:
            advice.throw(raised)
        except StopIteration:
            pass
        except Exception as error:
            # PEP 479: a StopIteration that leaves a generator becomes a RuntimeError caused by it.
            if error is not raised and error.__cause__ is not raised:
                fault(name, error)
        except BaseException as error:
            if error is not raised:
                raise
        finally:
            # The way through the handler is not part of the application's story.
            raised.__traceback__ = tb

    if is_async(original):

        async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
            skips = False
            try:
                skips = skip is not None and skip(args)
            except Exception as error:
                fault(name, error)
            if skips:
                return await original(*args, **kwargs)
            call = AwaitedCall(args, kwargs)
            advice = begin(call)
            if advice is None:
                return await original(*call.args, **call.kwargs)
            try:
                result = await original(*call.args, **call.kwargs)
            except BaseException as error:
                fail(advice, error)
                raise
            return end(advice, result)

        return _dressed(_with_parameters(async_wrapper, original), original)

    # What follows is `begin` and `end` once more, without the calls: this is the path of every patched call.
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        skips = False
        try:
            skips = skip is not None and skip(args)
        except Exception as error:
            fault(name, error)
        if skips:
            return original(*args, **kwargs)
        call = _EmptyCall()
        call.args = args
        call.kwargs = kwargs
        advice: Advice | None = None
        try:
            advice = handler(call)
            advice.send(None)
        except StopIteration:
            advice = None
        except Exception as error:
            call.args, call.kwargs = args, kwargs
            advice = None
            fault(name, error)
        try:
            result = original(*call.args, **call.kwargs)
        except BaseException as error:
            if advice is not None:
                fail(advice, error)
            raise
        if advice is None:
            return result
        try:
            advice.send(result)
        except StopIteration as stop:
            return result if stop.value is None else stop.value
        except Exception as error:
            fault(name, error)
            return result
        return too_many(advice, result)

    return _dressed(wrapper, original)


def followed(name: str, handler: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls *original* and then, however that ended, *handler* with the same arguments."""
    from errtrack import guard

    def failed(error: Exception) -> None:
        nonlocal handler
        if guard.fault(name, error):
            handler = _nothing

    code = getattr(original, "__code__", None)
    if code is not None and _takes_two(code):
        # A method with one argument: without a tuple and a dict for each call.
        def method(self: Any, argument: Any) -> Any:
            try:
                return original(self, argument)
            finally:
                try:
                    handler(self, argument)
                except Exception as error:
                    failed(error)

        # Called by keyword, it has the names that it had.
        names = code.co_varnames[:2] + method.__code__.co_varnames[2:]
        method.__code__ = method.__code__.replace(co_varnames=names)
        method.__defaults__ = original.__defaults__
        return _dressed(method, original)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        finally:
            try:
                handler(*args, **kwargs)
            except Exception as error:
                failed(error)

    return _dressed(wrapper, original)


def _takes_two(code: Any) -> bool:
    """Whether a function takes two arguments, by place or by name, and nothing else."""
    return (
        code.co_argcount == 2
        and not code.co_posonlyargcount
        and not code.co_kwonlyargcount
        and not code.co_flags & _VARIADIC
        and "error" not in code.co_varnames[:2]
    )


def returning(name: str, handler: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls *original* and then, where that has returned, *handler* with the result, too."""
    from errtrack import guard

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        nonlocal handler
        result = original(*args, **kwargs)
        try:
            handler(args, kwargs, result)
        except Exception as error:
            if guard.fault(name, error):
                handler = _nothing
        return result

    return _dressed(wrapper, original)


def is_async(function: Any) -> bool:
    """True for what ``await`` is needed on: a coroutine function, or an object whose ``__call__`` is one."""
    for candidate in (function, _static(type(function), "__call__")):
        code = getattr(getattr(candidate, "__func__", candidate), "__code__", None)
        if code is not None:
            return bool(getattr(code, "co_flags", 0) & _COROUTINE)
    return False


def shielded(name: str, function: Callable[..., Any]) -> Callable[..., None]:
    """A callback for a library's own registration (signals, listeners): our fault never reaches the library."""
    from errtrack.guard import fault

    def callback(*args: Any, **kwargs: Any) -> None:
        nonlocal function
        try:
            function(*args, **kwargs)
        except Exception as error:
            if fault(name, error):
                function = _nothing

    return callback


def _idle(call: Call) -> Advice:
    """any function: the handler of what has been switched off"""
    yield


def _nothing(*args: Any, **kwargs: Any) -> None:
    """The callback of what has been switched off."""


def _with_parameters(wrapper: Callable[..., Any], original: Any) -> Callable[..., Any]:
    """*wrapper* with the parameters that *original* cannot be called without.

    A coroutine function notices bad arguments as it is called. uvicorn calls an ASGI application without any, to see
    whether it is a factory of applications.
    """
    function = getattr(original, "__func__", original)
    code = getattr(function, "__code__", None)
    if code is None:
        function = getattr(
            _static(type(original), "__call__"), "__func__", _static(type(original), "__call__")
        )
        code = getattr(function, "__code__", None)
    needed = code.co_argcount - len(getattr(function, "__defaults__", None) or ()) if code is not None else 0
    names = code.co_varnames[0 if function is original else 1 : needed] if code is not None else ()
    if not names or not all(name.isidentifier() for name in names):
        return wrapper
    listed = ", ".join(names)
    text = "async def async_wrapper(%s, *a_, **k_): return await w_(%s, *a_, **k_)" % (listed, listed)
    namespace: dict[str, Any] = {"__name__": __name__, "w_": wrapper}
    exec(compile(text, "<errtrack>", "exec"), namespace)
    made: Callable[..., Any] = namespace["async_wrapper"]
    return made


def _dressed(wrapper: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        value = getattr(original, attribute, None)
        if value is not None:
            setattr(wrapper, attribute, value)
    try:
        wrapper.__dict__.update(vars(original))
    except TypeError:
        pass
    wrapper.__wrapped__ = original  # type: ignore[attr-defined]
    wrapper.__errtrack_driven__ = True  # type: ignore[attr-defined]
    return wrapper


def _static(owner: Any, attribute: str) -> Any:
    """The attribute as it is stored, without binding it; through the base classes."""
    if owner is None:
        return None
    for place in getattr(owner, "__mro__", (owner,)):
        found = vars(place).get(attribute)
        if found is not None:
            return found
    return None


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
        return followed(name, patch.handler, original)
    if patch.returned:
        return returning(name, patch.handler, original)
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
