"""How the encoder–decoder writes: a speech is encoded once, and of a reply only what is new is read."""

import torch
from torch import Tensor

from modelcraft.encoder_decoder import EncoderDecoder, Turn
from modelcraft.inference.rows import Decoder, Rows


class TurnRows(Rows):
    """Each row is a play of its own, at its own place: a prompt is a speech, and what is written answers it."""

    model: EncoderDecoder

    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__(model)
        self.turns: list[Turn] = []

    def join(self, prompt: Tensor) -> Tensor:
        """Hear a speech (1, T) in a new row, the last one; return the logits (1, V) of what follows."""
        turn = self.model.hear(prompt[0])
        logits = self.model.answer(turn)
        self.turns.append(turn)
        return logits

    def step(self, newest: Tensor) -> Tensor:
        """Read the newest token of each row, (B, 1); return the logits (B, V) of the next."""
        self.turns = [self.model.read(turn, token) for turn, token in zip(self.turns, newest, strict=True)]
        return torch.cat([self.model.answer(turn) for turn in self.turns])

    def leave(self, row: int) -> None:
        """Forget a row; the last one takes its place."""
        self.turns[row] = self.turns[-1]
        self.turns.pop()


class EncoderDecoderDecoder(Decoder):
    """How the rung encoder-decoder writes."""

    model: EncoderDecoder

    def rows(self) -> Rows:
        """Return room for texts that are written together."""
        return TurnRows(self.model)
