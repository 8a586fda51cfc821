"""Trace a forward pass: the scores of every attention head, and the logits that they lead to.

Nothing is attached to the model, because other threads use it at the same time: this module repeats its path through
the layers and computes the scores of each attention layer from that layer's input. Tests compare the weights with the
outputs of the layers, and what several threads see with what each sees alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modelcraft.averaging import AveragingLanguageModel
from modelcraft.blend import BlendLanguageModel
from modelcraft.block import Block, BlockLanguageModel
from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.feedforward import FeedForwardLanguageModel
from modelcraft.gpt import GPTLanguageModel, norm
from modelcraft.head import Head, HeadLanguageModel
from modelcraft.insight.reading import inputs_of
from modelcraft.model import LanguageModel, evaluating
from modelcraft.multihead import MultiHeadAttention, MultiHeadLanguageModel
from modelcraft.residual import ResidualBlock, ResidualLanguageModel

KINDS = ("self", "encoder", "decoder", "cross")
Lesson = (  # the rungs from `head` to `block`
    HeadLanguageModel | MultiHeadLanguageModel | FeedForwardLanguageModel | ResidualLanguageModel | BlockLanguageModel
)


@dataclass(frozen=True)
class HeadView:
    """One head with its raw scores: how well each key answers each query, before scaling and masking.

    `kind` is "self", or for an encoder–decoder "encoder", "decoder" or "cross"; within a kind, `layer` and `head` count
    from 0.
    """

    kind: str
    layer: int
    head: int
    scores: Tensor  # (T, S): query · key
    scale: float  # 1 / √head_size
    visible: Tensor  # (T, S): True where a query may look

    def weights(self, scaled: bool = True, masked: bool = True) -> Tensor:
        """Return the attention weights (T, S), each row with the sum 1; optionally without scaling or masking."""
        return self.logits(scaled, masked).softmax(-1)

    def logits(self, scaled: bool = True, masked: bool = True) -> Tensor:
        """Return the input of the softmax, (T, S): -inf where a query may not look."""
        wei = self.scores * self.scale if scaled else self.scores
        return wei.masked_fill(~self.visible, -torch.inf) if masked else wei


@dataclass(frozen=True)
class AttentionTrace:
    """One forward pass: the ids it read, the logits of the token after each position, and the heads in order.

    `source` holds the ids (S,) that an encoder read; it is None for all other models.
    """

    ids: Tensor  # (T,)
    logits: Tensor  # (T, V)
    heads: Sequence[HeadView]
    source: Tensor | None = None


def trace_attention(model: LanguageModel, ids: Sequence[int], source: Sequence[int] | None = None) -> AttentionTrace:
    """Run `model` over `ids` and record what its heads do; all tensors are on the CPU, float32.

    Only the last `model.block_size` ids are read. For an encoder–decoder, `ids` holds a newline and the part of the
    line written so far, and `source` is what the encoder reads (`model.sources`). Raises VocabularyError for no or
    unknown ids.
    """
    idx, arguments = inputs_of(model, ids, source)
    with evaluating(model):
        logits, _ = model(idx, **arguments)  # (1, T, V)
        heads = list(_heads(model, idx, **arguments))
    heads.sort(key=lambda head: KINDS.index(head.kind))  # stable: within a kind in the order of the layers
    read = arguments["source"][0].cpu() if arguments else None
    return AttentionTrace(idx[0].cpu(), logits[0].float().cpu(), heads, read)


def _heads(model: LanguageModel, idx: Tensor, source: Tensor | None = None) -> Iterator[HeadView]:
    """Go through `model` as its `forward` does, and yield the heads of each attention layer with their scores."""
    if isinstance(model, BlendLanguageModel):
        yield from _heads(model.network, idx)
    elif isinstance(model, EncoderDecoder):
        assert source is not None
        yield from _encoder_decoder_heads(model, idx, source)
    elif isinstance(model, GPTLanguageModel):
        yield from _gpt_heads(model, idx)
    elif isinstance(model, AveragingLanguageModel):  # it has no head, but it has weights: equal scores
        yield HeadView("self", 0, 0, torch.zeros((idx.shape[1],) * 2), 1.0, _past(idx.shape[1]))
    elif isinstance(model, Lesson):
        yield from _lesson_heads(model, idx)


def _lesson_heads(model: Lesson, idx: Tensor) -> Iterator[HeadView]:
    x = model.token_embedding_table(idx) + model.position_embedding_table.weight[: idx.shape[1]]  # (1, T, C)
    if isinstance(model, HeadLanguageModel):
        yield from _seen("self", 0, [_of_head(model.sa_head, x)])
    elif isinstance(model, MultiHeadLanguageModel | FeedForwardLanguageModel):
        yield from _several_heads(0, model.sa_heads, x)
    else:
        for layer, block in enumerate(model.blocks):
            assert isinstance(block, ResidualBlock | Block)
            yield from _several_heads(layer, block.sa, block.ln1(x) if isinstance(block, Block) else x)
            x = block(x)


def _several_heads(layer: int, attention: MultiHeadAttention, x: Tensor) -> Iterator[HeadView]:
    heads = [head for head in attention.heads if isinstance(head, Head)]
    return _seen("self", layer, [_of_head(head, x) for head in heads])


def _gpt_heads(model: GPTLanguageModel, idx: Tensor) -> Iterator[HeadView]:
    visible = _past(idx.shape[1], idx.device)  # a text is no longer than the context, so the band is the whole past
    angles = model.angles(torch.arange(idx.shape[1], device=idx.device))
    x = model.embed(idx)  # (1, T, C)
    for layer, block in enumerate(model.blocks):
        q, (k, _) = block.sa.ask(norm(x), *angles), block.sa.offer(norm(x), *angles)
        yield from _grouped_heads("self", layer, q, k, visible)
        x = block(x, *angles, visible)


def _encoder_decoder_heads(model: EncoderDecoder, idx: Tensor, source: Tensor) -> Iterator[HeadView]:
    T, S = idx.shape[1], source.shape[1]
    visible = torch.ones((1, S), dtype=torch.bool, device=idx.device)
    angles = model.angles(torch.arange(S, device=idx.device))
    x = model.embed(source)  # (1, S, C)
    for layer, block in enumerate(model.encoder_blocks):
        q, (k, _) = block.sa.ask(norm(x), *angles), block.sa.offer(norm(x), *angles)
        yield from _grouped_heads("encoder", layer, q, k, visible.expand(S, S))
        x = block(x, *angles, visible)
    past, positions, cursor = (
        _past(T, idx.device),
        model.angles(torch.arange(T, device=idx.device)),
        model.angles(model.cursor(idx)),
    )
    x = model.embed(idx)  # (1, T, C)
    for layer, (decoder, offered) in enumerate(zip(model.blocks, model.encode(source, visible[None]), strict=True)):
        q, (k, _) = decoder.sa.ask(norm(x), *positions), decoder.sa.offer(norm(x), *positions)
        yield from _grouped_heads("decoder", layer, q, k, past)
        asking = norm(x + decoder.sa(norm(x), *positions, past))
        yield from _grouped_heads("cross", layer, decoder.ca.ask(asking, *cursor), offered[0], visible.expand(T, S))
        x = decoder(x, positions, past, cursor, offered, visible[None])


def _grouped_heads(kind: str, layer: int, q: Tensor, k: Tensor, visible: Tensor) -> Iterator[HeadView]:
    """Yield the heads of a layer whose query heads, q (1, nh, T, hs), share fewer key heads, k (1, n_kv, S, hs)."""
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)  # (1, nh, S, hs)
    return _seen(kind, layer, [(q[0, head], k[0, head], visible) for head in range(q.shape[1])])


def _past(T: int, device: torch.device | None = None) -> Tensor:
    return torch.ones((T, T), dtype=torch.bool, device=device).tril()


Asked = tuple[Tensor, Tensor, Tensor]  # q (T, hs), k (S, hs), visible (T, S)


def _of_head(head: Head, x: Tensor) -> Asked:
    return head.query(x)[0], head.key(x)[0], _past(x.shape[1], x.device)


def _seen(kind: str, layer: int, heads: Sequence[Asked]) -> Iterator[HeadView]:
    for number, (q, k, visible) in enumerate(heads):
        scores = (q.float() @ k.float().T).cpu()  # (T, hs) @ (hs, S) -> (T, S)
        yield HeadView(kind, layer, number, scores, k.shape[-1] ** -0.5, visible.cpu())
