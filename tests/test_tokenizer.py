import math
import re
import time
import unicodedata

import pytest
from helpers import assert_one_sentence
from hypothesis import example, given
from hypothesis import strategies as st

from modelcraft.support.errors import VocabularyError
from modelcraft.support.wording import describe
from modelcraft.tokenizer import CharTokenizer

SHAKESPEARE = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates, too


@pytest.fixture
def tokenizer():
    return CharTokenizer(SHAKESPEARE)


@given(ANY_TEXT.filter(bool))
def test_round_trip(text):
    tokenizer = CharTokenizer.of(text)
    ids = tokenizer.encode(text)
    assert len(ids) == len(text)
    assert set(ids) == set(range(tokenizer.vocab_size))
    assert tokenizer.decode(ids) == text


def test_ids_are_places_in_the_sorted_vocabulary():
    tokenizer = CharTokenizer.of("hello")
    assert tokenizer.vocabulary == "ehlo"
    assert tokenizer.vocab_size == 4
    assert tokenizer.encode("hole") == [1, 3, 2, 0]
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""


def test_shakespeares_vocabulary(corpus_text):
    assert CharTokenizer.of(corpus_text).vocabulary == SHAKESPEARE


@pytest.mark.parametrize("vocabulary", ["", "ba", "aa", "abca"])
def test_refuses_what_is_no_vocabulary(vocabulary):
    with pytest.raises(VocabularyError) as caught:
        CharTokenizer(vocabulary)
    assert_one_sentence(caught.value)


def test_unknown_characters_are_listed_with_their_position(tokenizer):
    with pytest.raises(VocabularyError) as caught:
        tokenizer.encode("a€b€\u200bc\ud800")
    assert_one_sentence(caught.value, "€ at position 1,", "zero-width space at position 4,", "U+D800 at position 6;")
    assert str(caught.value).count("at position") == 3


@given(ANY_TEXT)
def test_encode_knows_a_text_or_names_all_that_it_does_not_know(text):
    tokenizer = CharTokenizer(SHAKESPEARE)
    unknown = dict.fromkeys(character for character in text if character not in SHAKESPEARE)
    try:
        ids = tokenizer.encode(text)
    except VocabularyError as error:
        said = [f"{describe(character)} at position {text.index(character):,}" for character in unknown]
        assert all(one in str(error) for one in said[:10])
        more = re.search(r" and (\d+) more;", str(error))  # of a long list only the first are named
        assert int(more[1] if more else 0) == max(0, len(unknown) - 10)
        assert unknown
        assert str(error).isprintable()
    else:
        assert not unknown
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("wrong", [-1, 65, 10**30, pytest.param(10**5_000, id="huge"), 1.5, "a", None, math.nan])
def test_decode_refuses_what_is_no_id(tokenizer, wrong):
    with pytest.raises(VocabularyError) as caught:
        tokenizer.decode([1, wrong])
    assert_one_sentence(caught.value, "from 0 to 64")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("‘What’s done’", "'What's done'"),
        ("“Ay”", "'Ay'"),
        ("a – b − c‐d", "a - b - c-d"),
        ("no—never", "no--never"),
        ("wait…", "wait..."),
        ("a\tb\u00a0c\u3000d", "a b c d"),
        ("naïve Café Ångström", "naive Cafe Angstrom"),
        ("cafe\u0301", "cafe"),
        ("Œuvre, Æsop, Łódź, straße, øre", "OEuvre, AEsop, Lodz, strasse, ore"),
        ("[aside]", "(aside)"),
        ("ﬁne Ｗords", "fine Words"),
        ("a\u2028b\x0bc\rd", "a\nb\nc\nd"),
        ("one\r\ntwo", "one\ntwo"),
    ],
)
def test_normalize_maps_what_has_an_equivalent(text, expected):
    tokenizer = CharTokenizer("".join(sorted({*SHAKESPEARE, *"()"})))
    normalized = tokenizer.normalize(text)
    assert normalized.text == expected
    assert normalized.changed
    assert set(normalized.dropped) <= {"\u0301"}


def test_normalize_finds_the_other_case():
    assert CharTokenizer.of("abc").normalize("ABÇ").text == "abc"


def test_normalize_says_what_it_did(tokenizer):
    normalized = tokenizer.normalize("“Hi”—€5 €\u200b")
    assert normalized.text == "'Hi'-- "
    assert normalized.replaced == {"“": "'", "”": "'", "—": "--"}
    assert normalized.dropped == {"€": [5, 8], "5": [6], "\u200b": [9]}
    report = normalized.report()
    assert report == (
        "Not in the model's alphabet: “ became ', ” became ', — became --. Left out: €, 5, zero-width space."
    )


def test_normalize_shows_a_dropped_emoji_as_one_sign(tokenizer):
    assert tokenizer.normalize("a👨‍👩‍👧b👍🏽👍🏽 ‍5️⃣").report() == (
        "Not in the model's alphabet, so left out: 👨‍👩‍👧, 👍🏽, zero-width joiner, 5️⃣."
    )


@pytest.mark.cases
def test_a_report_is_of_bounded_length(tokenizer):
    many = "".join(map(chr, range(0x590, 0x3000))) + "👨‍" * 5_000 + "e" + "́" * 5_000
    report = tokenizer.normalize(many).report()
    assert len(report) < 2_000
    assert " more." in report


def test_positions_are_those_of_the_text_that_was_given(tokenizer):
    assert tokenizer.normalize("a\r\nb\r\n€").dropped == {"€": [6]}


def test_a_line_ending_that_was_changed_is_reported(tokenizer):
    assert tokenizer.normalize("a\r\nb").replaced == {"\r\n": "\n"} or tokenizer.normalize("a\r\nb").changed


@given(st.text(st.sampled_from(SHAKESPEARE)))
def test_normalize_leaves_a_text_in_the_vocabulary_alone(text):
    normalized = CharTokenizer(SHAKESPEARE).normalize(text)
    assert normalized.text == text
    assert not normalized.changed
    assert normalized.report() == ""


@given(ANY_TEXT.filter(bool))
@example("a\r\nb")
def test_normalize_leaves_a_text_in_any_vocabulary_alone(text):
    normalized = CharTokenizer.of(text).normalize(text)
    assert normalized.text == text
    assert not normalized.changed


@given(ANY_TEXT.filter(bool), ANY_TEXT)
@example("\r", "a\r\nb")
@example("'", "“”")
def test_normalized_is_always_encodable(vocabulary, text):
    tokenizer = CharTokenizer.of(vocabulary)
    normalized = tokenizer.normalize(text)
    assert tokenizer.decode(tokenizer.encode(normalized.text)) == normalized.text
    assert tokenizer.normalize(normalized.text).text == normalized.text
    for character, positions in normalized.dropped.items():
        assert [i for i, c in enumerate(text) if c == character] == positions
        assert character not in vocabulary
    assert normalized.changed == (normalized.text != text)


def test_a_report_has_no_markup():
    report = CharTokenizer("&<>").normalize("＜b＞＆").report()
    assert not set(report) & set("<>&")


WORDS = ("Việt", "Café", "동해", "ガギ", "ạ̈x̣")


@pytest.mark.cases
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("known", "given"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_normalize_composes_or_decomposes_to_what_the_vocabulary_has(word, known, given):
    expected = unicodedata.normalize(known, word)
    normalized = CharTokenizer.of(expected).normalize(unicodedata.normalize(given, word))
    assert normalized.text == expected
    assert not normalized.dropped
    assert normalized.report().startswith("Composed or decomposed, which looks the same: ")
    assert normalized.report().isprintable()


@pytest.mark.cases
def test_what_looks_the_same_is_said_apart_from_what_does_not():
    report = CharTokenizer.of("Café'").normalize("Cafe\u0301’").report()
    assert report == ("Composed or decomposed, which looks the same: é. Not in the model's alphabet: ’ became '.")


@pytest.mark.cases
def test_an_accent_that_nothing_takes_is_left_out_where_it_stands():
    normalized = CharTokenizer.of("bé").normalize("e\u0301b\u0301")
    assert normalized.text == "éb"
    assert normalized.dropped == {"\u0301": [3]}


@pytest.mark.cases
@pytest.mark.parametrize("text", ["e" + "\u0301" * 10_000, "\u1100" * 10_000, "\u0323\u0301" * 5_000])
def test_marks_without_end_take_no_time(text):
    started = time.perf_counter()
    CharTokenizer.of("ab").normalize(text)
    assert time.perf_counter() - started < 2


@pytest.mark.cases
@pytest.mark.parametrize(
    ("vocabulary", "text", "expected"),
    [
        ("“”‘’", "\"Hello, it's me\" ('a')", "“Hello, it’s me” (‘a’)"),
        ("“”'", "\"Hello, it's me\" ('a')", "“Hello, it's me” ('a')"),
        ("“”-", '"Hello-" -"me"', "“Hello-” -“me”"),
        ("«»’", "“Hello, it's me” ('a')", "«Hello, it’s me» (’a’)"),
        ("’", "\"Hello, it's me\" ('a')", "’Hello, it’s me’ (’a’)"),
        ("", "\"Hello, it's me\" ('a')", "Hello, its me (a)"),
    ],
)
def test_straight_quotes_become_those_that_the_vocabulary_has(vocabulary, text, expected):
    normalized = CharTokenizer.of(vocabulary + "Hello, it's me (a)".replace("'", "")).normalize(text)
    assert normalized.text == expected
