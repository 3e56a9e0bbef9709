"""Coverage-guided fuzzing: ``scripts/fuzz TARGET [options of libFuzzer]``; without end, or until ``-runs=N``.

    scripts/fuzz datasets                       until it finds something or is interrupted
    scripts/fuzz pdus -max_total_time=300       five minutes
    scripts/fuzz pdus crash-1234                once more what was found

What it finds is written to ``crash-*`` in the working directory. It goes, made small and explained, into tests/fuzz/found.py.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile

LIMITS = ["-timeout=60", "-rss_limit_mb=1024", "-max_len=32768"]


def main() -> None:
    """Fuzz one target."""
    try:
        import atheris
    except ImportError:
        sys.exit("needs atheris: pip install -e '.[fuzz]'")
    with atheris.instrument_imports(include=["fastscp"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS, seeds
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: scripts/fuzz {{{','.join(TARGETS)}}} [options of libFuzzer]")
    logging.disable()  # what is refused is refused a million times
    name, *options = sys.argv[1:]
    corpus = tempfile.mkdtemp(prefix=f"fuzz-{name}-")
    if all(word.startswith("-") for word in options):
        for number, octets in enumerate(seeds(name)):
            with open(os.path.join(corpus, f"seed-{number}"), "wb") as file:
                file.write(octets)
        options.append(corpus)
    atheris.Setup([sys.argv[0], *LIMITS, *options], TARGETS[name])
    atheris.Fuzz()


main()
