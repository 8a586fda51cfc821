"""What every rung that looks back must hold to, for the tests of the files that the rungs are in."""

import math

import torch
from helpers import spread

from modelcraft.data import get_batch
from modelcraft.inference.decoder import decoder_for
from modelcraft.model import LanguageModel, seeded


def ids(vocab_size: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def make(model_class, config, seed: int = 1337):
    with seeded(seed):
        return model_class(config)


def assert_first_loss_is_that_of_guessing(model: LanguageModel) -> None:
    """An untrained model says nothing yet: its loss is that of the uniform distribution."""
    V = model.config.vocab_size
    x, y = get_batch(ids(V, 2_000), model.block_size, 128, torch.Generator().manual_seed(0))
    assert abs(model.eval()(x, y)[1].item() - math.log(V)) < 0.05


def assert_sees_the_past_and_only_that(model: LanguageModel) -> None:
    """Another character changes the logits of every place from its own on, and none before."""
    spread(model).eval()
    V, T = model.config.vocab_size, model.block_size
    x = ids(V, 2, T)
    before, _ = model(x)
    for t in range(T):
        changed = x.clone()
        changed[:, t] = (changed[:, t] + 1) % V
        after, _ = model(changed)
        assert torch.equal(before[:, :t], after[:, :t])
        assert not torch.isclose(before[:, t:], after[:, t:]).all(-1).any()


def assert_rows_equal_the_whole_forward(model: LanguageModel, length: int) -> None:
    """Texts that are written together, of prompts of `length` characters, against a forward over each one's context."""
    spread(model, std=0.3).eval()
    x = ids(model.config.vocab_size, 3, length + 4 * model.block_size, seed=length)
    rows = decoder_for(model).rows()
    with torch.no_grad():
        logits = torch.cat([rows.join(one[None, :length]) for one in x])
        for end in range(length, x.shape[1]):
            whole, _ = model(x[:, max(0, end - model.block_size) : end])
            torch.testing.assert_close(logits, whole[:, -1], atol=1e-4, rtol=0)
            logits = rows.step(x[:, end : end + 1])


def learn_one_batch(model: LanguageModel, steps: int = 200, lr: float = 1e-2) -> float:
    """Return the loss after so many smaller and smaller steps on one batch, whose rows all begin differently."""
    V, T = model.config.vocab_size, model.block_size
    x, y = ids(V, 4, T), ids(V, 4, T, seed=1)
    x[:, 0] = torch.arange(4)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=lr, weight_decay=0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        _, loss = model(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def assert_runs_on_meta(model_class, config) -> None:
    """No tensor of the forward, the step or the backward is made on an implied device."""
    with torch.device("meta"):
        model = model_class(config)
    x = torch.zeros((2, model.block_size), dtype=torch.long, device="meta")
    logits, loss = model(x, x)
    assert logits.is_meta and logits.shape == (*x.shape, config.vocab_size)
    loss.backward()
    rows = decoder_for(model).rows()
    for length in (2, model.block_size):
        assert rows.join(x[:1, :length]).is_meta
    for _ in range(3):
        assert rows.step(x[:, :1]).is_meta
    assert model.generate(x, 3).shape == (2, model.block_size + 3)


def assert_runs_in_bf16(model: LanguageModel) -> None:
    """Autocast, as the trainer uses it, gives nearly the same loss and finite gradients."""
    x, y = ids(model.config.vocab_size, 4, model.block_size), ids(model.config.vocab_size, 4, model.block_size, seed=1)
    _, expected = model(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        _, loss = model(x, y)
    loss.backward()
    assert abs(loss.item() - expected.item()) < 0.05
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
