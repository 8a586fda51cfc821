"""ModelCraft: how GPT comes about, rung by rung.

import modelcraft

model, tokenizer = modelcraft.load("bigram")
ids = tokenizer.encode("ROMEO:")
for token in modelcraft.stream(model, ids, modelcraft.SamplingParams(max_new_tokens=500, seed=1)):
    print(tokenizer.decode([token]), end="", flush=True)
"""

from modelcraft.checkpoint import load
from modelcraft.errors import ModelCraftError
from modelcraft.generate import SamplingParams, sample, stream
from modelcraft.tokenizer import CharTokenizer

__all__ = ["CharTokenizer", "ModelCraftError", "SamplingParams", "load", "sample", "stream"]
