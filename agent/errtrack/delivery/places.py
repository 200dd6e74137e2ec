# SPDX-License-Identifier: MIT
"""Where errtrack keeps its files: the first folder that can be written and that nobody else can tamper with.

In a state folder lie ``store.db`` (the embedded store) and ``spool/v1/DESTINATION/seg-*.log`` (what waits for
delivery); DESTINATION is a digest of the DSN, or ``store`` where there is none. The order of the candidates:
``ERRTRACK_STORE``; systemd's state directory; the user's; ``/var/tmp``; the temporary folder; ``/dev/shm``.

A folder that was asked for but belongs to root, or can be written by everybody (an ``emptyDir`` of Kubernetes, a
mounted volume), is not refused: a folder ``errtrack-UID`` in it, which is ours alone, takes its place.
"""

from __future__ import annotations

import os

from errtrack import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from errtrack.options import Options

    Root = tuple[str, tuple[str, ...]]

#: The destination's name in the spool when there is no DSN.
STORE = "store"

#: The folder in the spool where fatal signals leave their stacks.
CRASHES = "crash"

#: The layout's version, a folder of its own: what a newer errtrack writes elsewhere, an older one never
#: touches.
LAYOUT = "v1"

_OPEN_FOLDER = (
    os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
)

#: From where on descriptors of ours lie, the first that the system allows. Above 2 in any case: where stderr was
#: closed, everybody writes to whatever file is number 2.
_HIGH = (960, 192, 3)

_told: set[str] = set()


def state_folders(options: Options, environ: Mapping[str, str] | None = None) -> list[str]:
    """The candidates for the state folder, best first. Nothing is created."""
    environ = os.environ if environ is None else environ
    found = _asked_for(options.store)
    # systemd gives a list when a unit has several; the first is as good as any.
    service = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if os.path.isabs(service):
        found.append(os.path.join(service, "errtrack"))
    user = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(user):  # the XDG specification: relative paths are to be ignored
        user = _state_in(_home(environ))
        if user and _is_anothers(os.path.join(user, "errtrack")):
            user = _state_in(_home({}))
    if user:
        found.append(os.path.join(user, "errtrack"))
    name = private()
    found.append(os.path.join("/var/tmp", name))
    temporary = environ.get("TMPDIR", "")
    found.append(os.path.join(temporary if os.path.isabs(temporary) else "/tmp", name))
    found.append(os.path.join("/dev/shm", name))
    return list(dict.fromkeys(found))


def state_folder(options: Options, environ: Mapping[str, str] | None = None) -> str | None:
    """The state folder in use, created if need be; None when none will do. One line tells of a detour."""
    roots: list[Root] = [(folder, ()) for folder in state_folders(options, environ)]
    return _choose(roots, options.source("store") if options.store else "")


def spool_folder(options: Options, destination: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The folder of *destination* in the spool in use, created if need be; None when no candidate will do."""
    source = (
        options.source("spool_dir") if options.spool_dir else options.source("store") if options.store else ""
    )
    return _choose(_spool_roots(options, destination, environ), source)


def crash_folder(options: Options, environ: Mapping[str, str] | None = None) -> str | None:
    """The folder of crash files in the spool, created if need be; None, and no word, when none will do."""
    for root, parts in _spool_roots(options, CRASHES, environ):
        levels = _levels(root, parts)
        if all(why_unusable(level) is None for level in levels):
            return levels[-1]
    return None


def existing_spools(
    options: Options, destination: str, environ: Mapping[str, str] | None = None
) -> list[str]:
    """Every folder in which something may wait for *destination*: those that exist and are trusted."""
    found = []
    for root, parts in _spool_roots(options, destination, environ):
        levels = _levels(root, parts)
        if all(distrust(level) is None for level in levels):
            found.append(levels[-1])
    return found


def why_unusable(folder: str) -> str | None:
    """Create *folder* (0700) if need be; None when it can be used, else the reason for people."""
    try:
        _make(folder)
    except OSError as error:
        return error.strerror or "it cannot be created"
    except ValueError:
        return "its name cannot be a path"
    reason = distrust(folder)
    if reason is None and not os.access(folder, os.W_OK | os.X_OK):
        return "it cannot be written"
    return reason


def distrust(folder: str) -> str | None:
    """None when *folder* is a real folder that is ours and that nobody else can write to; else the reason."""
    if not hasattr(os, "geteuid"):  # Windows cannot open folders, and guards the user's own by itself
        return None if os.path.isdir(folder) else "it is not a folder"
    try:
        descriptor = os.open(folder, _OPEN_FOLDER)
    except OSError as error:
        return error.strerror or "it cannot be opened"
    except ValueError:
        return "its name cannot be a path"
    try:
        status = os.fstat(descriptor)
    except OSError as error:
        return error.strerror or "it cannot be looked at"
    finally:
        os.close(descriptor)
    if status.st_uid != _uid():
        return "it belongs to another user"
    if status.st_mode & 0o022:
        return "others can write to it"
    return None


def _spool_roots(options: Options, destination: str, environ: Mapping[str, str] | None) -> list[Root]:
    found: list[Root] = [(folder, (LAYOUT, destination)) for folder in _asked_for(options.spool_dir)]
    return found + [(state, ("spool", LAYOUT, destination)) for state in state_folders(options, environ)]


def _choose(roots: list[Root], source: str) -> str | None:
    """The first usable of *roots*; when *source* is given the first was wished for, and a detour is told."""
    reasons: list[str] = []
    for root, parts in roots:
        levels = _levels(root, parts)
        # Each level is looked at, outermost first: below a stranger's symbolic link everything would look
        # like ours.
        reason = next((r for r in map(why_unusable, levels) if r is not None), None)
        if reason is None:
            if reasons and source and os.path.dirname(root) != roots[0][0]:
                detour = "%s: cannot use %s (%s)" % (source, roots[0][0], reasons[0])
                _tell_once(detour, "%s; using %s instead" % (detour, levels[0]))
            return levels[-1]
        reasons.append(reason)
    _tell_once(
        "no folder",
        "no folder can be written (%s: %s); events are kept in memory only. Set ERRTRACK_STORE to a folder"
        " that this user owns" % (roots[0][0], reasons[0]),
    )
    return None


def _asked_for(folder: str) -> list[str]:
    """*folder*, and the private one in it where it is everybody's or root's; nothing for the empty text."""
    if not folder:
        return []
    folder = _absolute(folder)
    try:
        status = os.lstat(folder)
    except (OSError, ValueError):
        return [folder]
    is_folder = status.st_mode & 0o170000 == 0o040000  # no symbolic link
    if is_folder and hasattr(os, "geteuid") and (status.st_mode & 0o022 or status.st_uid != _uid()):
        return [folder, os.path.join(folder, private())]
    return [folder]


def private() -> str:
    """The name of this user's folder where everybody may have one."""
    return "errtrack-%d" % _uid()


def _levels(root: str, parts: tuple[str, ...]) -> list[str]:
    levels = [root]
    for part in parts:
        levels.append(os.path.join(levels[-1], part))
    return levels


def _absolute(folder: str) -> str:
    return os.path.abspath(os.path.expanduser(folder))


def _tell_once(what: str, line: str) -> None:
    if what not in _told:
        _told.add(what)
        guard.tell(line)


def _make(folder: str) -> None:
    """Create *folder* and its missing parents, each 0700 (``os.makedirs`` modes only the last)."""
    try:
        _make_private(folder)
    except FileExistsError:
        return
    except FileNotFoundError:
        parent = os.path.dirname(folder)
        if not parent or parent == folder:
            raise
        _make(parent)
        try:
            _make_private(folder)
        except FileExistsError:
            return


def _make_private(folder: str) -> None:
    os.mkdir(folder, 0o700)
    if os.stat(folder).st_mode & 0o700 != 0o700:  # a umask such as 0177 is meant for files
        os.chmod(folder, 0o700)


def open_private(path: str, flags: int) -> int:
    """Open the file of ours at *path*; a new one is its owner's to read and to write, whatever the umask."""
    descriptor = os.open(path, flags, 0o600)
    if os.fstat(descriptor).st_mode & 0o600 != 0o600:
        try:
            os.fchmod(descriptor, 0o600)
        except OSError:
            pass
    return descriptor


def _home(environ: Mapping[str, str]) -> str:
    home = environ.get("HOME", "")
    if not os.path.isabs(home):
        try:
            from pwd import getpwuid

            home = getpwuid(_uid()).pw_dir
        except (ImportError, KeyError):
            return ""
    return home if os.path.isabs(home) and home != "/" else ""


def _state_in(home: str) -> str:
    return os.path.join(home, ".local", "state") if home else ""


def _is_anothers(folder: str) -> bool:
    """Whether root, which we are, would make *folder* in another user's: sudo may keep HOME, and that user could not
    enter ``~/.local`` any more.
    """
    if _uid() or not hasattr(os, "geteuid"):
        return False
    while not os.path.lexists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    try:
        return os.stat(folder).st_uid != 0
    except OSError:
        return False


def _uid() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def out_of_the_way(descriptor: int) -> int:
    """*descriptor*, moved up: who closes all that it does not know, as daemons do, gets the low numbers back at once,
    and what we write would be in the application's own file. Where no other number is left it stays, but not below
    3: that raises ``OSError``.
    """
    try:
        from fcntl import F_DUPFD_CLOEXEC, fcntl
    except ImportError:  # Windows
        return descriptor
    for least in _HIGH:
        if descriptor >= least:
            return descriptor
        try:
            moved = fcntl(descriptor, F_DUPFD_CLOEXEC, least)
        except OSError as error:
            refusal = error
        else:
            os.close(descriptor)
            return moved
    if descriptor > 2:
        return descriptor
    os.close(descriptor)
    raise refusal
