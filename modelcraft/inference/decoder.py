"""Which way of writing a model has: the fastest there is for its type, and for all others the context, read anew."""

import torch
from torch import Tensor

from modelcraft.blend import BlendLanguageModel
from modelcraft.counting import CountingLanguageModel
from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.gpt import GPTLanguageModel
from modelcraft.inference.encoder_decoder import EncoderDecoderDecoder
from modelcraft.inference.gpt import GPTDecoder
from modelcraft.inference.rows import Decoder, Rows
from modelcraft.model import LanguageModel


class CountingRows(Rows):
    """Only the last position is looked up."""

    model: CountingLanguageModel

    def last(self, idx: Tensor) -> Tensor:
        """Return the logits (B, V) of what follows texts of one length, (B, T)."""
        return self.model.log_probs(self.model.table.contexts(idx)[:, -1:])[:, 0]


class CountingDecoder(Decoder):
    """How the rung counting writes."""

    model: CountingLanguageModel

    def rows(self) -> Rows:
        """Return room for texts that are written together."""
        return CountingRows(self.model)


class BlendRows(Rows):
    """Each text is a row of both parts."""

    model: BlendLanguageModel

    def __init__(self, model: BlendLanguageModel, network: Rows, counting: Rows) -> None:
        super().__init__(model)
        self.network, self.counting = network, counting

    def join(self, prompt: Tensor) -> Tensor:
        """Read a prompt (1, T) into a new row, the last one; return the logits (1, V) of what follows."""
        counted = self.counting.join(prompt)
        try:
            learned = self.network.join(prompt)
        except Exception:  # no row in one part only
            self.counting.leave(len(self.counting.texts) - 1)
            raise
        return self._mixed(learned, counted, self.counting.texts[-1:])

    def step(self, newest: Tensor) -> Tensor:
        """Read the newest token of each row, (B, 1); return the logits (B, V) of the next."""
        learned, counted = self.network.step(newest), self.counting.step(newest)
        return self._mixed(learned, counted, self.counting.texts)

    def leave(self, row: int) -> None:
        """Forget a row; the last one takes its place."""
        self.network.leave(row)
        self.counting.leave(row)

    def _mixed(self, learned: Tensor, counted: Tensor, texts: list[Tensor]) -> Tensor:
        levels = torch.cat([self.model.level_of(text[None])[:, -1] for text in texts])  # (B,)
        return self.model.mixed(learned, counted, levels)


class BlendDecoder(Decoder):
    """How the rung blend writes: as its parts do, mixed."""

    model: BlendLanguageModel

    def __init__(self, model: BlendLanguageModel) -> None:
        super().__init__(model)
        self.network, self.counting = decoder_for(model.network), decoder_for(model.counting)

    def rows(self) -> Rows:
        """Return room for texts that are written together."""
        return BlendRows(self.model, self.network.rows(), self.counting.rows())

    def warm_up(self) -> None:
        """Let the parts do what takes long."""
        self.network.warm_up()
        self.counting.warm_up()


DECODERS: dict[type[LanguageModel], type[Decoder]] = {
    BlendLanguageModel: BlendDecoder,
    CountingLanguageModel: CountingDecoder,
    EncoderDecoder: EncoderDecoderDecoder,
    GPTLanguageModel: GPTDecoder,
}


def decoder_for(model: LanguageModel) -> Decoder:
    """Return the fastest way to write with `model`, by the weights that it has now.

    Only the exact type counts: a subclass may have changed its `forward`, and then it is written by that.
    """
    return DECODERS.get(type(model), Decoder)(model)
