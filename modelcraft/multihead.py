"""Rung: multihead. Several heads side by side, so that a position can look for several things at once.

The idea. One head takes one weighted mean of the past. Four heads, each a quarter as wide, take four weighted means:
one might look for the last vowel, another for where the word began. Together their query, key and value layers have as
many parameters as those of one head of the full width. Their results are laid side by side, and a linear layer, `proj`,
mixes them. (The video adds `proj` later: here `lm_head` could do the mixing; it is needed where more layers follow.)

Validation loss in nats per character:

    head        2.40
    multihead   2.29

Before you run it: n_embd is 32, so why not 32 heads of width 1? (Then a score is one number times one number. A query
could ask for a large key or a small one, but not for one that has several features at once.)
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.head import Head, HeadConfig
from modelcraft.model import LanguageModel, start_even


@dataclass(frozen=True)
class MultiHeadConfig(HeadConfig):
    """The sizes of a model with several heads, each `n_embd` / `n_head` wide."""

    n_head: int = field(default=4, metadata={"most": 64, "divides": "n_embd"})  # checked where a config is made


class MultiHeadAttention(nn.Module):
    """Several heads in parallel, and a projection that mixes their results."""

    def __init__(self, config: MultiHeadConfig) -> None:
        super().__init__()
        head_size = config.n_embd // config.n_head
        self.heads = nn.ModuleList([Head(config, head_size) for _ in range(config.n_head)])
        self.proj = nn.Linear(config.n_embd, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Gather with every head, (B, T, C) -> (B, T, C)."""
        out = torch.cat([head(x) for head in self.heads], dim=-1)  # n_head × (B, T, hs) -> (B, T, C = n_head · hs)
        return self.dropout(self.proj(out))  # (B, T, C)


class MultiHeadLanguageModel(LanguageModel):
    """Scores the next character from what several heads gathered."""

    def __init__(self, config: MultiHeadConfig) -> None:
        super().__init__(config)
        self.token_embedding_table = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding_table = nn.Embedding(config.block_size, config.n_embd)
        self.sa_heads = MultiHeadAttention(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size)
        start_even(self.lm_head)  # first logits of about 0: a loss of ln V

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, V) and, given `targets` (B, T), the mean loss in nats."""
        tok_emb = self.token_embedding_table(idx)  # (B, T, C)
        pos_emb = self.position_embedding_table(torch.arange(idx.shape[1], device=idx.device))  # (T, C)
        x = tok_emb + pos_emb  # (B, T, C)
        x = self.sa_heads(x)  # (B, T, C)
        logits = self.lm_head(x)  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # (B·T, V) against (B·T,)
