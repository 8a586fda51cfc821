"""Fit the rungs that are not trained step by step, and find the weights of a blend.

How far to trust each part of a blend can be measured only on text that neither has learned from. A GPT that held back
the beginning of the training text, to be calibrated on, is measured there itself, beside counts of the rest. If it held
nothing back, two stand-ins are measured: counts of the first nine tenths, and a `gpt-mini` trained on the same nine
tenths, on the last tenth; being weaker than the GPT, it gives the GPT too little weight. The validation text is never
used.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from modelcraft.blend import BlendConfig, BlendLanguageModel
from modelcraft.counting import CountingConfig, CountingLanguageModel, count
from modelcraft.data import UNSCORED
from modelcraft.ladder import RUNGS
from modelcraft.model import LanguageModel, evaluating
from modelcraft.support.errors import CorpusError
from modelcraft.training.recipes import RECIPES
from modelcraft.training.trainer import Trainer

Parts = Sequence[LanguageModel]
STAND_IN = "gpt-mini"
FIT_SHARE = 0.9


def fit_counting(train_data: Tensor, config: CountingConfig, parts: Parts = (), unseen: int = 0) -> LanguageModel:
    """Count the training ids (N,)."""
    return count(train_data, config)


def fit_blend(train_data: Tensor, config: BlendConfig, parts: Parts, unseen: int = 0) -> BlendLanguageModel:
    """Return a blend of `parts`, a network and counts, its weights fitted to the training ids (N,) as described above.

    The network has not learned from the first `unseen` of them.
    """
    network, counting = parts
    assert isinstance(counting, CountingLanguageModel)
    if unseen:
        counted = count(train_data[unseen:], counting.config).to(network.device)
        stand_in = BlendLanguageModel(config, network, counted)
        fit_weights(stand_in, train_data[:unseen])
    else:
        stand_in = _stand_in(train_data, config, network.device, counting.config)
    blend = BlendLanguageModel(config, network, counting)
    blend.w.copy_(stand_in.w)
    return blend


def _stand_in(
    train_data: Tensor, config: BlendConfig, device: torch.device, counts: CountingConfig
) -> BlendLanguageModel:
    """Make a blend of models of nine tenths of the training ids (N,), its weights fitted to the last tenth."""
    n = int(FIT_SHARE * len(train_data))
    known, held_out = train_data[:n], train_data[n:]
    rung, recipe = RUNGS[STAND_IN], RECIPES[STAND_IN]
    learner = rung.build(replace(rung.config, vocab_size=config.vocab_size), device, recipe.seed)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(learner, known, held_out, recipe, Path(folder)).train(progress=True)
    stand_in = BlendLanguageModel(
        replace(config, block_size=learner.block_size), learner, count(known, counts).to(device)
    )
    fit_weights(stand_in, held_out)
    return stand_in


def fit_weights(blend: BlendLanguageModel, held_out: Tensor, halvings: int = 24) -> float:
    """Fit `blend.w` in place to `held_out` (N,), text that neither part has learned from.

    So the counts here are not those of the finished model, which are of all of the training text. A level that hardly
    occurs stays near one half. Returns the remaining loss in nats per character. Raises CorpusError for a text without
    a pair of characters.
    """
    if len(held_out) < 2:
        raise CorpusError("The weights of a blend need a text of at least two characters to be fitted on.")
    found = []
    with evaluating(blend):
        for batch in blend.dataset(held_out).windows(blend.protocols[0]):  # as the loss is measured
            idx, targets = (batch[name].to(blend.device) for name in ("idx", "targets"))  # (rows, T) each
            scored_here = targets != UNSCORED
            answer = targets.clamp(min=0)[..., None]  # (rows, T, 1)
            learned, counted = (
                part(idx)[0].log_softmax(-1).gather(-1, answer)[..., 0] for part in (blend.network, blend.counting)
            )
            rows = torch.stack((blend.level_of(idx), learned, counted))  # (3, rows, T)
            found.append(rows[:, scored_here].cpu().double())  # (3, n)
    levels, learned, counted = torch.cat(found, dim=1)  # (N-1,) each
    levels, counted, gain = levels.long(), counted.exp(), learned.exp() - counted.exp()
    low = torch.zeros(blend.config.levels, dtype=torch.float64)
    high = torch.ones_like(low)
    for _ in range(halvings):
        w = (low + high) / 2  # (levels,)
        # The slope of each level's log-likelihood in its w, plus a small term that keeps w away from 0 and 1.
        slope = (0.5 / w - 0.5 / (1 - w)).index_add(0, levels, gain / (counted + w[levels] * gain))
        low, high = torch.where(slope > 0, w, low), torch.where(slope > 0, high, w)
    blend.w.copy_((low + high) / 2)
    return -float((counted + blend.w.cpu()[levels] * gain).log().mean())


# By rung name, the function that makes a model of training ids (N,), a config, parts, and how many ids those have not
# learned from.
FITS: Mapping[str, Callable[..., LanguageModel]] = {"counting": fit_counting, "blend": fit_blend}
