"""Soak: servers under all loads, with random deaths, stops, disk faults and hostile peers, for a given time.

    scripts/soak 60              a minute
    scripts/soak 3600 --json soak.json --seed 7

Three servers with different options receive from senders of several kinds. All that they acknowledge is looked for,
compared and removed as it goes. The exit status is 1 when a promise of docs/reliability.md was broken.
"""

from __future__ import annotations

import sys

from tests.soak.run import main

sys.exit(main())
