"""Record what the real storescp makes of the data sets in ``dataset_cases.json``.

    python -m tests.corpus.record

Each case is ``name``, ``syntax`` (UID) and ``input`` (hex); ``answers`` maps an option set to
``[status, output]``: status null when storescp aborted the association, output "=" when it is the input,
null when nothing was stored. The recorded version is DCMTK 3.6.7. A case is added with name, syntax and
input only.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.support.oracle import StorescpOracle
from tests.support.rawscu import Aborted

CASES = Path(__file__).with_name("dataset_cases.json")
OPTION_SETS = ("", "-e +g", "+tb", "-u -g")


def load() -> list[dict[str, Any]]:
    """Return the cases."""
    return list(json.loads(CASES.read_text(encoding="ascii")))


def main() -> None:
    """Ask storescp about every case and rewrite the file."""
    cases = load()
    for case in cases:
        case["answers"] = {}
    for options in OPTION_SETS:
        words = options.split()
        if "+tb" not in words:
            words = ["+xa", *words]
        with tempfile.TemporaryDirectory() as directory, StorescpOracle(Path(directory), words) as oracle:
            for case in cases:
                dataset = bytes.fromhex(case["input"])
                try:
                    answer = oracle.store(dataset, case["syntax"])
                except Aborted:
                    continue  # not negotiable under these options
                stored = answer.dataset
                output = None if stored is None else "=" if stored == dataset else stored.hex()
                case["answers"][options] = [answer.status, output]
    lines = ",\n".join(json.dumps(case) for case in cases)
    CASES.write_text(f"[\n{lines}\n]\n", encoding="ascii")


if __name__ == "__main__":
    main()
