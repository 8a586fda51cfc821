"""ModelCraft: how GPT comes about, rung by rung.

import modelcraft

model, tokenizer = modelcraft.load("bigram")
ids = tokenizer.encode("ROMEO:")
for token in modelcraft.stream(model, ids, modelcraft.SamplingParams(max_new_tokens=500, seed=1)):
    print(tokenizer.decode([token]), end="", flush=True)
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelcraft.inference.stream import stream
    from modelcraft.sampling import SamplingParams, sample
    from modelcraft.store.load import load
    from modelcraft.support.errors import ModelCraftError
    from modelcraft.tokenizer import CharTokenizer

if sys.version_info < (3, 11):  # noqa: UP036 (whoever has an older one is told so, instead of what it cannot import)
    sys.exit(f"ModelCraft needs Python 3.11 or newer; this is {sys.version_info[0]}.{sys.version_info[1]}.")

__all__ = ["CharTokenizer", "ModelCraftError", "SamplingParams", "load", "sample", "stream"]

_HOMES = {
    "CharTokenizer": "tokenizer",
    "ModelCraftError": "support.errors",
    "SamplingParams": "sampling",
    "load": "store.load",
    "sample": "sampling",
    "stream": "inference.stream",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used: `python -m modelcraft.train` loads only its own."""
    if name not in _HOMES:
        raise AttributeError(f"module 'modelcraft' has no attribute {name!r}")
    return getattr(import_module(f"modelcraft.{_HOMES[name]}"), name)
