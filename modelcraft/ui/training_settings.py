"""What the form of a training shows of a rung's sizes and recipe, and what of that was changed."""

from typing import Any

import gradio as gr

from modelcraft.ladder import RUNGS
from modelcraft.serving.training_job import SIZES, bundled, recipe_of, sizes_of, trainable
from modelcraft.support.errors import ConfigError
from modelcraft.training.fit import FITS

NOTHING, BUNDLED = "nothing", "the bundled model"  # where a training starts from


def check_rung(rung: Any) -> None:
    """Raise ConfigError unless a visitor can train this rung."""
    if not isinstance(rung, str) or rung not in trainable():
        raise ConfigError(f"The rungs that can be trained here are {', '.join(trainable())}.")


def dropout_of(rung: str) -> float:
    """Return the dropout of a rung as its own config has it."""
    return float(vars(RUNGS[rung].config).get("dropout", 0.0))


def recipe_shown(rung: str, beginning: Any) -> list[Any]:
    """Set learning rate, batch and dropout to the recipe's; what a rung does not have is disabled."""
    recipe, trained = recipe_of(rung, beginning == BUNDLED), rung not in FITS
    return [
        gr.update(value=recipe.learning_rate, interactive=trained),
        gr.update(value=recipe.batch_size, interactive=trained),
        gr.update(value=dropout_of(rung), interactive="dropout" in vars(RUNGS[rung].config)),
    ]


def changed_settings(rung: str, beginning: Any, rate: Any, batch: Any, dropout: Any) -> dict[str, Any]:
    """Return the settings that are not the recipe's."""
    recipe, config = recipe_of(rung, beginning == BUNDLED), vars(RUNGS[rung].config)
    if rung in FITS:
        return {}
    given = {"learning_rate": (rate, recipe.learning_rate), "batch_size": (batch, recipe.batch_size)}
    given |= {"dropout": (dropout, dropout_of(rung))} if "dropout" in config else {}
    changed = {name: value for name, (value, usual) in given.items() if value not in (None, "", usual)}
    if isinstance(size := changed.get("batch_size"), float) and size.is_integer():
        changed["batch_size"] = int(size)
    return changed


def sizes_shown(rung: str, beginning: Any) -> list[Any]:
    """Set the dials to the sizes that a training begins with; those that cannot be set are disabled."""
    trained = bundled(rung) if beginning == BUNDLED else None
    sizes = sizes_of(RUNGS[rung])
    own = vars(trained.config) if trained else sizes
    return [
        gr.update(value=own[name], interactive=trained is None) if name in sizes else gr.update(interactive=False)
        for name in SIZES
    ]
