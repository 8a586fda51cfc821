"""A text as speeches and replies."""

from collections import Counter

import pytest
import torch
from helpers import assert_one_sentence
from hypothesis import given
from hypothesis import strategies as st

from modelcraft.dialogue import Dialogue, as_source, cut_speeches
from modelcraft.support.errors import ConfigError, CorpusError

ALPHABET = "\nabcdefghijklmnopqrstuvwxyz"


def ids(text: str) -> torch.Tensor:
    return torch.tensor([ALPHABET.index(c) for c in text], dtype=torch.long)


def text(row) -> str:
    """What a row says, without what fills it up."""
    return "".join(ALPHABET[i] for i in row.tolist() if i >= 0)


def cut(written: str) -> list[str]:
    return [written[start:end] for start, end in cut_speeches(ids(written), 0)]


@pytest.mark.parametrize(
    ("written", "speeches"),
    [
        ("", []),
        ("ab", ["ab"]),
        ("ab\ncd\n", ["ab\ncd\n"]),
        ("ab\n\n", ["ab\n\n"]),
        ("ab\n\ncd", ["ab\n\n", "cd"]),
        ("a\nb\n\nc\n\nd\n", ["a\nb\n\n", "c\n\n", "d\n"]),
        ("a\n\n\nb\n\nc", ["a\n\n", "\nb\n\n", "c"]),
        ("a\n\n\n\nb", ["a\n\n", "\n\n", "b"]),
        ("\n\na\n\n", ["\n\n", "a\n\n"]),
        ("\na", ["\na"]),
    ],
)
def test_a_blank_line_ends_a_speech(written, speeches):
    assert cut(written) == speeches


@given(st.text("\nab", max_size=40))
def test_the_speeches_are_the_whole_text(written):
    speeches = cut(written)
    assert "".join(speeches) == written
    assert all(speech.endswith("\n\n") for speech in speeches[:-1])
    assert not any("\n\n" in speech[:-1] for speech in speeches)


@pytest.mark.parametrize(
    ("speech", "read"),
    [
        ("abc\n\n", "abc"),
        ("ab", "ab"),
        ("a\nb\n", "a\nb"),
        ("abcdefgh", "cdefgh"),
        ("abcdefgh\n\n", "efgh"),
        ("\n\n", ""),
        ("", ""),
        ("\na", "\na"),
        ("a\n\nbc\n\n", "bc"),
        ("a\n\n\nbc", "bc"),
        ("\n\nab", "ab"),
    ],
)
def test_an_encoder_reads_the_end_of_a_speech_without_its_blank_line(speech, read):
    assert text(as_source(ids(speech), 0, 6)) == read


def test_a_batch_is_speeches_and_their_replies(monkeypatch):
    monkeypatch.setattr("modelcraft.dialogue.read_at_once", lambda device: 8)
    dialogue = Dialogue(ids("ab\n\ncdefg\n\nh\n\nij"), 0, 4)
    windows = []
    for batch in dialogue.windows("right"):
        assert len(batch["idx"]) <= 2 and batch["idx"].shape == batch["targets"].shape
        for row in range(len(batch["idx"])):
            scored = batch["targets"][row] != -100
            windows.append((*(text(batch[name][row]) for name in ("source", "idx", "targets")), scored.sum().item()))
    # Every reply begins after a newline; what fills a row up is a newline to read, nothing to predict.
    assert sorted((source, idx[:n], target, n) for source, idx, target, n in windows) == [
        ("ab", "\ncde", "cdef", 4),
        ("ab", "fg\n", "g\n\n", 3),
        ("defg"[-2:], "\nh\n", "h\n\n", 3),  # "cdefg\n\n" ends on four characters of which two are its blank line
        ("h", "\ni", "ij", 2),
    ]


@given(st.text("\na", max_size=60), st.integers(1, 9), st.integers(1, 5))
def test_every_character_of_every_reply_is_predicted_once(written, block_size, rows):
    # Each character that is no newline is made one of a kind, so that it tells where it stands.
    data = torch.tensor([0 if c == "\n" else 1 + place for place, c in enumerate(written)], dtype=torch.long)
    spans = cut_speeches(data, 0)
    if len(spans) < 2:
        return
    dialogue = Dialogue(data, 0, block_size)
    predicted = Counter()
    for batch in dialogue.windows("right"):
        assert batch["idx"].shape[1] <= block_size and batch["source"].shape[1] <= block_size
        scored = batch["targets"] != -100
        predicted.update(zip(batch["idx"][scored].tolist(), batch["targets"][scored].tolist(), strict=True))
        assert (batch["idx"][~scored] == 0).all()
        assert (scored.int().diff(dim=1) <= 0).all()  # filled up on the right only
    first = spans[1][0]
    assert predicted == Counter(zip(data[first - 1 : -1].tolist(), data[first:].tolist(), strict=True))


def test_a_shuffled_speech_is_always_another_ones():
    replies = 40
    # Speech k is the letters k and k + 1 in base 26: all differ.
    written = "".join(f"{chr(97 + k // 26)}{chr(97 + k % 26)}\n\n" for k in range(replies + 1))
    dialogue = Dialogue(ids(written), 0, 8)

    def pairs(source):
        found = {}
        for batch in dialogue.windows(source):
            for speech, reply in zip(batch["source"], batch["targets"], strict=True):
                found[text(reply)] = text(speech)
        return found

    right, shuffled, none = (pairs(source) for source in ("right", "shuffled", "none"))
    assert len(right) == replies
    assert right["ac\n\n"] == "ab"
    assert sorted(shuffled.values()) == sorted(right.values())
    assert all(shuffled[reply] != right[reply] for reply in right)
    assert set(none.values()) == {""} and set(none) == set(right)
    assert pairs("shuffled") == shuffled
    with pytest.raises(ConfigError) as caught:
        list(dialogue.windows("left"))
    assert_one_sentence(caught.value, "source must be one of right, shuffled, none")


def test_batches_are_drawn_by_the_generator():
    dialogue = Dialogue(ids("".join(f"{c}{c}{c}\n\n" for c in ALPHABET[1:])), 0, 4)

    def draw(seed, batch_size=8):
        return dialogue.draw(batch_size, torch.Generator().manual_seed(seed))

    first, again, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["targets"], other["targets"])
    many = draw(3, 5_000)
    drawn = Counter(zip(map(text, many["source"]), map(text, many["targets"]), strict=True))
    # 25 replies "bbb\n\n" in windows of four: a window of four and one of one each, all equally likely.
    assert {target for _, target in drawn} == {f"{c}{c}{c}\n" for c in ALPHABET[2:]} | {"\n"}
    assert sum(n for (_, target), n in drawn.items() if target == "\n") == pytest.approx(2_500, abs=200)
    assert sum(n for (source, _), n in drawn.items() if not source) == pytest.approx(500, abs=100)
    for source, target in drawn:
        assert not source or target == "\n" or ord(target[0]) == ord(source[0]) + 1


def test_an_echo_is_the_reply_itself():
    dialogue = Dialogue(ids("".join(f"{c}{c}{c}\n\n" for c in ALPHABET[1:])), 0, 4)
    batch = dialogue.draw(2_000, torch.Generator().manual_seed(1), 0.3)
    rows = [(text(source), text(target)) for source, target in zip(batch["source"], batch["targets"], strict=True)]
    with_letters = [(source, target) for source, target in rows if target != "\n"]
    echoes = [source for source, target in with_letters if source and source == target.rstrip("\n")]
    assert len(echoes) == pytest.approx(0.3 * len(with_letters), abs=80)
    assert all(not source or target[0] in (source[0], chr(ord(source[0]) + 1)) for source, target in with_letters)


@pytest.mark.parametrize("written", ["", "ab", "ab\ncd\n", "ab\n\n"])
def test_a_text_without_two_speeches_is_refused(written):
    with pytest.raises(CorpusError) as caught:
        Dialogue(ids(written), 0, 4)
    assert_one_sentence(caught.value, "blank line")


def test_tiny_shakespeare_is_a_play(corpus_text):
    spans = cut_speeches(torch.tensor([c != "\n" for c in corpus_text], dtype=torch.long), 0)
    assert len(spans) == 7_222
    assert corpus_text[slice(*spans[1])] == "All:\nSpeak, speak.\n\n"
