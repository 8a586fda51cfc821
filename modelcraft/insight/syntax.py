"""The colours of code: which part of a line is a keyword, a string, a comment, a number, or the name of what begins."""

import io
import keyword
import tokenize
from collections.abc import Sequence

Span = tuple[str, str]  # what it is, "" for nothing special, and the text
KEYWORD, STRING, COMMENT, NUMBER, NAME, PLAIN = "keyword", "string", "comment", "number", "name", ""
_KINDS = {tokenize.STRING: STRING, tokenize.COMMENT: COMMENT, tokenize.NUMBER: NUMBER}
# From Python 3.12 on an f-string is several tokens.
_KINDS |= {number: STRING for number, name in tokenize.tok_name.items() if name.startswith("FSTRING_")}


def coloured(lines: Sequence[str]) -> list[list[Span]]:
    """Cut each line of some code into spans; their texts, joined, are the line. What is no Python stays plain."""
    kinds = [[PLAIN] * len(line) for line in lines]
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline))
    except (tokenize.TokenError, SyntaxError):
        tokens = []
    before = ""
    for token in tokens:
        kind = _KINDS.get(token.type, PLAIN)
        if token.type == tokenize.NAME:
            kind = _of_name(token.string, before)
        before = token.string
        (first, start), (last, end) = token.start, token.end
        for number in range(first - 1, min(last, len(lines))) if kind else ():
            begin, stop = start if number == first - 1 else 0, end if number == last - 1 else len(lines[number])
            kinds[number][begin:stop] = [kind] * (stop - begin)
    return [_spans(line, of) for line, of in zip(lines, kinds, strict=True)]


def _of_name(name: str, before: str) -> str:
    if before in ("def", "class"):
        return NAME
    return KEYWORD if keyword.iskeyword(name) or name == "self" else PLAIN


def _spans(line: str, kinds: Sequence[str]) -> list[Span]:
    spans: list[Span] = []
    for character, kind in zip(line, kinds, strict=True):
        if spans and spans[-1][0] == kind:
            spans[-1] = (kind, spans[-1][1] + character)
        else:
            spans.append((kind, character))
    return spans
