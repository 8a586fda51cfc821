"""Where a text ends before its length: at a requested sequence, or where the model's text is complete."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stop:
    """A text ends before the `times`-th occurrence of the token ids `sequence`."""

    sequence: tuple[int, ...]
    times: int = 1


class Ending:
    """Passes on the tokens of a text up to its end, each as soon as it certainly belongs to the text.

    Tokens that may begin a stop are held back until the next tokens decide. The stop that is complete first counts; if
    several are complete at once, the longest counts.
    """

    def __init__(self, stops: Sequence[Stop]) -> None:
        # The longest first; of equal ones the one that comes first counts.
        longest_first = sorted(stops, key=lambda stop: (-len(stop.sequence), -stop.times))
        self._left = {stop.sequence: stop.times for stop in longest_first if stop.sequence}
        self._held: list[int] = []
        self.reached = False

    def read(self, token: int) -> list[int]:
        """Take the next token; return the tokens that now certainly belong to the text."""
        if not self._left:
            return [token]
        self._held.append(token)
        for sequence in self._left:
            if tuple(self._held[-len(sequence) :]) == sequence:
                self._left[sequence] -= 1
                if not self._left[sequence]:
                    self.reached = True
                    del self._held[-len(sequence) :]
                    return self.rest()
        sure = len(self._held) - self._beginning()
        passed, self._held = self._held[:sure], self._held[sure:]
        return passed

    def rest(self) -> list[int]:
        """Return the tokens still held back; call this when the text ends for another reason."""
        held, self._held = self._held, []
        return held

    def _beginning(self) -> int:
        """Return how many of the last tokens could be the beginning of a sequence."""
        longest = min(len(self._held), len(next(iter(self._left))) - 1)
        for count in range(longest, 0, -1):
            tail = tuple(self._held[-count:])
            if any(len(sequence) > count and sequence[:count] == tail for sequence in self._left):
                return count
        return 0
