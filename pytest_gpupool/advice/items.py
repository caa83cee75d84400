"""Items: one piece of advice each, with what it saves. Pure: standard library only, no clock, no files."""

from __future__ import annotations

from typing import Literal, NamedTuple

MUCH = 0.05
"""Of what an item is a share of: what saves no more is not told."""

LEAST_SECONDS = 5.0
"""What an item saves at least, in seconds of one device: less is noise."""

KINDS = ("collection", "set-up", "stage", "serial", "lock", "gpus", "memory", "slots", "timeout")
"""What an item may be about."""

SHARES = ("held", "memory", "makespan", "hang")
"""What an item may save a share of: the seconds for which devices were held, the same times their memory, the makespan,
or the time that the run would take where one test hangs."""

Kind = Literal["collection", "set-up", "stage", "serial", "lock", "gpus", "memory", "slots", "timeout"]
ShareOf = Literal["held", "memory", "makespan", "hang"]


class Advice(NamedTuple):
    """An item: ``saves`` is the share, of what ``share_of`` says, that it saves at most; ``text`` is one line."""

    kind: Kind
    text: str
    saves: float
    share_of: ShareOf

    def to_report(self) -> dict[str, object]:
        """Return it as a report has it."""
        return {"kind": self.kind, "text": self.text, "saves": round(self.saves, 4), "of": self.share_of}
