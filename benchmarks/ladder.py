"""What does each idea buy? Every rung at the same budget, three seeds each, and the block with parts of it taken out.

`python -m benchmarks.ladder` trains them all (`--jobs` at a time, one thread each), keeps each result in
`docs/ladder.jsonl` as soon as it is there, goes on where it was interrupted, and writes `docs/ladder.md` and
`docs/ladder.png` from that file, and the table into the README; `--write-only` does only the latter.
"""

import json
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from torch import Tensor, nn

from benchmarks.training import fit
from modelcraft.averaging import AveragingConfig, AveragingLanguageModel
from modelcraft.bigram import BigramConfig, BigramLanguageModel
from modelcraft.block import Block, BlockLanguageModel
from modelcraft.data import load_corpus
from modelcraft.feedforward import FeedForwardLanguageModel
from modelcraft.head import HeadConfig, HeadLanguageModel
from modelcraft.loss import exact_loss
from modelcraft.model import LanguageModel, seeded
from modelcraft.multihead import MultiHeadConfig, MultiHeadLanguageModel
from modelcraft.residual import BlockConfig, ResidualLanguageModel
from modelcraft.store.folder import WEIGHTS_DIR, read_info
from modelcraft.tokenizer import CharTokenizer
from modelcraft.training.recipes import TrainConfig

ROOT = Path(__file__).resolve().parent.parent
README, DOCS = ROOT / "README.md", ROOT / "docs"
RESULTS, TABLE, PLOT = DOCS / "ladder.jsonl", DOCS / "ladder.md", DOCS / "ladder.png"
SEEDS = (1, 2, 3)


class BlockWithoutResidual(Block):
    """The block, but what a layer makes of its input replaces it."""

    def forward(self, x: Tensor) -> Tensor:
        return self.ffwd(self.ln2(self.sa(self.ln1(x))))


class WithoutResidual(BlockLanguageModel):
    def __init__(self, config: BlockConfig) -> None:
        super().__init__(config)
        self.blocks = nn.Sequential(*[BlockWithoutResidual(config) for _ in range(config.n_layer)])


class WithoutPositions(BlockLanguageModel):
    """The block, but a character looks the same wherever it stands."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__(config)
        nn.init.zeros_(self.position_embedding_table.weight)
        self.position_embedding_table.weight.requires_grad_(False)


N_EMBD, BLOCK_SIZE = 64, 32
RECIPE = TrainConfig(steps=600, batch_size=32, learning_rate=3e-3, warmup_steps=50, decay_share=0.5)
BUDGET = "64 wide, context 32, 600 steps of 32 windows, AdamW at 3e-3, falling to 0 in the second half"
Maker = Callable[[], LanguageModel]
RUNGS: dict[str, Maker] = {
    "bigram": lambda: BigramLanguageModel(_sized(BigramConfig())),
    "averaging": lambda: AveragingLanguageModel(_sized(AveragingConfig())),
    "head": lambda: HeadLanguageModel(_sized(HeadConfig())),
    "multihead": lambda: MultiHeadLanguageModel(_sized(MultiHeadConfig())),
    "feedforward": lambda: FeedForwardLanguageModel(_sized(MultiHeadConfig())),
    "residual": lambda: ResidualLanguageModel(_sized(BlockConfig())),
    "block": lambda: BlockLanguageModel(_sized(BlockConfig())),
}
ABLATIONS: dict[str, Maker] = {
    "block, no residual path": lambda: WithoutResidual(_sized(BlockConfig())),
    "block, no positions": lambda: WithoutPositions(_sized(BlockConfig())),
    "block, one head": lambda: BlockLanguageModel(_sized(replace(BlockConfig(), n_head=1))),
}
SAME = {"block, no layer norm": "residual"}  # what the rung below is


def _sized(config: Any) -> Any:
    return replace(config, n_embd=N_EMBD, block_size=BLOCK_SIZE)


def train_one(name: str, seed: int) -> dict[str, Any]:
    """Train one model and return its exact loss."""
    corpus = load_corpus()
    train_data, val_data = corpus.splits(CharTokenizer.of(corpus.text), BLOCK_SIZE)
    with seeded(seed):
        model = {**RUNGS, **ABLATIONS}[name]()
    seconds = fit(model, train_data, RECIPE, seed)
    return {
        "rung": name,
        "seed": seed,
        "parameters": model.num_parameters,
        "seconds": round(seconds, 1),
        "train_loss": exact_loss(model, train_data[: len(val_data)]).nats_per_character,
        "val_loss": exact_loss(model, val_data).nats_per_character,
    }


def read_results() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def summary(results: list[dict[str, Any]], name: str) -> tuple[int, list[float]]:
    rows = [row for row in results if row["rung"] == SAME.get(name, name)]
    return rows[0]["parameters"], [row["val_loss"] for row in rows]


def table(results: list[dict[str, Any]]) -> str:
    """Return the tables as Markdown."""
    lines = [
        f"Exact validation loss (disjoint windows) at equal budget: {BUDGET}; mean and range of three seeds. On the "
        "right the bundled weights, of the video's small setting: 32 wide, context 8, 5,000 steps of 32 windows, AdamW "
        "at 1e-3 (`bigram`: by its own recipe).",
        "",
        "| rung | parameters | equal budget | range | the step buys | video's setting |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    before = None
    for name in RUNGS:
        parameters, losses = summary(results, name)
        video = read_info(WEIGHTS_DIR / name).validation_loss
        mean = statistics.mean(losses)
        step = f"{before - mean:+.3f}" if before else ""
        spread = f"{min(losses):.3f}–{max(losses):.3f}"
        lines.append(f"| {name} | {parameters:,} | {mean:.3f} | {spread} | {step} | {video:.3f} |")
        before = mean
    lines += ["", "| the block with … | parameters | equal budget | range | it costs |", "|---|---:|---:|---:|---:|"]
    block = statistics.mean(summary(results, "block")[1])
    for name in [*SAME, *ABLATIONS]:
        parameters, losses = summary(results, name)
        mean = statistics.mean(losses)
        spread = f"{min(losses):.3f}–{max(losses):.3f}"
        what = name.removeprefix("block, ")
        lines.append(f"| {what} | {parameters:,} | {mean:.3f} | {spread} | {mean - block:+.3f} |")
    return "\n".join(lines) + "\n"


def plot(results: list[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    names = [*RUNGS, *SAME, *ABLATIONS]
    figure = Figure(figsize=(8, 4.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        losses = summary(results, name)[1]
        color = "#8c2f1b" if name in RUNGS else "#8a8578"
        axes.barh(place, statistics.mean(losses), color=color, height=0.62)
        axes.plot(losses, [place] * len(losses), "|", color="#1e1a16", markersize=11)
        axes.text(max(losses) + 0.012, place, f"{statistics.mean(losses):.3f}", va="center", fontsize=9)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(1.7)
    axes.set_xlabel("exact validation loss, nats per character (equal budget; the strokes are the three seeds)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PLOT)


def main(
    jobs: Annotated[int, typer.Option(help="Models trained at a time.")] = 2,
    write_only: Annotated[bool, typer.Option("--write-only", help="Only write the table and the plot.")] = False,
) -> None:
    done = {(row["rung"], row["seed"]) for row in read_results()}
    wanted = [(name, seed) for seed in SEEDS for name in [*RUNGS, *ABLATIONS]]
    left = [] if write_only else [key for key in wanted if key not in done]
    with ProcessPoolExecutor(jobs) as pool:
        for future in as_completed([pool.submit(train_one, *key) for key in left]):
            row = future.result()
            print(row, flush=True)
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
    results = read_results()
    TABLE.write_text(table(results), encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    before, after = readme.split("<!-- ladder -->")[0], readme.split("<!-- /ladder -->")[1]
    README.write_text(f"{before}<!-- ladder -->\n{table(results)}<!-- /ladder -->{after}", encoding="utf-8")
    plot(results)
    print(table(results))


if __name__ == "__main__":
    typer.run(main)
