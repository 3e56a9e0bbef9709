"""scripts/sanitize: the compiled core with AddressSanitizer and UndefinedBehaviorSanitizer, over a few damaged messages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastscp import core

ROOT = Path(__file__).parents[2]


def sanitizers() -> bool:
    compiler = shutil.which("cc")
    if compiler is None:
        return False
    found = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=False).stdout.strip()
    return os.path.isabs(found)


@pytest.mark.slow
@pytest.mark.skipif(not core.ACTIVE, reason="the core is not compiled here")
@pytest.mark.skipif(not sanitizers(), reason="the C compiler has no sanitizers")
def test_core_with_sanitizers() -> None:
    environment = {**os.environ, "FASTSCP_VENV": sys.prefix}
    done = subprocess.run([ROOT / "scripts/sanitize", "40", "tests/fuzz/test_targets.py", "tests/unit/test_core.py"],
                          capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "nothing was found" in done.stderr
