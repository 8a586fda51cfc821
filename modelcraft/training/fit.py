"""Rungs that are not trained step by step, and how the weights of a blend are found.

What is mixed was trained on all of the training text, so none of it is left to find out how far each part can be
trusted on new text. Two stand-ins are: counts of the first nine tenths of the training text, and a `gpt-mini` trained
on the same nine tenths. Their weights, fitted on the last tenth, are what the blend gets. The validation text is never
looked at. (A stand-in that is a weaker network than the GPT gives it too little weight, if anything.)
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from modelcraft.blend import BlendConfig, BlendLanguageModel, fit_weights
from modelcraft.counting import CountingLanguageModel, count
from modelcraft.ladder import RUNGS
from modelcraft.model import LanguageModel
from modelcraft.training.recipes import RECIPES
from modelcraft.training.trainer import Trainer

STAND_IN = "gpt-mini"
FIT_SHARE = 0.9


def fit_blend(
    train_data: Tensor, config: BlendConfig, network: LanguageModel, counting: LanguageModel
) -> BlendLanguageModel:
    """Return a blend of `network` and `counting`, its weights fitted to the training ids (N,) as said above."""
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


# By the rung's name: training ids (N,), config and parts in, model out.
FITS: Mapping[str, Callable[..., LanguageModel]] = {"counting": count, "blend": fit_blend}
