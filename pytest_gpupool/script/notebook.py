"""The program that runs a notebook, as ``python -m pytest_gpupool.script.notebook NOTEBOOK PARAMETERS``.

It writes what the cells write, as they do so. Parameters, as JSON, become a cell of their own after the one with the
tag ``parameters``, else before all, as in papermill. It needs nbclient: ``pip install 'pytest-gpupool[notebook]'``.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""With which IPython writes tracebacks."""


class _Refused(Exception):
    """A notebook that cannot be run, and why."""


def main(argv: Sequence[str]) -> int:
    """Run a notebook; return 0, or 1 where a cell failed or the notebook cannot be run, which is said."""
    path, text = argv
    try:
        _run(path, json.loads(text))
    except _Refused as refused:
        print(f"gpupool: {path}: {refused}", file=sys.stderr)
        return 1
    return 0


def _run(path: str, params: Mapping[str, Any]) -> None:
    try:
        import nbclient
        import nbformat
    except ImportError as error:
        install = "pip install 'pytest-gpupool[notebook]'"
        raise _Refused(f"notebooks are run by nbclient, which is not there ({error}): {install}") from None
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # it may be anything
        raise _Refused(f"it is no notebook: {error}") from None
    add_parameters(notebook.cells, params, nbformat.v4.new_code_cell)

    class Client(nbclient.NotebookClient):
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            show(msg["header"]["msg_type"], msg["content"])
            return super().process_message(msg, cell, cell_index)

    client = Client(notebook, timeout=None, resources={"metadata": {"path": os.getcwd()}})  # noqa: PTH109 - for Jupyter
    try:
        client.execute()
    except nbclient.exceptions.CellExecutionError as error:
        raise _Refused(f"a cell failed\n{_COLOURS.sub('', str(error))}") from None
    except nbclient.exceptions.DeadKernelError as error:
        raise _Refused(f"its kernel died: {error}") from None
    except Exception as error:
        if type(error).__name__ == "NoSuchKernel":  # of jupyter_client, which need not be imported for its name
            raise _Refused(f"its kernel {client.kernel_name!r} is not installed: pip install ipykernel") from None
        raise


def add_parameters(cells: list[Any], params: Mapping[str, Any], new_cell: Any) -> None:
    """Put parameters among the cells, as assignments in one of their own."""
    if not params:
        return
    wrong = next((name for name in params if not name.isidentifier()), None)
    if wrong is not None:
        raise _Refused(f"parameter {wrong!r} is no name of a variable")
    tagged = (place for place, cell in enumerate(cells, 1) if "parameters" in cell.metadata.get("tags", ()))
    source = "\n".join(["# Parameters of this run", *(f"{name} = {value!r}" for name, value in params.items())])
    cells.insert(next(tagged, 0), new_cell(source, metadata={"tags": ["injected-parameters"]}))


def show(kind: str, content: Mapping[str, Any]) -> None:
    """Write what a cell has written or shown."""
    if kind == "stream":
        file = sys.stderr if content["name"] == "stderr" else sys.stdout
        print(content["text"], end="", file=file, flush=True)
    elif kind in ("display_data", "execute_result") and "text/plain" in content["data"]:
        print(content["data"]["text/plain"], flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
