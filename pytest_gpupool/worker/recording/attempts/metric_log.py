"""The metric log: what a test records is written, as its own attempt's, whoever records it and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....processes.own.forks import Owner
from ....processes.own.outbox import Outbox
from ....records.journal import dump, load
from ....values.errors import MetricProblem
from .. import junit_properties
from ..writer import RecordWriter
from .attempt import Attempt

if TYPE_CHECKING:
    from ....metrics.metric import Metric


class MetricLog:
    """Takes the metrics of one process's tests, and of the children that these have forked.

    A child leaves the metric in the outbox.
    """

    def __init__(self, writer: RecordWriter | None) -> None:
        self._writer = writer
        self._owner = Owner()
        self._outbox = Outbox()

    def add(self, metric: Metric, attempt: Attempt) -> None:
        """Take a metric, from a thread of the test or a child of it too.

        Raises:
            MetricProblem: the test has recorded one of that name; or has ended; or a child cannot reach its parent.
        """
        test = attempt.test
        assert test is not None
        if attempt.is_over:
            raise MetricProblem(_late(metric.name, test.nodeid, "a thread"))
        from ....verdicts.verdict import undecided  # most workers' start is not held up by it

        judged = undecided(metric)
        attempt.metrics.add(judged)
        if self._owner.is_here:
            self._keep(judged, attempt)
            return
        test.item.user_properties.append(_property(judged))  # pytest-forked has a child make the reports
        if not self._outbox.put(dump({"attempt": attempt.serial, "test": test.nodeid, "metric": judged})):
            raise MetricProblem(
                f"metric {metric.name!r} is lost: this process, forked by the one that runs {test.nodeid}, cannot tell "
                "that one of it; record it there"
            )

    def take_from_children(self, attempt: Attempt) -> None:
        """Take what children have left, in the process that runs the test; what is wrong with it, the attempt knows."""
        for line in self._outbox.take():
            told = load(line)
            try:
                if told["attempt"] != attempt.serial or attempt.is_over:
                    self._warn(_late(told["metric"]["name"], told["test"], "a process"))
                    continue
                attempt.metrics.add(told["metric"])
            except MetricProblem as problem:
                attempt.problems.append(str(problem))
            else:
                self._keep(told["metric"], attempt)

    def close(self) -> None:
        """Take no more."""
        self._outbox.close()

    def _keep(self, judged: dict[str, Any], attempt: Attempt) -> None:
        assert attempt.test is not None
        if self._writer is not None:
            self._writer.write("metric", test=attempt.test.nodeid, metric=judged)
        attempt.test.item.user_properties.append(_property(judged))

    def _warn(self, text: str) -> None:
        if self._writer is not None:
            self._writer.write("late-metric", text=text)


def _property(judged: dict[str, Any]) -> junit_properties.Property:
    value = judged["non_finite"] if judged["value"] is None else judged["value"]
    return junit_properties.metric(judged["name"], value)


def _late(name: str, test: str, who: str) -> str:
    return (
        f"metric {name!r} of {test} came after that test had ended, from {who} that it had started: it is in no "
        "report; let the test wait for what it starts"
    )
