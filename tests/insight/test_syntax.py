"""The colours of code: every character stays, and each is of the kind that Python says."""

import pytest

from modelcraft.insight import lessons, syntax
from modelcraft.insight.syntax import COMMENT, KEYWORD, NAME, NUMBER, PLAIN, STRING
from modelcraft.ladder import RUNGS


@pytest.mark.parametrize("name", RUNGS)
def test_no_character_of_a_rung_is_lost_and_none_is_added(name):
    lines = [line.text for line in lessons.lesson(name).code]
    coloured = syntax.coloured(lines)
    assert ["".join(text for _, text in spans) for spans in coloured] == lines
    assert {kind for spans in coloured for kind, _ in spans} >= {KEYWORD, STRING, COMMENT, NUMBER, NAME, PLAIN}


def test_the_kinds():
    assert syntax.coloured(
        ["class A:", '    """Two', '    lines."""', "    x = not 1.5  # why", "    y = self.is_"]
    ) == [
        [(KEYWORD, "class"), (PLAIN, " "), (NAME, "A"), (PLAIN, ":")],
        [(PLAIN, "    "), (STRING, '"""Two')],
        [(STRING, '    lines."""')],
        [(PLAIN, "    x = "), (KEYWORD, "not"), (PLAIN, " "), (NUMBER, "1.5"), (PLAIN, "  "), (COMMENT, "# why")],
        [(PLAIN, "    y = "), (KEYWORD, "self"), (PLAIN, ".is_")],
    ]
    assert syntax.coloured(['f"{a} b"', ""])[1] == []
    assert {kind for kind, _ in syntax.coloured(['f"{1} b"'])[0]} <= {STRING, NUMBER, PLAIN}


def test_what_is_no_python_stays_plain():
    assert syntax.coloured(["def (", "  '"]) == [[(PLAIN, "def (")], [(PLAIN, "  '")]]
