"""Stop texts: they end a completion and are never shown, not even their beginning."""

from collections.abc import Sequence


class StopTexts:
    """Lets text through piece by piece, holding back whatever could still become a stop text.

    The stop text that is complete first ends the completion; of two that end on the same character, the longer. So
    the result depends on the text alone, not on how it is cut into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = sorted(stops, key=len, reverse=True)
        self._held = ""
        self.is_found = False

    def feed(self, piece: str) -> str:
        """What may be shown now. Once a stop text is complete, nothing more may be fed."""
        if not self._stops:
            return piece
        text = self._held + piece
        ends = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if ends:
            self.is_found, self._held = True, ""
            return text[: min(ends)[1]]
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """What was held back, when no more text comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a beginning of `stop`, but not all of it."""
    longest = min(len(text), len(stop) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(stop[:length])), 0)
