"""Modules: those of this package, where a test loads and unloads them again.

pytester takes out of ``sys.modules`` what was loaded while pytest ran in a test. The packages that were there before
still have those modules as attributes, where ``from . import`` finds them: the next run would be made of some of the
last run's modules and some of its own, with two classes of one name, and each run would hold the one before.
"""

from __future__ import annotations

import sys
from types import ModuleType

_PACKAGE = __name__.partition(".")[0]


def forget_unloaded() -> None:
    """Have no package of ours lead to modules that were unloaded."""
    packages = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == _PACKAGE]
    for package in packages:
        for name, value in list(vars(package).items()):
            full_name = f"{package.__name__}.{name}"
            if isinstance(value, ModuleType) and value.__name__ == full_name and full_name not in sys.modules:
                delattr(package, name)
