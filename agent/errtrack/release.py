# SPDX-License-Identifier: MIT
"""Find out which release runs, where that is free: from well-known variables, or from the checkout's ``.git``.

No child process is started and nothing is asked over the network.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Set by hosting platforms and CI systems to the commit or deployment that runs; the first one set is taken.
VARIABLES = (
    "HEROKU_BUILD_COMMIT",
    "HEROKU_SLUG_COMMIT",
    "SOURCE_VERSION",
    "CODEBUILD_RESOLVED_SOURCE_VERSION",
    "CIRCLE_SHA1",
    "GAE_DEPLOYMENT_ID",
    "K_REVISION",
    "RENDER_GIT_COMMIT",
    "VERCEL_GIT_COMMIT_SHA",
    "RAILWAY_GIT_COMMIT_SHA",
    "GITHUB_SHA",
    "CI_COMMIT_SHA",
    "GIT_COMMIT",
    "BITBUCKET_COMMIT",
    "BUILD_SOURCEVERSION",
    "FLY_IMAGE_REF",
)


def detect(folder: str, environ: Mapping[str, str]) -> str:
    """The release that runs in *folder*, or an empty text."""
    commit = git_commit(folder)
    if commit:
        return commit
    for name in VARIABLES:
        value = environ.get(name, "").strip()
        if name == "FLY_IMAGE_REF":  # registry.fly.io/app:deployment-01H...
            value = value.rpartition(":")[2]
        if value:
            return value
    return ""


def git_commit(folder: str) -> str:
    """The commit checked out in *folder* or above it (40 or 64 hex digits), or an empty text."""
    try:
        git = _git_folder(folder)
        if not git:
            return ""
        head = _read(os.path.join(git, "HEAD")).strip()
        if not head.startswith("ref:"):
            return head if _is_commit(head) else ""
        name = head[4:].strip()
        common = git
        # A linked worktree keeps its refs with the main one.
        if os.path.isfile(os.path.join(git, "commondir")):
            common = os.path.join(git, _read(os.path.join(git, "commondir")).strip())
        for base in (git, common):
            path = os.path.join(base, *name.split("/"))
            if os.path.isfile(path):
                commit = _read(path).strip()
                return commit if _is_commit(commit) else ""
        for line in _read(os.path.join(common, "packed-refs")).splitlines():
            commit, _, ref = line.partition(" ")
            if ref.strip() == name and _is_commit(commit):
                return commit
    except (OSError, ValueError):
        pass
    return ""


def _git_folder(folder: str) -> str:
    for _ in range(12):
        candidate = os.path.join(folder, ".git")
        if os.path.isdir(candidate):
            return candidate
        if os.path.isfile(candidate):  # worktrees and submodules: a file that names the folder
            target = _read(candidate).partition("gitdir:")[2].strip()
            return os.path.join(folder, target) if target else ""
        parent = os.path.dirname(folder)
        if parent == folder:
            break
        folder = parent
    return ""


def _read(path: str) -> str:
    with open(path, "rb") as file:
        return file.read(4_000_000).decode("utf-8", "replace")


def _is_commit(text: str) -> bool:
    return len(text) in (40, 64) and all(c in "0123456789abcdef" for c in text)
