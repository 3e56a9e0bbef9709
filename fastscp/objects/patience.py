"""How long is waited after failures. Pure: chance comes in as an argument, at least 0 and less than 1."""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 60.0  #: while the store is away
LONGEST_OF_ONE_S: Final = 300.0  #: for one object that cannot be read
AWAY_AFTER: Final = 3  #: failures in a row: a request that fails now and then is no news


def pause_s(failures: int, chance: float, longest_s: float = LONGEST_S) -> float:
    """Return the pause after so many failures in a row: it doubles, up to the longest; half of it is left to chance."""
    whole = min(longest_s, FIRST_S * 2.0 ** min(failures - 1, 30))
    return whole * (0.5 + 0.5 * chance)


class Breaker:
    """Whether the store is tried: after a failure only once in a while, until something has succeeded."""

    def __init__(self) -> None:
        self.failures = 0  #: in a row
        self.until = 0.0  #: nothing is tried before that time

    @property
    def troubled(self) -> bool:
        """Whether the last try failed."""
        return self.failures > 0

    @property
    def away(self) -> bool:
        """Whether nothing has succeeded for a while."""
        return self.failures >= AWAY_AFTER

    def allows(self, now: float, under_way: int) -> bool:
        """Whether something more may be tried: one thing at a time after a failure."""
        return not self.troubled or (now >= self.until and not under_way)

    def failed(self, now: float, chance: float) -> bool:
        """Take note of a failure; return whether the store is away from now on."""
        if self.troubled and now < self.until:  # of what was under way beside the first
            return False
        self.failures += 1
        self.until = now + pause_s(self.failures, chance)
        return self.failures == AWAY_AFTER

    def succeeded(self) -> bool:
        """Take note that the store answers; return whether it had been away."""
        was, self.failures = self.away, 0
        return was
