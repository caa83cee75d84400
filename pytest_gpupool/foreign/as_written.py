"""As written: once this is imported, the package's other modules are loaded as Python loads any. Seen in pytest 9.2.0.

pytest rewrites the asserts of every module of a plugin's distribution, and so compiles each anew in every process that
may not keep the result: where ``PYTHONDONTWRITEBYTECODE`` is set, as in many containers, or the environment is another
user's. Of a package with this many modules that takes a third of a second.
"""

import sys

PACKAGE = __name__.partition(".")[0]


def spare_package() -> None:
    """Have pytest leave the package alone, but for modules that it names one by one."""
    for finder in sys.meta_path:
        names = getattr(finder, "_must_rewrite", None)
        if isinstance(names, set) and PACKAGE in names:
            names.discard(PACKAGE)
            finder._marked_for_rewrite_cache.clear()  # type: ignore[attr-defined]


spare_package()
