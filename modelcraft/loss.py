"""Measure how good a model is: an estimate during training, and the exact loss for publication.

`python -m modelcraft.evaluate gpt` prints the exact losses of a rung, a folder or a Hub repository.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from modelcraft.data import UNSCORED, Dataset
from modelcraft.model import LanguageModel, evaluating
from modelcraft.support.device import threads_by_size
from modelcraft.support.errors import CorpusError

PROTOCOLS = {
    "disjoint": "every character but the first, in disjoint windows of the model's context",
    "sliding": "every character but the first, each with at least the model's whole context before it",
    "right": "every character of every line, given the line without its vowels",
    "shuffled": "every character of every line, given another line without its vowels",
    "none": "every character of every line, given nothing to read",
}
KINDS = ("lower-case letters", "capitals", "space", "newline", "punctuation and the rest")


@dataclass(frozen=True)
class ExactLoss:
    """A loss that is not an estimate: no random batches, every character once."""

    nats_per_character: float
    bits_per_character: float
    characters: int
    window: int
    protocol: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CharacterLosses:
    """The loss of each scored character: `losses` (N,) in nats, `targets` (N,), and `positions` (N,) in its window."""

    losses: Tensor
    targets: Tensor
    positions: Tensor
    window: int
    protocol: str

    @property
    def exact(self) -> ExactLoss:
        """The mean over all scored characters."""
        nats = float(self.losses.double().mean())
        what = f"mean over {PROTOCOLS[self.protocol]}"
        return ExactLoss(nats, nats / math.log(2), len(self.losses), self.window, what)

    def by_position(self) -> list[dict[str, Any]]:
        """Return the mean loss of the 1st, 2nd to 3rd, 4th to 7th, 8th to 15th … character of a window."""
        rows, first = [], 1
        while first <= self.window:
            last = min(self.window, 2 ** math.ceil(math.log2(first + 1)) - 1 if first > 1 else 1)
            here = (self.positions >= first - 1) & (self.positions < last)
            rows.append(_row(f"{first}" if first == last else f"{first} to {last}", self.losses[here]))
            first = last + 1
        return [row for row in rows if row["characters"]]

    def by_kind(self, vocabulary: str) -> list[dict[str, Any]]:
        """Return the mean loss of each kind of character; `vocabulary` lists the characters in order of their ids."""
        of_id = torch.tensor([KINDS.index(_kind(character)) for character in vocabulary])
        of_target = of_id[self.targets]  # (N,)
        rows = [_row(name, self.losses[of_target == k]) for k, name in enumerate(KINDS)]
        return [row for row in rows if row["characters"]]


def _kind(character: str) -> str:
    if character in " \n":
        return "space" if character == " " else "newline"
    return KINDS[0] if character.islower() else KINDS[1] if character.isupper() else KINDS[4]


def _row(name: str, losses: Tensor) -> dict[str, Any]:
    nats = float(losses.double().mean()) if len(losses) else 0.0
    return {"what": name, "characters": len(losses), "nats_per_character": nats}


def estimate_loss(
    model: LanguageModel,
    data: Tensor,
    eval_iters: int,
    batch_size: int,
    block_size: int | None = None,
    seed: int = 0,
    after_batch: Callable[[], None] | None = None,
) -> float:
    """Return the mean loss over `eval_iters` random batches, in nats per character.

    The batches are the same each time, so that two estimates differ only by what the model learned in between.
    `after_batch` is called after each batch and can stop the estimate with an exception.
    """
    return mean_loss(model, model.dataset(data, block_size), eval_iters, batch_size, seed, after_batch)


def mean_loss(
    model: LanguageModel,
    dataset: Dataset,
    batches: int,
    batch_size: int,
    seed: int = 0,
    after_batch: Callable[[], None] | None = None,
) -> float:
    """Return the same as `estimate_loss`, for an existing dataset."""
    generator = torch.Generator().manual_seed(seed)
    with evaluating(model):
        losses = torch.zeros(batches)
        for k in range(batches):
            _, loss = model(**dataset.draw(batch_size, generator))
            losses[k] = loss
            if after_batch is not None:
                after_batch()
    return float(losses.mean())


def character_losses(
    model: LanguageModel, data: Tensor, protocol: str | None = None, progress: bool = False
) -> CharacterLosses:
    """Return the loss of every character of `data` (N,), by one of the model's protocols (None: the first).

    The first character has nothing before it, so it is not predicted.
    """
    if len(data) < 2:
        raise CorpusError("A loss needs a text of at least two characters.")
    protocol, data = protocol or model.protocols[0], data.cpu()
    losses, targets, positions = [], [], []
    with (
        evaluating(model),
        threads_by_size(model.num_parameters),
        tqdm(total=len(data) - 1, unit="char", desc=protocol, leave=False, disable=not progress) as bar,
    ):
        for batch in model.dataset(data).windows(protocol):
            answers = batch.pop("targets")  # (rows, T)
            scored = answers != UNSCORED
            logits, _ = model(**{name: tensor.to(model.device) for name, tensor in batch.items()})  # (rows, T, V)
            picked = logits[scored.to(logits.device)].float().cpu()  # (n, V)
            targets.append(answers[scored])  # (n,)
            losses.append(F.cross_entropy(picked, targets[-1], reduction="none"))
            positions.append(scored.nonzero()[:, 1])
            bar.update(len(targets[-1]))
    return CharacterLosses(torch.cat(losses), torch.cat(targets), torch.cat(positions), model.block_size, protocol)


def exact_loss(model: LanguageModel, data: Tensor, protocol: str | None = None, progress: bool = False) -> ExactLoss:
    """Return the mean loss over all of `data` (N,), in nats per character; see `character_losses`."""
    return character_losses(model, data, protocol, progress).exact


def exact_losses(model: LanguageModel, data: Tensor, progress: bool = False) -> dict[str, dict[str, Any]]:
    """Return the exact loss by each of the model's protocols, in the form that config.json stores."""
    return {name: exact_loss(model, data, name, progress).as_dict() for name in model.protocols}
