"""Items: the values per item of a run's metrics, in files of the run's directory that are named by what is in them.

    items/values-DIGEST.json  {"n": 3, "bits": "5", "items": DIGEST}; or "samples": [0.5, …] where not all are 0 or 1
    items/items-DIGEST.json   ["q1", "q2", "q3"], once for all metrics of the same items

A metric's record has the digest of its values (``per_item``) in their place, so that what several attempts or metrics
have in common is kept once, and journals and reports stay small. Older versions wrote them into the record itself.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from threading import get_ident
from typing import Any

from ...processes.own.system import os
from ..datatypes import POSITIVE, SAMPLES, TEXT, list_of

Record = Mapping[str, Any]

FOLDER = "items"
"""Where they lie in a run's directory, or beside a report that was taken elsewhere."""

_KEYS = ("samples", "items")
_IDS = list_of(TEXT)
_EXACT = 1 << 53  # below it every whole float is written as an int that readers take for the same number
_HEX = re.compile("[0-9a-f]+")

_encode = json.JSONEncoder(allow_nan=False).encode  # made before any test, which may replace what json makes it of


class Items:
    """The values per item of one run. They are written into the first of the folders, and looked for in all.

    Without a folder nothing is taken out of a record, and nothing found.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._ids: dict[str, tuple[str, ...]] = {}
        self._missing: dict[str, str] = {}

    @property
    def problem(self) -> str | None:
        """What could not be read so far, as a sentence; None where all that was asked for was there."""
        if not self._missing:
            return None
        name, reason = next(iter(self._missing.items()))
        more = f" (and {len(self._missing) - 1} more)" if len(self._missing) > 1 else ""
        where = f" in {self._folders[0]}" if self._folders else ""
        return f"values per item are not there, and are not compared: {name}{where}: {reason}{more}"

    def taken_out(self, metric: Record) -> Record:
        """Return a metric's record with a digest in place of its values per item, which are now in their file.

        Called in workers while a test runs, in children that it has forked too. Where the file cannot be written the
        record stays as it is.
        """
        if "samples" not in metric or not self._folders:
            return metric
        try:
            digest = self._keep(metric["samples"], metric.get("items"))
        except OSError:
            return metric
        return without(metric) | {"per_item": digest}

    def filled(self, metric: Record) -> Record:
        """Return a metric's record with its values per item, as far as they can be read, in place of their digest."""
        if "per_item" not in metric:
            return metric
        rest = {name: value for name, value in metric.items() if name != "per_item"}
        values = self._read(f"values-{metric['per_item']}.json", _values)
        if values is None or metric.get("n") not in (None, len(values[0])):
            return rest
        samples, of = values
        ids = None if of is None else self._ids_of(of)
        if of is None:
            return {**rest, "samples": samples}
        # Without their ids nobody knows which item has which value.
        return {**rest, "samples": samples, "items": ids} if ids is not None and len(ids) == len(samples) else rest

    def in_report(self, report: Record) -> dict[str, Any]:
        """Return a report with the values per item in place of their digests."""
        return {**report, "tests": [of_test(test, self.filled) for test in report["tests"]]}

    def take_over(self, result: Record, earlier: Items) -> Record:
        """Return what an earlier run has of a test, with its values per item now among these."""

        def taken(metric: Record) -> Record:
            if "per_item" in metric and self._folders:
                self._take_file(f"values-{metric['per_item']}.json", earlier)
                values = self._read(f"values-{metric['per_item']}.json", _values)
                if values is not None and values[1] is not None:
                    self._take_file(f"items-{values[1]}.json", earlier)
            return self.taken_out(metric)

        return of_test(result, taken)

    def _keep(self, samples: Sequence[float | str], ids: Sequence[str] | None) -> str:
        folder = self._folders[0]
        _make(folder)
        of = {} if ids is None else {"items": keep_ids(folder, ids)}
        text = _encode({"n": len(samples)} | encoded(samples) | of)
        digest = _digest(text)
        _write(folder / f"values-{digest}.json", text)
        return digest

    def _take_file(self, name: str, earlier: Items) -> None:
        source = next((path for folder in earlier._folders if (path := folder / name).is_file()), None)
        target = self._folders[0] / name
        if source is not None and not target.exists():
            with contextlib.suppress(OSError):  # then it is missing here, which is said where it is asked for
                _make(target.parent)
                link_or_copy(source, target)

    def _ids_of(self, digest: str) -> tuple[str, ...] | None:
        if digest not in self._ids:
            ids = self._read(f"items-{digest}.json", _known_ids)
            if ids is None:
                return None
            self._ids[digest] = ids
        return self._ids[digest]

    def _read(self, name: str, parse: Callable[[Any], Any]) -> Any:
        """Return what is in a file, None where it is in no folder, or is not what its name says."""
        reason = "it is missing"
        for folder in self._folders:
            try:
                text = (folder / name).read_bytes().strip()
            except FileNotFoundError:
                continue
            except OSError as error:
                reason = error.strerror or str(error)
                continue
            if _digest_of(text) == name.rpartition("-")[2].removesuffix(".json"):
                with contextlib.suppress(ValueError, RecursionError):
                    return parse(json.loads(text))
            reason = "it is damaged"
        self._missing.setdefault(name, reason)
        return None


def without(metric: Record) -> dict[str, Any]:
    """Return a metric's record without its values per item."""
    return {name: value for name, value in metric.items() if name not in _KEYS}


def of_test(test: Record, changed: Callable[[Record], Record]) -> dict[str, Any]:
    """Return a test of a report, or of a record, with each metric changed, those of all its attempts as well."""
    found = {**test, "metrics": [changed(metric) for metric in test["metrics"]]}
    for several in ("attempts", "before", "again"):
        if several in test:
            found[several] = [of_test(one, changed) if "metrics" in one else one for one in test[several]]
    return found


def encoded(samples: Sequence[float | str]) -> dict[str, Any]:
    """Return values as JSON can carry them, in few characters: a quarter of one for each that is 0 or 1."""
    if all(one in (0, 1) for one in samples):
        return {"bits": f"{int(''.join('1' if one else '0' for one in samples), 2):x}"}
    return {"samples": list(map(_plain, samples))}


def decoded(data: Record) -> tuple[float, ...] | None:
    """Return the values that :func:`encoded` wrote, beside which ``n`` says how many; None where there are none.

    Raises:
        ValueError: they are not as it writes them.
    """
    bits, n, samples = data.get("bits"), data.get("n"), data.get("samples")
    if bits is not None:
        if not POSITIVE.check(n) or not isinstance(bits, str) or not _HEX.fullmatch(bits):
            raise ValueError("bits")
        told = f"{int(bits, 16):0{n}b}"
        if len(told) != n:
            raise ValueError("n")
        return tuple(map(float, told))
    if samples is not None and not SAMPLES.check(samples):
        raise ValueError("samples")
    return None if samples is None else tuple(map(float, samples))


def keep_ids(folder: Path, ids: Iterable[str]) -> str:
    """Have the ids of items in a file of a folder; return its digest. Raises OSError."""
    text = _encode(list(ids))
    digest = _digest(text)
    _write(folder / f"items-{digest}.json", text)
    return digest


def link_or_copy(source: Path, target: Path) -> None:
    """Have a file in another place as well; such files are replaced, never changed. Raises OSError."""
    try:
        target.hardlink_to(source.resolve())
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _values(data: Any) -> tuple[tuple[float, ...], str | None]:
    samples = decoded(data) if isinstance(data, dict) else None
    if samples is None or len(samples) != data.get("n") or not isinstance(data.get("items", ""), str):
        raise ValueError("values")
    return samples, data.get("items")


def _known_ids(data: Any) -> tuple[str, ...]:
    if not _IDS.check(data):
        raise ValueError("ids")
    return tuple(data)


def _plain(sample: float | str) -> int | float | str:
    if isinstance(sample, str) or sample - sample != 0:  # what is not finite has a name
        return str(sample)
    # Most are whole, and a line of many is much shorter so.
    return int(sample) if sample == int(sample) and abs(sample) < _EXACT else sample


def _digest(text: str) -> str:
    return _digest_of(text.encode())


def _digest_of(text: bytes) -> str:
    return sha256(text).hexdigest()[:16]


def _make(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)


def _write(path: Path, text: str) -> None:
    """Write a file whole, or not at all; one that is there has the same in it."""
    name, data = os.fspath(path), f"{text}\n".encode()
    with contextlib.suppress(FileNotFoundError):
        if os.stat(name).st_size == len(data):  # else a power cut has left it so
            return
    draft = f"{name}.{os.getpid()}-{get_ident()}.tmp"  # threads of a test, and children of it, may write the same
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)
        os.replace(draft, name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
