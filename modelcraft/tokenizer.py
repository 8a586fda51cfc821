"""Map characters to ids and back; the vocabulary is the sorted distinct characters of a text."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from modelcraft.support.errors import VocabularyError, shown
from modelcraft.support.wording import describe, listing, signs

# Characters that keyboards, phones and web pages insert instead of plain ones.
_EQUIVALENTS = {
    **dict.fromkeys("‘’‚‛′´`ʼ", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–−﹣－", "-"),
    **dict.fromkeys("—―", "--"),
    **dict.fromkeys(
        "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000\t", " "
    ),
    **dict.fromkeys("\u2028\u2029\x85\v\f\r", "\n"),
    "…": "...",
    "Æ": "AE",
    "æ": "ae",
    "Œ": "OE",
    "œ": "oe",
    "Ø": "O",
    "ø": "o",
    "Ł": "L",
    "ł": "l",
    "ß": "ss",
    "Þ": "Th",
    "þ": "th",
    '"': "'",
    "[": "(",
    "]": ")",
}

# Replacements for a straight quote where a text has only typographic ones: opening and closing.
_QUOTES = {"'": ("‘’",), '"': ("“”", "«»", "„“")}
_MOST_MARKS = 32  # per character; Unicode's own bound for text in a stream, UAX #15


@dataclass(frozen=True)
class Normalized:
    """A text in the vocabulary, and what happened to the characters outside it.

    `replaced` maps a character to its replacement, `dropped` maps one to the positions where it was.
    """

    text: str
    replaced: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, list[int]] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether the text differs from the input."""
        return bool(self.replaced or self.dropped)

    def report(self) -> str:
        """Describe the changes in a few sentences; return "" if there are none."""
        sentences = []
        same = {old: new for old, new in self.replaced.items() if _composed(old) == _composed(new)}
        if same:
            looks = dict.fromkeys(describe(_composed(new)) for new in same.values())
            sentences.append(f"Composed or decomposed, which looks the same: {listing([*looks])}.")
        pairs = [f"{describe(old)} became {describe(new)}" for old, new in self.replaced.items() if old not in same]
        if pairs:
            sentences.append(f"Not in the model's alphabet: {listing(pairs)}.")
        if self.dropped:
            start = "Left out" if pairs else "Not in the model's alphabet, so left out"
            sentences.append(f"{start}: {listing([describe(sign) for sign in self._signs_dropped()])}.")
        return " ".join(sentences)

    def _signs_dropped(self) -> list[str]:
        """Return what was dropped as a reader saw it: an emoji of several characters is one sign."""
        placed = sorted((place, character) for character, places in self.dropped.items() for place in places)
        runs, last = [""], -1
        for place, character in placed:
            if place == last + 1:
                runs[-1] += character
            else:
                runs.append(character)
            last = place
        return list(dict.fromkeys(sign for run in runs for sign in signs(run)))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _characters(text: str) -> Iterator[tuple[int, str]]:
    """Yield what a reader sees as one character, such as a letter with its accents, each with its start position."""
    start = 0
    for end in range(1, len(text)):
        whole, mark = text[start:end], text[end]
        joins = mark >= "\u0300" and (  # no marks are below this
            unicodedata.combining(mark) or _composed(whole + mark) != _composed(whole) + _composed(mark)
        )
        if not joins or len(whole) == _MOST_MARKS:
            yield start, whole
            start = end
    yield start, text[start:]


class CharTokenizer:
    """One id per character.

    >>> tokenizer = CharTokenizer.of("hello")
    >>> tokenizer.encode("hole"), tokenizer.decode([1, 0, 2, 3])
    ([1, 3, 2, 0], 'helo')
    """

    def __init__(self, vocabulary: str) -> None:
        if not vocabulary:
            raise VocabularyError("A vocabulary needs at least one character.")
        if list(vocabulary) != sorted(set(vocabulary)):
            raise VocabularyError("A vocabulary lists each character once, in ascending order.")
        self.vocabulary = vocabulary
        self._id = {character: i for i, character in enumerate(vocabulary)}

    @classmethod
    def of(cls, text: str) -> "CharTokenizer":
        """Return the tokenizer whose vocabulary is the distinct characters of `text`."""
        return cls("".join(sorted(set(text))))

    @property
    def vocab_size(self) -> int:
        """The number of characters in the vocabulary."""
        return len(self.vocabulary)

    def encode(self, text: str) -> list[int]:
        """Return the ids of the characters of `text`.

        Raises VocabularyError, which lists the unknown characters, ten at most, and the first position of each.
        """
        try:
            return [self._id[character] for character in text]
        except KeyError:
            unknown = self.unknown(text)
            listed = listing([f"{describe(c)} at position {text.index(c):,}" for c in unknown])
            raise VocabularyError(
                f"The model does not know {listed}; leave {'it' if len(unknown) == 1 else 'them'} out, or let "
                "normalize() find an equivalent."
            ) from None

    def unknown(self, text: str) -> list[str]:
        """Return the distinct characters of `text` that are not in the vocabulary, in order of appearance."""
        return [character for character in dict.fromkeys(text) if character not in self._id]

    def decode(self, ids: list[int]) -> str:
        """Return the text of `ids`; raise VocabularyError for an id outside the vocabulary."""
        for i in ids:
            if not isinstance(i, int) or not 0 <= i < len(self.vocabulary):
                raise VocabularyError(f"There is no character {shown(i)}: the ids run from 0 to {self.vocab_size - 1}.")
        return "".join(self.vocabulary[i] for i in ids)

    def normalize(self, text: str) -> Normalized:
        """Fit `text` to the vocabulary: map characters that have an obvious equivalent, drop the others.

        Composing or decomposing a character (NFC, NFD) does not change its look, so that comes first.
        """
        if not self.unknown(text):
            return Normalized(text)
        written: list[str] = []
        replaced: dict[str, str] = {}
        dropped: dict[str, list[int]] = {}

        def replace(old: str, new: str) -> None:
            if new not in replaced.setdefault(old, new):  # a straight quote may open here and close there
                replaced[old] += new
            written.append(new)

        for start, character in _characters(text):
            forms = (character, _composed(character), unicodedata.normalize("NFD", character))
            known = next((form for form in forms if not self.unknown(form)), None)
            if known is not None and known != character:
                replace(character, known)
            else:
                for position, part in enumerate(character, start):
                    if part in self._id:
                        written.append(part)
                    elif text.startswith("\r\n", position):
                        replaced["\r\n"] = "\n"  # the \n comes next
                    elif (equivalent := self._equivalent(part, _opens(text, position))) is not None:
                        replace(part, equivalent)
                    else:
                        dropped.setdefault(part, []).append(position)
        return Normalized("".join(written), replaced, dropped)

    def _equivalent(self, character: str, opens: bool) -> str | None:
        """Return the first of: a listed equivalent, the letter without its accent, the other case; else None.

        `opens` says whether a quote would be an opening one at the character's position.
        """
        decomposed = unicodedata.normalize("NFKD", character)
        plain = "".join(c for c in decomposed if not unicodedata.combining(c))
        listed = "".join(_EQUIVALENTS.get(c, c) for c in plain)
        again = "".join(_EQUIVALENTS.get(c, c) for c in listed)  # for a curly double quote where only ' is known
        candidates: list[str] = []
        for candidate in (character, _EQUIVALENTS.get(character, ""), plain, listed, again):
            candidates.append(candidate)
            for pair in _QUOTES.get(candidate, ()):
                candidates += pair if opens else reversed(pair)
        for candidate in (*candidates, plain.swapcase()):
            if candidate and all(c in self._id for c in candidate):
                return candidate
        return None


def _opens(text: str, position: int) -> bool:
    """Return whether a quote at `position` is an opening one: at the start, or after a space, a bracket or a dash."""
    before, after = text[max(0, position - 1) : position], text[position + 1 : position + 2]
    if not before or before.isspace():
        return True
    kind = unicodedata.category(before)
    return kind in ("Ps", "Pi") or (kind == "Pd" and after.isalnum())  # else the quote closes a broken-off sentence
