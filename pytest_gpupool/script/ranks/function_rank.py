"""The program of a rank that calls a function, as ``python -m pytest_gpupool.script.ranks.function_rank FOLDER``.

``FOLDER`` has the ``call``; what the function returns goes there, too. The process group is there when it is called:
NCCL where torch sees a GPU, on the one of the rank's number, else Gloo.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from ...foreign import python_names


def main(argv: Sequence[str]) -> int:
    """Call the function; return 0, or 1 where it has raised something, which is said."""
    folder, rank = Path(argv[0]), os.environ["LOCAL_RANK"]
    told = pickle.loads((folder / "call").read_bytes())
    sys.path[:] = told["paths"]
    _import(told["files"])
    function, args, params = pickle.loads(told["call"])
    try:
        with _process_group(int(rank)):
            found = function(*args, **params)
    except Exception as error:
        # By the hook that torch has set; without what is ours, which explains nothing.
        shown = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        sys.excepthook(type(shown), shown, shown.__traceback__)
        return 1
    try:
        data = pickle.dumps(found)
    except Exception as error:  # whatever a foreign type raises
        print(f"gpupool: what the function returned cannot be pickled: {error!r}", file=sys.stderr)
        return 1
    (folder / f"{rank}.returned").write_bytes(data)
    return 0


@contextlib.contextmanager
def _process_group(rank: int) -> Iterator[None]:
    # Not by import statements, of which this package has none for torch: here it is no test's process.
    torch, distributed = importlib.import_module("torch"), importlib.import_module("torch.distributed")
    is_gpu = torch.cuda.is_available()
    if is_gpu:
        torch.cuda.set_device(rank)
    distributed.init_process_group("nccl" if is_gpu else "gloo")
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _import(files: Mapping[str, str]) -> None:
    """Import modules by name or, where that finds none or another one, from their files, as pytest may have done."""
    for name, file in files.items():
        if name in sys.modules:
            continue
        with contextlib.suppress(ImportError, ValueError, OSError):
            spec = importlib.util.find_spec(name)
            if spec is not None and (spec.origin is None or os.path.samefile(spec.origin, file)):  # noqa: PTH121
                continue
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is not None and spec.loader is not None:
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)


def _leave(status: int) -> NoReturn:
    """End the process, once threads and exit functions have, but do not take the interpreter down.

    A thread of Gloo's that lets go of a tensor meanwhile aborts the process, although all is done; such threads live on
    as long as a ``DistributedDataParallel`` does, whatever has become of its group.
    """
    python_names.end_threads()
    python_names.run_exit_functions()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # it is none, is not read any more, is closed
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    _leave(main(sys.argv[1:]))
