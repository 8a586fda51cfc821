"""Rung: what a network learned and what counting remembers, mixed.

The idea. A GPT has learned how the text works, but not every word of it. Counting has learned no rule, and remembers
every six characters that it saw. Their mistakes are different ones, so that a weighted mean of both is better than
either:

    p = w · p_network + (1 − w) · p_counting

One w for all is good; better is one that depends on how much the counts know of the present context. They say so
themselves: γ, the share that the longest context they have seen leaves to shorter ones, is 0.06 after "shall ", which
they know well, and more than a half after what they saw once. So γ, in the code `doubt`, is cut into ten levels, and
each has its w. For a small GPT that has only the text to learn from, w is 0.33 in the first level, where counting is
nearly sure, and 0.63 in the eighth. The bundled GPT had counting among its teachers and needs it little: 0.99 to 0.88.

The ten are fitted one by one: along each w the loss is a valley with one lowest point, and the sign of its slope says
on which side that is, so halving the interval from 0 to 1 two dozen times finds it. This must be done on text that
neither of the two has learned from: of a text they know by heart, both speak with a certainty that no new text bears
out.

Against either alone, in nats per character, each with its whole context in view: the GPT 1.3375, counting 1.5165, the
blend of them 1.3326. (Of a GPT without teachers, with 1.4114, the blend had 1.3713.)

Before you run it: can the mixture be worse than the better of the two? (On the text where w was fitted, no, or by a
hair, for the fit keeps w a little off 0 and 1. On another text, a little.)
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from modelcraft.counting import CountingLanguageModel
from modelcraft.model import LanguageModel, ModelConfig, scored
from modelcraft.support.errors import CheckpointError, ConfigError


@dataclass(frozen=True)
class BlendConfig(ModelConfig):
    """The sizes of a blend: the network's vocabulary and context, and into how many parts doubt is cut."""

    block_size: int = 256
    levels: int = 10


class BlendLanguageModel(LanguageModel):
    """Mixes the probabilities of a network and of counts.

    The weights `w` (levels,) are all that it has of its own, and all that its `state_dict` holds: each of the two parts
    is stored in its own folder.
    """

    protocols: ClassVar[tuple[str, ...]] = ("sliding", "disjoint")
    config: BlendConfig
    w: Tensor
    network: LanguageModel
    counting: CountingLanguageModel

    def __init__(
        self, config: BlendConfig, network: LanguageModel | None = None, counting: CountingLanguageModel | None = None
    ) -> None:
        """Take the parts; without them this is only the place where `w` is kept."""
        super().__init__(config)
        self.register_buffer("w", torch.full((config.levels,), 0.5))
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
        self.network, self.counting = network, counting
        self.register_state_dict_post_hook(_without_parts)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_parts_are_not_missing)  # type: ignore[no-untyped-call]

    @property
    def max_length(self) -> int:
        """The longest text that `forward` reads at once: its network's."""
        return self.network.max_length

    @property
    def num_parameters(self) -> int:
        """The number of values of both parts and of `w`."""
        return self.w.numel() + sum(part.num_parameters for part in self.children() if isinstance(part, LanguageModel))

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the logits log p (B, T, V), T <= max_length, and, given `targets` (B, T), the mean loss in nats."""
        learned, _ = self.network(idx)  # (B, T, V)
        counted, _ = self.counting(idx)  # (B, T, V)
        return scored(self.mixed(learned, counted, self.level_of(idx)), targets)

    def level_of(self, idx: Tensor) -> Tensor:
        """Find which of the weights counts at each position: (B, T) -> (B, T), from 0 where the counts are sure."""
        doubt = self.counting.table.doubt(self.counting.table.contexts(idx))  # (B, T), from 0 to 1
        return (doubt * self.config.levels).long().clamp(max=self.config.levels - 1)

    def mixed(self, learned: Tensor, counted: Tensor, levels: Tensor) -> Tensor:
        """Return log(w · p_network + (1 − w) · p_counting) from both logits (..., V) and the levels (...)."""
        w = self.w[levels][..., None]  # (..., 1)
        return torch.logaddexp(w.log() + learned.log_softmax(-1), (1 - w).log() + counted)  # (..., V)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        if not self.w.is_meta and not bool(((self.w >= 0) & (self.w <= 1)).all()):
            raise CheckpointError("The weights of the blend are not from 0 to 1; get the model again.")


def _without_parts(blend: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in [name for name in state if name.startswith((f"{prefix}network.", f"{prefix}counting."))]:
        del state[name]


def _parts_are_not_missing(blend: nn.Module, keys: Any) -> None:
    parts = {f"{name}.{key}" for name, part in blend.named_children() for key in part.state_dict()}
    keys.missing_keys[:] = [name for name in keys.missing_keys if name not in parts]
