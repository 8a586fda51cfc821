"""The table that counting looks up."""

import torch

from modelcraft.ngrams import discounted


def test_the_discounts_are_chen_and_goodmans():
    """40 contexts with one character each: 16 seen once, 12 twice, 8 three times, 4 four times; γ is D / c there."""
    counts = torch.tensor([1] * 16 + [2] * 12 + [3] * 8 + [4] * 4)
    keys = torch.arange(40) * 10 + 1
    found, shares = discounted(keys, counts, base=10)
    y = 16 / (16 + 2 * 12)
    d1, d2, d3 = 1 - 2 * y * 12 / 16, 2 - 3 * y * 8 / 12, 3 - 4 * y * 4 / 8
    assert torch.equal(found, torch.cat((keys, keys - 1)))
    taken = torch.tensor([d1] * 16 + [d2] * 12 + [d3] * 12)
    torch.testing.assert_close(shares, torch.cat(((counts - taken) / counts, taken / counts)))
