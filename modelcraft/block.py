"""Rung: block. With layer norm the transformer block is complete.

The idea. On a residual path every layer adds to what is there, so the sums grow with the depth. Layer norm brings what
a layer reads back to mean 0 and size 1, each position by itself:

    x = x + sa(ln1(x)),    x = x + ffwd(ln2(x)),    ln(x) = γ · (x − mean) / √(variance + ε) + β.

That is the transformer block in the order of GPT-2: the norm stands before the layer ("pre-norm"), and the path itself
is never normed. The paper of 2017 normed after each sum. A last norm, `ln_f`, stands before `lm_head`. With a width of
384, six layers and a context of 256 this is the video's last model; the rung `gpt-video` is it.

What it gains, in nats per character:

    residual   2.09
    block      2.06

Before you run it: does the norm pay at three layers already? (After 600 steps not yet, see benchmarks/ladder.py; after
5,000 it does, and with more layers sooner.)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.feedforward import FeedForward
from modelcraft.model import LanguageModel, start_even
from modelcraft.multihead import MultiHeadAttention
from modelcraft.residual import BlockConfig


class Block(nn.Module):
    """The transformer block: gathers and computes from normed numbers, and adds both to its input."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.sa = MultiHeadAttention(config)
        self.ffwd = FeedForward(config)
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.ln2 = nn.LayerNorm(config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """Add what was gathered, then what was computed of it, (B, T, C) -> (B, T, C)."""
        x = x + self.sa(self.ln1(x))
        x = x + self.ffwd(self.ln2(x))
        return x


class BlockLanguageModel(LanguageModel):
    """Scores the next character after several transformer blocks and a last norm."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__(config)
        self.token_embedding_table = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding_table = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.Sequential(*[Block(config) for _ in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size)
        start_even(self.lm_head)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, V) and, given `targets` (B, T), the mean loss in nats."""
        tok_emb = self.token_embedding_table(idx)  # (B, T, C)
        pos_emb = self.position_embedding_table(torch.arange(idx.shape[1], device=idx.device))  # (T, C)
        x = tok_emb + pos_emb  # (B, T, C)
        x = self.blocks(x)  # (B, T, C)
        x = self.ln_f(x)  # (B, T, C)
        logits = self.lm_head(x)  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())
