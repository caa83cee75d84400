"""``python -m pytest_gpupool`` is the program ``gpupool``."""

import sys

from .cli import main

sys.exit(main())
