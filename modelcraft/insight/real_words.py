"""Which words of a generated text stand in the text that the model learned from, whatever their capitals."""

import re

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")  # letters, and apostrophes between them
LONGEST = 100  # characters of what came before that are looked at


def words_of(text: str) -> frozenset[str]:
    """Return the different words of a text, in lower case."""
    return frozenset(word.lower() for word in WORD.findall(text))


def real_words(text: str, known: frozenset[str], before: str = "", whole: bool = True) -> tuple[list[int], int]:
    """Return where the words of `text` begin and end that are `known`, and how many words there are.

    Begins and ends take turns in one list, and count as JavaScript counts, in UTF-16 units. What came `before` may hold
    the beginning of the first word, which counts as a word of `text`. A word at the end of a text that is not `whole`
    is still being written, and does not count.
    """
    before = before[-LONGEST:]
    all_of_it, start = before + text, len(before)
    spans: list[int] = []
    words, units, at = 0, 0, start
    for found in WORD.finditer(all_of_it):
        if found.end() <= start:
            continue
        if found.end() == len(all_of_it) and not whole:
            break
        words += 1
        if found[0].lower() in known:
            for place in (max(start, found.start()), found.end()):
                units += place - at + sum(character > "\uffff" for character in all_of_it[at:place])
                at = place
                spans.append(units)
    return spans, words
