"""Rung: the GPT, the transformer block repeated, and made as good as two CPU cores can make it.

The idea is the one of the earlier rungs: look at the past, think about it, repeat.

    q, k = norm(rotate(q)), norm(rotate(k))         norm(x) = x / √mean(x²)
    x = x + sa(norm(x)),    x = x + ffwd(norm(x))   ffwd(x) = W₂ · relu(W₁ · x)²
    logits = 15 · tanh(lm_head(norm(x)) / 15)

Against `block`, size first: the context is 256 characters and not 8, the width 256 and not 32, there are six layers and
not three; all heads of a layer are one matrix each for query, key and value, and there are no biases. Then what the
years since GPT-2 have found out, each in a few lines:

- rotary positions (`rotate`): a query and a key are turned by an angle that grows with their position, so that of their
  positions the product knows only how far they are apart. There is no table of positions to learn, nor to run out of.
- RMSNorm without weights (`norm`): a norm works without layer norm's mean, gain and bias. There is one more right after
  the embedding.
- QK-norm: queries and keys are normed before they meet, so that no score is above √hs, and softmax stays soft.
- ReLU² instead of ReLU in the feed-forward.
- zeros: the last matrix of each branch (`sa`, `ffwd`) and `lm_head` start at 0. An untrained model is then no noise,
  but says ln 65 = 4.1744 exactly, and each branch grows from nothing (`lm_head` moves first; then the gradient
  reaches the rest).
- noise (`garble` in data.py): in training, one character in twenty that the model reads is another one. The text is
  short, a million characters, and such a model would soon know it by heart; what it never sees twice alike it cannot
  learn by heart. The noise falls with the learning rate: at the end the model reads the text as it is. Dropout, on the
  embedding and at the end of each branch, serves the same purpose.
- a cap on the logits (`logit_cap`): 15 · tanh(logits / 15), so that no certainty is without bounds.
- grouped queries (`n_kv_head`): several query heads share one key and value head; half the cache to read for every
  character that is written.
- in training/optim.py, Muon for the matrices, and an average of the weights.
- calibration (training/calibration.py): who has read a text often knows it by heart in part, and is too sure of a new
  one. Its scores divided by 1.26, found on text that it did not learn, one such model comes from 1.433 to 1.404.
- distillation (training/distillation.py): the bundled model is a student of three such models and of counting, for how
  likely they find each character cannot be learned by heart: 1.353 (T = 0.87: it is not too sure any more).

What each of them buys: the exact validation loss of a small one (3 layers, 96 wide, context 64, 300 steps of 32
windows, 1.813 with all of it) against that without one part, by benchmarks/gpt_parts.py; in brackets its 2 seeds:

    AdamW for all in place of Muon                +0.152   (+0.163 / +0.140)
    a table of positions in place of rotary ones  +0.128   (+0.133 / +0.122)
    layer norm's mean taken off, too              +0.005   (+0.004 / +0.006)
    no norm after the embedding                   +0.004   (-0.004 / +0.012)
    no QK-norm                                    -0.006   (-0.011 / -0.001)
    ReLU in place of ReLU²                        +0.008   (+0.009 / +0.006)
    no zeros at the start                         -0.005   (-0.007 / -0.004)
    no cap on the logits                          -0.002   (-0.003 / -0.001)
    no grouped queries (9 % more parameters)      -0.001   (-0.002 / +0.001)

So short a training learns nothing by heart, so noise and dropout are not in that list; LOG.md has them. By rung:

    block      2.06   context 8,       42,369 parameters
    gpt-mini   1.54   context 128,    737,536
    gpt        1.35   context 256,  4,358,656

Before you run it: the earlier rungs lose what lies before their window. What can this model still know, through its
layers, of a character 300 places back, though no layer looks back more than 256? (Something: the second layer reads
what the first one made of it. Only `stream` profits; `generate` crops to the context, as in the video.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.model import LanguageModel, ModelConfig
from modelcraft.support.errors import ConfigError

ROPE_BASE = 1024  # the slowest of the rotations turns once in some 5,000 characters: far more than the context


@dataclass(frozen=True)
class GPTConfig(ModelConfig):
    """The sizes of a GPT."""

    block_size: int = 256
    n_embd: int = 256
    n_layer: int = field(default=6, metadata={"most": 64})
    n_head: int = field(default=4, metadata={"most": 64})
    n_kv_head: int = 2
    dropout: float = 0.25
    noise: float = 0.05
    logit_cap: int = 15

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_embd % (2 * self.n_head):
            raise ConfigError(f"n_embd must be a multiple of 2 · n_head = {2 * self.n_head:,}, not {self.n_embd:,}.")
        if self.n_head % self.n_kv_head:
            raise ConfigError(f"n_head ({self.n_head}) must be a multiple of n_kv_head ({self.n_kv_head}).")

    @property
    def head_size(self) -> int:
        """The width of one head."""
        return self.n_embd // self.n_head


def norm(x: Tensor) -> Tensor:
    """Scale each vector to a mean square of 1 (RMSNorm, Zhang & Sennrich 2019, without its gain)."""
    return F.rms_norm(x, (x.shape[-1],))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs of numbers in `x` (..., hs) by their position's angle (RoPE, Su et al. 2021); cos, sin (..., hs/2)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def attend(q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    """Gather from `v` what the queries find: softmax(q · kᵀ / √hs) · v, written out.

    q (B, nh, T, hs), k and v (B, n_kv, S, hs), visible True where a query may look, (T, S) or (B, T, S); returns
    (B, nh, T, hs). nh / n_kv query heads in a row share a key and value head (Ainslie et al. 2023).
    """
    B, nh, T, hs = q.shape
    shared, S = nh // k.shape[1], k.shape[2]
    q = q.reshape(B, -1, shared * T, hs)  # (B, n_kv, nh/n_kv · T, hs): one product for all that share a key
    wei = (q @ k.transpose(-2, -1)).view(B, -1, shared, T, S) * hs**-0.5  # (B, n_kv, nh/n_kv, T, S)
    visible = visible[:, None, None] if visible.ndim == 3 else visible  # (B, 1, 1, T, S)
    # In bf16 the sum over many small weights would be off.
    wei = wei.masked_fill(~visible, -torch.inf).softmax(-1, dtype=torch.float32).to(v.dtype)
    return (wei.view(B, -1, shared * T, S) @ v).view(B, nh, T, hs)


class Attention(nn.Module):
    """Several heads at once: the video's `key`, `query` and `value`, each one matrix for all its heads."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.head_size = config.head_size
        kv_size = config.n_kv_head * config.head_size
        self.query = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.key = nn.Linear(config.n_embd, kv_size, bias=False)
        self.value = nn.Linear(config.n_embd, kv_size, bias=False)
        self.proj = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def ask(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return the queries (B, nh, T, hs) of x (B, T, C)."""
        q = self.query(x).unflatten(-1, (-1, self.head_size))  # (B, T, nh, hs)
        # The angles are float32, and under bf16 so is what was turned: back to what the product had.
        return norm(rotate(q, cos, sin)).to(q.dtype).transpose(1, 2)

    def offer(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and the values of x (B, T, C), (B, n_kv, T, hs) each."""
        k, v = (layer(x).unflatten(-1, (-1, self.head_size)) for layer in (self.key, self.value))  # (B, T, n_kv, hs)
        return norm(rotate(k, cos, sin)).to(v.dtype).transpose(1, 2), v.transpose(1, 2)

    def gather(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
        """Let each query take from the values what its keys promise, where `visible` says so -> (B, T, C)."""
        return self.proj(attend(q, k, v, visible).transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Let every position of x (B, T, C) gather from those that `mask` (T, T) lets it see."""
        return self.gather(self.ask(x, cos, sin), *self.offer(x, cos, sin), mask)


class FeedForward(nn.Module):
    """Think about what was gathered: wider, ReLU², back (Primer, So et al. 2021)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        # Named, where the other rungs have a Sequential: all that is called proj starts at 0.
        self.fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, C) for (B, T, C); no position sees another."""
        return self.proj(F.relu(self.fc(x)).square())


class Block(nn.Module):
    """Communication, then computation, each on a residual path (pre-norm)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.sa = Attention(config)
        self.ffwd = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Return (B, T, C) for (B, T, C)."""
        x = x + self.dropout(self.sa(norm(x), cos, sin, mask))
        return x + self.dropout(self.ffwd(norm(x)))


def start_at_zero(model: nn.Module) -> None:
    """Let the last matrix of each branch and `lm_head` begin at 0."""
    for name, parameter in model.named_parameters():
        if name.endswith("proj.weight") or name == "lm_head.weight":
            nn.init.zeros_(parameter)


class GPTLanguageModel(LanguageModel):
    """Score every next character, in view of the last `block_size`."""

    config: GPTConfig
    freqs: Tensor

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config)
        self.token_embedding_table = nn.Embedding(config.vocab_size, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks: Sequence[Block] = nn.ModuleList(Block(config) for _ in range(config.n_layer))  # type: ignore[assignment]
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        start_at_zero(self)
        half = config.head_size // 2
        self.register_buffer("freqs", ROPE_BASE ** (-torch.arange(half) / half), persistent=False)  # (hs/2,)

    @property
    def max_length(self) -> int:
        """The longest text that `forward` reads at once: each position still sees `block_size` characters."""
        return 16 * self.block_size

    @property
    def noise(self) -> float:
        """The share of the characters that `garble` replaces while the model is trained."""
        return self.config.noise

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, V) and, given `targets` (B, T), the mean loss in nats.

        Targets can also be probabilities (B, T, V). A text longer than the context is read with a band: every position
        attends to the last `block_size` ones.
        """
        _, T = idx.shape
        at = torch.arange(T, device=idx.device)
        apart = at[:, None] - at  # (T, T): how far back each key lies
        mask = (apart >= 0) & (apart < self.block_size)  # (T, T)
        cos, sin = self.angles(at)  # (T, 1, hs/2)
        x = self.embed(idx)  # (B, T, C)
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        logits = self.score(x)  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(0, 1))

    def angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cosines and sines (..., 1, hs/2) of `positions` (...); one for all heads."""
        angles = positions[..., None, None] * self.freqs  # (..., 1, hs/2)
        return angles.cos(), angles.sin()

    def embed(self, idx: Tensor) -> Tensor:
        """Look the characters up: (B, T) -> (B, T, C)."""
        return self.dropout(norm(self.token_embedding_table(idx)))

    def score(self, x: Tensor) -> Tensor:
        """Turn what was thought into capped scores: (B, T, C) -> (B, T, V), in float32."""
        cap = self.config.logit_cap
        return cap * torch.tanh(self.lm_head(norm(x)).float() / cap)
