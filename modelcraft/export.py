"""From a finished training to a model folder: the best weights, measured exactly, with a card and a picture."""

from dataclasses import asdict
from pathlib import Path

import torch

from modelcraft.card import model_card, write_sample
from modelcraft.checkpoint import PICTURE_FILE, ModelInfo, save_folder
from modelcraft.data import Corpus
from modelcraft.evaluate import exact_loss
from modelcraft.ladder import Rung
from modelcraft.plots import loss_curve
from modelcraft.tokenizer import CharTokenizer
from modelcraft.train import Trainer


def export(
    trainer: Trainer, rung: Rung, corpus: Corpus, tokenizer: CharTokenizer, folder: Path, progress: bool = False
) -> ModelInfo:
    """Write the best model of `trainer` to `folder` and return what its config.json says.

    The loss is the exact one of the weights that are stored, over the whole validation split.
    """
    model = rung.build(trainer.model.config)
    model.load_state_dict(trainer.best, strict=True)
    model.eval()
    best = trainer.best_record
    info = ModelInfo(
        rung=rung.name,
        config=model.config,
        vocabulary=tokenizer.vocabulary,
        corpus={"name": corpus.name, "sha256": corpus.sha256, "characters": len(corpus.text)},
        training={
            **asdict(trainer.config),
            "steps_done": trainer.step,
            "best_step": int(best["step"]) if best else 0,
            "seconds": round(trainer.seconds, 1),
            "device": trainer.device.type,
            "torch": torch.__version__,
        },
        losses=exact_loss(model, trainer.val_data, progress=progress).as_dict(),
    )
    loss_curve(trainer.records, folder / PICTURE_FILE, f"{rung.name} on {corpus.name}")
    card = model_card(info, model.num_parameters, write_sample(model, tokenizer), picture=True)
    save_folder(folder, model, info, card)
    return info
