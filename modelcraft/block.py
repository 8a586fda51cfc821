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
stays untouched. The paper of 2017 had it the other way round. A last norm, `ln_f`, stands before `lm_head`. At 384
numbers, six layers and a context of 256 this is the video's last model, the rung `gpt-video`.

What it buys, in nats per character:

    multihead     2.27
    feedforward   2.21
    residual      2.09   the paths, and three blocks in place of one
    block         2.06

Before you run it: take the `x +` out of three blocks. Will they do worse than one layer without it, although they have
three times the parameters? (Much worse. At equal budget, benchmarks/ladder.py, they end at 3.35 and the one layer at
2.18: layers that have learned nothing scramble what they are given, and the gradient, multiplied at each, hardly
reaches those below. With `+` what comes in comes out again, and a little is added; the GPT lets that begin at exactly
0.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from modelcraft.head import (
    AttentionLanguageModel,
    MultiHeadAttention,
    MultiHeadConfig,
    MultiHeadLanguageModel,
)

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
        """Think about each position, (B, T, C) -> (B, T, C); none sees another."""
        return self.net(x)


class FeedForwardLanguageModel(MultiHeadLanguageModel):
    """Score the next character from what was made of what the heads gathered."""

    def __init__(self, config: MultiHeadConfig) -> None:
        super().__init__(config)
        self.ffwd = FeedForward(config)

    def body(self, x: Tensor) -> Tensor:
        """Gather, then think, (B, T, C) -> (B, T, C)."""
        return self.ffwd(super().body(x))


# --- residual: several blocks, each adding to what is there ---


@dataclass(frozen=True)
class BlockConfig(MultiHeadConfig):
    """The sizes of a model of several blocks."""

    n_layer: int = field(default=3, metadata={"most": 64})


class ResidualBlock(nn.Module):
    """Gather and think, and add both to what was there."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.sa = MultiHeadAttention(config)
        self.ffwd = FeedForward(config)

    def forward(self, x: Tensor) -> Tensor:
        """Add what was gathered, then what was made of it, (B, T, C) -> (B, T, C)."""
        x = x + self.sa(x)
        x = x + self.ffwd(x)
        return x


class ResidualLanguageModel(AttentionLanguageModel):
    """Score the next character after several rounds of gathering and thinking."""

    config: BlockConfig
    block: type[ResidualBlock] = ResidualBlock

    def __init__(self, config: BlockConfig) -> None:
        super().__init__(config)
        self.blocks: Sequence[ResidualBlock] = nn.ModuleList([self.block(config) for _ in range(config.n_layer)])  # type: ignore[assignment]

    def body(self, x: Tensor) -> Tensor:
        """Go through the blocks, (B, T, C) -> (B, T, C)."""
        for block in self.blocks:
            x = block(x)
        return x


# --- block: layer norm, and the transformer block is complete ---


class Block(ResidualBlock):
    """The transformer block: a residual block whose layers read normed numbers."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__(config)
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.ln2 = nn.LayerNorm(config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """Add what was gathered, then what was made of it, (B, T, C) -> (B, T, C)."""
        x = x + self.sa(self.ln1(x))
        x = x + self.ffwd(self.ln2(x))
        return x


class BlockLanguageModel(ResidualLanguageModel):
    """Score the next character with transformer blocks and a last norm: a small GPT in all but its size."""

    block = Block

    def __init__(self, config: BlockConfig) -> None:
        super().__init__(config)
        self.ln_f = nn.LayerNorm(config.n_embd)

    def body(self, x: Tensor) -> Tensor:
        """Go through the blocks, (B, T, C) -> (B, T, C), and bring the sum to a normal size."""
        return self.ln_f(super().body(x))
