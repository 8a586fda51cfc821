"""The one way in which models generate text: texts join as rows, take steps together, and leave.

The version here works for every rung: for each new character it rereads the last characters of each text, with all
texts of one length in one batch. Faster versions (gpt.py, encoder_decoder.py, decoder.py) replace parts of it, and a
test checks that they give the same results.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from modelcraft.inference.stop import Stop
from modelcraft.model import LanguageModel


class Rows:
    """Texts that one model generates at the same time, one row each."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.texts: list[Tensor] = []  # the last characters of each row, (T,) with T <= block_size

    def join(self, prompts: Iterable[Tensor]) -> Tensor:
        """Read k prompts, (T,) each, into new last rows; return the logits (k, V) of the token after each."""
        texts = [prompt[-self.model.block_size :] for prompt in prompts]
        logits = self.read(texts)  # first, so that prompts that cannot be read leave no rows behind
        self.texts += texts
        return logits

    def step(self, newest: Tensor) -> Tensor:
        """Read the newest token of each row, (B, 1); return the logits (B, V) of the next."""
        longer = [torch.cat((text, token)) for text, token in zip(self.texts, newest, strict=True)]
        self.texts = [text[-self.model.block_size :] for text in longer]
        return self.read(self.texts)

    def leave(self, row: int) -> None:
        """Remove a row; the last row takes its place."""
        self.texts[row] = self.texts[-1]
        self.texts.pop()

    def read(self, texts: list[Tensor]) -> Tensor:
        """Return the logits (B, V) of the token after each text."""
        lengths = [len(text) for text in texts]
        if len(set(lengths)) == 1:  # soon all texts are as long as the context
            return self.last(torch.stack(texts))
        logits = torch.empty((len(texts), self.model.config.vocab_size), device=self.model.device)
        for length in set(lengths):
            rows = [row for row, one in enumerate(lengths) if one == length]
            logits[rows] = self.last(torch.stack([texts[row] for row in rows]))
        return logits

    def last(self, idx: Tensor) -> Tensor:
        """Return the logits (B, V) of the token after each text; all texts have one length, (B, T)."""
        logits, _ = self.model(idx)  # (B, T, V)
        return logits[:, -1]


class Decoder:
    """A model prepared to generate text with its current weights: it does work for all texts once, and makes rows."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @property
    def longest_prompt(self) -> int:
        """The number of tokens read from the end of a prompt; earlier ones change nothing."""
        return self.model.block_size

    def stops(self, prompt: Tensor) -> list[Stop]:
        """Return the stops that end a text after `prompt` (1, T) before its length; most models have none."""
        return []

    def rows(self) -> Rows:
        """Return empty rows for texts that are generated together."""
        return Rows(self.model)

    def warm_up(self) -> None:
        """Do slow work that makes steps faster; a program that runs for hours calls this in the background."""
