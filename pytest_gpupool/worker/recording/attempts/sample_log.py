"""The sample log: what a test says of single items goes to the file of its own attempt, whoever says it.

A child that the test has forked writes into the same file, and leaves word of that in the outbox. Where this process
has no directory of the run, as on another host, lines go to the controller, several at a time, which writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....processes.own import clock
from ....processes.own.forks import Owner
from ....records.beside import samples
from ....records.beside.samples import SampleFile
from ....values.errors import MetricProblem
from ..writer import RecordWriter
from .attempt_items import AttemptItems

if TYPE_CHECKING:
    from ....metrics.sample import Sample
    from .attempt import Attempt

_MOST_HELD = 64 * 1024
_LONGEST_HELD = 0.2
"""Bytes and seconds for which lines wait for others, on their way to the controller."""


class _Wire:
    """Has the controller append lines to a file of its run's directory."""

    problem: str | None = None

    def __init__(self, send: Callable[[list[str]], None], first: str) -> None:
        self._send = send
        self._held = [first]
        self._size = 0
        self._sent = 0.0

    def append(self, line: str) -> bool:
        """Send a line, at the latest with the next ones."""
        self._held.append(line)
        self._size += len(line)
        if self._size >= _MOST_HELD or clock.monotonic() - self._sent >= _LONGEST_HELD:
            self.close()
        return True

    def close(self) -> None:
        """Send what is held back."""
        if self._held:
            lines, self._held, self._size = self._held, [], 0
            self._send(lines)
            self._sent = clock.monotonic()


class SampleLog:
    """Takes the items of one process's tests, and of the children that these have forked."""

    def __init__(self, writer: RecordWriter | None) -> None:
        self._writer = writer
        self._owner = Owner()
        self.folder: Path | None = None if writer is None else writer.run_dir
        """The run's directory, None where this process has none."""
        self.tell: Callable[[str], None] = lambda _: None
        """What shows the user a warning at the run's end."""
        self._has_told = False

    def add(self, sample: Sample, attempt: Attempt, put: Callable[[dict[str, Any]], bool]) -> None:
        """Take what is said of an item; ``put`` leaves word for the process that runs the test.

        Raises:
            MetricProblem: there is one of that id, or too many; or a child cannot reach its parent.
        """
        items = self._of(attempt)
        if not items.owner.is_here:  # a child has these from its parent, which knows nothing of what follows
            items.owner, items.is_begun = Owner(), False
        if not (isinstance(items.sink, SampleFile) or self._owner.is_here):
            word = {"line": sample.line, "id": sample.id, "scores": dict(sample.scores), "cut": sample.is_cut}
            self._left(put({"item": word}), sample.id)
            return
        items.add(sample)
        if not items.is_begun:
            items.is_begun = True
            if self._owner.is_here:
                self._record(attempt, {"file": items.place})
            else:
                self._left(put({"items": items.place, "first": sample.id}), sample.id)
        if items.sink is not None and items.sink.problem is not None:
            self._warn(items.sink.problem)

    def is_of_another(self, process: int, folder: Path | None) -> None:
        """This process was started for a test of another one, by whose run's directory it has its own."""
        self._owner, self.folder = Owner(process), folder

    def is_full(self, attempt: Attempt) -> bool:
        """Say whether so much was said of the items of an attempt that no more than their beginnings is kept.

        Raises:
            MetricProblem: there are too many.
        """
        from ....metrics.sample import MOST_BYTES, MOST_ITEMS

        tally = None if attempt.items is None else attempt.items.tally
        if tally is not None and tally.count >= MOST_ITEMS:
            raise MetricProblem(f"a test records {MOST_ITEMS:,} items at most: divide it, by parameters")
        return tally is not None and tally.size >= MOST_BYTES

    def heard(self, told: Mapping[str, Any], attempt: Attempt) -> None:
        """A child of the test has left word, see :meth:`add`. Raises MetricProblem."""
        from ....metrics.sample import Sample

        items = self._of(attempt)
        if "items" in told:
            items.has_more = True
        else:
            word = told["item"]
            items.add(Sample(word["id"], word["scores"], word["line"], word["cut"]))
        if not items.is_begun:
            items.is_begun = True
            self._record(attempt, {"file": items.place})

    def ends(self, attempt: Attempt) -> None:
        """The attempt is over, in the process that runs it: write down how many there are."""
        items = attempt.items
        if items is None or not items.is_begun or not self._owner.is_here:
            return
        if items.sink is not None:
            items.sink.close()
        summary = items.tally.to_record()
        if items.has_more and isinstance(items.sink, SampleFile):
            try:
                tally, _ = samples.tally_of(samples.read(items.sink.path))
            except OSError as error:
                self._warn(f"{items.sink.path}: {error.strerror or error}")
            else:
                tally.lost(summary.get("lost", 0))
                summary = tally.to_record()
        self._record(attempt, {"file": items.place, **summary})

    def doubled(self, attempt: Attempt) -> list[str]:
        """Return a line for ids that several processes of the test have recorded, once."""
        items = attempt.items
        if items is None or not items.has_more or not isinstance(items.sink, SampleFile):
            return []
        try:
            _, twice = samples.tally_of(samples.read(items.sink.path))
        except OSError:
            return []
        return [f"item {name!r} was recorded by two processes of this test; the first one counts" for name in twice][:1]

    def _of(self, attempt: Attempt) -> AttemptItems:
        if attempt.items is None:
            assert attempt.test is not None
            nodeid, worker = attempt.test.nodeid, "" if self._writer is None else self._writer.worker
            of = nodeid, worker, attempt.tries
            place, first = samples.place_of(*of), samples.heading(*of)
            attempt.items = AttemptItems(place, self._sink(attempt, place, first))
        return attempt.items

    def _sink(self, attempt: Attempt, place: str, first: str) -> SampleFile | _Wire | None:
        if self.folder is not None:
            return SampleFile(self.folder / place, first)
        writer = self._writer
        if writer is None or not self._owner.is_here:
            return None
        assert attempt.test is not None
        nodeid = attempt.test.nodeid

        def send(lines: list[str]) -> None:
            writer.write("lines", test=nodeid, file=place, lines=lines)

        return _Wire(send, first)

    def _record(self, attempt: Attempt, items: dict[str, Any]) -> None:
        if self._writer is not None and attempt.test is not None:
            self._writer.write("items", test=attempt.test.nodeid, items=items)

    def _left(self, is_left: bool, name: str) -> None:
        if not is_left:
            raise MetricProblem(
                f"item {name!r} is lost: this process, forked by the one that runs the test, cannot tell that one of "
                "it; record it there"
            )

    def _warn(self, problem: str) -> None:
        if not self._has_told:
            self._has_told = True
            self.tell(f"items could not be kept: {problem}; their number and the means of their scores are")
