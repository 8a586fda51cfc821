"""What every rung must hold, over the whole ladder: small models of each kind, with all that their kind has."""

import dataclasses
import inspect
import math
from pathlib import Path

import pytest
import torch
from helpers import ids, spread

from modelcraft.counting import count
from modelcraft.data import get_batch
from modelcraft.inference.decoder import decoder_for
from modelcraft.ladder import RUNGS, Rung
from modelcraft.model import LanguageModel, ModelConfig, seeded
from modelcraft.training.fit import FITS

V, T = 9, 6
SMALL = {"vocab_size": V, "block_size": T, "n_embd": 24, "n_layer": 2, "dropout": 0.0}
LEARNED = [name for name in RUNGS if name not in FITS]  # by gradient
every_rung = pytest.mark.parametrize("name", RUNGS)
every_learned_rung = pytest.mark.parametrize("name", LEARNED)
every_rung_that_goes_on = pytest.mark.parametrize("name", [name for name in RUNGS if RUNGS[name].model_class.continues])


def small(rung: Rung, **settings: object) -> ModelConfig:
    """The rung's config at these sizes, as far as it has them."""
    wanted = SMALL | ({"block_size": 3} if rung.name == "counting" else {}) | settings
    return dataclasses.replace(rung.config, **{k: v for k, v in wanted.items() if k in vars(rung.config)})


def made(name: str, seed: int = 1337, **settings: object) -> LanguageModel:
    """An untrained model, of untrained parts if it is made of some."""
    rung = RUNGS[name]
    return rung.build(small(rung, **settings), seed=seed, parts=[made(part, seed, **settings) for part in rung.parts])


def opinionated(name: str) -> LanguageModel:
    """The same with large random weights, or with the counts of a random text: no two logits are alike."""
    rung = RUNGS[name]
    if name == "counting":
        return count(ids(V, 3_000), small(rung))
    parts = [opinionated(part) for part in rung.parts]
    return spread(rung.build(small(rung), parts=parts), std=0.2).eval()


@every_rung
@pytest.mark.parametrize("seed", [1, 1337])
def test_the_first_loss_is_that_of_guessing(name, seed):
    model = made(name, seed, vocab_size=65)
    x, y = get_batch(ids(65, 2_000), T, 128, torch.Generator().manual_seed(0))
    assert model.eval()(x, y)[1].item() == pytest.approx(math.log(65), abs=0.05)


@every_rung
def test_the_future_changes_nothing_and_the_past_everything(name):
    """Another character changes the logits from its own place on, as far as the rung looks back, and none before."""
    model = opinionated(name)
    back = {"bigram": 1, "counting": model.block_size}.get(name, T)
    x = ids(V, 2, T)
    before, _ = model(x)
    for t in range(T):
        changed = x.clone()
        changed[:, t] = (changed[:, t] + 1) % V
        after, _ = model(changed)
        assert torch.equal(before[:, :t], after[:, :t])
        assert not torch.isclose(before[:, t : t + back], after[:, t : t + back]).all(-1).any()
        assert torch.equal(before[:, t + back :], after[:, t + back :])


@every_rung
@pytest.mark.parametrize("length", range(1, T))
def test_a_shorter_context_is_scored_alike(name, length):
    model, x = opinionated(name), ids(V, 3, T)
    torch.testing.assert_close(model(x[:, :length])[0], model(x)[0][:, :length], atol=1e-5, rtol=0)


@every_rung
def test_the_loss_is_the_mean_surprise(name):
    model, x, y = opinionated(name), ids(V, 3, T), ids(V, 3, T, seed=1)
    logits, loss = model(x, y)
    assert logits.shape == (3, T, V)
    chosen = logits.double().log_softmax(-1).gather(-1, y[..., None])
    assert loss.item() == pytest.approx(-chosen.mean().item(), abs=1e-5)
    again, none = model(x)
    assert torch.equal(again, logits) and none is None


@every_rung_that_goes_on
@pytest.mark.parametrize("length", [1, 2, 3, 6, 7, 20])
def test_rows_equal_the_whole_forward(name, length):
    """Texts that are written together, of prompts of `length` characters, against a forward over each one's context."""
    model = opinionated(name)
    remembers = "gpt" in (name, *RUNGS[name].parts) or name == "gpt-mini"  # beyond its context, too
    texts = ids(V, 3, max(length, T) if remembers else length + 4 * T, seed=length)
    rows = decoder_for(model).rows()
    with torch.no_grad():
        logits = torch.cat([rows.join(text[None, :length]) for text in texts])
        for end in range(length, texts.shape[1]):
            whole, _ = model(texts[:, max(0, end - model.block_size) : end])
            torch.testing.assert_close(logits, whole[:, -1], atol=1e-4, rtol=0)
            logits = rows.step(texts[:, end : end + 1])


# One head stops short of zero: where two positions come to look at the same character only, they gather the same, and
# nothing else tells them apart. Bigram and averaging stop where what they see runs out.
BY_HEART = {"averaging": (600, 5e-3, 0.1), "head": (300, 5e-3, 0.6), "multihead": (200, 5e-3, 0.01)}
BY_HEART |= dict.fromkeys(("gpt-mini", "gpt"), (150, 1e-2, 0.05))  # whose weights are zeros at first


@pytest.mark.parametrize("name", [name for name in LEARNED if name != "bigram"])
def test_one_batch_is_learned_by_heart(name):
    """By smaller and smaller steps on one batch, whose rows all begin differently."""
    steps, lr, nearly = BY_HEART.get(name, (150, 3e-3, 0.05))
    model = made(name, n_embd=72, vocab_size=65, block_size=8)
    x, y = ids(65, 4, 8), ids(65, 4, 8, seed=1)
    x[:, 0] = torch.arange(4)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=lr, weight_decay=0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        _, loss = model(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < nearly


@every_rung
def test_it_runs_on_meta(name):
    """No tensor of the forward, the backward, or a step of writing is made on an implied device."""
    rung = RUNGS[name]

    def on_meta(rung: Rung) -> LanguageModel:
        return rung.build(small(rung), "meta", parts=[on_meta(RUNGS[part]) for part in rung.parts])

    model = on_meta(rung)
    x = torch.zeros((2, T), dtype=torch.long, device="meta")
    logits, loss = model(x, x)
    assert logits.is_meta and logits.shape == (2, T, V) and loss.is_meta
    if name in LEARNED:
        loss.backward()
    with torch.no_grad():
        rows = decoder_for(model.eval()).rows()
        assert rows.join(x[:1]).shape == rows.join(x[:1, :2]).shape == (1, V)
        for _ in range(3):
            assert rows.step(x[:, :1]).shape == (2, V)
    if model.continues:  # what ends by itself is asked after each character whether it does
        assert model.generate(x, 3).shape == (2, T + 3)


@every_learned_rung
def test_it_runs_in_bf16(name):
    """Autocast, as the trainer uses it, gives nearly the same loss and finite gradients."""
    model = made(name)
    x, y = ids(V, 4, T), ids(V, 4, T, seed=1)
    _, expected = model(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        _, loss = model(x, y)
    loss.backward()
    assert abs(loss.item() - expected.item()) < 0.05
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", [name for name in LEARNED if hasattr(RUNGS[name].config, "dropout")])
def test_dropout_hides_while_training_only(name):
    torch.manual_seed(0)
    model, x = spread(made(name, dropout=0.5), std=0.2), ids(V, 2, T)
    assert not torch.equal(model.train()(x)[0], model(x)[0])
    assert torch.equal(model.eval()(x)[0], model(x)[0])
    assert torch.equal(model(x)[0], opinionated(name)(x)[0])


@every_rung
def test_a_seed_makes_the_model_and_torchs_own_generator_is_left_alone(name):
    before = torch.get_rng_state()
    first, second, other = (made(name, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert name in FITS or any(not torch.equal(first[key], other[key]) for key in first)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(1):
        assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(1))


@every_rung
def test_nothing_is_kept_but_parameters_buffers_and_the_config(name):
    """A model that has been read, trained and written with holds what it held before."""
    model = opinionated(name)

    def held() -> dict[str, dict[str, str]]:
        plain = (bool, int, float, str, tuple, list, set, dict)
        return {
            key: {
                name: repr(value) if isinstance(value, plain) else str(id(value)) for name, value in vars(part).items()
            }
            for key, part in model.named_modules()
        }

    before = held()
    x = ids(V, 2, T)
    model.train()(x, x)
    model.eval().generate(x, 3)
    with torch.no_grad():
        rows = decoder_for(model).rows()
        rows.join(x[:1])
        rows.step(x[:1, :1])
    assert held() == before


@every_rung
def test_a_model_is_written_out_in_its_own_file(name):
    """It inherits from no other rung: what it computes stands in its own `forward`."""
    model_class = RUNGS[name].model_class
    assert model_class.__bases__ == (LanguageModel,)
    assert "forward" in vars(model_class)


@pytest.mark.parametrize("name", LEARNED)
def test_a_rung_is_read_in_one_sitting(name):
    path = Path(inspect.getsourcefile(RUNGS[name].model_class))
    lines = len(path.read_text(encoding="utf-8").splitlines())
    # The bigram model's file has the lesson's own training, too.
    assert lines <= {"gpt": 250, "encoder_decoder": 250, "bigram": 140}.get(path.stem, 100)
