"""Let one model learn from several: distillation (Hinton, Vinyals & Dean 2015).

Several GPTs that differ only in their seed make different mistakes, so the mean of their probabilities is better than
each of them, but it takes as long as all of them. So a student learns from that mean: its target is not only the
character that follows, but for the most part how likely its teachers found each character there. "An e, or else an a,
and never a q" says more than the one character that came, and a student of it does not learn its text by heart.

The teachers are calibrated for new text, and this one they know by heart in part, so their scores are divided by one
more temperature. And counting, whose mistakes are others (blend.py), has its say: of each eighth of the text, the
counts are those of the other seven.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from modelcraft.counting import CountingConfig, count
from modelcraft.data import UNSCORED, Batch, Windows, garble
from modelcraft.model import LanguageModel, evaluating
from modelcraft.store.folder import load_folder
from modelcraft.store.load import identity, locate
from modelcraft.support.errors import ConfigError
from modelcraft.tokenizer import CharTokenizer

TEXT = 0.3  # of the target; the teachers have the rest
NETWORKS = 0.7  # of the teachers' part; the counts have the rest
TEMPERATURE = 1.15
FOLDS = 8


class Taught(Windows):
    """A text (N,) in which what `teachers` find likely stands, for the most part, in place of what follows."""

    def __init__(self, data: Tensor, teachers: Sequence[LanguageModel], block_size: int, device: torch.device) -> None:
        super().__init__(data, block_size, block_size, device)
        self.teachers = teachers

    @cached_property
    def taught(self) -> Tensor:
        """What the teachers find likely at each place (N-1, V); it takes minutes, and 130 bytes a character."""
        return teach(self.teachers, self.data)

    def draw(self, batch_size: int, generator: torch.Generator | None = None, noise: float = 0.0) -> Batch:
        """Draw random windows; the targets are probabilities (B, T, V)."""
        starts = torch.randint(len(self.data) - self.block_size, (batch_size, 1), generator=generator)  # (B, 1)
        at = starts + torch.arange(self.block_size)  # (B, T)
        idx = self.data[at].to(self.device)
        targets = (1 - TEXT) * self.taught[at].to(self.device, torch.float32)  # (B, T, V)
        targets.scatter_add_(-1, self.data[at + 1, None].to(self.device), torch.full_like(targets[..., :1], TEXT))
        return {"idx": garble(idx, noise, generator) if noise else idx, "targets": targets}


def load_teachers(sources: Sequence[str], tokenizer: CharTokenizer) -> list[tuple[LanguageModel, str]]:
    """Load the teachers by their names, folders or Hub repositories, each with its identity.

    Raises ConfigError unless they continue texts of the same characters, and what `load` raises.
    """
    teachers = []
    for source in sources:
        folder = locate(source)
        model, knows, _ = load_folder(folder, "cpu")
        if not model.continues or knows.vocabulary != tokenizer.vocabulary:
            raise ConfigError(f"{source} cannot teach here: a teacher continues texts, of the same characters.")
        teachers.append((model, identity(source, folder)))
    return teachers


def teach(networks: Sequence[LanguageModel], data: Tensor) -> Tensor:
    """Return how likely the teachers find each character at each place of `data` (N,) but the first: (N-1, V), bf16."""
    taught = sum(probabilities(network, data, TEMPERATURE) for network in networks) * (NETWORKS / len(networks))
    assert isinstance(taught, Tensor)
    config = CountingConfig(vocab_size=networks[0].config.vocab_size)
    for fold in range(FOLDS):
        first, end = (len(data) * k // FOLDS for k in (fold, fold + 1))
        counted = count(torch.cat((data[:first], data[end:])), config)
        before = max(0, first - counted.block_size)  # the context of the first character
        taught[max(0, first - 1) : end - 1] += (1 - NETWORKS) * probabilities(counted, data[before:end])[
            max(0, first - 1) - before :
        ]
    return taught.bfloat16()


def probabilities(model: LanguageModel, data: Tensor, temperature: float = 1.0) -> Tensor:
    """Return p (N-1, V) of every character at each place of `data` (N,) but the first, with its whole context."""
    found = []
    with evaluating(model):
        for batch in model.dataset(data).windows("sliding"):
            logits, _ = model(batch["idx"].to(model.device))  # (rows, T, V)
            scored = (batch["targets"] != UNSCORED).to(logits.device)
            found.append((logits[scored] / temperature).softmax(-1).cpu())  # (n, V)
    return torch.cat(found)
