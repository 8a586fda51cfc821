"""How sentences name characters."""

import unicodedata

import pytest

from modelcraft.support.wording import describe, describe_text, listing

BLANK = {"\u115f", "\u1160", "\u2800", "\u3164", "\uffa0"}  # letters and a pattern of dots that show nothing


@pytest.mark.parametrize("codes", [range(0x1_0000), range(0x1_0000, 0x2_0000), range(0xE_0000, 0xE_0200)])
def test_describe_shows_only_what_can_be_seen_and_no_markup(codes):
    for code in codes:
        description = describe(chr(code))
        assert f"U+{code:04X}" in description
        for character in set(description) - set(f"' ()U+{code:04X}"):
            assert character not in "<>&", description
            assert unicodedata.category(character)[0] in "LNPS", description
            assert character not in BLANK, description


def test_describe_text_shows_spaces_as_code_points():
    assert describe_text("--") == "'--'"
    assert describe_text("\n") == "U+000A"


def test_a_long_list_is_cut():
    assert listing(["a", "b"]) == "a, b"
    assert listing([*"abcdefghijkl"]) == "a, b, c, d, e, f, g, h, i, j and 2 more"
