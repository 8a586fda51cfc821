"""One step inside: what each layer makes of the newest character, and what could be guessed from it so far.

After each layer the model's own last layer scores what is there, as if the layers above did not exist (the logit lens,
nostalgebraist 2020). Nothing is attached to the model, because other threads use it at the same time: this module
repeats its path through the layers, as attention.py does. Tests hold the last guesses against the model's own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modelcraft.averaging import AveragingLanguageModel, average_softmax
from modelcraft.bigram import BigramLanguageModel
from modelcraft.blend import BlendLanguageModel
from modelcraft.block import Block, BlockLanguageModel
from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.feedforward import FeedForwardLanguageModel
from modelcraft.gpt import GPTLanguageModel, norm
from modelcraft.head import HeadLanguageModel
from modelcraft.insight.reading import inputs_of
from modelcraft.model import LanguageModel, evaluating
from modelcraft.multihead import MultiHeadLanguageModel
from modelcraft.residual import ResidualBlock, ResidualLanguageModel
from modelcraft.support.errors import ConfigError

EMBEDDING, AVERAGE, ATTENTION, CROSS, FEED_FORWARD = (
    "embedding", "average", "attention", "cross-attention", "feed-forward",
)  # fmt: skip
SCORES, MIX = "scores", "counts"
Lesson = (  # the rungs from `bigram` to `block`
    BigramLanguageModel
    | AveragingLanguageModel
    | HeadLanguageModel
    | MultiHeadLanguageModel
    | FeedForwardLanguageModel
    | ResidualLanguageModel
    | BlockLanguageModel
)


@dataclass(frozen=True)
class Step:
    """What stands at the newest position after one layer.

    `kind` is one of the names above and `block` counts from 0 (None outside of the blocks). `vector` is what the next
    layer reads, or for the last steps the scores. `adds` is how long the vector is that the layer added, in lengths of
    what it was added to; None where a layer replaces what it read.
    """

    kind: str
    block: int | None
    shape: tuple[int, ...]  # of what passes on, for the whole text: (T, C), at the end (T, V)
    vector: Tensor  # (C,), at the end (V,)
    adds: float | None
    guesses: Tensor  # (V,): probabilities of the next character


def trace_steps(model: LanguageModel, ids: Sequence[int], source: Sequence[int] | None = None) -> list[Step]:
    """Run `model` over `ids` and return the steps of the last one; all tensors are on the CPU, float32.

    Only the last `model.block_size` ids are read; `source` is what an encoder–decoder's encoder reads. Raises
    VocabularyError for no or unknown ids, ConfigError for a model without layers: one that counts.
    """
    network = model.network if isinstance(model, BlendLanguageModel) else model
    if not isinstance(network, Lesson | GPTLanguageModel | EncoderDecoder):
        raise ConfigError(f"A {type(model).__name__} has no layers; choose a rung that is trained.")
    idx, more = inputs_of(network, ids, source)
    steps: list[Step] = []
    with evaluating(model):
        for kind, block, x, added in _walk(network, idx, **more):
            longer = None if added is None else _length(added) / max(1e-9, _length(x - added))
            steps.append(_step(kind, block, x, longer, _score(network, x)))
        scores = _score(network, x)  # (1, T, V)
        steps.append(_step(SCORES, None, scores, None, scores))
        if isinstance(model, BlendLanguageModel):
            mixed, _ = model(idx)
            steps.append(_step(MIX, None, mixed, None, mixed))
    return steps


Passed = tuple[str, int | None, Tensor, Tensor | None]  # kind, block, x (1, T, C), and what of it the layer added


def _walk(model: LanguageModel, idx: Tensor, source: Tensor | None = None) -> Iterator[Passed]:
    """Go through `model` as its `forward` does."""
    if isinstance(model, GPTLanguageModel):
        yield from _gpt(model, idx)
    elif isinstance(model, EncoderDecoder):
        assert source is not None
        yield from _decoder(model, idx, source)
    elif isinstance(model, Lesson):
        yield from _lesson(model, idx)


def _lesson(model: Lesson, idx: Tensor) -> Iterator[Passed]:
    x = model.token_embedding_table(idx) + model.position_embedding_table.weight[: idx.shape[1]]  # (1, T, C)
    yield EMBEDDING, None, x, None
    if isinstance(model, AveragingLanguageModel):
        yield AVERAGE, None, average_softmax(x), None
    elif isinstance(model, HeadLanguageModel):
        yield ATTENTION, None, model.sa_head(x), None
    elif isinstance(model, MultiHeadLanguageModel | FeedForwardLanguageModel):
        yield ATTENTION, None, (x := model.sa_heads(x)), None
        if isinstance(model, FeedForwardLanguageModel):
            yield FEED_FORWARD, None, model.ffwd(x), None
    elif isinstance(model, ResidualLanguageModel | BlockLanguageModel):
        for number, block in enumerate(model.blocks):
            assert isinstance(block, ResidualBlock | Block)
            first, second = (block.ln1, block.ln2) if isinstance(block, Block) else (nn.Identity(), nn.Identity())
            x = x + (added := block.sa(first(x)))
            yield ATTENTION, number, x, added
            x = x + (added := block.ffwd(second(x)))
            yield FEED_FORWARD, number, x, added


def _gpt(model: GPTLanguageModel, idx: Tensor) -> Iterator[Passed]:
    past = torch.ones((idx.shape[1],) * 2, dtype=torch.bool, device=idx.device).tril()
    angles = model.angles(torch.arange(idx.shape[1], device=idx.device))
    x = model.embed(idx)  # (1, T, C)
    yield EMBEDDING, None, x, None
    for number, block in enumerate(model.blocks):
        x = x + (added := block.sa(norm(x), *angles, past))
        yield ATTENTION, number, x, added
        x = x + (added := block.ffwd(norm(x)))
        yield FEED_FORWARD, number, x, added


def _decoder(model: EncoderDecoder, idx: Tensor, source: Tensor) -> Iterator[Passed]:
    T = idx.shape[1]
    past = torch.ones((T, T), dtype=torch.bool, device=idx.device).tril()
    visible = torch.ones((1, 1, source.shape[1]), dtype=torch.bool, device=idx.device)
    positions, cursor = model.angles(torch.arange(T, device=idx.device)), model.angles(model.cursor(idx))
    x = model.embed(idx)  # (1, T, C)
    yield EMBEDDING, None, x, None
    for number, (block, offered) in enumerate(zip(model.blocks, model.encode(source, visible), strict=True)):
        x = x + (added := block.sa(norm(x), *positions, past))
        yield ATTENTION, number, x, added
        x = x + (added := block.ca.gather(block.ca.ask(norm(x), *cursor), *offered, visible))
        yield CROSS, number, x, added
        x = x + (added := block.ffwd(norm(x)))
        yield FEED_FORWARD, number, x, added


def _score(model: LanguageModel, x: Tensor) -> Tensor:
    """Turn x (1, T, C) into scores (1, T, V), as the model's own end does."""
    if isinstance(model, GPTLanguageModel | EncoderDecoder):
        return model.score(x)
    assert isinstance(model, Lesson)
    head: nn.Module = model.lm_head
    scores: Tensor = head(model.ln_f(x) if isinstance(model, BlockLanguageModel) else x)
    return scores


def _length(x: Tensor) -> float:
    return float(x[0, -1].float().norm())


def _step(kind: str, block: int | None, x: Tensor, adds: float | None, scores: Tensor) -> Step:
    guesses = scores[0, -1].float().softmax(-1).cpu()
    return Step(kind, block, tuple(x.shape[1:]), x[0, -1].float().cpu(), adds, guesses)
