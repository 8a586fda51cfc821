"""Start a training from trained weights in place of random ones.

A model that has learned English spelling learns the next English text in a few hundred steps. Its vocabulary may lack
characters of the new text, so it grows to the union of both: what the model has learned of its characters moves to
their new ids, and the new characters start near zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from modelcraft.gpt import GPTConfig
from modelcraft.ladder import Rung
from modelcraft.model import LanguageModel
from modelcraft.store.folder import load_folder
from modelcraft.store.load import identity, locate
from modelcraft.support.errors import ConfigError

FREE = {"dropout", "noise"}  # settings of a model that its weights do not depend on
FREE_OF_A_GPT = {*FREE, "block_size"}  # it has no table of positions
SMALL = 0.02  # the weights of a new character are its random ones times this: the first steps turn them quickly


@dataclass(frozen=True)
class Start:
    """A trained model that a training starts from; `origin` has its identity (`init_from`) and its `vocabulary`."""

    model: LanguageModel
    origin: Mapping[str, str]

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigError for a setting that the weights were not trained with."""
        free = FREE_OF_A_GPT if isinstance(self.model.config, GPTConfig) else FREE
        own, called = vars(self.model.config), self.origin["init_from"].rpartition("@")[0]
        for name, value in settings.items():
            if name in own and name not in free and value != own[name]:
                raise ConfigError(
                    f"{called} has {name} {own[name]}, not {value}; leave {name} out, or train from nothing, without "
                    "--init-from."
                )

    def copy_to(self, model: LanguageModel, vocabulary: str) -> None:
        """Give `model`, which knows the larger `vocabulary`, the trained weights in place.

        Where a tensor has a row (or a column) for each character, those of the known ones are taken over.
        """
        known = torch.tensor([vocabulary.index(character) for character in self.origin["vocabulary"]])
        trained, new = self.model.state_dict(), model.state_dict()
        for name, weights in new.items():
            weights.copy_(_grown(trained[name], weights, known))


def load_start(source: str, rung: Rung) -> Start:
    """Load the model to start a training of `rung` from: a rung's name, a folder or a Hub repository.

    Raises ConfigError if it is of another rung, and what `load` raises.
    """
    folder = locate(source)
    model, tokenizer, info = load_folder(folder, "cpu")
    if info.rung != rung.name:
        raise ConfigError(
            f"{source} is of the rung {info.rung}, so {rung.name} cannot start from it; leave --model out, or name a "
            f"{rung.name}."
        )
    return Start(model, {"init_from": identity(source, folder), "vocabulary": tokenizer.vocabulary})


def _grown(trained: Tensor, new: Tensor, known: Tensor) -> Tensor:
    """Return `trained` in the shape of `new`; a dimension that grew is the vocabulary, with the old ids at `known`."""
    if trained.shape == new.shape:
        return trained
    places = [known if old != size else torch.arange(size) for old, size in zip(trained.shape, new.shape, strict=True)]
    grown = SMALL * new.cpu()
    grown[torch.meshgrid(places, indexing="ij")] = trained
    return grown
