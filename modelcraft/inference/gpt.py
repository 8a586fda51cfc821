"""The decoder of the GPT: a rolling cache keeps past keys and values, and one step reads one token of every text.

Within the context this equals a forward over the whole text. Beyond it, the layers keep what they computed from earlier
characters while these were in view, as a forward with a band over the whole text does.
"""

import warnings
from collections.abc import Iterable

import torch
from torch import Tensor

from modelcraft.gpt import GPTLanguageModel
from modelcraft.inference.gpt_compiled import CompiledStep
from modelcraft.inference.gpt_step import KVCache, StepWeights, packed, read_prompts, step_all
from modelcraft.inference.rows import Decoder, Rows
from modelcraft.support.device import has_compiler, name_compiler


class GPTDecoder(Decoder):
    """A GPT with its weights laid out for steps and, after `warm_up`, a compiled step for a single text."""

    model: GPTLanguageModel

    def __init__(self, model: GPTLanguageModel) -> None:
        super().__init__(model)
        self.weights = StepWeights.of(model, packed)
        self.compiled: CompiledStep | None = None  # `warm_up` makes it

    def rows(self) -> "CachedRows":
        """Return empty rows for texts that are generated together."""
        return CachedRows(self)

    def step(self, newest: Tensor, cache: KVCache) -> Tensor:
        """Read the newest token of each row of `cache`, (B, 1); return the logits (B, V) of the next."""
        compiled = self.compiled  # read once: another thread may set it meanwhile
        if compiled is not None and compiled.serves(cache):
            return compiled(newest, cache)
        return step_all(self.model, self.weights, newest, cache)

    def warm_up(self) -> None:
        """Compile the step for a single text unless that is done; only the speed changes."""
        if self.compiled is not None or not has_compiler(self.model.device):
            return
        name_compiler(self.model.device)
        try:
            self.compiled = CompiledStep(self.model)
        except Exception as error:  # a compiler can fail in many ways, and nothing depends on it
            warnings.warn(f"The step could not be compiled, so it stays slower: {str(error)[:200]}", stacklevel=2)


class CachedRows(Rows):
    """The caches of texts that are generated together, side by side."""

    model: GPTLanguageModel

    def __init__(self, decoder: GPTDecoder) -> None:
        super().__init__(decoder.model)
        self.decoder, self.cache = decoder, KVCache.of(decoder.model, 1)

    def join(self, prompts: Iterable[Tensor]) -> Tensor:
        """Read k prompts, (T,) each, into new last rows; return the logits (k, V) of the token after each."""
        texts = [prompt[-self.model.block_size :] for prompt in prompts]
        logits, keys, values = read_prompts(self.model, texts)
        cache, first, end = self.cache, len(self.cache.lengths), len(self.cache.lengths) + len(texts)
        room = cache.keys.shape[1]
        if end > room:  # at least double it, so that rows are rarely copied
            more = KVCache.of(self.model, max(room, end - room))
            cache.keys = torch.cat((cache.keys, more.keys), dim=1)
            cache.values = torch.cat((cache.values, more.values), dim=1)
        cache.keys[:, first:end, :, : keys.shape[3]] = keys
        cache.values[:, first:end, :, : keys.shape[3]] = values
        cache.lengths += map(len, texts)
        return logits

    def step(self, newest: Tensor) -> Tensor:
        """Read the newest token of each row, (B, 1); return the logits (B, V) of the next."""
        cache, rows = self.cache, len(self.cache.lengths)
        taken = KVCache(cache.keys[:, :rows], cache.values[:, :rows], cache.lengths)
        return self.decoder.step(newest, taken)

    def leave(self, row: int) -> None:
        """Remove a row; the last row takes its place."""
        cache, last = self.cache, len(self.cache.lengths) - 1
        cache.keys[:, row], cache.values[:, row] = cache.keys[:, last], cache.values[:, last]
        cache.lengths[row] = cache.lengths[last]
        cache.lengths.pop()
        if last == 1:  # contiguous, as the compiled step for a single text needs it
            cache.keys, cache.values = (
                t[:, :1].clone(memory_format=torch.contiguous_format) for t in (cache.keys, cache.values)
            )
