"""A ladder of small models for tests of what many rungs share: quick, unlike each other, and two of them odd."""

import time
from collections.abc import Callable
from pathlib import Path

from helpers import PrefixModel, spread

from modelcraft.bigram import BigramConfig, BigramLanguageModel
from modelcraft.inference.stream import SamplingParams, stream
from modelcraft.ladder import RUNGS, Rung
from modelcraft.model import ModelConfig
from modelcraft.serving.catalogue import Catalogue
from modelcraft.store.folder import ModelInfo, save_folder

ALPHABET = "".join(sorted("\n !',-.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
WELL = ["r-one", "r-two", "r-three", "r-four", "r-five"]
NARROW = "r-narrow"  # knows the letters x, y and z only
BROKEN = "r-broken"  # its weights are cut short
NAMES = [*WELL, NARROW, BROKEN]


def make_ladder(monkeypatch, folder: Path) -> Catalogue:
    """Register these rungs above the real ones, with weights in `folder`: the catalogue there has no others."""
    for i, name in enumerate(NAMES):
        alphabet = "xyz" if name == NARROW else ALPHABET
        if i % 2:
            model_class, config = PrefixModel, ModelConfig(vocab_size=len(alphabet), block_size=12)
        else:
            model_class, config = BigramLanguageModel, BigramConfig(vocab_size=len(alphabet), block_size=4, n_embd=8)
        rung = Rung(name, f"what {name} adds", model_class, config)
        monkeypatch.setitem(RUNGS, name, rung)
        model = spread(rung.build(config), seed=i).eval()
        info = ModelInfo(name, config, alphabet, losses={"disjoint": {"nats_per_character": 2.5 - i / 8}})
        save_folder(folder / name, model, info, "# A card\n")
    weights = folder / BROKEN / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    return Catalogue("cpu", folder)


def text_of(catalogue: Catalogue, name: str, prompt: str, length: int, seed: int, temperature: float = 0.8) -> str:
    """Return what the library writes."""
    entry = catalogue.get(name)
    ids = entry.tokenizer.encode(entry.tokenizer.normalize(prompt).text)
    return entry.tokenizer.decode(list(stream(entry.model, ids, SamplingParams(length, temperature, seed=seed))))


def slow_down(monkeypatch, catalogue: Catalogue, name: str, seconds: float | Callable[[], float]) -> list[float]:
    """Let every step of a model take longer; return the list of the times of its steps, which grows."""
    model = catalogue.get(name).model
    forward, steps = model.forward, []

    def slow_forward(*arguments):
        steps.append(time.monotonic())
        time.sleep(seconds() if callable(seconds) else seconds)
        return forward(*arguments)

    monkeypatch.setattr(model, "forward", slow_forward)
    return steps
