"""Write a trained model to a model folder: the kept weights, measured exactly, with a card and a picture."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modelcraft.data import TINY_SHAKESPEARE, TRAIN_SHARE, Corpus
from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.inference.restoring import restore_all
from modelcraft.ladder import Rung
from modelcraft.loss import exact_loss, exact_losses
from modelcraft.model import LanguageModel
from modelcraft.store.card import model_card, write_sample
from modelcraft.store.folder import (
    CARD_FILE,
    PICTURE_FILE,
    SNIPPET,
    SNIPPETS,
    ModelInfo,
    load_folder,
    round_to,
    save_folder,
)
from modelcraft.support.errors import ModelCraftError, ModelCraftWarning, TrainingError, one_line
from modelcraft.support.files import write_text
from modelcraft.tokenizer import CharTokenizer
from modelcraft.training.calibration import calibrate
from modelcraft.training.plots import loss_curve
from modelcraft.training.trainer import METRICS_FILE, Trainer

SHORTEST = 4  # characters of a line that is worth a snippet


def export(
    trainer: Trainer,
    rung: Rung,
    corpus: Corpus,
    tokenizer: CharTokenizer,
    folder: Path,
    held_out: Tensor | None = None,
    progress: bool = False,
    exact: bool = True,
) -> ModelInfo:
    """Write the best model of `trainer` to `folder` and return what its config.json says.

    It is first calibrated on `held_out` (M,), training text that it has not learned from, if there is any. Raises
    TrainingError if training only made the model worse.
    """
    if trainer.diverged:
        first, last = (trainer.records[which]["val_loss"] for which in (0, -1))
        raise TrainingError(
            f"The model at step 0 was better than any after it (its validation loss is {first:,.4f}, at the end it is "
            f"{last:,.4f}), so none is kept; train with a lower --learning-rate, and see {METRICS_FILE} in "
            f"{str(trainer.folder)!r}."
        )
    if trainer.best_at_start:
        warnings.warn(
            "The model at step 0 is the best on the validation text, and is kept: what was learned does not carry over "
            "to it; train on more text, or fewer steps.",
            ModelCraftWarning,
            stacklevel=2,
        )
    model = rung.build(trainer.model.config, trainer.device)
    model.load_state_dict(trainer.best, strict=True)
    training = {
        **asdict(trainer.config),
        **_progress(trainer),
        "seconds": round(trainer.seconds, 1),
        "device": trainer.device.type,
        "torch": torch.__version__,
    }
    if start := trainer.about.get("start"):
        training["init_from"] = start["init_from"]
    if teachers := trainer.about.get("teachers"):
        training["teachers"] = teachers
    if held_out is not None and len(held_out):
        round_to(model, rung.stored_as)  # so that the loss before and the one after are both those of stored weights
        if exact:
            _, val_data = corpus.splits(tokenizer, model.block_size)
            training["uncalibrated_loss"] = exact_loss(model, val_data).nats_per_character
        training["temperature"] = round(calibrate(model, held_out), 4)
    return write_folder(model, rung, corpus, tokenizer, folder, training, trainer.records, progress, exact)


def exported(trainer: Trainer, folder: Path, exact: bool = True) -> ModelInfo | None:
    """Return what config.json says if `folder` already has what `export` would write, else None."""
    try:
        model, _, info = load_folder(folder, "cpu")
    except ModelCraftError:
        return None
    measured = set(info.losses) >= set(model.protocols) or not exact
    return info if measured and info.training.items() >= _progress(trainer).items() else None


def _progress(trainer: Trainer) -> dict[str, int]:
    best = trainer.best_record
    return {"steps_done": trainer.step, "best_step": int(best["step"]) if best else 0}


def write_folder(
    model: LanguageModel,
    rung: Rung,
    corpus: Corpus,
    tokenizer: CharTokenizer,
    folder: Path,
    training: Mapping[str, Any],
    records: Sequence[dict[str, float]] = (),
    progress: bool = False,
    exact: bool = True,
) -> ModelInfo:
    """Write a trained model to `folder` and return what its config.json says.

    The losses are the exact losses of the stored weights over the whole validation split; without `exact` none is
    measured. The model is written first; the picture, the sample and the card follow, and may fail with a
    ModelCraftWarning.
    """
    round_to(model, rung.stored_as)
    model.eval()
    _, val_data = corpus.splits(tokenizer, model.block_size)
    info = ModelInfo(
        rung=rung.name,
        config=model.config,
        vocabulary=tokenizer.vocabulary,
        corpus={
            "name": corpus.name,
            "sha256": corpus.sha256,
            "characters": len(corpus.text),
            "snippets": [] if corpus.name == TINY_SHAKESPEARE else snippets(corpus.text),
        },
        training=dict(training),
        losses=_measured(model, val_data, progress) if exact else {},
    )
    save_folder(folder, model, info, None, rung.stored_as)
    drawn, sample = False, ""
    if records:
        with _spared("picture"):
            loss_curve(records, folder / PICTURE_FILE, f"{rung.name} on {corpus.name}")
            drawn = True
    with _spared("sample"):
        sample = write_sample(model, tokenizer)
    with _spared("model card"):
        write_text(folder / CARD_FILE, model_card(info, model.num_parameters, sample, picture=drawn))
    return info


def snippets(text: str) -> list[str]:
    """Return how up to `SNIPPETS` lines from all over the training text begin, whole words if they have any."""
    lines = [line for line in text[: int(TRAIN_SHARE * len(text))].splitlines() if len(line.strip()) >= SHORTEST]
    found = []
    for place in range(SNIPPETS if lines else 0):
        line = lines[place * len(lines) // SNIPPETS].strip()
        begins = line if len(line) <= SNIPPET else line[: SNIPPET + 1].rpartition(" ")[0] or line[:SNIPPET]
        found.append(begins)
    return list(dict.fromkeys(found))


def _measured(model: LanguageModel, val_data: Tensor, progress: bool) -> dict[str, Any]:
    found: dict[str, Any] = exact_losses(model, val_data, progress=progress)
    if isinstance(model, EncoderDecoder):
        found["restored"] = restore_all(model, val_data, progress).as_dict()
    return found


@contextlib.contextmanager
def _spared(what: str) -> Iterator[None]:
    """Turn a failure of `what` into a warning: the model is written, and whole without it."""
    try:
        yield
    except Exception as error:  # drawing has many ways to fail, and nothing depends on it
        warnings.warn(
            f"The {what} could not be made ({one_line(error)}); the model is written, and whole without it.",
            ModelCraftWarning,
            stacklevel=4,
        )
