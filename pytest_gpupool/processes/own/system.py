"""The system: ``os`` and ``select`` as they were when this module was imported, for what runs while a test does.

A test may put its own functions in their place (``mock.patch("os.read")``, pyfakefs), and must neither be counted there
nor answer here. No module and no function is a name of this module: those are what pyfakefs replaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os as os
    import select as select
else:
    from types import SimpleNamespace

    os = SimpleNamespace(**vars(__import__("os")))
    select = SimpleNamespace(**vars(__import__("select")))
