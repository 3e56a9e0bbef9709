"""Options from several places, of which one counts more than the other. Pure.

Invariants: what counts more stays as it is. Of what counts less an option gives way when it is given above as well, when
one stands above that replaces it or does not go with it, and when what it required has given way.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fastscp.cli.option import Option
from fastscp.cli.options import FASTSCP
from fastscp.cli.parse import CommandLine, Occurrence


def over(below: Sequence[Occurrence], above: Sequence[Occurrence], without: Collection[str] = ()) -> tuple[Occurrence, ...]:
    """Return what is in effect of two layers, that below first.

    ``without`` are long flags of options that are not to be in effect, whatever is below.
    """
    kept = [one for one in below if one.option.long not in without
            and not any(excludes(other.option, one.option) for other in above)]
    before = _line(below)
    while True:
        now = _line((*kept, *above))
        left = [one for one in kept if _is_carried(one.option, now) or not _is_carried(one.option, before)]
        if len(left) == len(kept):
            return (*kept, *above)
        kept = left


def excludes(one: Option, other: Option) -> bool:
    """Tell whether two options cannot be in effect at once, or are the same."""
    alternatives = one.exclusive != "" and one.exclusive == other.exclusive
    return one.long == other.long or alternatives or other.long in one.conflicts or one.long in other.conflicts


def _line(occurrences: Sequence[Occurrence]) -> CommandLine:
    return CommandLine("", tuple(occurrences), table=FASTSCP)


def _is_carried(option: Option, line: CommandLine) -> bool:
    """Tell whether what an option requires is in effect."""
    if option.tls and not line.has("--enable-tls"):
        return False
    return not option.requires or any(map(line.holds, option.requires))
