"""``python -m netdeconv.cli``."""

from __future__ import annotations

import sys

from netdeconv.cli.main import main

sys.exit(main())
