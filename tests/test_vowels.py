"""Lines without their vowels and the lines themselves."""

import itertools
from collections import Counter

import pytest
import torch
from helpers import assert_one_sentence
from hypothesis import given
from hypothesis import strategies as st

from modelcraft.data import UNSCORED
from modelcraft.support.errors import ConfigError, CorpusError
from modelcraft.vowels import BUCKETS, NOTHING, Lines, cut_lines, is_vowel, wrapped

ALPHABET = "\n abcde"  # the ids 0 to 6
VOWELS = (2, 6)
CPU = torch.device("cpu")


def encoded(text: str) -> torch.Tensor:
    return torch.tensor([ALPHABET.index(c) for c in text], dtype=torch.long)


def text(row: torch.Tensor) -> str:
    return "".join(ALPHABET[i] for i in row.tolist() if i >= 0)


def lines(written: str, block_size: int = 8) -> Lines:
    return Lines(encoded(written), VOWELS, 0, 1, block_size, CPU)


@pytest.mark.parametrize(
    ("vowels", "others"),
    [
        ("aeiouAEIOU", "yYbzñç -'5\n"),
        ("áàâäãåāăąéèêëíìîïóòôöõőúùûüůæøœıÆ", "ß"),
        ("αεηιουωάέήίόύώϊΐΩ", "βγδ"),
        ("аеёиоуыэюяіїєЯ", "бйвъьЙ"),
        ("", "אבג日本한글１2"),
    ],
)
def test_vowels_of_three_scripts_are_struck_out_whatever_stands_on_them(vowels, others):
    assert [c for c in vowels if not is_vowel(c)] == []
    assert [c for c in others if is_vowel(c)] == []


@given(st.text(ALPHABET[1:], max_size=40), st.integers(1, 12))
def test_a_long_line_is_wrapped_and_nothing_but_the_spaces_there_is_lost(line, longest):
    pieces = wrapped(encoded(line), 1, longest)
    assert all(end - start <= longest for start, end in pieces)
    assert pieces[0][0] == 0 and pieces[-1][1] == len(line)
    for (_, end), (start, _) in itertools.pairwise(pieces):
        assert line[end:start] in ("", " ")
    if len(line) <= longest:
        assert pieces == [(0, len(line))]


def test_a_word_longer_than_the_line_is_cut():
    assert wrapped(encoded("abcde ab"), 1, 3) == [(0, 3), (3, 5), (6, 8)]
    assert wrapped(encoded("ab cd e"), 1, 5) == [(0, 5), (6, 7)]


@given(st.text(ALPHABET, max_size=60))
def test_lines_are_what_stands_between_newlines(written):
    cut = [written[start:end] for start, end in cut_lines(encoded(written), 0, 1, 100)]
    assert cut == [line for line in written.split("\n") if line]


def test_a_pair_is_the_line_without_its_vowels_and_the_line():
    (batch,) = lines("abe\n\ncd ea\na\n").windows("right")
    rows = [{name: text(batch[name][row]) for name in ("source", "idx", "targets")} for row in range(3)]
    assert rows == [
        {"source": "\n", "idx": "\na\n\n\n\n", "targets": "a\n"},
        {"source": "b\n", "idx": "\nabe\n\n", "targets": "abe\n"},
        {"source": "cd \n", "idx": "\ncd ea", "targets": "cd ea\n"},
    ]
    assert (batch["targets"] == UNSCORED).sum(1).tolist() == [4, 2, 0]
    assert (batch["source"] == NOTHING).sum(1).tolist() == [3, 2, 0]


@given(st.lists(st.text(ALPHABET[1:], max_size=20), min_size=2, max_size=12).map("\n".join), st.integers(2, 9))
def test_every_line_is_there_once_by_each_protocol(written, block_size):
    expected = [written[a:b] for a, b in cut_lines(encoded(written), 0, 1, block_size - 1)]
    if len(expected) < 2 or not set(written) & {"a", "e"}:
        with pytest.raises(CorpusError) as caught:
            lines(written, block_size)
        assert_one_sentence(caught.value)
        return
    stripped = Counter(line.replace("a", "").replace("e", "") + "\n" for line in expected)
    for protocol, sources in (("right", stripped), ("shuffled", stripped), ("none", Counter({"\n": len(expected)}))):
        found, read = Counter(), Counter()
        for batch in lines(written, block_size).windows(protocol):
            assert batch["idx"].shape == batch["targets"].shape and batch["idx"].shape[1] <= block_size
            targets = batch["targets"].where(batch["targets"] != UNSCORED, torch.tensor(-1))
            found.update(text(row) for row in targets)
            read.update(text(row) for row in batch["source"])
        assert found == Counter(line + "\n" for line in expected)
        assert read == sources


def test_shuffled_no_line_keeps_its_own_source():
    written = "\n".join(f"{a}{b}a" for a in "bcd" for b in "bcd")
    for batch in lines(written).windows("shuffled"):
        for source, targets in zip(batch["source"], batch["targets"], strict=True):
            assert text(source)[:2] != text(targets)[:2]
    with pytest.raises(ConfigError, match="source must be one of right, shuffled, none, not 'left'"):
        next(iter(lines(written).windows("left")))


def test_a_batch_has_lines_of_like_length_and_the_seed_decides_them():
    words = [("bcd" * 20)[: length % 50 + 1] + "a" for length in range(50 * BUCKETS)]
    dataset = lines("\n".join(words), 100)

    def draw(seed: int, **options: float) -> dict[str, torch.Tensor]:
        return dataset.draw(64, torch.Generator().manual_seed(seed), **options)

    first, second, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first["targets"].shape != other["targets"].shape or not torch.equal(first["targets"], other["targets"])
    alone, drawn = 0, Counter()
    for seed in range(400):
        batch = draw(seed)
        lengths = (batch["targets"] != UNSCORED).sum(1)
        assert lengths.max() - lengths.min() <= 14  # of 3 to 52
        assert int(lengths.sum()) == pytest.approx(64 * 27.5, rel=0.45)  # about as many characters as any other
        alone += int((batch["source"][:, 0] == 0).sum())
        drawn.update(lengths.tolist())
    rows = drawn.total()
    assert rows == pytest.approx(400 * 64, rel=0.2)
    assert alone / rows == pytest.approx(0.1, abs=0.02)
    assert set(drawn) == set(range(3, 53))  # every line, and those of any length as often as the others
    short, long = (sum(drawn[length] for length in range(start, start + 25)) for start in (3, 28))
    assert short / long == pytest.approx(1, rel=0.15)
    noisy = draw(1, noise=0.5)
    assert torch.equal(noisy["targets"], first["targets"]) and not torch.equal(noisy["idx"], first["idx"])


@pytest.mark.parametrize("written", ["", "\n\n", "abcde", "bcd\nbc"])
def test_a_text_with_nothing_to_restore_is_refused(written):
    with pytest.raises(CorpusError) as caught:
        lines(written)
    assert_one_sentence(caught.value)
