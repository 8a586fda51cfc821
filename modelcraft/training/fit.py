"""Fit the rungs that are not trained step by step, and find the weights of a blend.

The parts of a blend learn from all of the training text, so none of it is left to measure how far to trust each part
on new text. Two stand-ins are used instead: counts of the first nine tenths of the training text, and a `gpt-mini`
trained on the same nine tenths. Their weights are fitted on the last tenth, and the blend takes these weights. The
validation text is never used. (If anything, a stand-in that is weaker than the GPT gives the GPT too little weight.)
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from modelcraft.blend import BlendConfig, BlendLanguageModel
from modelcraft.counting import CountingLanguageModel, count
from modelcraft.data import UNSCORED
from modelcraft.ladder import RUNGS
from modelcraft.model import LanguageModel, evaluating
from modelcraft.support.errors import CorpusError
from modelcraft.training.recipes import RECIPES
from modelcraft.training.trainer import Trainer

STAND_IN = "gpt-mini"
FIT_SHARE = 0.9


def fit_blend(
    train_data: Tensor, config: BlendConfig, network: LanguageModel, counting: LanguageModel
) -> BlendLanguageModel:
    """Return a blend of `network` and `counting`, its weights fitted to the training ids (N,) as described above."""
    assert isinstance(counting, CountingLanguageModel)
    n = int(FIT_SHARE * len(train_data))
    known, held_out = train_data[:n], train_data[n:]
    rung, recipe = RUNGS[STAND_IN], RECIPES[STAND_IN]
    learner = rung.build(replace(rung.config, vocab_size=config.vocab_size), network.device, recipe.seed)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(learner, known, held_out, recipe, Path(folder)).train(progress=True)
    counted = count(known, counting.config).to(network.device)
    stand_in = BlendLanguageModel(replace(config, block_size=learner.block_size), learner, counted)
    fit_weights(stand_in, held_out)
    blend = BlendLanguageModel(config, network, counting)
    blend.load_state_dict(stand_in.state_dict())
    return blend


def fit_weights(blend: BlendLanguageModel, held_out: Tensor, halvings: int = 24) -> float:
    """Fit `blend.w` in place to `held_out` (N,), text that neither part has learned from.

    So the parts here are not those of the finished model: make stand-ins of both from the first nine tenths of the
    training text, fit w on the last tenth, and load w into a blend of the parts that were made from all of the text.
    The validation text is never used. A level that hardly occurs stays near one half. Returns the remaining loss in
    nats per character. Raises CorpusError for a text without a pair of characters.
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


# By rung name, the function that turns training ids (N,), a config and parts into a model.
FITS: Mapping[str, Callable[..., LanguageModel]] = {"counting": count, "blend": fit_blend}
