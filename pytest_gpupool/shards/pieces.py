"""Pieces: what of a suite stays together in one shard, and what it takes, by earlier runs.

Pure: standard library only, no clock, no files. Nothing here goes by the machine's devices, nor by the order of the
tests: machines of one class, with the same knowledge, have the same pieces.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ..planning.demands import Told, planned_tests, set_up_costs
from ..planning.tests import SHORTEST, Test
from ..records.estimates import Learned
from ..values.repeats import test_of
from .cut import Piece

_UNKNOWN = 1.0  # seconds of each test, where nothing is known of any: they count alike


def pieces_of(nodeids: Sequence[str], told: Told, learned: Learned, mode: str) -> dict[Piece, list[str]]:
    """Return the pieces, each with the ids of its tests.

    Those of one group of xdist's ``--dist`` ``mode`` are one, and the repeats of one test. What is not known of a test
    or a set-up is taken to be the mean of what is known of others.
    """
    tests = planned_tests(nodeids, told, learned.tests, devices=(), mode=mode)
    known = [test.seconds for test in tests if test.seconds is not None]
    usual = statistics.fmean(sorted(known)) if known else _UNKNOWN
    costs = {key: usual if cost is None else cost for key, cost in set_up_costs(nodeids, told, learned).items()}
    members: dict[str, list[Test]] = {}
    for test in tests:
        name = nodeids[test.index]
        members.setdefault(test_of(name) or name if test.group is None else f"group {test.group}", []).append(test)
    pieces = {}
    for name, own in members.items():
        own.sort(key=lambda test: nodeids[test.index])
        pieces[_piece(name, own, costs, usual)] = [nodeids[test.index] for test in own]
    return pieces


def _piece(name: str, own: Sequence[Test], costs: dict[str, float], usual: float) -> Piece:
    shares = {(f"{one.key} {test.gpus}", costs[one.key] * test.gpus) for test in own for one in test.set_ups}
    work = sum(test.gpus * max(usual if test.seconds is None else test.seconds, SHORTEST) for test in own)
    # What takes no time may be set up anywhere.
    return Piece(name=name, work=work, shares=tuple(sorted(share for share in shares if share[1] > 0)))
