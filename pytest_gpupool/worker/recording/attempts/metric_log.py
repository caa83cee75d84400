"""The metric log: what a test records is written, as its own attempt's, whoever records it and when."""

from __future__ import annotations

import base64
import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any

import pytest

from ....processes.own.forks import Owner
from ....processes.own.outbox import Outbox
from ....processes.own.system import os
from ....records.beside.items import FOLDER, Items
from ....records.journal import dump, load
from ....values.errors import MetricProblem
from .. import junit_properties
from ..writer import RecordWriter
from .attachment_log import AttachmentLog
from .attempt import Attempt
from .sample_log import SampleLog

if TYPE_CHECKING:
    from ....metrics.metric import Metric
    from ....metrics.sample import Sample


class MetricLog:
    """Takes the metrics of one process's tests, and of the children that these have forked.

    A child leaves the metric in the outbox. What comes after its test has ended is refused, and told to whom reads the
    run's output as well: who records may let nobody see the error.
    """

    def __init__(self, writer: RecordWriter | None) -> None:
        self.tell: Callable[[str], None] = _python_warning
        """What shows the user a warning at the run's end; where the pool is off, pytest does."""
        self._writer = writer
        run = None if writer is None else writer.run_dir
        self._items = Items() if run is None else Items(run / FOLDER)
        self._owner = Owner()
        self._outbox = Outbox()
        self._thread = get_ident()
        self._told: set[str] = set()
        self.samples = SampleLog(writer)
        """What takes the items."""
        self.samples.tell = self._warn
        self.attachments = AttachmentLog(writer)
        """What keeps files."""
        self.attachments.tell = self._warn

    def outbox(self) -> int | None:
        """Return the descriptor of what a process that is started for the test needs for :meth:`is_of_another`."""
        return self._outbox.descriptor()

    def is_of_another(self, process: int, descriptor: int, folder: str | None) -> None:
        """This process was started for a test of another one, which takes what is recorded here.

        ``folder`` is the directory of its run, None where it has none.
        """
        self._owner, self._outbox = Owner(process), Outbox.of_another(process, descriptor)
        run = None if folder is None else Path(folder)
        self.samples.is_of_another(process, run)
        self.attachments.is_of_another(process, run)

    def add(self, metric: Metric, attempt: Attempt) -> None:
        """Take a metric, from a thread of the test or a child of it too.

        Raises:
            MetricProblem: the test has recorded one of that name; or has ended; or a child cannot reach its parent.
        """
        test = attempt.test
        assert test is not None
        if attempt.is_over:
            raise MetricProblem(self._refused(("metric", metric.name), attempt))
        from ....verdicts.verdict import undecided  # most workers' start is not held up by it

        judged = dict(self._items.taken_out(undecided(metric)))
        attempt.metrics.add(judged)
        if self._owner.is_here:
            self._keep(judged, attempt)
            return
        test.item.user_properties.append(_property(judged))  # pytest-forked has a child make the reports
        if not self._put(attempt, {"metric": judged}):
            raise MetricProblem(
                f"metric {metric.name!r} is lost: this process, forked by the one that runs {test.nodeid}, cannot tell "
                "that one of it; record it there"
            )

    def sample(self, sample: Sample, attempt: Attempt) -> None:
        """Take what is said of an item, as :meth:`add` takes a metric. Raises MetricProblem."""
        if attempt.is_over:
            raise MetricProblem(self._refused(("item", sample.id), attempt))
        self.samples.add(sample, attempt, lambda word: self._put(attempt, word))

    def fact(self, name: str, text: str, attempt: Attempt) -> None:
        """Take what a test says of itself, as :meth:`add` takes a metric. Raises MetricProblem."""
        if attempt.is_over:
            raise MetricProblem(self._refused(("fact", name), attempt))
        self._take_fact(name, text, attempt)
        if not self._owner.is_here and not self._put(attempt, {"fact": [name, text]}):
            raise MetricProblem(f"fact {name!r} is lost: this process cannot tell the one that runs the test of it")

    def attach(self, data: object, name: object, attempt: Attempt) -> dict[str, Any]:
        """Keep what a test attaches, and return what records have of it. Raises MetricProblem."""
        if attempt.is_over:
            raise MetricProblem(self._refused(("attachment", str(name)), attempt))
        return self.attachments.attach(data, name, attempt, lambda word: self._put(attempt, word))

    def out_dir(self, attempt: Attempt) -> Path:
        """Return the folder of an attempt. Raises MetricProblem."""
        return self.attachments.folder(attempt, lambda word: self._put(attempt, word))

    def send_piece(self, nodeid: str, file: str, data: bytes, attempt: Attempt) -> None:
        """Have the controller append to a log of a test; a child leaves it for the process that runs the test."""
        if not self._owner.is_here:
            self._put(attempt, {"piece": base64.b64encode(data).decode(), "file": file})
        elif self._writer is not None:
            self._writer.send_piece(nodeid, file, data)

    def closes(self, attempt: Attempt) -> None:
        """The attempt is over, in the process that runs it: nothing more is its."""
        self.samples.ends(attempt)
        self.attachments.ends(attempt)
        assert attempt.test is not None
        pairs = junit_properties.others(attempt.test.item.user_properties)
        if pairs and self._writer is not None and (told := self._of_properties(pairs, attempt.facts)):
            self._writer.write("facts", test=attempt.test.nodeid, facts=told)

    def take_from_children(self, attempt: Attempt) -> None:
        """Take what children have left, in the process that runs the test; what is wrong with it, the attempt knows."""
        for line in self._outbox.take():
            told = load(line)
            try:
                if told["attempt"] != attempt.serial or attempt.is_over:
                    self._warn(_late(_what(told), told["test"], *_BY_PROCESS))
                    continue
                self._hears(told, attempt)
            except MetricProblem as problem:
                attempt.problems.append(str(problem))

    def _hears(self, told: dict[str, Any], attempt: Attempt) -> None:
        if "metric" in told:
            attempt.metrics.add(told["metric"])
            self._keep(told["metric"], attempt)
        elif "fact" in told:
            name, text = told["fact"]
            self._take_fact(name, text, attempt)
        elif "piece" in told and self._writer is not None:
            self._writer.send_piece(told["test"], told["file"], base64.b64decode(told["piece"]))
        elif "attached" in told or "folder" in told:
            self.attachments.heard(told, attempt)
        else:
            self.samples.heard(told, attempt)

    def _take_fact(self, name: str, text: str, attempt: Attempt) -> None:
        known = attempt.facts.get(name)
        if known is not None and known != text:
            raise MetricProblem(f"fact {name!r} was recorded before in this test, as {known!r}: give each its own name")
        if known is None:
            attempt.facts[name] = text
            assert attempt.test is not None
            attempt.test.item.user_properties.append(junit_properties.fact(name, text))
            if self._writer is not None:
                self._writer.write("facts", test=attempt.test.nodeid, facts={name: text})

    @staticmethod
    def _of_properties(pairs: list[junit_properties.Property], known: dict[str, str]) -> dict[str, str]:
        from . import fact  # most suites record none

        return {name: text for name, text in fact.of_properties(pairs).items() if name and name not in known}

    def ends(self, attempt: Attempt) -> None:
        """The session ends: say what children have left since the last test, and let later ones know that it is over.

        What comes from now on goes to this process's stderr; where that was is told by :attr:`tell` no more.
        """
        self._outbox.seal()
        self.take_from_children(attempt)
        self.tell = _word

    def close(self) -> None:
        """Take no more."""
        self._outbox.close()
        self.attachments.close()

    def _put(self, attempt: Attempt, word: dict[str, Any]) -> bool:
        """Leave word, in a child, for the process that runs the test; return whether that could be done."""
        assert attempt.test is not None
        return self._outbox.put(dump({"attempt": attempt.serial, "test": attempt.test.nodeid, **word}))

    def _refused(self, what: tuple[str, str], attempt: Attempt) -> str:
        """Return why a metric, or an item, is none any more, which the user is told as well."""
        assert attempt.test is not None
        nodeid = attempt.test.nodeid
        if not self._owner.is_here:
            self._put(attempt, {"late": what})
            return _late(what, nodeid, *_BY_PROCESS)
        text = _late(what, nodeid, *(_BY_KEEPER[what[0]] if get_ident() == self._thread else _BY_THREAD))
        self._warn(text)
        return text

    def _keep(self, judged: dict[str, Any], attempt: Attempt) -> None:
        assert attempt.test is not None
        if self._writer is not None:
            self._writer.write("metric", test=attempt.test.nodeid, metric=judged)
        attempt.test.item.user_properties.append(_property(judged))

    def _warn(self, text: str) -> None:
        if text not in self._told:  # a thread may go on for long
            self._told.add(text)
            try:
                self.tell(text)
            except OSError:  # nobody listens any more
                _word(text)


_WAIT = "let the test wait for what it starts"
_BY_THREAD = ("from a thread that it had started", _WAIT)
_BY_PROCESS = ("from a process that it had started", _WAIT)
_CALLS = {"metric": "record_metric", "item": "record_sample", "fact": "record_fact", "attachment": "attach"}
_BY_KEEPER = {
    thing: (
        f"by its {call}, which something has kept",
        f"record in the test that measures, with that test's own {call}",
    )
    for thing, call in _CALLS.items()
}


def _python_warning(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # an error would be somebody else's
        warnings.warn(pytest.PytestWarning(f"gpupool: {text}"), stacklevel=2)


def _word(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"gpupool: warning: {text}\n".encode(errors="backslashreplace"))


def _property(judged: dict[str, Any]) -> junit_properties.Property:
    value = judged["non_finite"] if judged["value"] is None else judged["value"]
    return junit_properties.metric(judged["name"], value)


def _what(word: dict[str, Any]) -> tuple[str, str]:
    """Return what a child's word is about: of what sort, and its name."""
    if "late" in word:
        return word["late"][0], word["late"][1]
    if "metric" in word:
        return "metric", word["metric"]["name"]
    if "attached" in word or "folder" in word:
        return "attachment", word["attached"]["name"] if "attached" in word else word["folder"]
    if "fact" in word:
        return "fact", word["fact"][0]
    if "piece" in word:
        return "log", word["file"]
    return "item", word["item"]["id"] if "item" in word else word["first"]


def _late(what: tuple[str, str], test: str, who: str, what_to_do: str) -> str:
    thing, name = what
    return f"{thing} {name!r} of {test} came after that test had ended, {who}: it is in no report; {what_to_do}"
