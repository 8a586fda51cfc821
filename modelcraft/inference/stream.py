"""Stream text one character at a time: the model reads the prompt once, then each character it has just generated."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from modelcraft.inference.decoder import decoder_for
from modelcraft.inference.rows import Decoder
from modelcraft.inference.stop import Ending, Stop
from modelcraft.model import LanguageModel, evaluating
from modelcraft.sampling import SamplingParams, sample
from modelcraft.support.errors import VocabularyError, shown

__all__ = ["SamplingParams", "sample", "stream"]


def stream(model: LanguageModel | Decoder, ids: Sequence[int], params: SamplingParams) -> Iterator[int]:
    """Yield the continuation of the prompt `ids`, each token as soon as it is sampled.

    The same seed, model and parameters give the same tokens. The text is generated with the weights that the model has
    at the call. To generate many texts, pass a decoder (`decoder_for(model)`): it is made once and can be warmed up.
    Raises VocabularyError (at the call, not at the first token) for an empty prompt, an unknown id, or a prompt that
    leaves the model nothing to read.
    """
    decoder = model if isinstance(model, Decoder) else decoder_for(model)
    model = decoder.model
    ids, last = list(ids), model.config.vocab_size - 1
    if wrong := [i for i in ids if not isinstance(i, int) or not 0 <= i <= last]:
        raise VocabularyError(
            f"There is no token {shown(wrong[0])} in this model's vocabulary: ids run from 0 to {last}."
        )
    prompt = torch.tensor([ids], dtype=torch.long, device=model.device)  # (1, T)
    model.check_context(prompt)
    prompt = prompt[:, -decoder.longest_prompt :]
    ending = Ending([Stop(params.stop), *decoder.stops(prompt)])
    # A separate function: the body of a generator runs, and raises, only when the first token is requested.
    return _decode(decoder, prompt, params, ending)


def _decode(decoder: Decoder, prompt: Tensor, params: SamplingParams, ending: Ending) -> Iterator[int]:
    generator, rows, newest = params.make_generator(), decoder.rows(), None
    for _ in range(params.max_new_tokens):
        with evaluating(decoder.model):  # entered for every token: the reader may train in between
            logits = rows.join(prompt) if newest is None else rows.step(newest)  # (1, V)
            newest = sample(logits, params, generator)[:, None]  # (1, 1)
        yield from ending.read(int(newest))
        if ending.reached:
            return
    yield from ending.rest()
