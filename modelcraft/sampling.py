"""Sample the next character from logits: temperature, top-k, top-p, min-p, and one draw."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from modelcraft.support.checks import check_fields, check_number
from modelcraft.support.errors import ConfigError, ModelError

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class SamplingParams:
    """Settings for sampling; the constructor checks them (ConfigError).

    `temperature` 0 is greedy, 1 the model's own distribution. `top_k` keeps the k likeliest characters and those that
    tie with the last of them (None or 0: all), `top_p` the fewest that together have that much probability (1: all),
    `min_p` those with at least that share of the likeliest one's probability (0: all). `seed` None gives another text
    each time. The text ends before the first occurrence of the token ids `stop`; if empty, it runs to its length.
    """

    max_new_tokens: int = field(default=500, metadata={"least": 0, "most": 10_000_000})
    temperature: float = field(default=0.8, metadata={"most": 1_000})
    top_k: int | None = field(default=None, metadata={"least": 0})
    top_p: float = 1.0
    seed: int | None = field(default=None, metadata={"least": 0, "most": MAX_SEED})
    min_p: float = 0.0
    stop: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.stop, list | tuple):
            raise ConfigError("stop must be a list of token ids.")
        for token in self.stop:
            check_number("A token of stop", token, 0, 1_000_000, whole=True)
        object.__setattr__(self, "stop", tuple(self.stop))

    def make_generator(self) -> torch.Generator:
        """Return the generator for this request; without a seed, a differently seeded one each time.

        It is on the CPU whatever the model's device is, so that a seed gives the same numbers everywhere.
        """
        generator = torch.Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self.seed)
        return generator


def distribution(logits: Tensor, params: SamplingParams) -> Tensor:
    """Turn logits (B, V) into the probabilities (B, V) to sample from; excluded characters have 0.

    The order is temperature, top-k, top-p, min-p, each applied to the result of the one before. Top-p is nucleus
    sampling (Holtzman et al. 2019), min-p is from Nguyen et al. 2024. If characters tie, greedy keeps the first one.
    """
    if params.temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    # Subtract the largest logit first, so that a tiny temperature turns the others into -inf, never into inf - inf.
    scaled = logits - logits.amax(-1, keepdim=True)
    # A temperature below the smallest float32 would become 0.
    scaled = scaled / max(params.temperature, torch.finfo(torch.float32).tiny)
    if params.top_k and params.top_k < logits.shape[-1]:
        kth = scaled.topk(params.top_k).values[:, -1:]  # (B, 1)
        scaled = scaled.masked_fill(scaled < kth, -torch.inf)
    probs = scaled.softmax(-1)
    if params.top_p < 1:
        ranked, order = probs.sort(dim=-1, descending=True)
        # The total probability of likelier characters: for .5 .3 .2 it is 0 .5 .8, and top_p = .6 keeps .5 and .3.
        before = ranked.cumsum(-1) - ranked
        ranked = ranked.masked_fill((before >= params.top_p) & (before > 0), 0)
        probs = torch.zeros_like(probs).scatter(-1, order, ranked)
        probs = probs / probs.sum(-1, keepdim=True)
    if params.min_p > 0:
        probs = probs.masked_fill(probs < params.min_p * probs.amax(-1, keepdim=True), 0)
        probs = probs / probs.sum(-1, keepdim=True)
    return probs


def check_scores(logits: Tensor) -> None:
    """Raise ModelError if a logit is NaN, because then any sampled character would be meaningless."""
    if not logits.is_meta and bool(logits.isnan().any()):
        raise ModelError(
            "The model computes no numbers any more (NaN); get its weights again, or train it at a lower learning rate."
        )


def sample(logits: Tensor, params: SamplingParams, generator: torch.Generator | None = None) -> Tensor:
    """Draw the next tokens (B,) from logits (B, V) with one uniform number per row, or none if greedy.

    Inverse-transform sampling: lay the probabilities end to end, throw a dart, take the character it lands on. The
    lesson's `torch.multinomial` has the same distribution; here one number decides a row, so that the same numbers
    give the same text on every device and in every batch. Without a generator, torch's own one (on the CPU) is used.
    Raises ModelError if a logit is NaN.
    """
    check_scores(logits)
    if params.temperature == 0:
        return logits.argmax(-1)
    source = generator.device if generator is not None else torch.device("cpu")
    darts = torch.rand((len(logits), 1), device=source, generator=generator)
    return hit(distribution(logits.float(), params), darts)


def sample_rows(logits: Tensor, params: Sequence[SamplingParams], generators: Sequence[torch.Generator]) -> Tensor:
    """Draw the next tokens (B,) from logits (B, V), each row with its own parameters and generator.

    Each row's token is what `sample` would draw for it alone.
    """
    check_scores(logits)
    alike: dict[tuple[Any, ...], list[int]] = {}
    for row, p in enumerate(params):
        alike.setdefault((p.temperature, p.top_k, p.top_p, p.min_p), []).append(row)
    tokens = logits.argmax(-1)  # (B,)
    for rows in alike.values():
        if (p := params[rows[0]]).temperature == 0:
            continue
        darts = torch.cat([torch.rand((1, 1), generator=generators[row]) for row in rows])  # (rows, 1)
        if len(rows) == len(params):
            return hit(distribution(logits.float(), p), darts)
        at = torch.tensor(rows, device=logits.device)
        tokens[at] = hit(distribution(logits[at].float(), p), darts)
    return tokens


def hit(probs: Tensor, darts: Tensor) -> Tensor:
    """Return the characters (B,) of `probs` (B, V) on which the darts (B, 1), each from 0 to 1, land."""
    ends = probs.cumsum(-1)  # (B, V): where each character's interval ends, such as .5 .8 1.0
    dart = darts.to(probs.device) * ends[:, -1:]  # (B, 1)
    token = (ends <= dart).sum(-1)  # (B,): a dart at .63 has one whole interval before it, so it hits token 1
    # Rounding can put a dart at the very end, past the last interval: then use the likeliest character.
    return torch.where(token < probs.shape[-1], token, probs.argmax(-1))
