"""Attached data: what a test hands to ``attach``, as a file. No library is imported for it that the test has not."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ....metrics.metric import type_name
from ....values.errors import MetricProblem
from ....values.texts import cut, safe_repr

_URL = re.compile(r"https?://[^\s\"'<>]{1,2000}")

_LONGEST = 200  # characters of what is told of a path that is none

_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
    b"%PDF-": ".pdf",
    b"PK\x03\x04": ".zip",
    b"\x1f\x8b": ".gz",
}

Write = Callable[[BinaryIO], object]


def is_url(data: object) -> bool:
    """Say whether what was handed over is an address, and no text that is to be kept."""
    return isinstance(data, str) and _URL.fullmatch(data) is not None


def as_file(data: object, name: str | None) -> tuple[str, str, Write]:
    """Return what an attachment is called, the suffix of its file, and what writes that.

    Raises:
        MetricProblem: nothing is known to be kept of such a thing; or a path leads to no file.
    """
    if isinstance(data, os.PathLike):
        return _of_path(data, name)
    if isinstance(data, str):
        return name or "text", ".txt", lambda file: file.write(data.encode("utf-8", "backslashreplace"))
    if isinstance(data, bytes | bytearray | memoryview):
        content = bytes(data)
        suffix = next((suffix for begin, suffix in _BEGINNINGS.items() if content.startswith(begin)), ".bin")
        return name or "data", suffix, lambda file: file.write(content)
    if (found := _of_library(data)) is not None:
        what, suffix, write = found
        return name or what, suffix, write
    try:
        text = json.dumps(data, indent=1, allow_nan=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise MetricProblem(
            f"attach: nothing is known to be kept of a {type_name(data)} ({error}): give a path, bytes, a text, what "
            "JSON has, a PIL image, a Matplotlib or Plotly figure, a pandas table, or write a file to out_dir"
        ) from None
    return name or "data", ".json", lambda file: file.write(text.encode())


def _of_path(given: os.PathLike[Any], name: str | None) -> tuple[str, str, Write]:
    try:
        path = Path(os.fsdecode(given))  # of a directory's entry it may be bytes
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name too long, a folder that nobody may enter
        what = cut(safe_repr(given), _LONGEST)
        raise MetricProblem(f"attach: {what} cannot be kept: {error.strerror or error}") from None
    except Exception as error:  # a foreign type may do anything
        what = cut(safe_repr(given), _LONGEST)
        raise MetricProblem(f"attach: {what} is no path: {type(error).__name__}: {error}") from None
    if is_folder:
        raise MetricProblem(f"attach: {path} is a folder: attach its files, or have them written to out_dir")
    if not is_file:
        raise MetricProblem(f"attach: {path} is not there, or is no file: attach it while it is")

    def copy(file: BinaryIO) -> None:
        with path.open("rb") as source:
            shutil.copyfileobj(source, file, 1 << 20)

    return name or path.name, path.suffix, copy


def _of_library(data: Any) -> tuple[str, str, Write] | None:
    if (image := _type("PIL.Image", "Image")) is not None and isinstance(data, image):
        return "image", ".png", lambda file: data.save(file, format="PNG")
    figure = getattr(data, "figure", data)  # of axes as well
    if (kind := _type("matplotlib.figure", "Figure")) is not None and isinstance(figure, kind):
        drawn: Any = figure
        return "figure", ".png", lambda file: drawn.savefig(file, format="png", bbox_inches="tight")
    if (kind := _type("plotly.basedatatypes", "BaseFigure")) is not None and isinstance(data, kind):
        return "figure", ".html", lambda file: file.write(data.to_html(include_plotlyjs=True).encode())
    for name in ("DataFrame", "Series"):
        if (kind := _type("pandas", name)) is not None and isinstance(data, kind):
            return "table", ".csv", lambda file: file.write(data.to_csv().encode("utf-8", "backslashreplace"))
    return None


def _type(module: str, name: str) -> Any:
    """Return a type of a library that the test has imported, None where it has not."""
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) else None
