"""How good does a GPT get in a minute and a half of two CPU cores?

`python -m benchmarks.ninety_seconds` trains, one after the other and with everything included (imports, compilation,
the exact loss, writing the folder): a stand-in for the recipe that everyone copies for CPUs (a plain GPT of 0.8 million
parameters, context 64, AdamW, fp32, 2,000 steps of 12 × 64 characters), `gpt-mini` as `python -m modelcraft.train`
trains it, and `gpt-mini` for so few steps that it just passes what that recipe is known for, 1.88.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from modelcraft.checkpoint import read_info
from modelcraft.data import load_corpus
from modelcraft.evaluate import exact_loss
from modelcraft.ladder import RUNGS
from modelcraft.model import LanguageModel, ModelConfig
from modelcraft.tokenizer import CharTokenizer


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
        T = idx.shape[1]  # noqa: N806
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
    generator = torch.Generator().manual_seed(1337)
    for _ in range(2000):
        _, loss = model(**model.batch(train_data, 12, generator))
        assert loss is not None
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} {exact_loss(model, val_data).nats_per_character}")


def timed(*command: str) -> tuple[float, str]:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=True)
    return time.perf_counter() - started, done.stdout


def main(
    short: Annotated[int, typer.Option(help="Steps of the short run of gpt-mini.")] = 90,
    only_stand_in: Annotated[bool, typer.Option("--only-stand-in", hidden=True)] = False,
) -> None:
    if only_stand_in:
        stand_in()
        return
    rows: list[tuple[str, int, int, float, float]] = []
    seconds, printed = timed("benchmarks.ninety_seconds", "--only-stand-in")
    size, reached = printed.split()
    rows.append(("the usual recipe (stand-in)", int(size), 2000, seconds, float(reached)))
    steps = RUNGS["gpt-mini"].recipe.steps
    for name, n in (("gpt-mini, a few steps", short), ("gpt-mini", steps)):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "gpt-mini"
            seconds, _ = timed("modelcraft.train", "--model", "gpt-mini", "--steps", str(n), "--out", str(out))
            info = read_info(out)
        parameters = RUNGS["gpt-mini"].build(info.config, device="meta").num_parameters
        rows.append((name, parameters, n, seconds, info.validation_loss or 0.0))
    print(f"{torch.get_num_threads()} threads; wall time of the whole command\n")
    print("| recipe | parameters | steps | seconds | exact validation loss |")
    print("|---|---:|---:|---:|---:|")
    for name, parameters, n, seconds, loss in rows:
        print(f"| {name} | {parameters:,} | {n:,} | {seconds:.0f} | {loss:.4f} |")


if __name__ == "__main__":
    typer.run(main)
