# SPDX-License-Identifier: MIT
"""Traced Django requests show what the receivers of signals took, each under its own name.

Off with ``django.signals_spans = false``; signals named in ``django.signals_denylist`` are left alone. Senders get the
receivers back that they have connected.
"""

from __future__ import annotations

import sys

from errtrack import options
from errtrack.instrumentation import Instrumentation, Patch, Steps

from ._late import _django_spans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAME = "django_signals"

#: Where a wrapped receiver has the one that was connected, and where that has itself, and what was made of it by the
#: id of the signal.
_RECEIVER, _KNOWN = "_errtrack_receiver", "_errtrack_spanned"

_FUNCTION = type(lambda: 0)

#: Signal by its id, and its name.
_names: dict[int, tuple[Any, str]] = {}


def begin(args: Any, kwargs: Any) -> Any:
    """The signal, where its receivers are to have spans."""
    if _django_spans.is_off(args):
        return None
    now, signal = options.current(), args[0]
    if not now.django_signals_spans:
        return None
    denied = now.django_signals_denylist
    if denied and any(one is signal or one == name_of(signal) for one in denied):
        return None
    return signal


def wrap_receivers(signal: Any, found: Any) -> Any:
    """Signal._live_receivers(self, sender) -> list, from Django 5.0 on (sync, async[, robust...]) lists"""
    if isinstance(found, tuple):
        return tuple([[wrapped(one, signal) for one in part] for part in found])
    return [wrapped(one, signal) for one in found]


def wrapped(receiver: Any, signal: Any) -> Any:
    """*receiver* with its span; ours as it is."""
    if type(receiver) is not _FUNCTION or "<locals>" in receiver.__qualname__:
        return _made(receiver, signal)
    # Functions of modules live as long as those. What is kept with them they hold themselves: not we.
    known: dict[int, Any] | None = receiver.__dict__.get(_KNOWN)
    if known is None or known[0] is not receiver:  # a decorator has copied it from another function
        known = receiver.__dict__[_KNOWN] = {0: receiver}
    made = known.get(id(signal))
    if made is None or made[0] is not signal:
        made = known[id(signal)] = (signal, _made(receiver, signal))
    return made[1]


def _made(receiver: Any, signal: Any) -> Any:
    if str(getattr(receiver, "__module__", "")).partition(".")[0] == "errtrack":
        return receiver
    tags = {"signal": name_of(signal)}
    made: Any = _django_spans.spanned(_NAME, receiver, "event.django", _django_spans.dotted(receiver), tags)
    setattr(made, _RECEIVER, receiver)
    made.__qualname__ = getattr(made, "__qualname__", type(receiver).__qualname__)  # named when it fails
    return made


def give_back(signal: Any, answers: Any) -> Any:
    """Signal.send(self, sender, **named) -> [(receiver, answer)]; send_robust, asend and asend_robust are the same"""
    return [(getattr(receiver, _RECEIVER, receiver), answer) for receiver, answer in answers]


def name_of(signal: Any) -> str:
    """The dotted name that a signal has in a loaded module; its class where it has none."""
    known = _names.get(id(signal))
    if known is not None and known[0] is signal:
        return known[1]
    name = "%s.%s" % (type(signal).__module__, type(signal).__qualname__)
    for module in sorted(name for name in list(sys.modules) if "signals" in name):
        for attribute, value in list(vars(sys.modules[module]).items()):
            if value is signal:
                name = "%s.%s" % (module, attribute)
                break
        else:
            continue
        break
    if len(_names) > 1000:
        _names.clear()
    _names[id(signal)] = (signal, name)
    return name


_wrap, _give_back = Steps(begin, wrap_receivers), Steps(begin, give_back)

INSTRUMENTATION = Instrumentation(
    _NAME,
    supports=">=3.2",
    distribution="django",
    patches=[
        Patch("django.dispatch.dispatcher", "Signal._live_receivers", _wrap, traced=True),
        *(
            Patch("django.dispatch.dispatcher", "Signal." + method, _give_back, traced=True)
            for method in ("send", "send_robust", "asend", "asend_robust")
        ),
    ],
)
