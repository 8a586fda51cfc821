"""Training settings: one frozen dataclass, checked when it is made, and an instance for each rung."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modelcraft.sampling import MAX_SEED
from modelcraft.support.checks import check_fields

MOST_STEPS = 1_000_000_000


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run; times are in steps, and a step is one batch of `batch_size` windows.

    The learning rate rises linearly for `warmup_steps`, stays constant, and falls linearly to `final_lr_share` of
    itself over the last `decay_share` of the run. `grad_clip` 0 and `weight_decay` 0 switch these off; matrices and
    tables decay, vectors do not. `patience` ends the run after that many evaluations without a better validation loss
    (None: never). `precision` "auto" uses bfloat16 if the hardware and the size of the model gain from it.

    The windows of a batch are random, or with `spread` laid evenly over the text (data.py): a training that reads the
    text a few times only then leaves out no part of it.

    With a `muon_learning_rate` Muon updates the matrices (optim.py) on the same schedule. With an `average` such as
    0.998 the measured and kept model is a running average of the weights over about 1 / (1 - average) steps.
    `compile` lets PyTorch compile the model's parts if there is a compiler. The first `held_out` of the training text
    is not learned from: at the end the model is calibrated on it (calibration.py).
    """

    steps: int = field(default=5000, metadata={"most": MOST_STEPS})
    batch_size: int = field(default=32, metadata={"most": 65_536})
    learning_rate: float = field(default=1e-3, metadata={"most": 100})
    warmup_steps: int = field(default=100, metadata={"least": 0, "most": MOST_STEPS})
    decay_share: float = 0.5
    final_lr_share: float = 0.0
    weight_decay: float = 0.0
    grad_clip: float = field(default=1.0, metadata={"most": 1_000_000})
    eval_interval: int = field(default=500, metadata={"most": MOST_STEPS})
    eval_batches: int = field(default=100, metadata={"most": MOST_STEPS})
    save_interval: int = field(default=500, metadata={"most": MOST_STEPS})
    patience: int | None = None
    seed: int = field(default=1337, metadata={"least": 0, "most": MAX_SEED})
    precision: str = field(default="auto", metadata={"choices": ("auto", "fp32", "bf16")})
    muon_learning_rate: float = field(default=0.0, metadata={"most": 100})
    average: float = 0.0
    compile: bool = False
    held_out: float = field(default=0.0, metadata={"most": 0.5})
    spread: bool = False

    def __post_init__(self) -> None:
        check_fields(self)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of step `step`, counted from 0."""
        return self.learning_rate * self.share_at(step)

    def share_at(self, step: int) -> float:
        """Return the share of the highest learning rate that step `step`, counted from 0, uses."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        decay_steps = math.ceil(self.decay_share * self.steps)
        left = (self.steps - step) / decay_steps if decay_steps else 1.0
        return self.final_lr_share + (1 - self.final_lr_share) * max(0.0, min(1.0, left))


# The video's small setting: every idea at the same sizes and the same budget.
_SMALL = TrainConfig(
    steps=5000,
    batch_size=32,
    learning_rate=1e-3,
    warmup_steps=0,
    decay_share=0.0,
    grad_clip=0.0,
    eval_interval=500,
    eval_batches=400,
    save_interval=500,
)

# The settings of `python -m modelcraft.train --model NAME`. A rung without any is fitted: see fit.py.
RECIPES: Mapping[str, TrainConfig] = {
    "bigram": TrainConfig(
        steps=3000,
        batch_size=1024,
        learning_rate=1e-2,
        decay_share=0.8,
        eval_interval=100,
        eval_batches=50,
        save_interval=300,
    ),
    "averaging": _SMALL,
    "head": _SMALL,
    "multihead": _SMALL,
    "feedforward": _SMALL,
    "residual": _SMALL,
    "block": _SMALL,
    "encoder-decoder": TrainConfig(
        steps=10_000,
        batch_size=32,
        learning_rate=2e-3,
        muon_learning_rate=0.02,
        warmup_steps=50,
        decay_share=0.6,
        weight_decay=0.1,
        average=0.99,
        eval_interval=500,
        eval_batches=16,
        save_interval=200,
    ),
    "gpt-mini": TrainConfig(
        steps=900,
        batch_size=16,
        learning_rate=4e-3,
        muon_learning_rate=0.02,
        weight_decay=0.1,
        decay_share=0.7,
        warmup_steps=0,
        grad_clip=0.0,
        eval_interval=900,
        eval_batches=4,
        save_interval=900,
        compile=True,
        spread=True,
    ),
    "gpt": TrainConfig(
        steps=6000,
        batch_size=16,
        learning_rate=3e-3,
        muon_learning_rate=0.02,
        weight_decay=0.1,
        average=0.99,
        decay_share=0.6,
        warmup_steps=0,
        grad_clip=0.0,
        eval_interval=500,
        eval_batches=16,
        save_interval=200,
        compile=True,
        held_out=0.02,
    ),
    "gpt-video": TrainConfig(
        steps=5000,
        batch_size=64,
        learning_rate=3e-4,
        weight_decay=0.01,
        warmup_steps=0,
        decay_share=0.0,
        grad_clip=0.0,
        eval_interval=500,
        eval_batches=200,
        save_interval=500,
        precision="bf16",
    ),
}


def gentler(recipe: TrainConfig, steps: int | None = None) -> TrainConfig:
    """Return `recipe` for a training that starts from trained weights: fewer steps, lower rates, a short warm-up.

    There are ten evaluations, and the best model is kept: a short text is soon known by heart. Nothing is held out,
    since the trained model may have learned from it.
    """
    steps = steps or max(300, recipe.steps // 10)
    return replace(
        recipe,
        steps=steps,
        learning_rate=recipe.learning_rate / 3,
        muon_learning_rate=recipe.muon_learning_rate / 3,
        warmup_steps=min(20, steps),
        decay_share=0.8,
        eval_interval=max(1, steps // 10),
        eval_batches=min(recipe.eval_batches, 50),
        save_interval=min(recipe.save_interval, steps),
        held_out=0.0,
    )


def adjusted(recipe: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """Return `recipe` with some settings replaced; another learning rate changes Muon's in proportion."""
    changed = replace(recipe, **settings)
    if "learning_rate" in settings and "muon_learning_rate" not in settings:
        muon = recipe.muon_learning_rate * changed.learning_rate / recipe.learning_rate
        changed = replace(changed, muon_learning_rate=muon)
    return changed
