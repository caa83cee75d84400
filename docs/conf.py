"""How Sphinx builds the site; ``sphinx-build -W -n --keep-going -b html docs build/docs``."""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_gpupool import __version__

sys.path.insert(0, str(Path(__file__).parent))  # for the extension "made"

project = "pytest-gpupool"
author = "the authors of pytest-gpupool"
version = release = __version__
extensions = ["myst_parser", "made"]
exclude_patterns = ["**/_*"]

myst_enable_extensions = ["attrs_inline", "deflist"]
myst_heading_anchors = 3  # so that a link can name a heading of another page, and the build fails where that is gone

html_theme = "furo"
html_title = f"pytest-gpupool {version}"
html_show_sphinx = False
html_show_copyright = False
pygments_style = "default"
pygments_dark_style = "monokai"
highlight_language = "text"
