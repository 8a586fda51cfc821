"""What several tests need: a text whose entropy is known, a model that looks at its whole context, one sentence."""

import bisect
import contextlib
import itertools
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from modelcraft.inference.decoder import DECODERS
from modelcraft.inference.rows import Decoder, Rows
from modelcraft.model import LanguageModel, ModelConfig, seeded
from modelcraft.support.errors import ModelCraftError

VOCABULARY = "\n abcdefg"


@dataclass(frozen=True)
class Chain:
    """A Markov chain over characters: no model of its text can do better, on average, than its entropy."""

    alphabet: str
    transitions: tuple[tuple[float, ...], ...]  # row: after this character; column: that one

    @property
    def entropy(self) -> float:
        """Nats per character: the rows' entropies, weighted by how often the chain is in each row."""
        often = [1 / len(self.alphabet)] * len(self.alphabet)
        for _ in range(2_000):
            often = [sum(p * row[j] for p, row in zip(often, self.transitions, strict=True)) for j in range(len(often))]
        rows = [-sum(p * math.log(p) for p in row if p) for row in self.transitions]
        return sum(p * h for p, h in zip(often, rows, strict=True))

    def text(self, length: int, seed: int) -> str:
        draw = random.Random(seed).random
        ends = [list(itertools.accumulate(row)) for row in self.transitions]
        state, written = 0, []
        for _ in range(length):
            state = min(bisect.bisect(ends[state], draw()), len(self.alphabet) - 1)
            written.append(self.alphabet[state])
        return "".join(written)


CHAIN = Chain(
    "\n abc",
    (
        (0.00, 0.10, 0.60, 0.20, 0.10),
        (0.05, 0.00, 0.20, 0.25, 0.50),
        (0.10, 0.30, 0.00, 0.55, 0.05),
        (0.05, 0.55, 0.30, 0.00, 0.10),
        (0.25, 0.05, 0.65, 0.05, 0.00),
    ),
)


class PrefixModel(LanguageModel):
    """Its logits depend on every character of the context and on its place: what a crop or a cache can get wrong."""

    def __init__(self, config) -> None:
        super().__init__(config)
        self.token = nn.Embedding(config.vocab_size, 7)
        self.position = nn.Embedding(config.block_size, 7)
        self.lm_head = nn.Linear(7, config.vocab_size)

    def forward(self, idx, targets=None):
        places = self.position.weight[: idx.shape[1]]
        logits = self.lm_head(torch.cumsum(self.token(idx) * (1 + places), dim=1))  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


class Scripted(LanguageModel):
    """Writes the ids that it was given, over and over, whatever it reads; each takes some seconds."""

    def __init__(self, ids, vocab_size: int, seconds: float = 0.0, work: Callable[[int], None] | None = None) -> None:
        super().__init__(ModelConfig(vocab_size=vocab_size, block_size=64))
        self.register_buffer("ids", torch.tensor(list(ids)))
        self.seconds, self.work = seconds, work

    def say(self, written: int) -> torch.Tensor:
        time.sleep(self.seconds)
        if self.work:
            self.work(written)
        return 100.0 * nn.functional.one_hot(self.ids[None, written % len(self.ids)], self.config.vocab_size)


class ScriptedRows(Rows):
    def __init__(self, model: Scripted) -> None:
        super().__init__(model)
        self.written: list[int] = []  # of each row, how many ids

    def join(self, prompts):
        logits = torch.cat([self.model.say(0) for _ in prompts])
        self.written += [1] * len(logits)
        return logits

    def step(self, newest):
        logits = torch.cat([self.model.say(count) for count in self.written])
        self.written = [count + 1 for count in self.written]
        return logits

    def leave(self, row):
        self.written[row] = self.written[-1]
        self.written.pop()


class ScriptedDecoder(Decoder):
    def rows(self):
        return ScriptedRows(self.model)


DECODERS[Scripted] = ScriptedDecoder


def ids(vocab_size: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make(model_class, config, seed: int = 1337):
    with seeded(seed):
        return model_class(config)


def spread(model: LanguageModel, seed: int = 0, std: float = 0.7) -> LanguageModel:
    """Give `model` weights with opinions: no two logits alike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=std, generator=generator)
    return model


@contextlib.contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Let the files in `folder` forbid what they forbid: root, whom nothing is forbidden, is nobody meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    modes = {one: one.stat().st_mode for one in (folder, *folder.parents) if one.stat().st_uid == 0}
    for one, mode in modes.items():
        one.chmod(mode | 0o011)  # the way there stays open
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)
        for one, mode in modes.items():
            one.chmod(mode)


def assert_one_sentence(error: BaseException, *parts: str) -> None:
    """Hold an error to the promise that its text is one sentence for a human, which contains `parts`."""
    assert isinstance(error, ModelCraftError)
    message = str(error)
    assert message.endswith(".") and message.isprintable(), message
    assert not re.search(r"[.!?] [A-Z]|Traceback|Error\b|Errno|object at 0x", message), message
    for part in parts:
        assert part in message, message
