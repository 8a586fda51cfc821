"""The table of the rung `counting`: the n-grams of a text as sorted numbers, with a value for each.

An n-gram is a number: its characters are the digits 1 to V in base V + 1, so that n-grams of different lengths never
collide; leading zeros stand for the time before the text, and a 0 as the last digit stands for "any character".
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.support.errors import CheckpointError

LARGEST = 2**63 - 1  # the largest possible key


class NGramTable(nn.Module):
    """The n-grams of up to `order` characters, in ascending order, each with its share (c − D) / c(h).

    If the last digit is 0, the share is the γ of the context before it: what that context leaves to the shorter one.
    """

    ngrams: Tensor
    shares: Tensor

    def __init__(self, order: int, vocab_size: int) -> None:
        super().__init__()
        self.order, self.base = order, vocab_size + 1
        # Nothing is counted yet: the table holds only its end mark, and all characters are equally likely.
        self.register_buffer("ngrams", torch.tensor([LARGEST]), persistent=False)
        self.register_buffer("shares", torch.tensor([0.0]), persistent=False)

    def contexts(self, idx: Tensor) -> Tensor:
        """Return the numbers of the contexts of 0, 1, ... n-1 characters that end at each position of `idx`.

        The shapes are (B, T) -> (B, T, n). A context that starts before the text is negative, which no table holds.
        """
        longest = self.order - 1
        digits = F.pad(idx + 1, (longest - 1, 0), value=-1).unfold(1, longest, 1)  # (B, T, n-1): a window at each place
        place_values = self.base ** torch.arange(longest, device=idx.device)  # (n-1,): 1, V+1, (V+1)², ...
        return F.pad((digits.flip(-1) * place_values).cumsum(-1), (1, 0))  # (B, T, n): the empty context is 0

    def look_up(self, contexts: Tensor) -> tuple[Tensor, Tensor]:
        """Look up the contexts (M, n) of each length in the table: return the shares (M, n, V) and γ (M, n).

        A character never seen has the share 0. A context never seen leaves everything to the shorter one: its γ is 1.
        """
        wanted = contexts[..., None] * self.base + torch.arange(self.base, device=contexts.device)  # (M, n, V+1)
        place = torch.searchsorted(self.ngrams, wanted)  # (M, n, V+1): a binary search for every context and character
        share = self.shares[place] * (self.ngrams[place] == wanted)  # (M, n, V+1)
        gamma = share[..., 0]  # (M, n)
        return share[..., 1:], torch.where(gamma > 0, gamma, 1.0)

    def doubt(self, contexts: Tensor) -> Tensor:
        """Return how little is known about contexts (B, T, n): the γ of the longest one seen, (B, T), or 1 if none."""
        wanted = contexts * self.base  # (B, T, n): the keys of γ
        place = torch.searchsorted(self.ngrams, wanted)
        known = self.ngrams[place] == wanted
        lengths = torch.arange(self.order, device=contexts.device)
        longest = (known * lengths).argmax(-1, keepdim=True)  # (B, T, 1)
        return torch.where(known, self.shares[place], 1.0).gather(-1, longest)[..., 0]  # (B, T)

    def fill(self, keys: Tensor, counts: Tensor) -> None:
        """Derive the table from the longest n-grams (entries,) and their counts (entries,).

        Raises CheckpointError if they are not a valid table of counts.
        """
        if keys.is_meta:
            return
        rising = bool((keys.diff() > 0).all()) and keys[0] > 0 and keys[-1] < self.base**self.order
        if not rising or bool((keys % self.base == 0).any()) or bool((counts < 1).any()):
            raise CheckpointError("The counts of the n-grams are damaged; get the model again.")
        ngrams, shares = [self.ngrams.new_tensor([LARGEST])], [self.shares.new_tensor([0.0])]
        for length in range(self.order, 0, -1):
            whole = keys >= self.base ** (length - 1)  # n-grams that do not start before the text
            for found, new in zip((ngrams, shares), discounted(keys[whole], counts[whole], self.base), strict=True):
                found.append(new)
            # Drop the first character: the number of different ones is the count of the shorter n-gram.
            keys, counts = torch.unique(keys % self.base ** (length - 1), return_counts=True)
        self.ngrams, rising_order = torch.cat(ngrams).sort()
        self.shares = torch.cat(shares)[rising_order]


def discounted(keys: Tensor, counts: Tensor, base: int) -> tuple[Tensor, Tensor]:
    """Turn the counts (M,) of n-grams of one length into shares, and into what each context leaves to the shorter one.

    Returns the keys of the n-grams h w and, as h 0, of the contexts, and for each key its (c − D) / c(h) or γ(h).
    """
    n1, n2, n3, n4 = torch.bincount(counts.clamp(max=5), minlength=6)[1:5].tolist()  # n-grams seen once, twice...
    seen = torch.tensor([1.0, 2.0, 3.0])
    more = torch.tensor([n2, n3, n4]) / torch.tensor([n1, n2, n3])
    discounts = seen - (seen + 1) * n1 / max(1, n1 + 2 * n2) * more  # Chen & Goodman's D1, D2, D3+
    # If the text is too small for an estimate (0/0, all or nothing), use half of the largest valid discount.
    discounts = torch.where((discounts > 0) & (discounts < seen), discounts, seen / 2).to(keys.device)
    taken = discounts[counts.clamp(max=3).long() - 1]  # (M,)
    contexts, owner = torch.unique_consecutive(keys // base, return_inverse=True)  # (contexts,), (M,)
    totals = torch.zeros_like(contexts).index_add(0, owner, counts.long())  # (contexts,)
    saved = taken.new_zeros(len(contexts)).index_add(0, owner, taken)  # (contexts,)
    return torch.cat((keys, contexts * base)), torch.cat(((counts - taken) / totals[owner], saved / totals))
