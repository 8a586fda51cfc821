"""Measure how much each character surprises a model: −log₂ p, given everything that the context holds before it."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modelcraft.data import UNSCORED, Batch, Windows
from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.model import LanguageModel, evaluating


@dataclass(frozen=True)
class Surprise:
    """What a model predicted for every character of a text except the first, (N-1,) each."""

    bits: Tensor  # −log₂ p of the actual character
    likeliest: Tensor  # the id of the most likely character
    share: Tensor  # the probability of that one


def surprise(model: LanguageModel, ids: Sequence[int]) -> Surprise:
    """Read the text `ids` in sliding windows, as an exact loss does: each character with its whole context before it.

    An encoder–decoder reads each line by itself, without a source. Raises VocabularyError for no or unknown ids.
    """
    data = torch.tensor(list(ids), dtype=torch.long)  # (N,)
    model.check_context(data[None])
    bits, likeliest, share = [torch.zeros(0)], [torch.zeros(0, dtype=torch.long)], [torch.zeros(0)]
    if len(data) > 1:
        with evaluating(model):
            for batch in _windows(model, data):
                scored = batch["targets"] != UNSCORED  # (rows, T)
                logits, _ = model(batch["idx"].to(model.device))  # (rows, T, V)
                log_p = logits[scored.to(logits.device)].float().cpu().log_softmax(-1)  # (n, V)
                answers = batch["targets"][scored][:, None]  # (n, 1)
                bits.append(-log_p.gather(-1, answers)[:, 0] / math.log(2))
                best, which = log_p.max(-1)
                likeliest.append(which)
                share.append(best.exp())
    return Surprise(torch.cat(bits), torch.cat(likeliest), torch.cat(share))


def _windows(model: LanguageModel, data: Tensor) -> Iterator[Batch]:
    if not isinstance(model, EncoderDecoder):
        yield from Windows(data, model.block_size, model.max_length, model.device).windows("sliding")
        return
    newline = data.new_tensor([model.config.newline])
    starts = [0, *((data[:-1] == newline).nonzero().flatten() + 1).tolist(), len(data)]
    targets = torch.cat((data.new_tensor([UNSCORED]), data[1:]))  # (N,): the first character of all is not scored
    for start, end in itertools.pairwise(starts):
        pieces = (torch.split(one[start:end], model.block_size) for one in (data, targets))
        for piece, answers in zip(*pieces, strict=True):
            yield {"idx": torch.cat((newline, piece[:-1]))[None], "targets": answers[None]}
