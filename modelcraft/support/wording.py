"""Name characters in a sentence so that a reader sees which are meant."""

import unicodedata
from collections.abc import Sequence

_BLANK = "\u115f\u1160\u2800\u3164\uffa0"  # letters and a pattern of dots that look blank
_UNCLEAR = "<>&,;:."  # markup, for notices that a page reads as such, and what the sentence itself may be made of
_COMMON = {"\n": "line break", "\r": "carriage return", "\t": "tab"}  # Unicode has no names for controls
_JOINER, _BLACK_FLAG = "\u200d", "\U0001f3f4"
_MOST_PARTS = 10  # of a sign: as many as the longest emoji has


def listing(items: Sequence[str], most: int = 10) -> str:
    """Join the first `most` of `items` with commas, and count the rest."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")


def describe(text: str) -> str:
    """Name a character, a sign of several or a short text as a reader sees it: `€`.

    What cannot be seen alone has its Unicode name (`zero width joiner`), or its code without one; so has what would
    be taken for a part of the sentence. A letter that is written from right to left has its name behind it, for the
    signs beside it to stay in their order.
    """
    parts = signs(text)
    if len(parts) > 1:
        plain = all(character == "." or (_clear(character) and not _from_the_right(character)) for character in text)
        return text if plain else " and ".join(map(describe, parts))
    if len(text) > 1:
        return text
    if not _clear(text):
        return _name(text)
    return f"{text} ({_name(text).capitalize()})" if _from_the_right(text) else text


def signs(text: str) -> list[str]:
    """Split a text into what a reader sees as one sign: a letter with its accents, an emoji with its parts."""
    found: list[str] = []
    for place, character in enumerate(text):
        if found and len(found[-1]) < _MOST_PARTS and _joins(found[-1], character, text[place + 1 : place + 2]):
            found[-1] += character
        else:
            found.append(character)
    return found


def _joins(sign: str, character: str, following: str) -> bool:
    """Say whether `character` shows as a part of the sign before it."""
    base = sign[0]
    if not _clear(base) or _from_the_right(base):
        return False
    emoji = unicodedata.category(base) == "So"
    if character == _JOINER:  # with nothing to join, it would be there unseen
        return emoji and _symbol(following)
    return (
        unicodedata.category(character)[0] == "M"
        or (emoji and sign[-1] == _JOINER)
        or (emoji and "\U0001f3fb" <= character <= "\U0001f3ff")  # the colours of skin
        or (base == _BLACK_FLAG and "\U000e0020" <= character <= "\U000e007f")  # the letters of England's flag
        or (len(sign) == 1 and _of_a_flag(base) and _of_a_flag(character))
    )


def _clear(character: str) -> bool:
    """Say whether a character shows by itself (a combining accent does not) and is no markup and no punctuation."""
    seen = unicodedata.category(character)[0] in "LNPS" and character not in _BLANK
    return seen and character not in _UNCLEAR


def _name(character: str) -> str:
    if character in _COMMON:
        return _COMMON[character]
    return unicodedata.name(character, "").lower().replace("zero width", "zero-width") or f"U+{ord(character):04X}"


def _from_the_right(character: str) -> bool:
    return unicodedata.bidirectional(character) in ("R", "AL", "AN")


def _symbol(character: str) -> bool:
    return character != "" and unicodedata.category(character)[0] == "S"


def _of_a_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
