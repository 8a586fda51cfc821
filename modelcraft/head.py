"""Rungs: averaging, head, multihead. Every character gathers from those before it.

The idea. The bigram model looks at one character; seven more lie in its context unread. Let each position take a mean
of what stands at itself and before it, and never of what comes after, which it is to predict:

    out[t] = Σ wei[t, s] · value(x[s]) over all s <= t,    wei[t] ≥ 0 and Σ wei[t, s] = 1.

`averaging` gives everyone the same weight, 1 / (t + 1). In a `head` the weights depend on what is there: a position
asks (query), every position says what it offers (key), and the better the two match, the more of that position's value
is taken over:

    wei = softmax(q @ kᵀ / √head_size, over the past),    out = wei @ v.

(In `averaging` the value of x is x itself.) `multihead` runs four small heads in place of one large one, so that a
position can ask several questions at once, and a projection, `proj`, mixes what they bring back; the video adds that
one later, with the residual paths. Everything else is the bigram model's: `forward` is embeddings → `body` → `lm_head`,
and a rung here changes `body` only.

What it buys, in nats per character, at 5,000 steps of 32 × 8 characters (the bigram model by its own, longer recipe):

    bigram      2.48
    averaging   2.83   a step back: in the crowd nobody can be told apart, not even the last to speak
    head        2.40
    multihead   2.27

Before you run it: averaging sees eight characters where the bigram model saw one. Why is it the worse of the two? (The
last character tells most about the next, and it now has one voice among eight. Attention is the cure, for it can give
that one all the weight.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from modelcraft.bigram import BigramConfig, BigramLanguageModel
from modelcraft.support.errors import ConfigError

# --- averaging: the same mean of the past, three times ---


def average_loop(x: Tensor) -> Tensor:
    """Average what stands at and before each position, (B, T, C) -> (B, T, C), as one would say it."""
    B, T, _ = x.shape
    out = torch.empty_like(x)
    for b in range(B):
        for t in range(T):
            out[b, t] = x[b, : t + 1].mean(0)  # (t + 1, C) -> (C,)
    return out


def average_matrix(x: Tensor) -> Tensor:
    """Do the same by a matrix product: row t of a lower triangle of ones sums up the past, and is divided by t + 1."""
    T = x.shape[1]
    wei = torch.ones((T, T), dtype=x.dtype, device=x.device).tril()
    wei = wei / wei.sum(1, keepdim=True)  # (T, T): 1, then ½ ½, then ⅓ ⅓ ⅓
    return wei @ x  # (T, T) @ (B, T, C) -> (B, T, C)


def average_softmax(x: Tensor) -> Tensor:
    """Do the same by a softmax: equal scores become equal weights, and a score of -inf, the future's, a weight of 0.

    A detour, and the one that matters: scores may be anything, so they may be computed from what is there.
    """
    T = x.shape[1]
    tril = torch.ones((T, T), device=x.device).tril()  # (T, T)
    wei = torch.zeros((T, T), dtype=x.dtype, device=x.device)
    wei = wei.masked_fill(tril == 0, -torch.inf)
    wei = wei.softmax(-1)  # (T, T)
    return wei @ x  # (T, T) @ (B, T, C) -> (B, T, C)


class AveragingLanguageModel(BigramLanguageModel):
    """Score the next character from the plain mean of all there are: the step that shows what weights are for."""

    def body(self, x: Tensor) -> Tensor:
        """Average the past, (B, T, C) -> (B, T, C)."""
        return average_softmax(x)


# --- head: the weights are learned ---


@dataclass(frozen=True)
class HeadConfig(BigramConfig):
    """The sizes of a model with one head, and the share of numbers that dropout hides while it is trained."""

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
        self.register_buffer("tril", tril, persistent=False)  # moves with the model, is not saved with it
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Let each position gather from itself and the past, (B, T, C) -> (B, T, hs)."""
        T = x.shape[1]
        q, k, v = self.query(x), self.key(x), self.value(x)  # (B, T, hs) each
        # A product of two vectors of hs numbers of size 1 has size √hs; scaled back, softmax starts out soft.
        wei = q @ k.transpose(-2, -1) * k.shape[-1] ** -0.5  # (B, T, hs) @ (B, hs, T) -> (B, T, T)
        wei = wei.masked_fill(self.tril[:T, :T] == 0, -torch.inf)  # nobody sees what is to come
        wei = wei.softmax(-1)  # (B, T, T)
        wei = self.dropout(wei)
        return wei @ v  # (B, T, T) @ (B, T, hs) -> (B, T, hs)


class AttentionLanguageModel(BigramLanguageModel):
    """What all rungs that attend have in common: embeddings that are well apart."""

    def __init__(self, config: BigramConfig) -> None:
        super().__init__(config)
        # Heads compare characters and places, so these start out well apart: numbers of size 1, not of 0.02.
        for table in (self.token_embedding_table, self.position_embedding_table):
            nn.init.normal_(table.weight)


class HeadLanguageModel(AttentionLanguageModel):
    """Score the next character from what one head gathered."""

    config: HeadConfig

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.sa_head = Head(config, config.n_embd)

    def body(self, x: Tensor) -> Tensor:
        """Gather once, (B, T, C) -> (B, T, C)."""
        return self.sa_head(x)


# --- multihead: several questions at once ---


@dataclass(frozen=True)
class MultiHeadConfig(HeadConfig):
    """The sizes of a model with several heads, which share the `n_embd` numbers among them."""

    n_head: int = field(default=4, metadata={"most": 64})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_embd % self.n_head:
            raise ConfigError(f"n_embd must be divisible by n_head, and {self.n_embd} is not by {self.n_head}.")


class MultiHeadAttention(nn.Module):
    """Several heads in parallel, and a projection that mixes what they bring back."""

    def __init__(self, config: MultiHeadConfig) -> None:
        super().__init__()
        head_size = config.n_embd // config.n_head
        self.heads: Sequence[Head] = nn.ModuleList([Head(config, head_size) for _ in range(config.n_head)])  # type: ignore[assignment]
        self.proj = nn.Linear(config.n_embd, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Gather with every head, (B, T, C) -> (B, T, C)."""
        out = torch.cat([head(x) for head in self.heads], dim=-1)  # n_head × (B, T, hs) -> (B, T, C)
        return self.dropout(self.proj(out))


class MultiHeadLanguageModel(AttentionLanguageModel):
    """Score the next character from what several heads gathered."""

    config: MultiHeadConfig

    def __init__(self, config: MultiHeadConfig) -> None:
        super().__init__(config)
        self.sa_heads = MultiHeadAttention(config)

    def body(self, x: Tensor) -> Tensor:
        """Gather several things at once, (B, T, C) -> (B, T, C)."""
        return self.sa_heads(x)
