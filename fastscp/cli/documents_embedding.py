"""The options of ``fastscp.Receiver``, written from the option table: their types, and docs/embedding-options.md."""

from __future__ import annotations

import re

from fastscp.cli.documents import default, rules
from fastscp.cli.documents_configuration import option_page
from fastscp.cli.keywords import annotation, keyword, spoken
from fastscp.cli.option import Option
from fastscp.cli.options import OPTIONS
from fastscp.cli.options_sections import in_program

_DEFAULT = re.compile(r"\s*\((?:default|only with|not with|needs|implies|may be repeated)[^)]*\)")
_MODULE = '''"""Types of the options of ``fastscp.Receiver``. Written by scripts/generate-docs from the option table; do not edit."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Literal, TypedDict


class ReceiverOptions(TypedDict, total=False):
    """Every option of ``fastscp.Receiver``: those of the command line, under their names in Python (docs/embedding-options.md)."""

'''
_PAGE = """# Options of `fastscp.Receiver`

<!-- Written by scripts/generate-docs from the option table; do not edit. -->

```python
from fastscp import Receiver

receiver = Receiver(port=11112, output_directory="/data/in", sort_on_study_uid="st", eostudy_timeout=30, max_pdu=65536)
```

Each is an option of the command line without its dashes, and means what that means in [options.md](options.md). `None` is the same as
no argument. `False` is too, and takes away what a configuration file (`config`) says. What paths are may be `str` or anything with
`__fspath__`. [embedding.md](embedding.md) has the rest: `port`, the callbacks, examples.

Not here: options that print something and end, `--arguments`, `--check-config`, `--print-config` and `--inetd`.
"""


def embedding_options_module() -> str:
    """Return fastscp/embedding/options.py."""
    lines = (f"    {keyword(option)}: {annotation(option)} | None  #: {_meaning(option)}\n" for option in OPTIONS if in_program(option))
    return _MODULE + "".join(lines)


def embedding_options_markdown() -> str:
    """Return docs/embedding-options.md."""
    return option_page(_PAGE, in_program, ("Keyword", "Type", "Default", "Meaning"), _row)


def _row(option: Option) -> str:
    kind = annotation(option).replace("|", "\\|")
    more = spoken(" ".join(rules(option))).replace("|", "\\|")
    meaning = _meaning(option).replace("|", "\\|")
    return f"| `{keyword(option)}` | `{kind}` | {default(option)} | {meaning[0].upper()}{meaning[1:]}. {more} |"


def _meaning(option: Option) -> str:
    return _DEFAULT.sub("", " ".join(option.help.split()))
