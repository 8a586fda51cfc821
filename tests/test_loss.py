import json
import math

import pytest
import torch
from helpers import VOCABULARY, PrefixModel, assert_one_sentence, spread
from hypothesis import given
from hypothesis import strategies as st

from modelcraft.bigram import BigramConfig, BigramLanguageModel
from modelcraft.data import Corpus, get_batch
from modelcraft.ladder import RUNGS
from modelcraft.loss import PROTOCOLS, character_losses, estimate_loss, exact_loss
from modelcraft.model import ModelConfig
from modelcraft.store.folder import WEIGHTS_DIR, load_folder
from modelcraft.support.errors import CorpusError

V = len(VOCABULARY)


def text(length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(V, (length,), generator=torch.Generator().manual_seed(seed))


def slowly(model, data: torch.Tensor) -> float:
    """The protocol, one character at a time."""
    total = 0.0
    with torch.no_grad():
        for i in range(1, len(data)):
            window = (i - 1) // model.block_size * model.block_size
            logits, _ = model(data[window:i][None])
            total -= float(logits[0, -1].double().log_softmax(-1)[data[i]])
    return total / (len(data) - 1)


@given(st.integers(1, 6), st.integers(2, 40), st.integers(0, 2**30))
def test_the_exact_loss_is_what_a_slow_loop_finds(block_size, length, seed):
    model = spread(PrefixModel(ModelConfig(vocab_size=V, block_size=block_size)), seed)
    loss = exact_loss(model, text(length, seed))
    assert loss.nats_per_character == pytest.approx(slowly(model, text(length, seed)), abs=1e-5)
    assert loss.characters == length - 1
    assert loss.window == block_size


@pytest.mark.parametrize("length", [2, 4, 5, 6, 9, 201, 202])
def test_lengths_that_do_and_do_not_divide_by_the_context(language_model, length):
    data = text(length)
    assert exact_loss(language_model, data).nats_per_character == pytest.approx(slowly(language_model, data), abs=1e-5)


@pytest.mark.parametrize("length", [16_385, 16_386, 40_003])
def test_how_the_windows_are_batched_changes_nothing(language_model, length):
    data = text(length)
    n = length - 1
    whole = n - n % 4
    with torch.no_grad():
        logits = language_model(data[:whole].view(-1, 4))[0].flatten(0, 1)
        if n > whole:
            logits = torch.cat((logits, language_model(data[whole:n][None])[0][0]))
    expected = -logits.double().log_softmax(-1).gather(-1, data[1:, None]).mean()
    assert exact_loss(language_model, data).nats_per_character == pytest.approx(float(expected), abs=1e-6)


def test_a_model_that_knows_nothing_loses_the_logarithm_of_its_vocabulary(tiny_model):
    for parameter in tiny_model.parameters():
        torch.nn.init.zeros_(parameter)
    loss = exact_loss(tiny_model, text(1_000))
    assert loss.nats_per_character == pytest.approx(math.log(V), abs=1e-6)
    assert loss.bits_per_character == pytest.approx(math.log2(V), abs=1e-6)


def test_a_model_that_knows_all_loses_nearly_nothing():
    """On 0, 1, 2, 0, 1, 2, … a table that is sure of the next character has no loss, and one that errs a great one."""
    model = BigramLanguageModel(BigramConfig(vocab_size=3, block_size=4, n_embd=3))
    with torch.no_grad():
        model.position_embedding_table.weight.zero_()
        model.token_embedding_table.weight.copy_(torch.eye(3))
        model.lm_head.weight.copy_(50 * torch.eye(3).roll(1, dims=0))
    data = torch.arange(100) % 3
    assert exact_loss(model, data).nats_per_character < 1e-6
    assert exact_loss(model, data.flip(0)).nats_per_character == pytest.approx(50, abs=1e-3)


def test_bits_are_nats_over_the_logarithm_of_two(language_model):
    loss = exact_loss(language_model, text(100))
    assert loss.bits_per_character == pytest.approx(loss.nats_per_character / math.log(2), rel=1e-12)
    assert loss.protocol == "mean over " + PROTOCOLS["disjoint"]
    assert json.loads(json.dumps(loss.as_dict())) == {
        "nats_per_character": loss.nats_per_character,
        "bits_per_character": loss.bits_per_character,
        "characters": 99,
        "window": 4,
        "protocol": "mean over " + PROTOCOLS["disjoint"],
    }


@pytest.mark.parametrize("length", [0, 1])
def test_no_loss_without_a_character_to_predict(tiny_model, length):
    with pytest.raises(CorpusError) as caught:
        exact_loss(tiny_model, text(length))
    assert_one_sentence(caught.value, "two characters")


@pytest.mark.parametrize("training", [True, False])
def test_both_losses_restore_the_mode_and_track_no_gradient(language_model, training):
    modes = set()
    language_model.register_forward_pre_hook(lambda *_: modes.add((language_model.training, torch.is_grad_enabled())))
    language_model.train(training)
    exact_loss(language_model, text(50))
    estimate_loss(language_model, text(50), 2, 4)
    assert modes == {(False, False)}
    assert language_model.training is training
    assert torch.is_grad_enabled()


def test_an_estimate_is_the_mean_over_batches_and_the_same_each_time(language_model):
    data = text(500)
    estimate = estimate_loss(language_model, data, 7, 3, seed=5)
    assert estimate == estimate_loss(language_model, data, 7, 3, seed=5)
    assert estimate != estimate_loss(language_model, data, 7, 3, seed=6)
    generator = torch.Generator().manual_seed(5)
    losses = [float(language_model(*get_batch(data, 4, 3, generator))[1].detach()) for _ in range(7)]
    assert estimate == pytest.approx(sum(losses) / 7, abs=1e-6)


def test_an_estimate_leaves_torchs_own_generator_alone(language_model):
    before = torch.get_rng_state()
    estimate_loss(language_model, text(500), 3, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_estimate_of_shorter_windows(language_model):
    shapes = set()
    language_model.register_forward_pre_hook(
        lambda _, args, kwargs: shapes.add(tuple(kwargs["idx"].shape)), with_kwargs=True
    )
    estimate_loss(language_model, text(500), 2, 3, block_size=2)
    estimate_loss(language_model, text(500), 2, 3)
    assert shapes == {(3, 2), (3, 4)}


def test_many_estimates_come_near_the_exact_loss(tiny_model):
    data = text(5_000)
    exact = exact_loss(tiny_model, data).nats_per_character
    assert estimate_loss(tiny_model, data, 200, 64) == pytest.approx(exact, abs=0.02)


def test_sliding_gives_each_character_its_whole_context(tiny_model):
    """Against the slow way: each character after the (up to) four before it, one at a time."""
    model = spread(PrefixModel(ModelConfig(vocab_size=V, block_size=4))).eval()
    data = text(60)
    by_hand = []
    with torch.no_grad():
        for i in range(1, len(data)):
            logits, _ = model(data[None, max(0, i - 4) : i])
            by_hand.append(torch.nn.functional.cross_entropy(logits[:, -1], data[i : i + 1]))
    expected = torch.stack(by_hand).mean().item()
    assert exact_loss(model, data, "sliding").nats_per_character == pytest.approx(expected, abs=1e-5)
    assert exact_loss(model, data, "disjoint").nats_per_character != pytest.approx(expected, abs=1e-3)


def test_a_loss_falls_into_kinds_of_character():
    model = spread(BigramLanguageModel(BigramConfig(vocab_size=6, block_size=4, n_embd=3))).eval()
    vocabulary = "\n .Aab"[:6]
    data = torch.tensor([vocabulary.index(c) for c in "aab. A\nba" * 9])
    measured = character_losses(model, data)
    rows = {row["what"]: row for row in measured.by_kind(vocabulary)}
    assert {name: row["characters"] for name, row in rows.items()} == {
        "lower-case letters": 44,
        "capitals": 9,
        "space": 9,
        "newline": 9,
        "punctuation and the rest": 9,
    }
    stops = measured.losses[measured.targets == vocabulary.index(".")]
    assert rows["punctuation and the rest"]["nats_per_character"] == pytest.approx(stops.mean().item(), abs=1e-6)
    whole = sum(row["characters"] * row["nats_per_character"] for row in rows.values()) / 80
    assert whole == pytest.approx(measured.exact.nats_per_character, abs=1e-9)


def test_a_loss_falls_into_places_in_the_window():
    model = spread(PrefixModel(ModelConfig(vocab_size=V, block_size=12))).eval()
    data = text(12 * 10 + 1)
    rows = character_losses(model, data).by_position()
    assert [(row["what"], row["characters"]) for row in rows] == [
        ("1", 10),
        ("2 to 3", 20),
        ("4 to 7", 40),
        ("8 to 12", 50),
    ]
    first, _ = model(data[:-1].view(-1, 12)[:, :1])
    expected = torch.nn.functional.cross_entropy(first[:, 0], data[1:].view(-1, 12)[:, 0]).item()
    assert rows[0]["nats_per_character"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", [name for name, rung in RUNGS.items() if rung.bundled and name != "blend"])
def test_the_bundled_figures_hold(name, corpus_text):
    """The loss that config.json has, computed anew (blend's takes as long as all others together)."""
    model, tokenizer, info = load_folder(WEIGHTS_DIR / name, "cpu")
    _, val_data = Corpus("tiny_shakespeare", corpus_text).splits(tokenizer, model.block_size)
    assert exact_loss(model, val_data).nats_per_character == pytest.approx(info.validation_loss, abs=1e-3)
