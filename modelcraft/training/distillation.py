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

import torch
from torch import Tensor
from tqdm import tqdm

from modelcraft.counting import CountingConfig, count
from modelcraft.data import UNSCORED, Batch, Windows, garble, window_starts
from modelcraft.model import LanguageModel, evaluating
from modelcraft.ngrams import LARGEST
from modelcraft.store.folder import load_folder
from modelcraft.store.load import identity, locate
from modelcraft.support.errors import ConfigError
from modelcraft.tokenizer import CharTokenizer

TEXT = 0.3  # of the target; the teachers have the rest
NETWORKS = 0.7  # of the teachers' part; the counts have the rest
TEMPERATURE = 1.15
FOLDS = 8


class Taught(Windows):
    """A text (N,) with what teachers find likely as each character but the first: `taught` (N-1, V), see `teach`."""

    def __init__(self, data: Tensor, taught: Tensor, block_size: int, device: torch.device) -> None:
        super().__init__(data, block_size, block_size, device)
        self.taught = taught

    def draw(
        self, batch_size: int, generator: torch.Generator | None = None, noise: float = 0.0, first: int | None = None
    ) -> Batch:
        """Draw windows as the text alone would; the targets are probabilities (B, T, V)."""
        starts = window_starts(len(self.data), self.block_size, batch_size, generator, first)  # (B, 1)
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
        model, knows, info = load_folder(folder, "cpu")
        if not model.continues:
            raise ConfigError(f"{source} is of the rung {info.rung}, which continues no text; name another teacher.")
        if knows.vocabulary != tokenizer.vocabulary:
            raise ConfigError(f"{source} knows other characters than this text has; name a teacher trained on it.")
        teachers.append((model, identity(source, folder)))
    return teachers


def teach(networks: Sequence[LanguageModel], data: Tensor, progress: bool = False) -> Tensor:
    """Return how likely the teachers find each character at each place of `data` (N,) but the first: (N-1, V), bf16.

    It takes minutes for a million characters.
    """
    vocab_size = networks[0].config.vocab_size
    taught = torch.zeros(len(data) - 1, vocab_size)
    with tqdm(total=len(networks) + FOLDS, desc="teachers", leave=False, disable=not progress) as bar:
        for network in networks:
            taught += probabilities(network, data, TEMPERATURE) * (NETWORKS / len(networks))
            bar.update()
        for fold in range(FOLDS):
            first, end = (len(data) * k // FOLDS for k in (fold, fold + 1))
            counted = count(torch.cat((data[:first], data[end:])), counting_config(vocab_size))
            before = max(0, first - counted.block_size)  # the context of the first character
            found = probabilities(counted, data[before:end])
            place = max(0, first - 1)  # of the first character in `taught`
            taught[place : end - 1] += (1 - NETWORKS) * found[place - before :]
            bar.update()
    return taught.bfloat16()


def counting_config(vocab_size: int) -> CountingConfig:
    """Return the rung's own config, with shorter n-grams where a large vocabulary leaves no room for them."""
    block_size = CountingConfig.block_size
    while (vocab_size + 1) ** (block_size + 1) > LARGEST:
        block_size -= 1
    return CountingConfig(vocab_size=vocab_size, block_size=block_size)


def probabilities(model: LanguageModel, data: Tensor, temperature: float = 1.0) -> Tensor:
    """Return p (N-1, V) of every character at each place of `data` (N,) but the first, with its whole context."""
    found = []
    with evaluating(model):
        for batch in model.dataset(data).windows("sliding"):
            logits, _ = model(batch["idx"].to(model.device))  # (rows, T, V)
            scored = (batch["targets"] != UNSCORED).to(logits.device)
            found.append((logits[scored] / temperature).softmax(-1).cpu())  # (n, V)
    return torch.cat(found)
