"""How well lines are restored."""

import pytest
import torch
from helpers import make, spread
from hypothesis import given
from hypothesis import strategies as st

from modelcraft.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from modelcraft.inference import restoring
from modelcraft.inference.restoring import edit_distance, restore_all, restored
from modelcraft.inference.stream import SamplingParams, stream

ALPHABET = "\n abcde"
CONFIG = EncoderDecoderConfig(
    vocab_size=7, block_size=12, n_embd=16, n_layer=2, n_head=2, n_kv_head=1, dropout=0.0, vowels=(2, 6)
)
TEXT = "bad cab\nabed\ndeed\n\ncede bad abba c\nebb\nd\n"


def encoded(text: str) -> torch.Tensor:
    return torch.tensor([ALPHABET.index(c) for c in text], dtype=torch.long)


def distance(a: str, b: str) -> int:
    """The definition."""
    if not a or not b:
        return len(a) + len(b)
    return min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))


@given(st.text("ab", max_size=5), st.text("ab", max_size=5))
def test_the_distance_is_the_fewest_edits(a, b):
    assert edit_distance([*map(ord, a)], [*map(ord, b)]) == distance(a, b)


def test_known_distances():
    assert edit_distance([1, 2, 3], [1, 3]) == 1
    assert edit_distance([*b"kitten"], [*b"sitting"]) == 3


@pytest.mark.parametrize("together", [1, 2, 100])
def test_each_line_is_what_a_stream_of_it_alone_is(together, monkeypatch):
    monkeypatch.setattr(restoring, "ROWS", together)
    model = spread(EncoderDecoder(CONFIG), std=0.4).eval()
    sources = model.dataset(encoded(TEXT)).sources
    found = dict(restored(model, sources))
    assert sorted(found) == list(range(len(sources)))
    for number, source in enumerate(sources):
        assert found[number] == list(stream(model, source.tolist(), SamplingParams(50, temperature=0)))


def test_all_lines_count(monkeypatch):
    model = make(EncoderDecoder, CONFIG).eval()
    lines = [line[:-1].tolist() for line in model.dataset(encoded(TEXT)).lines]

    def nearly(model, sources):
        """All right but one of them, which lacks its last character."""
        yield from ((number, line if number else line[:-1]) for number, line in enumerate(lines))

    monkeypatch.setattr(restoring, "restored", nearly)
    found = restore_all(model, encoded(TEXT))
    assert found.lines == len(lines) == 7  # the long one is wrapped
    assert found.exact == pytest.approx(6 / 7)
    assert found.character_error_rate == pytest.approx(1 / sum(map(len, lines)))
