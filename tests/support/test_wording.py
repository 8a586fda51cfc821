"""How sentences name characters."""

import unicodedata

import pytest

from modelcraft.support.wording import describe, listing, signs

BLANK = {"\u115f", "\u1160", "\u2800", "\u3164", "\uffa0"}  # letters and a pattern of dots that show nothing
FAMILY, HAND, FLAG, ENGLAND = "👨‍👩‍👧", "👍🏽", "🇩🇪", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
ONE_SIGN = [FAMILY, HAND, FLAG, ENGLAND, "❤\ufe0f", "5\ufe0f\u20e3", "🏃\u200d➡\ufe0f", "e\u0301", "का"]


@pytest.mark.parametrize("codes", [range(0x1_0000), range(0x1_0000, 0x2_0000), range(0xE_0000, 0xE_0200)])
def test_a_character_is_shown_or_named_but_never_unseen_and_never_markup(codes):
    for code in codes:
        description = describe(chr(code))
        assert description
        for character in description.replace(" ", ""):
            assert character not in "<>&", description
            assert unicodedata.category(character)[0] in "LNPS", description
            assert character not in BLANK, description


@pytest.mark.parametrize(
    ("text", "described"),
    [
        ("€", "€"),
        ("“", "“"),
        ("--", "--"),
        ("...", "..."),
        (" ", "space"),
        ("\n", "line break"),
        ("\r\n", "carriage return and line break"),
        ("<", "less-than sign"),
        (",", "comma"),
        ("\u200d", "zero-width joiner"),
        ("\u0301", "combining acute accent"),
        ("\u202e", "right-to-left override"),
        ("\x07", "U+0007"),
        ("\ue000", "U+E000"),
        ("\ud800", "U+D800"),
        *((sign, sign) for sign in ONE_SIGN),
    ],
)
def test_what_is_seen_is_shown_and_what_is_not_is_named(text, described):
    assert describe(text) == described


@pytest.mark.cases
@pytest.mark.parametrize("text", ["\u05d0", "\u05d0\u05d1", "\u0639", "\u0663", "\u05d0\u05b7", "\U0001e900"])
def test_letters_from_the_right_leave_the_sentence_in_its_order(text):
    """Between two of them a comma would be written from the right, too, and the list backwards."""
    for item in describe(f"{text}{text}").split(" and "):
        strong = [unicodedata.bidirectional(character) for character in item]
        assert [kind for kind in strong if kind in ("R", "AL", "AN", "L")][-1] == "L", item
    assert describe("\u05d0") == "\u05d0 (Hebrew letter alef)"


def test_an_emoji_of_several_characters_is_one_sign():
    assert signs("".join(ONE_SIGN)) == ONE_SIGN
    assert signs("🇩🇪🇫🇷") == ["🇩🇪", "🇫🇷"]
    assert signs("") == []


@pytest.mark.cases
@pytest.mark.parametrize(
    "text", ["👨\u200d", "👨\u200da", "a\u200db", "\u0301", "\u200d\u200d", "\u05d0\u05b7", "<\u0301", "🏽"]
)
def test_what_makes_no_sign_stays_apart(text):
    assert signs(text) == list(text)


@pytest.mark.cases
@pytest.mark.parametrize("text", ["👨" + "\u200d👨" * 5_000, "e" + "\u0301" * 5_000, "🏴" + "\U000e0061" * 5_000])
def test_no_sign_is_without_end(text):
    found = signs(text)
    assert "".join(found) == text
    assert max(map(len, found)) == 10


def test_a_long_list_is_cut():
    assert listing(["a", "b"]) == "a, b"
    assert listing([*"abcdefghijkl"]) == "a, b, c, d, e, f, g, h, i, j and 2 more"
