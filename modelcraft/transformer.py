"""Rungs: feedforward, residual, block. What attention gathered is thought over, again and again.

The idea. Attention only moves numbers about: each position's result is a mean of values. `feedforward` adds the place
where something is made of them, a small network of two layers that every position goes through on its own:

    ffwd(x) = W₂ · relu(W₁ · x + b₁) + b₂,    W₁ four times as wide as x.

Gather, think: do it several times, and a position can gather what others have thought. But gradients wither on the way
down through many layers. In `residual` each layer therefore adds to what is there instead of replacing it,

    x = x + sa(x),    x = x + ffwd(x),

so that from the loss down to the embeddings there is a way on which nothing is multiplied. Sums grow with the depth,
though, and a `block` brings what each layer reads back to mean 0 and size 1, every position by itself:

    x = x + sa(ln1(x)),    x = x + ffwd(ln2(x)),    ln(x) = γ · (x − mean) / √(variance + ε) + β.

That is the transformer block, in the order of GPT-2: the norm stands before the layer ("pre-norm"), the path of sums
stays untouched. The paper of 2017 had it the other way round.

What it buys, in nats per character:

    multihead     2.27
    feedforward   2.21
    residual      2.09
    block         2.06

Before you run it: take the `x +` out of three blocks. Will they do worse than one layer without it, although they have
three times the parameters? (Much worse: untrained layers scramble what they are given, and the gradient, multiplied at
each of them, hardly reaches those below. `+` lets them start as almost nothing and grow into use.)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.attention import (
    AttentionLanguageModel,
    KeysAndValues,
    MultiHeadAttention,
    MultiHeadConfig,
    MultiHeadLanguageModel,
)
from modelcraft.sampling import check_number

# --- feedforward: thinking on what was gathered ---


class FeedForward(nn.Module):
    """A network of two layers that looks at one position at a time."""

    def __init__(self, config: MultiHeadConfig) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd),
            nn.ReLU(),
            nn.Linear(4 * config.n_embd, config.n_embd),
            nn.Dropout(config.dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Think about each position, (B, T, C) -> (B, T, C)."""
        out: Tensor = self.net(x)
        return out


class FeedForwardLanguageModel(MultiHeadLanguageModel):
    """Score the next character from what was made of what the heads gathered."""

    def __init__(self, config: MultiHeadConfig) -> None:
        super().__init__(config)
        self.ffwd = FeedForward(config)

    def body(self, x: Tensor, cache: KeysAndValues | None = None) -> Tensor:
        """Gather, then think, (B, T, C) -> (B, T, C)."""
        out: Tensor = self.ffwd(super().body(x, cache))
        return out


# --- residual: several blocks, each adding to what is there ---


@dataclass(frozen=True)
class BlockConfig(MultiHeadConfig):
    """The sizes of a model of several blocks."""

    n_layer: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("n_layer", self.n_layer, 1, 64, whole=True)


class ResidualBlock(nn.Module):
    """Gather and think, and add both to what was there."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.sa = MultiHeadAttention(config)
        self.ffwd = FeedForward(config)

    def forward(self, x: Tensor, cache: KeysAndValues | None = None) -> Tensor:
        """Add what was gathered, then what was made of it, (B, T, C) -> (B, T, C)."""
        x = x + self.sa(x, cache)
        x = x + self.ffwd(x)
        return x


class ResidualLanguageModel(AttentionLanguageModel):
    """Score the next character after several rounds of gathering and thinking."""

    config: BlockConfig
    block: type[nn.Module] = ResidualBlock

    def __init__(self, config: BlockConfig) -> None:
        super().__init__(config)
        self.blocks = nn.ModuleList([self.block(config) for _ in range(config.n_layer)])

    def body(self, x: Tensor, cache: KeysAndValues | None = None) -> Tensor:
        """Go through the blocks, (B, T, C) -> (B, T, C)."""
        for block in self.blocks:
            x = block(x, cache)
        return x


# --- block: layer norm, and the transformer block is complete ---


class Block(ResidualBlock):
    """The transformer block: a residual block whose layers read what they read in a normal size."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__(config)
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.ln2 = nn.LayerNorm(config.n_embd)

    def forward(self, x: Tensor, cache: KeysAndValues | None = None) -> Tensor:
        """Add what was gathered, then what was made of it, (B, T, C) -> (B, T, C)."""
        x = x + self.sa(self.ln1(x), cache)
        x = x + self.ffwd(self.ln2(x))
        return x


class BlockLanguageModel(ResidualLanguageModel):
    """Score the next character with transformer blocks and a last norm: a small GPT in all but its size."""

    block = Block

    def __init__(self, config: BlockConfig) -> None:
        super().__init__(config)
        self.ln_f = nn.LayerNorm(config.n_embd)

    def body(self, x: Tensor, cache: KeysAndValues | None = None) -> Tensor:
        """Go through the blocks, (B, T, C) -> (B, T, C), and bring the sum to a normal size."""
        out: Tensor = self.ln_f(super().body(x, cache))
        return out


# --- for two texts: a block that reads one as a whole, and one that writes the other while looking at it ---


def attention(q: Tensor, k: Tensor, v: Tensor, visible: Tensor, dropout: float = 0.0) -> Tensor:
    """Gather as a `Head` does, for all heads at once: q (B, nh, T, H), k and v (B, nh, S, H) -> (B, nh, T, H).

    `visible` is true where a position may look; it broadcasts to (B, nh, T, S). This is the clear version of
    `F.scaled_dot_product_attention`, which never writes the T × S weights down.
    """
    wei = q @ k.transpose(-2, -1) * k.shape[-1] ** -0.5  # (B, nh, T, H) @ (B, nh, H, S) -> (B, nh, T, S)
    wei = wei.masked_fill(~visible, -torch.inf)
    wei = wei.softmax(-1)
    wei = F.dropout(wei, dropout)
    return wei @ v  # (B, nh, T, S) @ (B, nh, S, H) -> (B, nh, T, H)


class Attention(nn.Module):
    """The heads of `MultiHeadAttention` side by side in one matrix, for positions of one text or of two.

    Who is asked need not be who asks: `offer` makes keys and values of whatever there is to gather from.
    """

    # Or F.scaled_dot_product_attention, which a test holds equal; on a CPU in bf16 a step then takes a quarter more.
    gather = staticmethod(attention)

    def __init__(self, config: MultiHeadConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.key = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.query = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.value = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.proj = nn.Linear(config.n_embd, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)

    def heads(self, x: Tensor) -> Tensor:
        """Deal the C numbers of each position out to the heads, (B, T, C) -> (B, nh, T, H)."""
        B, T, _ = x.shape  # noqa: N806
        return x.view(B, T, self.n_head, -1).transpose(1, 2)

    def offer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Make the keys and values (B, nh, S, H) of what stands in x (B, S, C)."""
        return self.heads(self.key(x)), self.heads(self.value(x))

    def forward(self, x: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
        """Let each position of x (B, T, C) gather from k and v (B, nh, S, H) where `visible` says so -> (B, T, C)."""
        q = self.heads(self.query(x))  # (B, nh, T, H)
        out = self.gather(q, k, v, visible, self.dropout.p if self.training else 0.0)  # (B, nh, T, H)
        out = out.transpose(1, 2).flatten(-2)  # (B, T, C): the heads' numbers in a row again
        projected: Tensor = self.dropout(self.proj(out))
        return projected


class EncoderBlock(nn.Module):
    """A transformer block without the mask: it reads a text that is already there, so all may look at all."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.sa = Attention(config)
        self.ffwd = FeedForward(config)
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.ln2 = nn.LayerNorm(config.n_embd)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """Read, (B, S, C) -> (B, S, C); `visible` leaves out what only fills a row up."""
        offered = self.ln1(x)
        x = x + self.sa(offered, *self.sa.offer(offered), visible)
        x = x + self.ffwd(self.ln2(x))
        return x


class DecoderBlock(nn.Module):
    """A transformer block with a third layer in its middle, cross-attention: it asks, and the other text answers."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.sa = Attention(config)
        self.ca = Attention(config)
        self.ffwd = FeedForward(config)
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.ln2 = nn.LayerNorm(config.n_embd)
        self.ln3 = nn.LayerNorm(config.n_embd)

    def forward(self, x: Tensor, k: Tensor, v: Tensor, visible: Tensor, cache: KeysAndValues | None = None) -> Tensor:
        """Write, (B, T, C) -> (B, T, C), with an eye on what the other text offers: `k` and `v`, where `visible`.

        With a cache `x` holds the newest positions only.
        """
        own = self.ln1(x)
        own_k, own_v = self.sa.offer(own)
        if cache is not None:
            own_k, own_v = cache.extend(self.sa, own_k, own_v)
        T, S = x.shape[1], own_k.shape[2]  # noqa: N806
        past = torch.ones((T, S), dtype=torch.bool, device=x.device).tril(S - T)
        x = x + self.sa(own, own_k, own_v, past)
        x = x + self.ca(self.ln2(x), k, v, visible)
        x = x + self.ffwd(self.ln3(x))
        return x
