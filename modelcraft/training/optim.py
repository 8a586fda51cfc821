"""Choose which optimizer updates which parameters.

AdamW updates all of them, as in the video. With a `muon_learning_rate` it keeps the tables, `lm_head` and the vectors,
and Muon (Jordan et al. 2024) updates the matrices in between: it takes the momentum of a matrix's gradient and makes
all its directions equally long, so that the model learns rare directions as fast as common ones.
"""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from modelcraft.model import LanguageModel
from modelcraft.support.device import check_compile_cache, has_compiler, name_compiler
from modelcraft.support.errors import ModelCraftWarning, one_line
from modelcraft.training.recipes import TrainConfig

NOT_HIDDEN = ("embedding_table", "lm_head")  # the layers that read and write characters


def make_optimizers(model: LanguageModel, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Return the optimizers of a run, each group with its highest learning rate as `initial_lr`.

    Weight decay applies to matrices and tables, not to biases and gains.
    """
    check_compile_cache()
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    hidden = {name for name, p in named if p.ndim == 2 and not any(part in name for part in NOT_HIDDEN)}
    if not config.muon_learning_rate:
        hidden = set()
    rest = [p for name, p in named if name not in hidden]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [
                {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
                {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
        )
    ]
    if hidden:
        matrices = [p for name, p in named if name in hidden]
        optimizers.append(
            torch.optim.Muon(matrices, lr=config.muon_learning_rate, weight_decay=config.weight_decay, momentum=0.95)
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def set_share(optimizers: Sequence[torch.optim.Optimizer], share: float) -> None:
    """Set every learning rate to `share` of its highest."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share


def ema(averaged: Sequence[Tensor], current: Sequence[Tensor], decay: float, step: int) -> None:
    """Move a running average of the weights a little towards the current ones.

    It covers about 1 / (1 - decay) steps, at first fewer.
    """
    with torch.no_grad():
        torch._foreach_lerp_(list(averaged), list(current), 1 - min(decay, (step + 1) / (step + 10)))


def compile_parts(model: LanguageModel, trial: Callable[[], None]) -> None:
    """Let PyTorch compile the repeated parts of `model` on first use, in `trial`, which runs them forward and backward.

    If there is no compiler, or it fails, the parts stay as they are, and a ModelCraftWarning says so.
    """
    parts = list(getattr(model, "blocks", ()))  # they are alike, so compiling the first serves all
    if not parts:
        return
    if not has_compiler(model.device):
        _warn("There is no compiler for C++")
        return
    name_compiler(model.device)
    for part in parts:
        part.compile()
    try:
        trial()
    except Exception as error:  # a compiler has many ways to fail, and only the speed depends on it
        for part in parts:
            part._compiled_call_impl = None
        _warn(f"PyTorch cannot compile here ({one_line(error)})")


def _warn(why: str) -> None:
    warnings.warn(f"{why}, so the training runs uncompiled, and slower.", ModelCraftWarning, stacklevel=3)
