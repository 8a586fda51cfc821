"""The one interface that every rung has, so that callers need not know which rung they use.

There are two ways to generate text. `generate` is the video's loop: run the model over the whole context for every
character. `modelcraft.stream` uses inference/, where a rung with a cache is fast. A test checks that both agree (for
the GPT within its context: beyond it, its cache remembers more than `generate`, which crops).
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.data import Dataset, Windows
from modelcraft.sampling import SamplingParams, sample
from modelcraft.support.checks import check_fields
from modelcraft.support.errors import VocabularyError


@dataclass(frozen=True)
class ModelConfig:
    """The settings that every rung has; a rung adds its own sizes, and the constructor checks all of them.

    By its type, a field is a whole number from 1 to a million (or from `least` to `most` of its metadata), a share from
    0 to 1, or a switch; anything else raises ConfigError.
    """

    vocab_size: int = 65
    block_size: int = 8  # the context: how many characters the model can see

    def __post_init__(self) -> None:
        check_fields(self)


class LanguageModel(nn.Module):
    """A model of the next character.

    A rung implements `forward` and inherits `generate`. `protocols` are the ways to measure its exact loss; the first
    one is the one quoted.
    """

    protocols: ClassVar[tuple[str, ...]] = ("disjoint", "sliding")
    continues: ClassVar[bool] = True  # its text continues the prompt; if False, it is a separate text
    example: ClassVar[str] = "ROMEO:"  # a prompt that shows what it does

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Score every next character.

        `idx` (B, T) holds token ids with T <= block_size, `targets` (B, T) the ids that follow them. Returns the logits
        (B, T, V) and, given targets, the mean cross-entropy in nats.
        """
        raise NotImplementedError

    @classmethod
    def settings_for(cls, vocabulary: str) -> dict[str, Any]:
        """Return the config settings that depend on the model's vocabulary."""
        return {"vocab_size": len(vocabulary)}

    @property
    def block_size(self) -> int:
        """The longest context, in characters."""
        return self.config.block_size

    @property
    def max_length(self) -> int:
        """The longest text that `forward` reads at once; longer than the context if every position has a window."""
        return self.block_size

    @property
    def noise(self) -> float:
        """The share of noise in its inputs that is best for training, at the highest learning rate."""
        return 0.0

    def dataset(self, data: Tensor, block_size: int | None = None) -> Dataset:
        """Return `data` (N,) as a dataset to train and measure this model."""
        return Windows(data, block_size or self.block_size, self.max_length, self.device)

    @property
    def device(self) -> torch.device:
        """The device of the parameters (for a model that counts: of its tables)."""
        return next(itertools.chain(self.parameters(), self.buffers())).device

    @property
    def num_parameters(self) -> int:
        """The number of trained values."""
        return sum(p.numel() for p in self.parameters())

    @torch.no_grad()
    def generate(
        self,
        idx: Tensor,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Continue `idx` (B, T) by `max_new_tokens` characters, as the video does; return (B, T + new).

        Temperature 0 always takes the likeliest character. Without a generator, torch's own one is used. Raises
        ConfigError or VocabularyError for an invalid argument.
        """
        params = SamplingParams(max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p)
        self.check_context(idx)
        with evaluating(self):
            for _ in range(params.max_new_tokens):
                idx_cond = idx[:, -self.block_size :]  # (B, T): never more than the context
                logits, _ = self(idx_cond)  # (B, T, V)
                idx_next = sample(logits[:, -1, :], params, generator)  # (B,)
                idx = torch.cat((idx, idx_next[:, None]), dim=1)  # (B, T+1)
        return idx

    def check_context(self, idx: Tensor) -> None:
        """Raise VocabularyError unless `idx` is a (B, T) tensor of known ids with at least one row and column."""
        if idx.ndim != 2 or idx.dtype != torch.long:
            raise VocabularyError(f"A context is a LongTensor (B, T), not {tuple(idx.shape)} of {idx.dtype}.")
        if idx.numel() == 0:
            raise VocabularyError("The context is empty; give at least one character to continue.")
        if idx.is_meta:
            return
        lowest, highest = int(idx.min()), int(idx.max())
        if lowest < 0 or highest >= self.config.vocab_size:
            wrong = lowest if lowest < 0 else highest
            raise VocabularyError(
                f"There is no token {wrong} in this model's vocabulary: ids run from 0 to {self.config.vocab_size - 1}."
            )


def start_even(*layers: nn.Embedding | nn.Linear) -> None:
    """Give `layers` small initial weights and no bias, so that their outputs are about 0 for every character.

    With such an `lm_head`, an untrained model predicts every character equally, and its first loss is ln V.
    """
    for layer in layers:
        nn.init.normal_(layer.weight, std=0.02)
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)


def scored(logits: Tensor, targets: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return the log-probabilities (B, T, V) and, given `targets` (B, T), their mean loss in nats."""
    if targets is None:
        return logits, None
    return logits, F.nll_loss(logits.flatten(0, 1), targets.flatten())


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode (dropout off) and track no gradients; restore its previous mode afterwards."""
    was_training = model.training
    if was_training:  # eval() and train() visit every module, which would slow down the steps of a small model
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if was_training:
            model.train()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let `seed` decide the initial weights of a model made in this context, on the CPU; restore torch's generator."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
