"""From a trained model to a model folder: the weights that are kept, measured exactly, with a card and a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from modelcraft.card import model_card, write_sample
from modelcraft.checkpoint import PICTURE_FILE, ModelInfo, round_to, save_folder
from modelcraft.data import Corpus
from modelcraft.evaluate import exact_losses
from modelcraft.ladder import Rung
from modelcraft.model import LanguageModel
from modelcraft.plots import loss_curve
from modelcraft.tokenizer import CharTokenizer
from modelcraft.train import Trainer


def export(
    trainer: Trainer, rung: Rung, corpus: Corpus, tokenizer: CharTokenizer, folder: Path, progress: bool = False
) -> ModelInfo:
    """Write the best model of `trainer` to `folder` and return what its config.json says."""
    model = rung.build(trainer.model.config, trainer.device)
    model.load_state_dict(trainer.best, strict=True)
    best = trainer.best_record
    training = {
        **asdict(trainer.config),
        "steps_done": trainer.step,
        "best_step": int(best["step"]) if best else 0,
        "seconds": round(trainer.seconds, 1),
        "device": trainer.device.type,
        "torch": torch.__version__,
    }
    return write_folder(model, rung, corpus, tokenizer, folder, training, trainer.records, progress)


def write_folder(
    model: LanguageModel,
    rung: Rung,
    corpus: Corpus,
    tokenizer: CharTokenizer,
    folder: Path,
    training: Mapping[str, Any],
    records: Sequence[dict[str, float]] = (),
    progress: bool = False,
) -> ModelInfo:
    """Write a trained model to `folder` and return what its config.json says.

    The losses are the exact ones of the weights that are stored, over the whole validation split.
    """
    round_to(model, rung.stored_as)
    model.eval()
    _, val_data = corpus.splits(tokenizer, model.block_size)
    info = ModelInfo(
        rung=rung.name,
        config=model.config,
        vocabulary=tokenizer.vocabulary,
        corpus={"name": corpus.name, "sha256": corpus.sha256, "characters": len(corpus.text)},
        training=dict(training),
        losses=exact_losses(model, val_data, progress=progress),
    )
    if records:
        loss_curve(records, folder / PICTURE_FILE, f"{rung.name} on {corpus.name}")
    card = model_card(info, model.num_parameters, write_sample(model, tokenizer), picture=bool(records))
    save_folder(folder, model, info, card, rung.stored_as)
    return info
