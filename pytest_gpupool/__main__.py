"""``python -m pytest_gpupool`` is the program ``gpupool``."""

import sys

from .cli.main import main

sys.exit(main())
