"""How good is a model? An estimate while it trains, and the exact loss that is published.

`python -m modelcraft.evaluate bigram` prints the exact loss of a rung, a folder or a Hub repository.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from modelcraft.data import get_batch
from modelcraft.errors import CorpusError
from modelcraft.model import LanguageModel, evaluating

PROTOCOL = "mean over every character but the first, in disjoint windows of the model's context"


@dataclass(frozen=True)
class ExactLoss:
    """A loss that is not an estimate: no random batch, every character once."""

    nats_per_character: float
    bits_per_character: float
    characters: int
    window: int
    protocol: str = PROTOCOL

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return asdict(self)


def estimate_loss(
    model: LanguageModel,
    data: Tensor,
    eval_iters: int,
    batch_size: int,
    block_size: int | None = None,
    seed: int = 0,
) -> float:
    """Return the mean loss over `eval_iters` random batches, in nats per character.

    The batches are the same ones each time, so that two estimates differ only by what was learned in between.
    """
    generator = torch.Generator().manual_seed(seed)
    block_size = block_size or model.block_size
    with evaluating(model):
        losses = torch.zeros(eval_iters)
        for k in range(eval_iters):
            _, loss = model(*get_batch(data, block_size, batch_size, generator, model.device))
            losses[k] = loss
    return float(losses.mean())


def exact_loss(model: LanguageModel, data: Tensor, progress: bool = False) -> ExactLoss:
    """Return the mean loss over all of `data` (N,), cut into disjoint windows of the model's context.

    Each window is predicted from nothing but itself, as is usual in the literature; the last may be shorter. The
    first character of `data` has nothing before it and is not predicted.
    """
    n, block_size = len(data) - 1, model.block_size
    if n < 1:
        raise CorpusError("A loss needs a text of at least two characters.")
    whole = n - n % block_size
    total = 0.0
    rows = max(1, 16_384 // block_size)  # windows at a time: enough to be quick, few enough for a small memory
    with evaluating(model), tqdm(total=n, unit="char", desc="exact loss", leave=False, disable=not progress) as bar:
        inputs = torch.split(data[:whole].view(-1, block_size), rows)  # (rows, T) each
        targets = torch.split(data[1 : whole + 1].view(-1, block_size), rows)
        if n > whole:
            inputs, targets = (*inputs, data[whole:n][None]), (*targets, data[whole + 1 :][None])
        for x, y in zip(inputs, targets, strict=True):
            logits, _ = model(x.to(model.device))  # (rows, T, V)
            losses = F.cross_entropy(logits.float().flatten(0, 1).cpu(), y.flatten().cpu(), reduction="none")
            total += float(losses.double().sum())
            bar.update(y.numel())
    nats = total / n
    return ExactLoss(nats, nats / math.log(2), n, block_size)


if __name__ == "__main__":
    from modelcraft.commands import evaluate, run

    run(evaluate)
