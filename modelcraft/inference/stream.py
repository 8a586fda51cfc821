"""Text, one character at a time: the model reads the prompt once, then every character it has just written.

`python -m modelcraft.generate --model bigram --prompt "ROMEO:"` streams to the terminal.
"""

from collections.abc import Iterator, Sequence

import torch

from modelcraft.model import LanguageModel, evaluating
from modelcraft.sampling import SamplingParams, sample
from modelcraft.support.errors import VocabularyError, shown

__all__ = ["SamplingParams", "sample", "stream"]


def stream(model: LanguageModel, ids: Sequence[int], params: SamplingParams) -> Iterator[int]:
    """Yield the continuation of the prompt `ids`, each token as soon as it is sampled.

    The same seed, model and parameters give the same tokens. Raises VocabularyError (at the call, not at the first
    token) for an empty prompt or an unknown id.
    """
    ids, last = list(ids), model.config.vocab_size - 1
    if wrong := [i for i in ids if not isinstance(i, int) or not 0 <= i <= last]:
        raise VocabularyError(
            f"There is no token {shown(wrong[0])} in this model's vocabulary: ids run from 0 to {last}."
        )
    prompt = torch.tensor([ids], dtype=torch.long, device=model.device)  # (1, T)
    model.check_context(prompt)
    # A function of its own: the body of a generator would run, and complain, only when the first token is asked for.
    return _decode(model, prompt[:, -model.block_size :], params)


def _decode(model: LanguageModel, idx: torch.Tensor, params: SamplingParams) -> Iterator[int]:
    generator = params.make_generator()
    cache = model.make_cache(batch_size=1)
    # At first `idx` is the whole prompt (1, T), then only the newest token (1, 1): the cache remembers the rest.
    for _ in range(params.max_new_tokens):
        with evaluating(model):  # entered anew for every token: whoever reads the stream may train in between
            logits = model.step(idx, cache)  # (1, V)
        idx = sample(logits, params, generator)[:, None]  # (1, 1)
        yield int(idx)
