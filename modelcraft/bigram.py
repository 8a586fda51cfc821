"""Rung: the bigram model, a table of "after this character, which?" that learns instead of counting.

The idea. Count which character follows which, and you have a language model. Here nobody counts: a table of random
numbers is nudged, batch by batch, towards predicting what really came next, by the gradient of the loss

    loss = -mean(log p(next character | this character)),    p = softmax(logits).

A 65 × 65 table would do. As in a GPT it is written as a product: each character gets `n_embd` numbers, its embedding,
and `lm_head` turns those into 65 scores, one for each possible next character. A second embedding, of the position, is
added to the first:

    logits = lm_head(token_embedding_table[character] + position_embedding_table[place]).

The position cannot help yet (this model looks at one character only, wherever that stands), but later rungs need both.

Against counting pairs: the same knowledge, reached by training. Against the rung `counting` (1.5165) it is a step back,
from six characters of context to one; what follows wins them back by learning. Guessing costs ln 65 = 4.174 nats per
character, counting pairs 2.482 (on tiny Shakespeare's last tenth). `train_model` below ends at 2.511, for at a constant
learning rate the last step is a noisy one; with a larger batch and a falling rate (the bundled weights) it is 2.483.

Before you run it: which loss should a model that knows nothing start with, and why is it a bad sign if it is higher?
(ln 65: whoever starts with more is confident, and wrong.)
"""

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.data import get_batch
from modelcraft.loss import estimate_loss
from modelcraft.model import LanguageModel, ModelConfig, seeded, start_even
from modelcraft.support.device import pick_device
from modelcraft.support.errors import ConfigError

__all__ = ["BigramConfig", "BigramLanguageModel", "create_model", "estimate_loss", "get_batch", "train_model"]


@dataclass(frozen=True)
class BigramConfig(ModelConfig):
    """The sizes of a bigram model."""

    n_embd: int = 32


class BigramLanguageModel(LanguageModel):
    """Scores the next character from this one (and, without profit, from its position)."""

    def __init__(self, config: BigramConfig) -> None:
        super().__init__(config)
        self.token_embedding_table = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding_table = nn.Embedding(config.block_size, config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size)
        start_even(self.token_embedding_table, self.position_embedding_table, self.lm_head)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, V) and, given `targets` (B, T), the mean loss in nats."""
        tok_emb = self.token_embedding_table(idx)  # (B, T, C)
        pos_emb = self.position_embedding_table(torch.arange(idx.shape[1], device=idx.device))  # (T, C)
        x = tok_emb + pos_emb  # (B, T, C) + (T, C): every row gets the same positions
        logits = self.lm_head(x)  # (B, T, V)
        if targets is None:
            return logits, None
        # cross_entropy wants (B·T, V) scores and (B·T,) answers
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def create_model(
    vocab_size: int = 65,
    block_size: int = 8,
    n_embd: int = 32,
    device: torch.device | str | None = None,
    seed: int = 1337,
) -> BigramLanguageModel:
    """Make an untrained bigram model; the same seed gives the same numbers on every device."""
    config = BigramConfig(vocab_size=vocab_size, block_size=block_size, n_embd=n_embd)
    with seeded(seed):
        model = BigramLanguageModel(config)
    return model.to(pick_device(device))


def train_model(
    model: BigramLanguageModel,
    train_data: Tensor,
    val_data: Tensor,
    max_iters: int = 3000,
    eval_interval: int = 300,
    eval_iters: int = 200,
    block_size: int = 8,
    batch_size: int = 32,
    learning_rate: float = 1e-2,
    seed: int = 1337,
) -> tuple[BigramLanguageModel, list[dict[str, float]]]:
    """Train as the lesson does: AdamW at one learning rate, the losses estimated every `eval_interval` steps.

    `train_data` and `val_data` are 1-D LongTensors. Returns the model, trained in place, and the records: `step`,
    `train_loss`, `val_loss` (nats per character), `learning_rate`, `seconds`, `characters` seen.
    """
    if block_size > model.block_size:
        raise ConfigError(f"This model's block_size is {model.block_size}; train it on windows no longer than that.")
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    records: list[dict[str, float]] = []
    start = time.perf_counter()

    def record(step: int) -> None:
        records.append(
            {
                "step": step,
                "train_loss": estimate_loss(model, train_data, eval_iters, batch_size, block_size),
                "val_loss": estimate_loss(model, val_data, eval_iters, batch_size, block_size),
                "learning_rate": learning_rate,
                "seconds": time.perf_counter() - start,
                "characters": step * batch_size * block_size,
            }
        )

    model.train()
    for step in range(max_iters):
        if step % eval_interval == 0:
            record(step)
        xb, yb = get_batch(train_data, block_size, batch_size, generator, model.device)  # (B, T) each
        _, loss = model(xb, yb)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    record(max_iters)
    return model, records
