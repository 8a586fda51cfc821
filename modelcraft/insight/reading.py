"""What a model reads of a text that somebody typed."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.inference.stream import stream
from modelcraft.model import LanguageModel
from modelcraft.sampling import SamplingParams


def inputs_of(
    model: LanguageModel, ids: Sequence[int], source: Sequence[int] | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the last `block_size` ids as (1, T), and for an encoder–decoder {"source": (1, S)}, else {}.

    Without a `source` an encoder–decoder reads an empty line. Raises VocabularyError for no or unknown ids.
    """
    idx = _row(model, ids)
    if not isinstance(model, EncoderDecoder):
        return idx, {}
    return idx, {"source": _row(model, source if source is not None else [model.config.newline])}


def _row(model: LanguageModel, ids: Sequence[int]) -> Tensor:
    row = torch.tensor([list(ids)[-model.block_size :]], dtype=torch.long, device=model.device)  # (1, T)
    model.check_context(row)
    return row


def line_and_source(model: LanguageModel, ids: Sequence[int]) -> tuple[list[int], list[int] | None]:
    """Return the ids that `model` goes on from, and what its encoder reads, if it has one.

    An encoder–decoder gets a newline with the first line of the text, and that line without its vowels; one that was
    typed without vowels is restored first. Raises VocabularyError if there is nothing to read.
    """
    if not isinstance(model, EncoderDecoder):
        return list(ids), None
    newline, vowels = model.config.newline, set(model.config.vowels)
    groups = itertools.groupby(ids, lambda token: token == newline)
    lines = [list(group) for is_newline, group in groups if not is_newline]
    line = next((line for line in lines if set(line) - vowels), list(ids))[: model.block_size - 1]
    source = model.sources(torch.tensor(line))[0].tolist()
    if not set(line) & vowels:
        line = list(stream(model, source, SamplingParams(model.block_size, temperature=0)))
    return [newline, *line], source
