"""The shortest training that follows a recipe: for the many small models of the benchmarks, one thread each."""

import time

import torch
from torch import Tensor

from modelcraft.model import LanguageModel
from modelcraft.training.optim import make_optimizers, set_share
from modelcraft.training.recipes import TrainConfig


def fit(model: LanguageModel, train_data: Tensor, recipe: TrainConfig, seed: int) -> float:
    """Train `model` in place on ids (N,), as the Trainer does but for evaluations and gradient clipping; seconds."""
    torch.set_num_threads(1)
    optimizers = make_optimizers(model, recipe)
    dataset, generator = model.dataset(train_data), torch.Generator().manual_seed(seed)
    model.train()
    started = time.perf_counter()
    for step in range(recipe.steps):
        share = recipe.share_at(step)
        set_share(optimizers, share)
        _, loss = model(**dataset.draw(recipe.batch_size, generator, model.noise * share))
        assert loss is not None
        model.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    model.eval()
    return time.perf_counter() - started
