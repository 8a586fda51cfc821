"""Rung: block. With layer norm the transformer block is complete.

The idea. On a residual path attention (`sa`) and feed-forward (`ffwd`) add to what is there, so the sums grow from one
block to the next. Before each of the two reads x, layer norm brings it to mean 0 and standard deviation 1, over the C
numbers of each position by itself:

    x = x + sa(ln1(x))
    x = x + ffwd(ln2(x))
    ln(x) = γ · (x − mean) / √(variance + ε) + β.

γ and β are learned, one for each of the C numbers; they start at 1 and 0, so that training may undo the norm. ε avoids
a division by 0. The norm stands before `sa` and `ffwd` ("pre-norm", as in GPT-2), and the path itself is not normed
between blocks: so the gradient still has its free way. "Attention Is All You Need" (2017) normed the sums themselves.
After the last block one more norm, `ln_f`, brings x to the size that `lm_head` expects. With 6 blocks of 6 heads, width
384, context 256 and dropout 0.2 this is the video's last model, the rung `gpt-video`.

Validation loss in nats per character, three blocks, 5,000 steps:

    residual   2.09
    block      2.06

Before you run it: will the norm lower the loss after 600 steps already? (In benchmarks/ladder.py, at another size, not
yet: 1.98 without it, 2.02 with it. After the 5,000 steps above it does.)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.feedforward import FeedForward
from modelcraft.model import LanguageModel, start_even
from modelcraft.multihead import MultiHeadAttention
from modelcraft.residual import BlockConfig


class Block(nn.Module):
    """The transformer block: attention, then feed-forward; each reads x normed, and its result is added to x."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.sa = MultiHeadAttention(config)
        self.ffwd = FeedForward(config)
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.ln2 = nn.LayerNorm(config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, C) for (B, T, C)."""
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
        start_even(self.lm_head)  # first logits of about 0: a loss of ln V

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
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # (B·T, V) against (B·T,)
