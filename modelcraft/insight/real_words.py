"""Which words of a generated text stand in the text that the model learned from, whatever their capitals."""

import re

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")  # letters, and apostrophes between them


def words_of(text: str) -> frozenset[str]:
    """Return the different words of a text, in lower case."""
    return frozenset(word.lower() for word in WORD.findall(text))


def real_words(text: str, known: frozenset[str], whole: bool = True) -> tuple[list[int], int]:
    """Return where the words of `text` begin and end that are `known`, and how many words there are.

    Begins and ends take turns in one list, and count as JavaScript counts, in UTF-16 units. A word at the end of a text
    that is not `whole` is still being written, and does not count.
    """
    spans: list[int] = []
    words, units, at = 0, 0, 0
    for found in WORD.finditer(text):
        if found.end() == len(text) and not whole:
            break
        words += 1
        if found[0].lower() in known:
            for place in found.span():
                units += place - at + sum(character > "\uffff" for character in text[at:place])
                at = place
                spans.append(units)
    return spans, words
