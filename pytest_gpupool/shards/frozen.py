"""Frozen: what the cut goes by, as it was when the run began: every process of the run reads this one file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..records.estimates import Known, Learned
from ..records.store import write_whole
from ..values.errors import UsageProblem
from .place import Shard

NAME = "shard.json"
"""The file in the run's directory."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """Which shard this is, and what earlier runs say of tests and set-ups."""

    shard: Shard
    learned: Learned

    def write(self, directory: Path | None) -> Path:
        """Write it into a run's directory; return the file.

        Raises:
            UsageProblem: it cannot be written, or there is no directory.
        """
        data = {
            "shard": [self.shard.index, self.shard.count],
            "tests": {name: known.seconds for name, known in self.learned.tests.items()},
            "fixtures": dict(self.learned.fixtures),
            "has_fixtures": self.learned.has_fixtures,
        }
        try:
            if directory is None:
                raise OSError(None, "this run keeps no records")
            path = directory / NAME
            write_whole(path, json.dumps(data, allow_nan=False))
        except OSError as error:
            raise UsageProblem(
                f"--gpupool-shard={self.shard}: {error.strerror}, and 'gpupool merge' needs them; "
                "give a directory that you may write with --gpupool-dir"
            ) from None
        return path

    @classmethod
    def read(cls, path: str | Path) -> Frozen:
        """Read what :meth:`write` has written."""
        data = json.loads(Path(path).read_bytes())
        tests = {name: Known(seconds, None) for name, seconds in data["tests"].items()}
        return cls(Shard(*data["shard"]), Learned(tests, data["fixtures"], data["has_fixtures"]))
