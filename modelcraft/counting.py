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
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from modelcraft.model import LanguageModel, ModelConfig
from modelcraft.support.errors import CheckpointError, ConfigError, CorpusError

LARGEST = 2**63 - 1  # the largest number that a key can be
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


@dataclass(frozen=True)
class CountingConfig(ModelConfig):
    """The sizes of the tables: n-grams of `block_size` + 1 characters, `entries` of them (counting tells how many)."""

    block_size: int = 6
    entries: int = field(default=1, metadata={"most": 100_000_000})

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.vocab_size + 1) ** self.order > LARGEST:
            fits = max(k for k in range(63) if (self.vocab_size + 1) ** (k + 1) <= LARGEST)
            raise ConfigError(
                f"With {self.vocab_size:,} different characters, block_size must be at most {fits} for counting: an "
                "n-gram is kept as one number of 63 bits."
            )

    @property
    def order(self) -> int:
        """The n of the n-grams."""
        return self.block_size + 1


class CountingLanguageModel(LanguageModel):
    """Interpolated modified Kneser–Ney over sorted arrays.

    An n-gram is a number: its characters are the digits 1 to V in base V + 1, so that n-grams of different lengths
    never collide. On disk there are only the longest, `keys` (entries,) in rising order, and how often each was seen,
    `counts` (entries,); zeros stand before the text's first character. The shorter n-grams are the endings of the
    longest, and `prepare` derives from them what `forward` looks up: `ngrams`, those of all lengths, and `shares`, the
    (c − D) / c(h) of each. Where the last digit is 0, a share is the γ of the context before it.
    """

    protocols: ClassVar[tuple[str, ...]] = ("sliding",)  # windows of six characters side by side have no context
    config: CountingConfig
    keys: Tensor
    counts: Tensor
    ngrams: Tensor
    shares: Tensor

    def __init__(self, config: CountingConfig) -> None:
        super().__init__(config)
        self.register_buffer("keys", torch.zeros(config.entries, dtype=torch.long))
        self.register_buffer("counts", torch.zeros(config.entries, dtype=torch.int32))
        # Nothing is counted yet: the table holds its end mark only, and every character is as likely as any other.
        self.register_buffer("ngrams", torch.tensor([LARGEST]), persistent=False)
        self.register_buffer("shares", torch.tensor([0.0]), persistent=False)

    @property
    def base(self) -> int:
        """The base of the numbers that n-grams are."""
        return self.config.vocab_size + 1

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
        return scored(self.log_probs(self.contexts(idx)), targets)

    def contexts(self, idx: Tensor) -> Tensor:
        """Number the contexts of 0, 1, ... n-1 characters that end at each position of `idx`: (B, T) -> (B, T, n).

        Where the text has not begun yet the number is negative, which no table holds.
        """
        longest = self.block_size
        digits = F.pad(idx + 1, (longest - 1, 0), value=-1).unfold(1, longest, 1)  # (B, T, n-1): at each place a window
        place_values = self.base ** torch.arange(longest, device=idx.device)  # (n-1,): 1, V+1, (V+1)², ...
        return F.pad((digits.flip(-1) * place_values).cumsum(-1), (1, 0))  # (B, T, n): the empty context is 0

    def log_probs(self, contexts: Tensor) -> Tensor:
        """Return log p of every next character after `contexts`: (B, T, n) -> (B, T, V)."""
        rows = max(1, LOOKUPS_AT_ONCE // (self.config.order * self.base))
        parts = torch.split(contexts.flatten(0, 1), rows)  # (rows, n) each
        p = torch.cat([self.interpolated(*self.look_up(part)) for part in parts])  # (B·T, V)
        return p.log().view(*contexts.shape[:2], -1)

    def look_up(self, contexts: Tensor) -> tuple[Tensor, Tensor]:
        """Find what the tables hold of the contexts (M, n) of each length: the shares (M, n, V) and γ (M, n).

        A character that was never seen has the share 0. A context that was never seen leaves everything to the
        shorter one: its γ is 1.
        """
        wanted = contexts[..., None] * self.base + torch.arange(self.base, device=contexts.device)  # (M, n, V+1)
        place = torch.searchsorted(self.ngrams, wanted)  # (M, n, V+1): a binary search for every context and character
        share = self.shares[place] * (self.ngrams[place] == wanted)  # (M, n, V+1)
        gamma = share[..., 0]  # (M, n)
        return share[..., 1:], torch.where(gamma > 0, gamma, 1.0)

    def doubt(self, contexts: Tensor) -> Tensor:
        """Tell how little the counts know of contexts (B, T, n): the γ of the longest that was seen, (B, T), 1 if none.

        The rung `blend` asks this, to know when to listen to a network instead.
        """
        wanted = contexts * self.base  # (B, T, n): where γ stands
        place = torch.searchsorted(self.ngrams, wanted)
        known = self.ngrams[place] == wanted
        longest = (known * torch.arange(self.config.order, device=contexts.device)).argmax(
            -1, keepdim=True
        )  # (B, T, 1)
        return torch.where(known, self.shares[place], 1.0).gather(-1, longest)[..., 0]  # (B, T)

    def interpolated(self, share: Tensor, gamma: Tensor) -> Tensor:
        """Mix all orders, from the even guess up to the longest n-grams: (M, n, V), (M, n) -> p (M, V)."""
        p = share.new_full(share[:, 0].shape, 1 / self.config.vocab_size)  # (M, V)
        for share_of_order, left in zip(share.unbind(1), gamma[..., None].unbind(1), strict=True):  # (M, V), (M, 1)
            p = torch.addcmul(share_of_order, left, p)  # share + left · p
        return p

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.prepare()

    def prepare(self) -> None:
        """Derive from `keys` and `counts` what is looked up; raises CheckpointError if they are no table of counts."""
        keys, counts = self.keys, self.counts
        if keys.is_meta:
            return
        rising = bool((keys.diff() > 0).all()) and keys[0] > 0 and keys[-1] < self.base**self.config.order
        if not rising or bool((keys % self.base == 0).any()) or bool((counts < 1).any()):
            raise CheckpointError("The counts of the n-grams are damaged; get the model again.")
        ngrams, shares = [self.ngrams.new_tensor([LARGEST])], [self.shares.new_tensor([0.0])]
        for length in range(self.config.order, 0, -1):
            whole = keys >= self.base ** (length - 1)  # n-grams that do not begin before the text
            for found, new in zip((ngrams, shares), discounted(keys[whole], counts[whole], self.base), strict=True):
                found.append(new)
            # Without its first character: how many different ones were there is the count of a shorter n-gram.
            keys, counts = torch.unique(keys % self.base ** (length - 1), return_counts=True)
        self.ngrams, rising_order = torch.cat(ngrams).sort()
        self.shares = torch.cat(shares)[rising_order]


def discounted(keys: Tensor, counts: Tensor, base: int) -> tuple[Tensor, Tensor]:
    """Turn the counts of n-grams of one length (M,) into shares, and what each context leaves to the shorter one.

    Returns the keys of the n-grams h w and, as h 0, of the contexts, and to each its (c − D) / c(h) or γ(h).
    """
    n1, n2, n3, n4 = torch.bincount(counts.clamp(max=5), minlength=6)[1:5].tolist()  # how many were seen once, twice...
    seen = torch.tensor([1.0, 2.0, 3.0])
    more = torch.tensor([n2, n3, n4]) / torch.tensor([n1, n2, n3])
    discounts = seen - (seen + 1) * n1 / max(1, n1 + 2 * n2) * more  # Chen & Goodman's D1, D2, D3+
    # A text too small to tell (0/0, all or nothing) gets half of what the discount may be at most.
    discounts = torch.where((discounts > 0) & (discounts < seen), discounts, seen / 2).to(keys.device)
    taken = discounts[counts.clamp(max=3).long() - 1]  # (M,)
    contexts, owner = torch.unique_consecutive(keys // base, return_inverse=True)  # (contexts,), (M,)
    totals = torch.zeros_like(contexts).index_add(0, owner, counts.long())  # (contexts,)
    saved = taken.new_zeros(len(contexts)).index_add(0, owner, taken)  # (contexts,)
    return torch.cat((keys, contexts * base)), torch.cat(((counts - taken) / totals[owner], saved / totals))


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


def scored(logits: Tensor, targets: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return the log-probabilities (B, T, V) and, given `targets` (B, T), their mean loss in nats."""
    if targets is None:
        return logits, None
    return logits, F.nll_loss(logits.flatten(0, 1), targets.flatten())
