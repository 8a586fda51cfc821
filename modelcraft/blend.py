"""Rung: what a network learned and what counting remembers, mixed.

The idea. A GPT has learned how the text works, but not every word of it. Counting has learned no rule, and remembers
every six characters that it saw. Their mistakes are different ones, so that a weighted mean of both is better than
either:

    p = w · p_network + (1 − w) · p_counting

One w for all is good; better is one that depends on how much the counts know of the present context. They say so
themselves: γ, the share that the longest context they have seen leaves to shorter ones, is 0.06 after "shall ", which
they know well, and more than a half after what they saw once. So γ, in the code `doubt`, is cut into ten levels, and
each has its w: from 0.33 in the first, where counting is nearly sure, to 0.63 in the eighth.

The ten are fitted one by one: along each w the loss is a valley with one lowest point, and the sign of its slope says
on which side that is, so halving the interval from 0 to 1 two dozen times finds it. This must be done on text that
neither of the two has learned from: of a text they know by heart, both speak with a certainty that no new text bears
out.

Against either alone, in nats per character, each with its whole context in view: the GPT 1.4114, counting 1.5165, the
blend of them 1.3713.

Before you run it: can the mixture be worse than the better of the two? (On the text where w was fitted, no, or by a
hair, for the fit keeps w a little off 0 and 1. On another text, a little.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from modelcraft.counting import CountingLanguageModel, scored
from modelcraft.data import UNSCORED
from modelcraft.model import LanguageModel, ModelConfig, evaluating
from modelcraft.support.errors import CheckpointError, ConfigError, CorpusError


@dataclass(frozen=True)
class BlendConfig(ModelConfig):
    """The sizes of a blend: the network's vocabulary and context, and into how many parts doubt is cut."""

    block_size: int = 256
    levels: int = 10


class BlendLanguageModel(LanguageModel):
    """Mix the probabilities of a network and of counts; the weights `w` (levels,) are all that it has of its own.

    The two models are no submodules: `state_dict` is `w` alone, and each of them stays in its own folder. They follow
    the blend to a device and into eval mode.
    """

    protocols: ClassVar[tuple[str, ...]] = ("sliding", "disjoint")
    config: BlendConfig
    w: Tensor

    def __init__(
        self, config: BlendConfig, network: LanguageModel | None = None, counting: CountingLanguageModel | None = None
    ) -> None:
        """Take the parts; without them this is only the place where `w` is kept."""
        super().__init__(config)
        self.register_buffer("w", torch.full((config.levels,), 0.5))
        self.parts: tuple[LanguageModel, ...] = ()  # in a tuple PyTorch does not see them
        if network is None or counting is None:
            return
        if not config.vocab_size == network.config.vocab_size == counting.config.vocab_size:
            raise ConfigError(
                f"A blend and its parts need one vocabulary, and theirs have {config.vocab_size:,}, "
                f"{network.config.vocab_size:,} and {counting.config.vocab_size:,} characters; train them on one text."
            )
        if config.block_size != network.block_size:
            raise ConfigError(
                f"The block_size of a blend is its network's: {network.block_size:,}, not {config.block_size:,}."
            )
        self.parts = (network, counting)

    @property
    def network(self) -> LanguageModel:
        """The model that learned."""
        return self.parts[0]

    @property
    def counting(self) -> CountingLanguageModel:
        """The model that counted."""
        counting = self.parts[1]
        assert isinstance(counting, CountingLanguageModel)
        return counting

    @property
    def max_length(self) -> int:
        """The longest text that `forward` reads at once: its network's."""
        return self.network.max_length

    @property
    def num_parameters(self) -> int:
        """The number of values of both parts and of `w`."""
        return self.w.numel() + sum(part.num_parameters for part in self.parts)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the logits log p (B, T, V), T <= max_length, and, given `targets` (B, T), the mean loss in nats."""
        learned, counted = (part(idx)[0] for part in self.parts)  # (B, T, V) each
        return scored(self.mixed(learned, counted, self.level_of(idx)), targets)

    def level_of(self, idx: Tensor) -> Tensor:
        """Find which of the weights counts at each position: (B, T) -> (B, T), from 0 where the counts are sure."""
        doubt = self.counting.doubt(self.counting.contexts(idx))  # (B, T), from 0 to 1
        return (doubt * self.config.levels).long().clamp(max=self.config.levels - 1)

    def mixed(self, learned: Tensor, counted: Tensor, levels: Tensor) -> Tensor:
        """Return log(w · p_network + (1 − w) · p_counting) from both logits (..., V) and the levels (...)."""
        w = self.w[levels][..., None]  # (..., 1)
        return torch.logaddexp(w.log() + learned.log_softmax(-1), (1 - w).log() + counted)  # (..., V)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the parts, too."""
        for part in self.parts:
            part.train(mode)
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        for part in self.parts:
            part._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        if not self.w.is_meta and not bool(((self.w >= 0) & (self.w <= 1)).all()):
            raise CheckpointError("The weights of the blend are not from 0 to 1; get the model again.")


def fit_weights(blend: BlendLanguageModel, held_out: Tensor, halvings: int = 24) -> float:
    """Fit `blend.w` in place to `held_out` (N,), text that neither part has learned from.

    So the parts here are not those of the finished model: make both from the first nine tenths of the training text,
    by the same recipes, fit w on the last tenth of it, and load w into a blend of those that were made from all of it.
    The validation text is never looked at. A level that hardly occurs stays near one half. Returns the loss that is
    left, in nats per character. Raises CorpusError for a text without a pair of characters.
    """
    if len(held_out) < 2:
        raise CorpusError("The weights of a blend need a text of at least two characters to be fitted on.")
    found = []
    with evaluating(blend):
        for batch in blend.windows(held_out, blend.protocols[0]):  # as the loss is measured
            idx, targets = (batch[name].to(blend.device) for name in ("idx", "targets"))  # (rows, T) each
            scored_here = targets != UNSCORED
            answer = targets.clamp(min=0)[..., None]  # (rows, T, 1)
            learned, counted = (part(idx)[0].log_softmax(-1).gather(-1, answer)[..., 0] for part in blend.parts)
            rows = torch.stack((blend.level_of(idx), learned, counted))  # (3, rows, T)
            found.append(rows[:, scored_here].cpu().double())  # (3, n)
    levels, learned, counted = torch.cat(found, dim=1)  # (N-1,) each
    levels, counted, gain = levels.long(), counted.exp(), learned.exp() - counted.exp()
    low = torch.zeros(blend.config.levels, dtype=torch.float64)
    high = torch.ones_like(low)
    for _ in range(halvings):
        w = (low + high) / 2  # (levels,)
        # How the log-likelihood of each level grows with its w, and a little that keeps w off 0 and 1.
        slope = (0.5 / w - 0.5 / (1 - w)).index_add(0, levels, gain / (counted + w[levels] * gain))
        low, high = torch.where(slope > 0, w, low), torch.where(slope > 0, high, w)
    blend.w.copy_((low + high) / 2)
    return -float((counted + blend.w.cpu()[levels] * gain).log().mean())
