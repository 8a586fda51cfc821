"""The one way in which a model writes: texts join as rows, take a step together, and leave.

Here every rung can do it: the last characters of each text are read anew for every new one, and all texts of one length
in one batch. What is faster (gpt.py, encoder_decoder.py, decoder.py) replaces parts of it, and a test holds it equal.
"""

import torch
from torch import Tensor

from modelcraft.inference.stop import Stop
from modelcraft.model import LanguageModel


class Rows:
    """Texts that one model writes at the same time, a row each."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.texts: list[Tensor] = []  # the last characters of each row, (T,) with T <= block_size

    def join(self, prompt: Tensor) -> Tensor:
        """Read a prompt (1, T) into a new row, the last one; return the logits (1, V) of what follows."""
        text = prompt[0, -self.model.block_size :]
        logits = self.read([text])  # first: what cannot be read leaves no row behind
        self.texts.append(text)
        return logits

    def step(self, newest: Tensor) -> Tensor:
        """Read the newest token of each row, (B, 1); return the logits (B, V) of the next."""
        longer = [torch.cat((text, token)) for text, token in zip(self.texts, newest, strict=True)]
        self.texts = [text[-self.model.block_size :] for text in longer]
        return self.read(self.texts)

    def leave(self, row: int) -> None:
        """Forget a row; the last one takes its place."""
        self.texts[row] = self.texts[-1]
        self.texts.pop()

    def read(self, texts: list[Tensor]) -> Tensor:
        """Return the logits (B, V) of what follows each of the texts."""
        lengths = [len(text) for text in texts]
        if len(set(lengths)) == 1:  # soon all texts are as long as the context
            return self.last(torch.stack(texts))
        logits = torch.empty((len(texts), self.model.config.vocab_size), device=self.model.device)
        for length in set(lengths):
            rows = [row for row, one in enumerate(lengths) if one == length]
            logits[rows] = self.last(torch.stack([texts[row] for row in rows]))
        return logits

    def last(self, idx: Tensor) -> Tensor:
        """Return the logits (B, V) of what follows texts of one length, (B, T)."""
        logits, _ = self.model(idx)  # (B, T, V)
        return logits[:, -1]


class Decoder:
    """A model, as its weights are now, ready to write: what is prepared once for all texts, and rows for some."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @property
    def longest_prompt(self) -> int:
        """How many tokens of a prompt are read, the last ones; what is before them changes nothing."""
        return self.model.block_size

    def stops(self, prompt: Tensor) -> list[Stop]:
        """Return where a text after `prompt` (1, T) is complete before its length: of most models nowhere."""
        return []

    def rows(self) -> Rows:
        """Return room for texts that are written together."""
        return Rows(self.model)

    def warm_up(self) -> None:
        """Do what takes long and makes steps faster; whoever writes for hours calls it, in the background."""
