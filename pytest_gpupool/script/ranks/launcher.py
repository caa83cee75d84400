"""The program that starts ranks, as ``python -m pytest_gpupool.script.ranks.launcher FAILURES ARGS…``.

``ARGS`` are those of ``torch.distributed.run``. Which ranks failed is written to the file ``FAILURES``: their numbers
and exit statuses, as JSON, in the order in which they were seen.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path


def main(argv: Sequence[str]) -> int:
    """Start ranks; return 0, or 1 where one has failed or they cannot be started, which is said."""
    failures, *options = argv
    try:
        # Not by an import statement, of which this package has none for torch: here it is no test's process.
        launch = import_module("torch.distributed.run")
        errors = import_module("torch.distributed.elastic.multiprocessing.errors")
    except ImportError as error:
        print(f"gpupool: this torch has no torch.distributed.run: {error}", file=sys.stderr)
        return 1
    try:
        launch.run(launch.parse_args(options))
    except errors.ChildFailedError as error:
        found = [[rank, failure.exitcode] for rank, failure in error.failures.items()]
        Path(failures).write_text(json.dumps(found), encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
