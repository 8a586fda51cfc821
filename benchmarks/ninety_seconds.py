"""How good does a GPT get in a minute and a half of two CPU cores?

`python -m benchmarks.ninety_seconds` trains, one after the other, each in a process of its own, and takes the wall time
of all of it, from the imports to the exact loss (disjoint windows):

- a stand-in for the recipe that everyone copies for CPUs, which is known for 1.88: a plain GPT of 0.8 million
  parameters, context 64, AdamW, fp32, 2,000 steps of 12 × 64 characters;
- a GPT of our kind that is to pass 1.88 as soon as it can: smaller, uncompiled, 190 steps of 24 × 64 characters;
- `gpt-mini`, by its recipe;
- `gpt-mini` once more as the whole command that a learner types, which also measures the loss with sliding windows,
  writes a sample and the folder, and draws the curve.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from modelcraft.data import load_corpus
from modelcraft.gpt import GPTConfig
from modelcraft.ladder import RUNGS
from modelcraft.loss import exact_loss
from modelcraft.model import LanguageModel, ModelConfig
from modelcraft.store.folder import read_info
from modelcraft.tokenizer import CharTokenizer
from modelcraft.training.recipes import RECIPES, TrainConfig
from modelcraft.training.trainer import Trainer


class PlainGPT(LanguageModel):
    """PyTorch's own transformer layers: pre-norm, GELU, learned positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        n_embd, n_head, n_layer = 128, 4, 4
        self.tokens = nn.Embedding(config.vocab_size, n_embd)
        self.positions = nn.Embedding(config.block_size, n_embd)
        layer = nn.TransformerEncoderLayer(
            n_embd, n_head, 4 * n_embd, dropout=0.0, activation="gelu", batch_first=True, norm_first=True, bias=False
        )
        self.blocks = nn.TransformerEncoder(layer, n_layer, nn.LayerNorm(n_embd), enable_nested_tensor=False)
        self.head = nn.Linear(n_embd, config.vocab_size, bias=False)
        self.head.weight = self.tokens.weight
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        T = idx.shape[1]
        x = self.tokens(idx) + self.positions(torch.arange(T))
        mask = nn.Transformer.generate_square_subsequent_mask(T)
        logits = self.head(self.blocks(x, mask=mask, is_causal=True))
        return logits, None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def stand_in() -> None:
    """Train the stand-in and print its exact loss."""
    torch.manual_seed(1337)
    corpus = load_corpus()
    tokenizer = CharTokenizer.of(corpus.text)
    train_data, val_data = corpus.splits(tokenizer, 64)
    model = PlainGPT(ModelConfig(tokenizer.vocab_size, 64))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=100)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1900, eta_min=1e-4)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm_up, cosine], [100])
    dataset, generator = model.dataset(train_data), torch.Generator().manual_seed(1337)
    for _ in range(2000):
        _, loss = model(**dataset.draw(12, generator))
        assert loss is not None
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} {exact_loss(model, val_data).nats_per_character}")


def ours(config: GPTConfig, recipe: TrainConfig) -> None:
    """Train one of ours by its recipe and print its exact loss."""
    corpus = load_corpus()
    tokenizer = CharTokenizer.of(corpus.text)
    train_data, val_data = corpus.splits(tokenizer, config.block_size)
    model = RUNGS["gpt-mini"].build(config)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, train_data, val_data, recipe, Path(folder))
        trainer.train()
    model.load_state_dict(trainer.best)
    print(f"{model.num_parameters} {exact_loss(model, val_data).nats_per_character}")


def timed(*command: str) -> tuple[float, str]:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=True)
    return time.perf_counter() - started, done.stdout


def main(
    only: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    rung, recipe = RUNGS["gpt-mini"], RECIPES["gpt-mini"]
    assert isinstance(rung.config, GPTConfig)
    small = replace(rung.config, block_size=64, n_layer=3, n_head=2, n_kv_head=1)
    quick = replace(
        recipe,
        steps=190,
        batch_size=24,
        learning_rate=1e-2,
        muon_learning_rate=0.04,
        compile=False,
        eval_interval=190,
        save_interval=190,
    )
    ways: dict[str, tuple[str, int, Callable[[], None]]] = {
        "stand-in": ("the usual recipe (stand-in)", 2000, stand_in),
        "quick": ("1.88 as soon as possible", quick.steps, lambda: ours(small, quick)),
        "mini": ("gpt-mini", recipe.steps, lambda: ours(rung.config, recipe)),  # type: ignore[arg-type]
    }
    if only:
        ways[only][2]()
        return
    rows: list[tuple[str, int, int, float, float]] = []
    for key, (name, steps, _) in ways.items():
        seconds, printed = timed("benchmarks.ninety_seconds", "--only", key)
        parameters, reached = printed.split()
        rows.append((name, int(parameters), steps, seconds, float(reached)))
    with tempfile.TemporaryDirectory() as folder:
        seconds, _ = timed("modelcraft.train", "--model", "gpt-mini", "--out", f"{folder}/gpt-mini")
        info = read_info(Path(folder) / "gpt-mini")
    rows.append(("gpt-mini, the whole command", info.parameters or 0, recipe.steps, seconds, info.validation_loss or 0))
    print(f"{torch.get_num_threads()} threads; wall time of the whole command\n")
    print("| recipe | parameters | steps | seconds | exact validation loss |")
    print("|---|---:|---:|---:|---:|")
    for name, count, n, seconds, loss in rows:
        print(f"| {name} | {count:,} | {n:,} | {seconds:.0f} | {loss:.4f} |")


if __name__ == "__main__":
    typer.run(main)
