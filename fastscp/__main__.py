"""``python -m fastscp``."""

import sys

from fastscp.cli.main import main

sys.exit(main())
