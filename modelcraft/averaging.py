"""Rung: averaging. Every position takes the mean of everything up to itself.

The idea. The bigram model looks at one character; the seven before it lie unread. Here each position averages what
stands at itself and before it, and never what comes after, because that is what it has to predict:

    out[t] = Σ wei[t, s] · x[s] over all s ≤ t,    wei[t, s] = 1 / (t + 1).

The code below computes this three times: with two loops, with one matrix product, and with a softmax. The third is the
one that matters. A score of 0 for the past and of -inf for the future becomes equal weights for the past and none for
the future; and scores, unlike weights, may be any numbers. The next rung computes them from what the characters are.

Validation loss in nats per character, after 5,000 steps of 32 windows (the bigram model by its own, longer recipe):

    bigram      2.48
    averaging   2.83   a step back

Before you run it: averaging sees eight characters where the bigram model saw one. Why does it do worse? (The last
character says most about the next one, and in a mean its voice is one of eight.)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.model import LanguageModel, ModelConfig, start_even


@dataclass(frozen=True)
class AveragingConfig(ModelConfig):
    """The sizes of an averaging model."""

    n_embd: int = 32


def average_loop(x: Tensor) -> Tensor:
    """Average everything up to each position, (B, T, C) -> (B, T, C), one position at a time."""
    B, T, _ = x.shape
    out = torch.empty_like(x)
    for b in range(B):
        for t in range(T):
            out[b, t] = x[b, : t + 1].mean(0)  # (t + 1, C) -> (C,)
    return out


def average_matrix(x: Tensor) -> Tensor:
    """Do the same by a matrix product: row t of a lower triangle of ones adds up the past, and is divided by t + 1."""
    T = x.shape[1]
    wei = torch.ones((T, T), dtype=x.dtype, device=x.device).tril()
    wei = wei / wei.sum(1, keepdim=True)  # (T, T): 1, then ½ ½, then ⅓ ⅓ ⅓
    return wei @ x  # (T, T) @ (B, T, C) -> (B, T, C)


def average_softmax(x: Tensor) -> Tensor:
    """Do the same by a softmax: equal scores become equal weights, and a score of -inf becomes a weight of 0."""
    T = x.shape[1]
    tril = torch.ones((T, T), device=x.device).tril()
    wei = torch.zeros((T, T), dtype=x.dtype, device=x.device)
    wei = wei.masked_fill(tril == 0, -torch.inf)
    wei = wei.softmax(-1)  # (T, T)
    return wei @ x  # (T, T) @ (B, T, C) -> (B, T, C)


class AveragingLanguageModel(LanguageModel):
    """Scores the next character from the mean of all characters so far."""

    def __init__(self, config: AveragingConfig) -> None:
        super().__init__(config)
        self.token_embedding_table = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding_table = nn.Embedding(config.block_size, config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size)
        start_even(self.token_embedding_table, self.position_embedding_table, self.lm_head)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, V) and, given `targets` (B, T), the mean loss in nats."""
        tok_emb = self.token_embedding_table(idx)  # (B, T, C)
        pos_emb = self.position_embedding_table(torch.arange(idx.shape[1], device=idx.device))  # (T, C)
        x = tok_emb + pos_emb  # (B, T, C)
        x = average_softmax(x)  # (B, T, C)
        logits = self.lm_head(x)  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # (B·T, V) against (B·T,)
