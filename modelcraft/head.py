"""Rung: head. One head of self-attention, which learns whom to listen to.

The idea. Averaging gave all of the past the same weight. Now the weights depend on what is there. Each position sends
out a query, what it is looking for, and a key, what it has to offer. Where a query and a key match, their product is
large, and the query's position takes much of the value that stands there:

    wei = softmax(q @ kᵀ / √head_size, over the past),    out = wei @ v.

Why √head_size? Take two vectors of head_size numbers, each about 1 in size: their product is about √head_size. Softmax
makes of large scores one weight near 1 and the others near 0, and such a head learns little; divided, the scores are
about 1, and every position is still heard. The mask is the one of `averaging`: no position sees what comes after it.

What it gains, in nats per character:

    bigram      2.48
    averaging   2.83
    head        2.40   it can give all the weight to the last character, or to another one

Before you run it: leave the division out. What do the weights of the untrained model look like then? (Sharp: softmax
nearly picks one position, at random, and hardly any gradient reaches the others.)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.model import LanguageModel, ModelConfig, start_even


@dataclass(frozen=True)
class HeadConfig(ModelConfig):
    """The sizes of a model with one head, and the share of its numbers that dropout hides during training."""

    n_embd: int = 32
    dropout: float = 0.0


class Head(nn.Module):
    """One head of scaled, masked self-attention."""

    tril: Tensor

    def __init__(self, config: HeadConfig, head_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(config.n_embd, head_size, bias=False)
        self.query = nn.Linear(config.n_embd, head_size, bias=False)
        self.value = nn.Linear(config.n_embd, head_size, bias=False)
        tril = torch.ones((config.block_size, config.block_size)).tril()
        self.register_buffer("tril", tril, persistent=False)  # moves with the model, but is no weight to save
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Let each position gather from itself and the past, (B, T, C) -> (B, T, hs)."""
        T = x.shape[1]
        q, k, v = self.query(x), self.key(x), self.value(x)  # (B, T, hs) each
        wei = q @ k.transpose(-2, -1) * k.shape[-1] ** -0.5  # (B, T, hs) @ (B, hs, T) -> (B, T, T)
        wei = wei.masked_fill(self.tril[:T, :T] == 0, -torch.inf)
        wei = wei.softmax(-1)  # (B, T, T)
        wei = self.dropout(wei)
        return wei @ v  # (B, T, T) @ (B, T, hs) -> (B, T, hs)


class HeadLanguageModel(LanguageModel):
    """Scores the next character from what one head gathered."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        # A head compares characters and places, so these two tables start well apart: torch's own numbers, about 1.
        self.token_embedding_table = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding_table = nn.Embedding(config.block_size, config.n_embd)
        self.sa_head = Head(config, config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size)
        start_even(self.lm_head)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, V) and, given `targets` (B, T), the mean loss in nats."""
        tok_emb = self.token_embedding_table(idx)  # (B, T, C)
        pos_emb = self.position_embedding_table(torch.arange(idx.shape[1], device=idx.device))  # (T, C)
        x = tok_emb + pos_emb  # (B, T, C)
        x = self.sa_head(x)  # (B, T, C): here the head is as wide as x
        logits = self.lm_head(x)  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())
