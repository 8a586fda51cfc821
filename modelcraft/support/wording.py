"""Name characters in a sentence so that a reader sees which are meant."""

import unicodedata
from collections.abc import Sequence

_BLANK = "\u115f\u1160\u2800\u3164\uffa0"  # letters and a pattern of dots that look blank


def listing(items: Sequence[str], most: int = 10) -> str:
    """Join the first `most` of `items` with commas, and count the rest."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")


def describe_text(text: str) -> str:
    """Name a short text: `'--'`, or its code points if it would not be visible."""
    return f"'{text}'" if all(map(_visible, text)) else listing([*map(describe, text)])


def describe(character: str) -> str:
    """Name a character so that it reads the same in a terminal, a page and a log: `'€' (U+20AC)`."""
    code = f"U+{ord(character):04X}"
    return f"'{character}' ({code})" if _visible(character) else code


def _visible(character: str) -> bool:
    """Say whether a character shows by itself (a combining accent does not) and is not markup."""
    return unicodedata.category(character)[0] in "LNPS" and character not in "<>&" and character not in _BLANK
