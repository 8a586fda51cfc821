"""What happens inside a forward pass: the logits at every place, and what every head looked at.

One pass is run, and what goes into each attention layer is noted on the way; scores and weights are then computed from
that, in the open, step by step: q · kᵀ, divided by √hs, masked, softmax. A test holds the result of these steps equal
to what the layer itself gave out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from modelcraft.attention import AveragingLanguageModel, Head, MultiHeadAttention
from modelcraft.blend import BlendLanguageModel
from modelcraft.gpt import SelfAttention
from modelcraft.model import LanguageModel, evaluating
from modelcraft.seq2seq import Attention, EncoderDecoder


@dataclass(frozen=True)
class HeadView:
    """What one head did: `scores` (T, S) are the products of queries and keys, `visible` (T, S) where it may look.

    `part` is "self" where a text looks at itself, "encoder" and "cross" in an encoder–decoder.
    """

    part: str
    layer: int
    head: int
    scores: Tensor
    scale: float
    visible: Tensor

    def weights(self, scaled: bool = True, masked: bool = True) -> Tensor:
        """Return how much each position takes from each, (T, S), rows of sum 1; without scaling or mask on demand."""
        wei = self.scores * self.scale if scaled else self.scores
        if masked:
            wei = wei.masked_fill(~self.visible, -torch.inf)
        return wei.softmax(-1)


@dataclass(frozen=True)
class Inside:
    """One forward pass over `ids` (T,): the `logits` (T, V) of what follows each of them, and the heads."""

    ids: Tensor
    logits: Tensor
    heads: list[HeadView]

    def head(self, part: str, layer: int, head: int) -> HeadView | None:
        """Return one head, or None if there is no such."""
        found = (view for view in self.heads if (view.part, view.layer, view.head) == (part, layer, head))
        return next(found, None)


def look_inside(model: LanguageModel, ids: Tensor, source: Tensor | None = None) -> Inside:
    """Run `model` over the last `block_size` of `ids` (T,); an encoder–decoder hears the speech `source` (S,) first.

    Raises VocabularyError for ids that the model does not know.
    """
    ids = ids[-model.block_size :]
    model.check_context(ids[None])
    extra = {} if source is None else {"source": source[None, -model.block_size :]}
    network = model.network if isinstance(model, BlendLanguageModel) else model
    heads: list[HeadView] = []
    with evaluating(model), _noting(network, heads):
        logits, _ = model(ids[None], **extra)  # (1, T, V)
    if isinstance(network, AveragingLanguageModel):  # everyone has the same to say to everyone
        T = len(ids)  # noqa: N806
        heads.append(HeadView("self", 0, 0, torch.zeros(T, T), 1.0, torch.ones(T, T, dtype=torch.bool).tril()))
    return Inside(ids, logits[0], heads)


@contextmanager
def _noting(network: LanguageModel, heads: list[HeadView]) -> Iterator[None]:
    """Note what goes into each attention layer while the pass runs."""
    hooks = []
    layers: dict[str, int] = {}
    for name, module in network.named_modules():
        views = _VIEWS.get(type(module))
        if views is None or (isinstance(module, Head) and ".heads." in f".{name}"):  # those are a MultiHeadAttention's
            continue
        part = _part(network, name)
        layer = layers[part] = layers.get(part, -1) + 1

        def note(
            module: nn.Module, inputs: Any, part: str = part, layer: int = layer, views: Callable[..., Any] = views
        ) -> None:
            for head, (scores, scale, visible) in enumerate(views(module, *inputs)):
                T, S = scores.shape  # noqa: N806
                heads.append(HeadView(part, layer, head, scores.float(), scale, visible.expand(T, S)))

        hooks.append(module.register_forward_pre_hook(note))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _part(network: LanguageModel, name: str) -> str:
    if not isinstance(network, EncoderDecoder):
        return "self"
    return "encoder" if name.startswith("encoder_blocks") else "cross" if name.endswith(".ca") else "self"


View = tuple[Tensor, float, Tensor]  # scores (T, S), scale, visible


def _of_head(head: nn.Module, x: Tensor, cache: object = None) -> list[View]:
    assert isinstance(head, Head)
    q, k = head.query(x)[0], head.key(x)[0]  # (T, hs) each
    T = len(q)  # noqa: N806
    return [(q @ k.T, k.shape[-1] ** -0.5, head.tril[:T, :T] != 0)]


def _of_heads(layer: nn.Module, x: Tensor, cache: object = None) -> list[View]:
    assert isinstance(layer, MultiHeadAttention)
    return [view for head in layer.heads for view in _of_head(head, x)]


def _of_gpt(layer: nn.Module, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> list[View]:
    assert isinstance(layer, SelfAttention)
    q, k, _ = layer.project(x, cos, sin)  # (1, nh, T, hs), (1, n_kv, T, hs)
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)  # (1, nh, T, hs): each key head serves several queries
    return [(q_h @ k_h.T, layer.head_size**-0.5, mask) for q_h, k_h in zip(q[0], k[0], strict=True)]


def _of_two_texts(layer: nn.Module, x: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> list[View]:
    assert isinstance(layer, Attention)
    q = layer.split(layer.query(x))  # (1, nh, T, hs)
    visible = visible.flatten(0, -3)[0] if visible.ndim > 2 else visible  # (T or 1, S)
    return [(q_h @ k_h.T, k.shape[-1] ** -0.5, visible) for q_h, k_h in zip(q[0], k[0], strict=True)]


_VIEWS: dict[type[nn.Module], Callable[..., list[View]]] = {
    Head: _of_head,
    MultiHeadAttention: _of_heads,
    SelfAttention: _of_gpt,
    Attention: _of_two_texts,
}
