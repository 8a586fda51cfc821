"""What happens inside a forward pass, for those who want to watch: every head's scores, and the logits they led to.

Nothing in a model knows that it is watched: hooks note what each attention layer is given, and its scores are computed
from that a second time. A test holds the weights against what the layer gave out.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from modelcraft import gpt, seq2seq
from modelcraft.attention import AveragingLanguageModel, Head
from modelcraft.blend import BlendLanguageModel
from modelcraft.model import LanguageModel, evaluating
from modelcraft.seq2seq import EncoderDecoder

KINDS = ("self", "encoder", "decoder", "cross")


@dataclass(frozen=True)
class HeadView:
    """One head: how well each key answers each query, before anything is done to it.

    `kind` is "self", or of an encoder–decoder "encoder", "decoder" or "cross"; `layer` and `head` count from 0 within
    it.
    """

    kind: str
    layer: int
    head: int
    scores: Tensor  # (T, S): query · key
    scale: float  # 1 / √head_size
    visible: Tensor  # (T, S): true where a query may look

    def weights(self, scaled: bool = True, masked: bool = True) -> Tensor:
        """Return what each query takes of each key, (T, S), each row a share of 1; as it is, or without one step."""
        return self.logits(scaled, masked).softmax(-1)

    def logits(self, scaled: bool = True, masked: bool = True) -> Tensor:
        """Return what softmax is given, (T, S): -inf where a query may not look."""
        wei = self.scores * self.scale if scaled else self.scores
        return wei.masked_fill(~self.visible, -torch.inf) if masked else wei


@dataclass(frozen=True)
class Inside:
    """One forward pass: what was read, the scores of what follows each position, and the heads in their order.

    `source` are the ids (S,) that an encoder read, with the newline before them; None for all other models.
    """

    ids: Tensor  # (T,)
    logits: Tensor  # (T, V)
    heads: Sequence[HeadView]
    source: Tensor | None = None


def look_inside(model: LanguageModel, ids: Sequence[int], source: Sequence[int] | None = None) -> Inside:
    """Run `model` over `ids` and note what its heads do; all tensors are on the CPU, float32.

    At most `model.block_size` ids are read, the last ones. For an encoder–decoder `ids` are the reply so far (its
    newline first) and `source` the speech. Raises VocabularyError for no or unknown ids.
    """
    idx = torch.tensor([list(ids)[-model.block_size :]], dtype=torch.long, device=model.device)  # (1, T)
    model.check_context(idx)
    heads: list[HeadView] = []
    arguments: dict[str, Tensor] = {}
    heard = None
    if isinstance(model, EncoderDecoder):
        said = torch.tensor([list(source or [])[-model.block_size :]], dtype=torch.long, device=model.device)  # (1, S)
        if said.numel():
            model.check_context(said)
        arguments["source"] = said
        heard = torch.cat((said.new_full((1, 1), model.config.newline), said), dim=1)[0].cpu()
    with evaluating(model), _watching(model, heads):
        logits, _ = model(idx, **arguments)  # (1, T, V)
    if isinstance(model, AveragingLanguageModel):  # no head, but weights all the same: equal scores
        T = idx.shape[1]  # noqa: N806
        heads.append(HeadView("self", 0, 0, torch.zeros((T, T)), 1.0, torch.ones((T, T), dtype=torch.bool).tril()))
    heads.sort(key=lambda head: KINDS.index(head.kind))  # stable: within a kind in the order of the layers
    return Inside(idx[0].cpu(), logits[0].float().cpu(), heads, heard)


@contextlib.contextmanager
def _watching(model: LanguageModel, heads: list[HeadView]) -> Iterator[None]:
    """Note in `heads` what every attention layer does while this lasts."""
    if isinstance(model, BlendLanguageModel):
        with _watching(model.network, heads):
            yield
        return
    with contextlib.ExitStack() as hooks:
        for layer, (kind, module, describe) in _attending(model):
            hook = module.register_forward_hook(_noting(heads, kind, layer, describe), with_kwargs=True)
            hooks.callback(hook.remove)
        yield


Description = Callable[..., tuple[Tensor, Tensor, Tensor]]  # q, k (nh, ·, hs), visible (T, S)


def _attending(model: LanguageModel) -> list[tuple[int, tuple[str, nn.Module, Description]]]:
    """Find the attention layers: (layer, (kind, module, how its queries, keys and mask come about))."""
    found: list[tuple[int, tuple[str, nn.Module, Description]]] = []
    if isinstance(model, EncoderDecoder):
        for layer, block in enumerate(model.encoder_blocks):
            found.append((layer, ("encoder", block.sa, _of_attention)))  # type: ignore[arg-type]
        for layer, block in enumerate(model.blocks):
            found.append((layer, ("decoder", block.sa, _of_attention)))  # type: ignore[arg-type]
            found.append((layer, ("cross", block.ca, _of_attention)))  # type: ignore[arg-type]
        return found
    layer, before = -1, ""
    for name, module in model.named_modules():
        if isinstance(module, gpt.SelfAttention):
            layer += 1
            found.append((layer, ("self", module, _of_gpt)))
        elif isinstance(module, Head):
            owner = name.rpartition(".heads.")[0] or name  # the heads of one MultiHeadAttention are one layer
            layer, before = layer + (owner != before), owner
            found.append((layer, ("self", module, _of_head)))
    return found


def _noting(heads: list[HeadView], kind: str, layer: int, describe: Description) -> Callable[..., None]:
    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        q, k, visible = describe(module, *args, **kwargs)  # (nh, T, hs), (nh, S, hs), (T, S)
        scores = (q.float() @ k.float().transpose(-2, -1)).cpu()  # (nh, T, S)
        known = sum(head.kind == kind and head.layer == layer for head in heads)
        for number, one in enumerate(scores):
            heads.append(HeadView(kind, layer, known + number, one, k.shape[-1] ** -0.5, visible.cpu()))

    return note


def _of_head(module: Head, x: Tensor, cache: object = None) -> tuple[Tensor, Tensor, Tensor]:
    T = x.shape[1]  # noqa: N806
    return module.query(x), module.key(x), module.tril[:T, :T] > 0


def _of_gpt(
    module: gpt.SelfAttention, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, _ = module.project(x, cos, sin)  # (1, nh, T, hs), (1, n_kv, T, hs)
    return q[0], k[0].repeat_interleave(q.shape[1] // k.shape[1], 0), mask


def _of_attention(
    module: seq2seq.Attention, x: Tensor, k: Tensor, v: Tensor, visible: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    q = module.split(module.query(x))  # (1, nh, T, hs)
    seen = visible.view(visible.shape[-2:]) if visible.ndim > 2 else visible
    return q[0], k[0], seen.expand(x.shape[1], k.shape[2])
