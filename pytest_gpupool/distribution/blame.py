"""Blame: which test a worker took with it when it ended, and what is said of that."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ..foreign import xdist_protocol
from ..logs import last_words
from ..processes.own import clock
from ..run.controller import Controller
from ..values.outcomes import OUT_OF_MEMORY
from ..values.texts import iso
from .workers.member import Member


def crashed(controller: Controller, member: Member, queue: Sequence[str]) -> tuple[str | None, list[str]]:
    """A worker died, or we ended it. Record the end of the test of its queue that it was running.

    Return that test, None where there was none, and those that had ended though no report of it came.
    """
    begun = controller.records.last_attempts(member.name)
    over = [nodeid for nodeid in queue if controller.records.has_result(member.name, nodeid, begun)]
    unfinished = [nodeid for nodeid in queue if nodeid not in over and (begun is None or nodeid in begun)]
    running = unfinished[0] if unfinished else None
    if running is None or member.overdue not in (None, running):
        return None, over  # that it was ended was meant for another test
    # Metrics of a test that died with its worker are in the journal alone.
    controller.records.results.add_all([] if begun is None else begun[running])
    output, records = member.process.captured(), controller.records
    if output and begun and records.directory is not None:
        about = begun[running][0]
        number, started = about.get("attempt", 1), about["started"]
        last_words.complete(records.directory, member.name, running, attempt=number, started=started, output=output)
    records.write(
        "crash" if member.overdue is None else "timeout",
        worker=member.name,
        test=running,
        started=begun[running][0]["started"] if begun else None,
        ended=iso(clock.now()),
        message=member.crash_text() if member.overdue is None else member.limit_text(),
        **({"output": output} if output else {}),
        **({} if member.cause is None else {"cause": member.cause}),
        **({} if member.cause != OUT_OF_MEMORY else {"resources": {"rss_peak_bytes": member.process.held_memory}}),
    )
    return running, over


def has_quit(controller: Controller, member: Member, queue: Sequence[str]) -> None:
    """A worker ended its session before its tests had ended, as pytest.exit makes it: that ends the run."""
    output = member.node.workeroutput
    if output["shouldfail"] or output["shouldstop"]:
        return  # -x, for instance, of which xdist knows
    status = output["exitstatus"] or pytest.ExitCode.TESTS_FAILED
    controller.console.stop(f"{member.name} ended the session in {queue[0]}", status)


def is_interrupted(member: Member) -> bool:
    """Return whether a worker has ended its session as Ctrl-C does, which xdist takes for the end of its test too."""
    output = getattr(member.node, "workeroutput", {})
    return bool(output.get("exitstatus") == pytest.ExitCode.INTERRUPTED)


def timeout_report(controller: Controller, member: Member, test: str) -> pytest.TestReport:
    """Return the report of a test that took too long, as xdist makes that of a crash."""
    path, _, name = test.partition("::")
    report = pytest.TestReport(
        nodeid=test,
        location=(path, None, name.replace("::", ".")),
        keywords={},
        outcome="failed",
        longrepr=told_of(controller, member, test),
        when=xdist_protocol.UNKNOWN_PHASE,  # type: ignore[arg-type]
    )
    report.node = member.node  # type: ignore[attr-defined]
    return report


def told_of(controller: Controller, member: Member, test: str) -> str:
    """Return what pytest's reports say of a test that ended with its worker: its message, and what it had written."""
    result = controller.records.results.get(test, member.name)
    if result is None:
        return member.crash_text()
    sections = [f"{f' Captured {name} ':-^80}\n{text}" for name, text in result.output.items()]
    return "\n".join([result.message or "", *sections])


def how_it_ended(member: Member) -> str:
    """Return what a record calls the end of a worker."""
    if member.died:
        return member.process.how_it_ended()
    if member.is_cut_off:
        return "killed"
    return "finished" if hasattr(member.node, "workeroutput") else "cancelled"
