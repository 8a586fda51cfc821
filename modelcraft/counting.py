"""Rung: counting. No network, no gradient: remember what followed what, and how often.

The idea, first with pairs. How likely is w after h? Count how often w followed h, divide by how often h was there. What
never happened must not get probability zero, so every count starts at one (`PairCounts`):

    p(w | h) = (c(h w) + 1) / (c(h) + V)

That costs 2.482 nats per character on tiny Shakespeare's last tenth, where guessing costs ln 65 = 4.174. A longer
context h knows more: after "thou ar" a "t" is all but certain. But most long contexts of a new text were never seen,
and adding one to counts that small would drown them. Kneser and Ney's answer, in the form of Chen and Goodman (1998):
take a discount D off every count, and hand what was saved to the context that is one character shorter, and so on down
to the even guess 1/V:

    p(w | h) = (c(h w) − D) / c(h) + γ(h) · p(w | h without its first character)
    γ(h)     = (the discounts taken off after h) / c(h)
    D        = k − (k + 1) · n₁ / (n₁ + 2 n₂) · n_{k+1} / n_k    for what was seen k = 1, 2, or 3 and more times

(the first part of p is 0 where h w was never seen; n_k is how many n-grams were seen k times). One more thought makes
it good: a shorter context is asked only where the longer one has not seen the character, so there c does not count how
often a thing was seen, but after how many different characters. (The textbook's example, with words: "Francisco" is
frequent, but it comes after "San" only.)

Against pairs: n-grams of 7 (six characters of context, the seventh to guess) cost 1.5165. One pass over the text gets
there, in less than a second on one core of a CPU. The recipe for a small GPT that everyone copies, nanoGPT's for CPUs,
trains for three minutes and ends at 1.88. This is the bar that a GPT must clear to be worth its name.

Before you run it: longer contexts know more. Why does order 10 (1.522) lose to order 7 (1.517)? (Most of its contexts
were seen once, and once is a rumour: Kneser–Ney believes it a little too often.)
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from modelcraft.model import LanguageModel, ModelConfig, scored
from modelcraft.ngrams import LARGEST, NGramTable
from modelcraft.support.errors import ConfigError, CorpusError

LOOKUPS_AT_ONCE = 1 << 20  # n-grams looked up together: enough to be quick, few enough for a small memory


def count_pairs(data: Tensor, vocab_size: int) -> Tensor:
    """Count how often each character follows each other one in `data` (N,): (V, V), first character × second."""
    pairs = data[:-1] * vocab_size + data[1:]  # (N-1,): a pair as one number
    return torch.bincount(pairs, minlength=vocab_size**2).view(vocab_size, vocab_size)


class PairCounts(LanguageModel):
    """The first step: pair counts (V, V), each with one added."""

    counts: Tensor

    def __init__(self, counts: Tensor) -> None:
        super().__init__(ModelConfig(vocab_size=len(counts), block_size=1))
        self.register_buffer("counts", counts)

    @property
    def max_length(self) -> int:
        """How many characters `forward` takes at once: as each is read alone, the more the quicker."""
        return 1 << 16

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the logits log p (B, T, V) and, given `targets` (B, T), the mean loss in nats."""
        seen = self.counts[idx] + 1.0  # (B, T, V)
        return scored((seen / seen.sum(-1, keepdim=True)).log(), targets)


def longest_context(vocab_size: int) -> int:
    """Return how many characters of context an n-gram can have that is kept as one number (ngrams.py)."""
    return max(k for k in range(63) if (vocab_size + 1) ** (k + 1) <= LARGEST)


@dataclass(frozen=True)
class CountingConfig(ModelConfig):
    """The sizes of the tables: n-grams of `block_size` + 1 characters, `entries` of them (counting tells how many)."""

    block_size: int = 6
    entries: int = field(default=1, metadata={"most": 100_000_000})

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.vocab_size + 1) ** self.order > LARGEST:
            raise ConfigError(
                f"With {self.vocab_size:,} different characters, block_size must be at most "
                f"{longest_context(self.vocab_size)} for counting: an n-gram is kept as one number of 63 bits."
            )

    @property
    def order(self) -> int:
        """The n of the n-grams."""
        return self.block_size + 1


class CountingLanguageModel(LanguageModel):
    """Interpolated modified Kneser–Ney.

    On disk there are only the longest n-grams, `keys` (entries,) in rising order, and how often each was seen, `counts`
    (entries,); the shorter ones are their endings, and `table` holds what is derived from all of them.
    """

    protocols: ClassVar[tuple[str, ...]] = ("sliding",)  # windows of six characters side by side have no context
    config: CountingConfig
    keys: Tensor
    counts: Tensor

    def __init__(self, config: CountingConfig) -> None:
        super().__init__(config)
        self.register_buffer("keys", torch.zeros(config.entries, dtype=torch.long))
        self.register_buffer("counts", torch.zeros(config.entries, dtype=torch.int32))
        self.table = NGramTable(config.order, config.vocab_size)

    @property
    def max_length(self) -> int:
        """How many characters `forward` takes at once: each uses the context that it has, the more the quicker."""
        return 1 << 16

    @property
    def num_parameters(self) -> int:
        """The number of counts kept."""
        return self.config.entries

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the logits log p (B, T, V), T of any length, and, given `targets` (B, T), the mean loss in nats."""
        return scored(self.log_probs(self.table.contexts(idx)), targets)

    def log_probs(self, contexts: Tensor) -> Tensor:
        """Return log p of every next character after `contexts`: (B, T, n) -> (B, T, V)."""
        rows = max(1, LOOKUPS_AT_ONCE // (self.config.order * (self.config.vocab_size + 1)))
        parts = torch.split(contexts.flatten(0, 1), rows)  # (rows, n) each
        p = torch.cat([interpolated(*self.table.look_up(part)) for part in parts])  # (B·T, V)
        return p.log().view(*contexts.shape[:2], -1)

    def _load_from_state_dict(self, state: Mapping[str, Tensor], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state, prefix, *args)
        if f"{prefix}keys" in state:  # a blend loads its own weights only
            self.table.fill(self.keys, self.counts)


def interpolated(share: Tensor, gamma: Tensor) -> Tensor:
    """Mix all orders, from the even guess up to the longest n-grams: (M, n, V), (M, n) -> p (M, V)."""
    p = share.new_full(share[:, 0].shape, 1 / share.shape[-1])  # (M, V)
    for share_of_order, left in zip(share.unbind(1), gamma[..., None].unbind(1), strict=True):  # (M, V), (M, 1)
        p = torch.addcmul(share_of_order, left, p)  # share + left · p
    return p


def count(data: Tensor, config: CountingConfig) -> CountingLanguageModel:
    """Count the n-grams of `data` (N,), character ids on any device: the model, on the CPU, and all its training.

    `config.entries` is not asked, but found. Raises CorpusError for an empty text.
    """
    if not len(data):
        raise CorpusError("There is nothing to count in an empty text.")
    order, base = config.order, config.vocab_size + 1
    digits = F.pad(data + 1, (order - 1, 0))  # (N+n-1,): zeros stand before the first character
    windows = torch.zeros_like(data)  # (N,)
    for k in range(order):
        windows = windows * base + digits[k : k + len(data)]
    keys, counts = torch.unique(windows, return_counts=True)  # (entries,) each
    model = CountingLanguageModel(dataclasses.replace(config, entries=len(keys)))
    model.check_context(data[None])
    model.load_state_dict({"keys": keys, "counts": counts.clamp(max=2**31 - 1)})
    return model.eval()
