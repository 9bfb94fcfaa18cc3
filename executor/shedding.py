"""Leaving out of the journal what is text alone, once the platform has said that no more of it is wanted.

The lines of an agent's protocol that carry text begin in ways that its adapter names; what is no JSON at all is of no protocol.
Which of the agent's lines matter is nobody's guess here: everything else is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from executor.lines import Line

KEPT_WORDS = 20
"""Lines of stderr that are recorded after all when the agent has ended: they say why."""
_WORD_BYTES = 2000


class Shedder:
    """Divides lines into those that are recorded and those that are counted. `text` are beginnings of lines of stdout."""

    def __init__(self, text: Iterable[str]) -> None:
        self._text = tuple(beginning.encode() for beginning in text)
        self._words: deque[Line] = deque(maxlen=KEPT_WORDS)
        self.lines = 0
        self.bytes = 0

    def kept(self, lines: list[Line]) -> list[Line]:
        """Return what is to be recorded now."""
        wanted = [line for line in lines if not self._sheds(line)]
        self.lines += len(lines) - len(wanted)
        return wanted

    def last_words(self) -> list[Line]:
        """Return the end of stderr, to be recorded before the journal is closed."""
        return list(self._words)

    def _sheds(self, line: Line) -> bool:
        kind, data = line
        if kind == "err":
            self._words.append((kind, data[:_WORD_BYTES]))
        elif kind != "out" or not is_text(data, self._text):
            return False
        self.bytes += len(data)
        return True


def is_text(data: bytes, text: tuple[bytes, ...]) -> bool:
    """True for a line of stdout that is text alone. `app.services.run_output` has the same rule."""
    return data.startswith(text) or data.lstrip()[:1] not in (b"{", b"[")
