"""Attached: a file that a test has kept, as it is sent: whatever is in it, nothing of it runs beside our pages.

Pictures and texts are shown by the browser; all else, such as HTML and SVG, is only handed to it as a file to keep.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import quote

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; sandbox; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEAD = 16
_PIECE = 1 << 18


class Attached:
    """An open file with its name; use it in a ``with`` block. What is appended to it later is not sent."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._size = os.fstat(file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def headers(self) -> dict[str, str]:
        """Return what is said of it."""
        head = self._file.read(_HEAD)
        self._file.seek(0)
        media_type = shown_as(head, self._name)
        how = "attachment" if media_type is None else "inline"
        name = quote(os.fsencode(self._name), safe="")
        return {
            "Content-Type": media_type or "application/octet-stream",
            "Content-Length": str(self._size),
            "Content-Disposition": f"{how}; filename*=UTF-8''{name}",
            "Content-Security-Policy": _POLICY,
        }

    def pieces(self) -> Iterator[bytes]:
        """Yield what is in it, as far as that was said; less where it has been made shorter meanwhile."""
        left = self._size
        while left > 0 and (piece := self._file.read(min(_PIECE, left))):
            left -= len(piece)
            yield piece


def shown_as(head: bytes, name: str) -> str | None:
    """Return as which media type a browser shows a file that begins so; None where it is not to show it."""
    from ....reports.html.data.attachments import is_text, picture_of  # not while the program starts

    if picture := picture_of(head):
        return picture
    guessed, encoding = mimetypes.guess_type(name)
    return "text/plain; charset=utf-8" if guessed and encoding is None and is_text(guessed) else None
