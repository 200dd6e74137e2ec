# SPDX-License-Identifier: MIT
"""``errtrack-run --supervise COMMAND``: a death that leaves no witness is reported at once, by the parent.

SIGKILL, the kernel's out-of-memory killer, and crashes of which nothing is on disk. The launcher stays as the parent
and does nothing else: every signal is passed on, orphans are reaped (so it may be process 1 of a container), and the
exit status is the command's, by signal too. Polite ends (SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE) are no news.
"""

import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn, Optional

    from errtrack_run.job import Job

_POLITE = (
    "SIGTERM",
    "SIGINT",
    "SIGHUP",
    "SIGQUIT",
    "SIGPIPE",
    "SIGALRM",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGPROF",
)
_FAULTS = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS")
_JOB_CONTROL = ("SIGTSTP", "SIGTTIN", "SIGTTOU")

#: By these systemd says which process its sockets and its watchdog are for: the one that it has started.
_ADDRESSED = ("LISTEN_PID", "WATCHDOG_PID")

#: What the kernel says of a signal that the terminal sent: the command, in the same group, has it already.
_BY_KERNEL = 128

#: Where control groups are mounted.
CGROUPS = "/sys/fs/cgroup"


def run(
    command: "Sequence[str]",
    environ: "dict[str, str]",
    become: "Callable[[], int]",
    job: "Optional[Job]" = None,
) -> int:
    """Run *command* by *become* in a child, wait for its end, and end as it did. Returns an exit status.

    *job* is told of begin and end.
    """
    faults = {getattr(signal, name) for name in _FAULTS if hasattr(signal, name)}
    former = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - faults)
    # Where it is ignored, nobody can be waited for.
    child_signal = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    began, kills = time.time(), oom_kills()
    watch, tell = os.pipe()
    launcher = str(os.getpid())
    child = os.fork()
    if child == 0:
        for name in _ADDRESSED:
            if environ.get(name) == launcher:
                environ[name] = str(os.getpid())
        _be_the_command(become, former, child_signal, watch, tell)
    os.close(tell)
    if job is not None:
        job.begin()
    status = _wait(child)
    started = not os.read(watch, 1)  # exec closes the other end
    os.close(watch)
    if job is not None:
        job.end(status == 0)
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    if started and _name(number) not in _POLITE:
        try:
            is_oom = number == signal.SIGKILL and oom_kills() > kills
            _report(command, environ, child, number, is_oom, time.time() - began)
        except Exception as error:
            from errtrack_run.hooking import is_debugging

            if is_debugging(environ):
                sys.stderr.write("errtrack-run: cannot report: %s\n" % error)
    return _end_by(number, former)


def _be_the_command(
    become: "Callable[[], int]", mask: "Any", child_signal: "Any", watch: int, tell: int
) -> "NoReturn":
    """In the child: everything as the launcher had found it, then exec."""
    code = 126
    try:
        os.close(watch)
        if child_signal is signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = become()
        os.write(tell, b"!")
    finally:
        os._exit(code)


def _wait(child: int) -> int:
    """Pass signals on and reap whoever dies, until *child* has; return its status as of ``waitpid``."""
    waited = signal.valid_signals() - {getattr(signal, name) for name in _FAULTS if hasattr(signal, name)}
    while True:
        number, by_terminal = _next_signal(waited)
        if number == signal.SIGCHLD:
            status = _reap(child)
            if status is not None:
                return status
        elif not by_terminal:
            try:
                os.kill(child, number)
            except OSError:
                pass


def _next_signal(waited: "Any") -> "tuple[int, bool]":
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(waited)
        return info.si_signo, info.si_code == _BY_KERNEL and info.si_signo != signal.SIGCHLD
    number = signal.sigwait(waited)  # macOS
    return number, _name(number) in ("SIGINT", "SIGQUIT", *_JOB_CONTROL) and os.isatty(0)


def _reap(child: int) -> "Optional[int]":
    """Reap all that are dead; the status of *child* if it is among them. Stop, where the terminal stopped it."""
    ended = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        if pid != child:
            continue
        if not os.WIFSTOPPED(status):
            ended = status
        elif _name(os.WSTOPSIG(status)) in _JOB_CONTROL and os.isatty(0):
            # The shell waits for us, not for the command; both continue with the group.
            os.kill(os.getpid(), signal.SIGSTOP)
            os.kill(child, signal.SIGCONT)


def _end_by(number: int, mask: "Any") -> int:
    """Die of signal *number*, as the command did, without a core of our own; process 1 cannot: 128 + *number*."""
    if os.getpid() != 1:
        try:
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
            if number != signal.SIGKILL:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, set(mask) - {number})
            os.kill(os.getpid(), number)
        except (ImportError, OSError, ValueError):
            pass
    return 128 + number


def oom_kills() -> int:
    """How many processes of our control group the kernel has killed for want of memory; 0 where it does not tell."""
    for place in _places():
        for name in ("memory.events", "memory.oom_control"):
            try:
                with open(os.path.join(place, name)) as file:
                    rows = dict(line.split(None, 1) for line in file if " " in line)
                return int(rows["oom_kill"])
            except (OSError, KeyError, ValueError):
                continue
    return 0


def _places() -> "list[str]":
    """The folders that may describe our group: version 2, version 1, and what a container sees of either."""
    found = []
    try:
        with open("/proc/self/cgroup") as file:
            for line in file:
                _, controllers, path = line.rstrip("\n").split(":", 2)
                if not controllers:
                    found.append(CGROUPS + path)
                elif "memory" in controllers.split(","):
                    found.insert(0, CGROUPS + "/memory" + path)
    except (OSError, ValueError):
        pass
    return [*found, CGROUPS, CGROUPS + "/memory"]


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def _report(
    command: "Sequence[str]", environ: "dict[str, str]", pid: int, number: int, is_oom: bool, lived: float
) -> None:
    """Report the death of *pid*: by the stacks that it has left, or else that it was killed, and by what."""
    os.environ.clear()
    os.environ.update(environ)  # the command's settings
    from errtrack import client as clients
    from errtrack import recovery

    client = clients.init({})
    try:
        if recovery.report_crash_of(client, pid):
            return
        name = "OutOfMemory" if is_oom else _name(number)
        words = "was killed by the kernel, as its control group is out of memory" if is_oom else "was killed"
        meta = {"signal": {"name": _name(number), "number": number}}
        value = {
            "type": name,
            "value": "%s %s (signal %d, %s)" % (os.path.basename(command[0]), words, number, _name(number)),
            "mechanism": {"type": "supervisor", "handled": False, "synthetic": True, "meta": meta},
        }
        client.capture_event(
            {
                "level": "fatal",
                "exception": {"values": [value]},
                "contexts": {"process": {"pid": pid, "command": os.path.basename(command[0])}},
                "extra": {"seconds_alive": round(lived, 1)},
            }
        )
    finally:
        client.close()
