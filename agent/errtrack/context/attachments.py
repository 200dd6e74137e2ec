# SPDX-License-Identifier: MIT
"""Files that go along with events: from memory, from disk, or made when an event is captured.

https://develop.sentry.dev/sdk/foundations/transport/envelope-items/#attachment. One that cannot be read, or for
which there is no room, costs only itself.
"""

from __future__ import annotations

import os

from errtrack import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Union

    Content = Union[bytes, Callable[[], bytes], None]

#: Bytes that all attachments of one event may take together.
ROOM = 10_000_000

_TYPES = {
    ".txt": "text/plain", ".log": "text/plain", ".json": "application/json", ".csv": "text/csv",
    ".html": "text/html", ".xml": "application/xml", ".png": "image/png", ".jpg": "image/jpeg",
    ".pdf": "application/pdf", ".gz": "application/gzip", ".zip": "application/zip", ".toml": "application/toml",
}  # fmt: skip


class Attachment:
    """One file; read only when an event is captured."""

    __slots__ = ("_content", "_path", "add_to_transactions", "content_type", "filename")

    def __init__(
        self,
        content: Content = None,
        filename: str | None = None,
        path: str | None = None,
        content_type: str | None = None,
        add_to_transactions: bool = False,
    ) -> None:
        self._content = content
        self._path = path
        self.add_to_transactions = add_to_transactions
        self.filename = filename or os.path.basename(path or "") or "attachment"
        self.content_type = content_type or _TYPES.get(
            os.path.splitext(self.filename)[1].lower(), "application/octet-stream"
        )

    def read(self, room: int) -> bytes:
        """The content; raises OSError, or whatever the function raises. At most one byte more than *room*."""
        content: Any = self._content
        if content is None:
            with open(self._path or "", "rb") as file:
                return file.read(room + 1)
        if callable(content):
            content = content()
        return content.encode("utf-8", "replace") if isinstance(content, str) else bytes(content)


def items_of(
    attachments: Iterable[Any], for_transaction: bool = False
) -> tuple[list[tuple[dict[str, Any], bytes]], list[int]]:
    """The envelope items of *attachments*, and the sizes (bytes) of those that were left out for want of room."""
    items: list[tuple[dict[str, Any], bytes]] = []
    lost: list[int] = []
    left = ROOM
    for attachment in attachments:
        if type(attachment) is not Attachment or (for_transaction and not attachment.add_to_transactions):
            continue
        try:
            content = attachment.read(left)
        except Exception as error:
            guard.pass_on(error)
            guard.debug("attachment %s is left out: %s" % (attachment.filename, type(error).__name__))
            continue
        if len(content) > left:
            guard.debug("attachment %s is left out: too large" % attachment.filename)
            lost.append(len(content))
            continue
        left -= len(content)
        headers = {
            "type": "attachment",
            "filename": str(attachment.filename)[:255],
            "content_type": str(attachment.content_type)[:100],
            "attachment_type": "event.attachment",
        }
        items.append((headers, content))
    return items, lost
