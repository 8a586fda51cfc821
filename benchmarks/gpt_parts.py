"""What did each part of gpt.py buy? A small GPT, trained with all of them, and with each one taken out.

`python -m benchmarks.gpt_parts` trains every variant one thread each, and prints a table. What dropout
and noise do does not show here: so short a training learns nothing by heart.
"""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Annotated
from unittest.mock import patch

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from benchmarks.training import fit
from modelcraft import gpt
from modelcraft.data import load_corpus
from modelcraft.gpt import Attention, FeedForward, GPTConfig, GPTLanguageModel
from modelcraft.loss import exact_loss
from modelcraft.model import seeded
from modelcraft.tokenizer import CharTokenizer
from modelcraft.training.recipes import TrainConfig

CONFIG = GPTConfig(block_size=64, n_embd=96, n_layer=3, dropout=0.0, noise=0.0)
RECIPE = TrainConfig(
    steps=300, batch_size=32, learning_rate=3e-3, muon_learning_rate=0.02, weight_decay=0.1, warmup_steps=0
)
SEEDS = (1, 2)


class LearnedPositions(GPTLanguageModel):
    """Positions from a table, as in the rungs below."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config)
        self.position_embedding_table = nn.Embedding(config.block_size, config.n_embd)

    def embed(self, idx: Tensor) -> Tensor:
        positions = self.position_embedding_table(torch.arange(idx.shape[1], device=idx.device))
        return gpt.norm(self.token_embedding_table(idx) + positions)


class NoZeros(GPTLanguageModel):
    """PyTorch's usual first weights everywhere; the head's small, so that the first loss is near ln 65."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config)
        for block in self.blocks:
            block.sa.proj.reset_parameters()
            block.ffwd.proj.reset_parameters()
        nn.init.normal_(self.lm_head.weight, std=0.02)


def bare_embedding(self: GPTLanguageModel, idx: Tensor) -> Tensor:
    out: Tensor = self.token_embedding_table(idx)
    return out


def relu(self: FeedForward, x: Tensor) -> Tensor:
    out: Tensor = self.proj(F.relu(self.fc(x)))
    return out


def ask_without_norm(self: Attention, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    q = self.query(x).unflatten(-1, (-1, self.head_size))
    return gpt.rotate(q, cos, sin).to(q.dtype).transpose(1, 2)


def offer_without_norm(self: Attention, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    k, v = (layer(x).unflatten(-1, (-1, self.head_size)) for layer in (self.key, self.value))
    return gpt.rotate(k, cos, sin).to(v.dtype).transpose(1, 2), v.transpose(1, 2)


def uncapped(self: GPTLanguageModel, x: Tensor) -> Tensor:
    out: Tensor = self.lm_head(gpt.norm(x)).float()
    return out


Variant = tuple[type[GPTLanguageModel], GPTConfig, TrainConfig, Callable[[], AbstractContextManager[object]]]
VARIANTS: dict[str, Variant] = {
    "all of it": (GPTLanguageModel, CONFIG, RECIPE, nullcontext),
    "AdamW for all in place of Muon": (GPTLanguageModel, CONFIG, replace(RECIPE, muon_learning_rate=0.0), nullcontext),
    "a table of positions in place of the rotation": (
        LearnedPositions,
        CONFIG,
        RECIPE,
        lambda: patch.object(gpt, "rotate", lambda x, cos, sin: x),
    ),
    "layer norm, which takes the mean off, in place of RMSNorm": (
        GPTLanguageModel,
        CONFIG,
        RECIPE,
        lambda: patch.object(gpt, "norm", lambda x: F.layer_norm(x, (x.shape[-1],))),
    ),
    "no norm after the embedding": (
        GPTLanguageModel,
        CONFIG,
        RECIPE,
        lambda: patch.object(GPTLanguageModel, "embed", bare_embedding),
    ),
    "no QK-norm": (
        GPTLanguageModel,
        CONFIG,
        RECIPE,
        lambda: patch.multiple(Attention, ask=ask_without_norm, offer=offer_without_norm),
    ),
    "ReLU in place of ReLU²": (GPTLanguageModel, CONFIG, RECIPE, lambda: patch.object(FeedForward, "forward", relu)),
    "no zeros at the start": (NoZeros, CONFIG, RECIPE, nullcontext),
    "no cap on the logits": (
        GPTLanguageModel,
        CONFIG,
        RECIPE,
        lambda: patch.object(GPTLanguageModel, "score", uncapped),
    ),
    "a key and value head for each query head": (GPTLanguageModel, replace(CONFIG, n_kv_head=4), RECIPE, nullcontext),
}


def train_one(name: str, seed: int) -> tuple[str, int, float]:
    corpus = load_corpus()
    train_data, val_data = corpus.splits(CharTokenizer.of(corpus.text), CONFIG.block_size)
    model_class, config, recipe, taken_out = VARIANTS[name]
    with taken_out():
        with seeded(seed):
            model = model_class(config)
        fit(model, train_data, recipe, seed)
        return name, model.num_parameters, exact_loss(model, val_data).nats_per_character


def main(jobs: Annotated[int, typer.Option(help="Models trained at a time.")] = 2) -> None:
    started = time.perf_counter()
    losses: dict[str, list[float]] = {name: [] for name in VARIANTS}
    parameters = {}
    with ProcessPoolExecutor(jobs) as pool:
        tasks = [(name, seed) for seed in SEEDS for name in VARIANTS]
        for name, size, loss in pool.map(train_one, *zip(*tasks, strict=True)):
            losses[name].append(loss)
            parameters[name] = size
            print(name, loss, flush=True)
    whole = statistics.mean(losses["all of it"])
    c, r = CONFIG, RECIPE
    print(
        f"\n{c.n_layer} layers, {c.n_embd} wide, context {c.block_size}, {r.steps} steps of {r.batch_size} windows, "
        f"{len(SEEDS)} seed; {time.perf_counter() - started:.0f} s\n"
    )
    print("| variant | parameters | exact validation loss | against all of it |\n|---|---:|---:|---:|")
    for name, several in losses.items():
        mean = statistics.mean(several)
        seeds = " / ".join(f"{loss:.3f}" for loss in several)
        print(f"| {name} | {parameters[name]:,} | {mean:.3f} ({seeds}) | {mean - whole:+.3f} |")


if __name__ == "__main__":
    typer.run(main)
