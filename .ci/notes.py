"""What a release says: the part of CHANGELOG.md that is about a version, where all say that it is that one.

python .ci/notes.py 0.2.0
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def notes(version: str, root: Path = ROOT) -> str:
    """Return the changes of a version. Raises SystemExit where a file says another one."""
    package = (root / "pytest_gpupool" / "__init__.py").read_text(encoding="utf-8")
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    told = {
        "pytest_gpupool/__init__.py": re.findall(r'^__version__ = "(.+)"$', package, re.MULTILINE),
        "CITATION.cff": re.findall(r"^version: (.+)$", citation, re.MULTILINE),
        "CHANGELOG.md": re.findall(r"^## (\S+)", changelog, re.MULTILINE)[:1],
    }
    wrong = [f"{name} says {' '.join(found) or 'nothing'}" for name, found in told.items() if found != [version]]
    if wrong:
        raise SystemExit(f"this is to be version {version}, but {', '.join(wrong)}")
    return re.split(r"^## .*$", changelog, flags=re.MULTILINE)[1].strip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(notes(sys.argv[1]))
