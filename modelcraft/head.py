"""Rung: head. One head of self-attention: each position learns which others to take from, and how much.

The idea. Averaging gave all of the past the same weight. Now the weights depend on what is there. Each position makes
three vectors of what stands there: a query (what it looks for), a key (what it offers) and a value (what it hands
over). Where the dot product of a query and a key is large, the query's position takes much of that value:

    wei = softmax(q @ kᵀ / √head_size)   over the position itself and the past
    out = wei @ v.

Why √head_size? The dot product of two vectors of head_size random numbers, of mean 0 and variance 1, has the variance
head_size: it is about ±√head_size. When scores lie that far apart, softmax gives one position nearly all the weight,
and hardly any gradient reaches the others. After the division they differ by about 1. The mask is that of `averaging`.

Validation loss in nats per character (5,000 steps of 32 windows; lower is better):

    bigram      2.48   sees the last character only
    averaging   2.83   sees eight, and cannot tell which one was the last
    head        2.40   sees eight, and can give the last one most of the weight, or another one

Before you run it: without the division, what would the rows of `wei` look like in an untrained model? (Each nearly a 1
and zeros: softmax would pick the position that the random start happens to favour.)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.model import LanguageModel, ModelConfig, start_even


@dataclass(frozen=True)
class HeadConfig(ModelConfig):
    """The sizes of a model with one head, and the share of values that dropout sets to 0 in training (here none)."""

    n_embd: int = 32
    dropout: float = 0.0


class Head(nn.Module):
    """One head of scaled, masked self-attention."""

    tril: Tensor  # the buffer that is registered below

    def __init__(self, config: HeadConfig, head_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(config.n_embd, head_size, bias=False)
        self.query = nn.Linear(config.n_embd, head_size, bias=False)
        self.value = nn.Linear(config.n_embd, head_size, bias=False)
        tril = torch.ones((config.block_size, config.block_size)).tril()
        self.register_buffer("tril", tril, persistent=False)  # moves to a GPU with the model; never trained or saved
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Let each position gather from itself and the past, (B, T, C) -> (B, T, hs), T <= block_size."""
        T = x.shape[1]
        q, k, v = self.query(x), self.key(x), self.value(x)  # (B, T, hs) each
        wei = q @ k.transpose(-2, -1)  # (B, T, hs) @ (B, hs, T) -> (B, T, T)
        wei = wei * k.shape[-1] ** -0.5  # divided by √hs
        wei = wei.masked_fill(self.tril[:T, :T] == 0, -torch.inf)  # (B, T, T)
        wei = wei.softmax(-1)  # (B, T, T): each row sums to 1
        wei = self.dropout(wei)
        return wei @ v  # (B, T, T) @ (B, T, hs) -> (B, T, hs)


class HeadLanguageModel(LanguageModel):
    """Scores the next character from what one head gathered."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        # Torch's own start, numbers of variance 1, where averaging starts at 0.02: a head compares the rows of these
        # tables, so they must differ from the beginning.
        self.token_embedding_table = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding_table = nn.Embedding(config.block_size, config.n_embd)
        self.sa_head = Head(config, config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size)
        start_even(self.lm_head)  # first logits of about 0: a loss of ln V

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, V) and, given `targets` (B, T), the mean loss in nats."""
        tok_emb = self.token_embedding_table(idx)  # (B, T, C)
        pos_emb = self.position_embedding_table(torch.arange(idx.shape[1], device=idx.device))  # (T, C)
        x = tok_emb + pos_emb  # (B, T, C)
        x = self.sa_head(x)  # (B, T, C): here the head is as wide as x
        logits = self.lm_head(x)  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # (B·T, V) against (B·T,)
