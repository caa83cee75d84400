"""Records: the lines of journals, and the order in which a run's journals are folded.

Pure: standard library only, no clock, no files. :mod:`folding.results` makes results of them.

===================  ====================================================================================
record               keys
===================  ====================================================================================
``journal``          ``version``; the first line of each file, changes no result
``collected``        ``tests``: a list of ``[nodeid, params]``; ``worker``
``shard``            ``index, count, tests, fingerprint, paths``: the run has one of several parts of these tests, cut
                     from what the fingerprint is of; ``paths``: where all shards together have looked for tests
``deselected``       ``worker, tests``: the ids of those that a conftest.py or a plugin has left out
``collect-error``    ``where``: what could not be collected
``kept``             ``test, run, result``: what an earlier run found, see :meth:`TestResult.to_record`
``worker``           ``worker, host, pid, devices, lease_wait_s, started, environment``
``setting``          ``name, value``: ``cores`` that the run may use, ``timeout`` (seconds) of tests that name none
``policy``           ``error, rtol, fail_on``: how its metrics are judged, by the baseline beside the records
``start``            ``worker, test, devices, device_kind, started, attempt, recipe``: an attempt at a test begins;
                     and ``asked``, where its marker says so: ``memory`` (bytes), ``timeout`` (seconds; null: no limit);
                     ``confirms`` (true) where it only measures again what is suspect
``metric``           ``worker, test, metric``
``items``            ``worker, test, items``: what the attempt has said of single items: the ``file``, when it begins,
                     and with how many, and their scores' means, when it ends; see :mod:`beside.samples`
``attached``         ``worker, test``, and ``attachment``: what the attempt has kept; or ``folder``: where it keeps it
``piece``            ``worker, test, file, data``: of a file that it has kept, in base64, from a worker without the
                     run's directory; in no journal, changes no result
``facts``            ``worker, test, facts``: texts by name, which the attempt says of itself
``lines``            ``worker, test, file, lines``: for that file, from a worker without the run's directory; in no
                     journal, changes no result
``set-up``           ``worker, test, number, fixture, seconds``, and ``failed`` (true): a wide fixture was set up for it
``torn-down``        ``worker, test, number, fixture, seconds``: the one of that number was torn down again
``repeated``         ``test, outcome, message, metrics, is_judged``: the repeats of the test have ended, which make this
``end``              ``worker, test, outcome, phases, duration_s, ended, message``
                     and ``torch_peak`` (bytes) where torch used a GPU, ``is_final`` (false) where it is to run again,
                     ``resources``, ``output``, ``verdicts`` (by metric, where it has changed since it was recorded),
                     ``is_judged`` (true) where a verdict made it fail, ``cause`` where it failed of one
``crash``            ``worker, test, started, ended, message, output``: the worker died while it ran this test;
                     and ``cause``, ``resources``, as at an end
``timeout``          the same keys: the test took too long, and its worker was ended
``no-retry``         ``worker, test, started, text``: it is not tried again, though its cause would have it
``device``           ``device``: one of a cluster's, which a worker holds; see :class:`Device`
``quarantined``      ``device, reason``: the device has left the pool
``worker-end``       ``worker, ended, exit``, and, with ``-n``, ``ready`` (when it had collected) and
                     ``idle``: the seconds in which it then had no test, by what it waited for
``replaces``         ``worker, dead``: with ``--dist each``, a worker goes on with a dead one's tests
``suspect``          ``worker, test, metrics``: the names of those that are to be measured again, none where none is
``decided``          ``worker, test, metrics``: verdicts, by metric, with what they are based on, once the run is over;
                     ``gone``: metrics that the baseline has, and the test, or the run, has not;
                     and ``outcome, message`` where they change these
``aggregate``        ``worker, test, aggregate, left_out``, and ``narrowed`` (text): what is judged over the tests of
                     a function, class, file or folder; ``left_out``: ``group, tests`` of those that were deselected;
                     ``shard`` (``2/4``) where other shards may have some of them
``aggregated``       ``group, metric, outcome, message``: the verdict on a group of them, as at ``decided``
``run-end``          ``ended, exit_status``; written by the controller, changes no result
``late-metric``      ``worker, text``: a metric came after its test had ended; in no journal, changes no result
``journal-problem``  ``worker, text``: later records of this worker are not on disk; changes no result
===================  ====================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .shapes.journal import RECORDS

Record = Mapping[str, Any]

_FIRST = frozenset({"journal", "collected", "kept", "worker", "device", "replaces"})
_OF_ATTEMPTS = frozenset({"metric", "items", "facts", "attached", "set-up", "torn-down", "end"})


def is_sound(record: object) -> bool:
    """Say whether a line's value is a record that can be folded; one of a kind unknown here is, and changes nothing."""
    if not isinstance(record, dict) or not isinstance(record.get("record"), str):
        return False
    shape = RECORDS.get(record["record"])
    return shape is None or shape.fits(record)


def in_order(journals: Iterable[Iterable[Record]]) -> Iterable[Record]:
    """Yield the records of a run's journals as they are to be folded.

    Each journal is in the order of its own writer alone. What was collected comes first, then the attempts by the time
    at which they began, since a test may have run again on another worker, then what the controller said of them.
    """
    first: list[Record] = []
    last: list[Record] = []
    attempts: list[tuple[str, list[Record]]] = []
    for journal in journals:
        open_attempts: dict[str, list[Record]] = {}  # of this journal, by test
        latest = ""  # the clock may be set back meanwhile
        for record in journal:
            kind = record["record"]
            if kind == "start":
                begun = open_attempts[record["test"]] = [record]
                latest = max(latest, record["started"])
                attempts.append((latest, begun))
            elif kind in _OF_ATTEMPTS:
                open_attempts.get(record["test"], last).append(record)
            else:
                (first if kind in _FIRST else last).append(record)
    yield from first
    attempts.sort(key=lambda attempt: attempt[0])
    attempts.reverse()
    while attempts:  # which frees each as it goes
        yield from attempts.pop()[1]
    yield from last
