"""The GPT's cache, reading a prompt into it, and one step through the model, as fast as a CPU allows.

A prompt is read as `forward` reads it, and its keys and values are kept. Then each step reads one new character of each
text, and its numbers equal those of a forward up to rounding (a test compares them); it only touches memory less often:

- the weights are laid out for products with few vectors: on a CPU as oneDNN packs them, once and for all;
- query, key and value are one matrix; norm(x) is √C · x / |x|, and the √C is multiplied into the weights once; the
  embedding is normed beforehand;
- keys and values are read only as far as the cache is filled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from modelcraft.gpt import GPTLanguageModel, norm

TINY = 1e-12  # replaces a norm of 0


@dataclass
class KVCache:
    """The keys and values of the last `block_size` characters; the character at position p is in slot p mod W.

    A new row does not clear the slots that an earlier text filled: no step reads a slot before the new text fills it.
    """

    keys: Tensor  # (n_layer, B, n_kv, W, hs): unit vectors; the model's own keys have length √hs
    values: Tensor  # (n_layer, B, n_kv, W, hs)
    lengths: list[int]  # the number of characters that each row has read

    @classmethod
    def of(cls, model: GPTLanguageModel, rows: int) -> "KVCache":
        """Return a cache with room for `rows` rows, none of them in use."""
        c = model.config
        shape = (c.n_layer, rows, c.n_kv_head, c.block_size, c.head_size)
        return cls(torch.zeros(shape, device=model.device), torch.zeros(shape, device=model.device), [])

    @property
    def positions(self) -> Tensor:
        """The position (B,) of the next character of each row."""
        return torch.tensor(self.lengths, device=self.keys.device)


@dataclass(frozen=True)
class LayerWeights:
    """The matrices of a block as a step needs them."""

    qkv: Tensor  # ((nh + 2 n_kv) · hs, C)
    proj: Tensor  # (C, C)
    fc: Tensor  # (4C, C)
    out: Tensor  # (C, 4C)


@dataclass(frozen=True)
class StepWeights:
    """A copy of the model's weights, laid out for a step: matrices are (outputs, inputs), as the model's own."""

    embedding: Tensor  # (V, C), normed
    layers: Sequence[LayerWeights]
    lm_head: Tensor  # (V, C)

    @classmethod
    def of(cls, model: GPTLanguageModel, lay: Callable[[Tensor], Tensor]) -> "StepWeights":
        """Copy the weights of `model`, each matrix as `lay` lays it out."""
        scale = model.config.n_embd**0.5
        with torch.no_grad():
            layers = [
                LayerWeights(
                    qkv=lay(torch.cat((block.sa.query.weight, block.sa.key.weight, block.sa.value.weight)) * scale),
                    proj=lay(block.sa.proj.weight.clone()),
                    fc=lay(block.ffwd.fc.weight * scale),
                    out=lay(block.ffwd.proj.weight.clone()),
                )
                for block in model.blocks
            ]
            embedding, lm_head = norm(model.token_embedding_table.weight), lay(model.lm_head.weight * scale)
        return cls(embedding, layers, lm_head)


def read_prompts(model: GPTLanguageModel, prompts: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Read the first characters of k texts, (T,) each with T <= block_size, as the model's `forward` does.

    Returns the logits (k, V) of the token after each, and the keys and values (n_layer, k, n_kv, T, hs) for a cache, T
    the longest. What stands behind a shorter text changes nothing: nobody looks into the future.
    """
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    idx = pad_sequence(list(prompts), batch_first=True)  # (k, T)
    at = torch.arange(idx.shape[1], device=idx.device)
    mask = at[:, None] >= at  # (T, T)
    cos, sin = model.angles(at)  # (T, 1, hs/2)
    keys, values = [], []
    x = model.embed(idx)  # (k, T, C)
    for block in model.blocks:
        q, (k, v) = block.sa.ask(norm(x), cos, sin), block.sa.offer(norm(x), cos, sin)
        x = x + block.sa.gather(q, k, v, mask)
        x = x + block.ffwd(norm(x))
        keys.append(k * model.config.head_size**-0.5)
        values.append(v)
    last = x[torch.arange(len(prompts)), lengths - 1]  # (k, C)
    return model.score(last), torch.stack(keys), torch.stack(values)


def step_all(model: GPTLanguageModel, weights: StepWeights, newest: Tensor, cache: KVCache) -> Tensor:
    """Read one token per row, (B, 1), after those in `cache`; return the logits (B, V) of the next."""
    c = model.config
    B, nh, n_kv, hs, W = len(newest), c.n_head, c.n_kv_head, c.head_size, c.block_size
    n = min(max(cache.lengths) + 1, W)  # slots that are filled in some row
    positions = cache.positions  # (B,)
    cos, sin = model.angles(positions)  # (B, 1, hs/2)
    cos, sin = torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)  # (B, 1, hs)
    rows = torch.arange(B * n_kv, device=newest.device)
    slots = rows * W + (positions % W).repeat_interleave(n_kv)  # (B · n_kv,): of all slots of a layer, those to fill
    hidden = torch.zeros((), device=newest.device)
    if min(cache.lengths) + 1 < n:  # some row has empty slots
        empty = torch.arange(n, device=newest.device) > positions[:, None]  # (B, n)
        hidden = torch.zeros(B, n, device=newest.device).masked_fill_(empty, -torch.inf)
        hidden = hidden.repeat_interleave(n_kv, 0)[:, None]  # (B · n_kv, 1, n)
    x = weights.embedding[newest[:, 0]]  # (B, C)
    for layer, keys, values in zip(weights.layers, cache.keys, cache.values, strict=True):
        qkv = product(_unit(x), layer.qkv).view(B, nh + 2 * n_kv, hs)  # (B, nh + 2 n_kv, hs)
        qk, v = qkv[:, : nh + n_kv], qkv[:, nh + n_kv :]
        a, b = qk.chunk(2, -1)
        qk = _unit(torch.addcmul(qk * cos, torch.cat((b, a), -1), sin))  # rotated, (B, nh + n_kv, hs)
        keys.view(-1, hs).index_copy_(0, slots, qk[:, nh:].reshape(-1, hs))
        values.view(-1, hs).index_copy_(0, slots, v.reshape(-1, hs))
        q = qk[:, :nh].reshape(B * n_kv, nh // n_kv, hs)  # (B · n_kv, nh/n_kv, hs)
        # Keys and queries are unit vectors here, but have length √hs in `attend`: the scale is √hs · √hs / √hs.
        wei = torch.baddbmm(hidden, q, keys.view(B * n_kv, W, hs)[:, :n].transpose(1, 2), alpha=hs**0.5).softmax(-1)
        out = torch.bmm(wei, values.view(B * n_kv, W, hs)[:, :n]).view(B, nh * hs)
        x = x + product(out, layer.proj)  # (B, C)
        x = x + product(product(_unit(x), layer.fc).relu_().square_(), layer.out)  # (B, C)
    cache.lengths[:] = [length + 1 for length in cache.lengths]
    logits: Tensor = c.logit_cap * torch.tanh(product(_unit(x), weights.lm_head) / c.logit_cap)
    return logits  # (B, V)


def _unit(x: Tensor) -> Tensor:
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(TINY)


def packed(matrix: Tensor) -> Tensor:
    """Pack a matrix (outputs, inputs) for `product`, on a CPU as PyTorch's own compiler packs it."""
    there = hasattr(torch.ops.mkldnn, "_reorder_linear_weight")  # as in most builds
    if there and matrix.device.type == "cpu" and matrix.dtype == torch.float32:
        return torch.ops.mkldnn._reorder_linear_weight(matrix)
    return matrix


def product(x: Tensor, matrix: Tensor) -> Tensor:
    """Return the products (B, outputs) of x (B, inputs) with a `packed` matrix."""
    if matrix.is_mkldnn:
        return torch.ops.mkldnn._linear_pointwise(x, matrix, None, "none", [], "")
    return F.linear(x, matrix)
