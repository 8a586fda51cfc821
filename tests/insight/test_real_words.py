"""Words are found, told from what only looks like one, and placed where a browser places them."""

from hypothesis import given
from hypothesis import strategies as st

from modelcraft.insight.real_words import real_words, words_of

KNOWN = words_of("O'er the hill I'll go, ROMEO! 'tis 1595.")


def test_words_have_no_capitals_and_no_quotes_around_them():
    assert {"o'er", "the", "hill", "i'll", "go", "romeo", "tis"} == KNOWN


def test_what_is_real_is_placed_and_all_is_counted():
    text = "Romeo thehill go hill"
    spans, words = real_words(text, KNOWN)
    assert [text[a:b] for a, b in zip(spans[::2], spans[1::2], strict=True)] == ["Romeo", "go", "hill"]
    assert words == 4
    assert real_words(text, KNOWN, whole=False) == (spans[:-2], 3)  # it may become "hills"
    assert real_words(text + " ", KNOWN, whole=False) == (spans, 4)


def test_a_word_that_began_in_the_prompt_is_one_word():
    assert real_words("meo go", KNOWN, "the Ro") == ([0, 3, 4, 6], 2)
    assert real_words("'s go", KNOWN, "ROMEO") == ([3, 5], 2)  # "ROMEO's" is another word
    assert real_words(" go", KNOWN, "the hill") == ([1, 3], 1)


@given(st.text(st.sampled_from("Go hil😀é'1\n")))
def test_places_are_those_of_javascript(text):
    spans, _ = real_words(text, KNOWN)
    units = text.encode("utf-16-le")
    for a, b in zip(spans[::2], spans[1::2], strict=True):
        assert units[2 * a : 2 * b].decode("utf-16-le").lower() in KNOWN
