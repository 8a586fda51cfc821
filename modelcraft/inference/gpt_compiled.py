"""One step of the GPT for a single text as one small function, which PyTorch compiles.

`step_all` in gpt_step.py serves any number of texts. For a single text it spends its time on its hundred and fifty
calls, hardly on arithmetic. `lone_step` does the same for that case with fixed shapes, and PyTorch compiles it into one
piece of C++ that fuses all operations between two products with them:

- a product is written as a sum over the inputs, because the compiler can fuse that; it reads the weights once, in
  memory order;
- weights that bfloat16 holds exactly, such as those of the bundled models, are read as bfloat16: half the bytes, and
  the same numbers;
- the whole cache is read; slots that are not filled yet are hidden.

Compiling takes about fifteen seconds, so nobody should wait for it: the app runs `GPTDecoder.warm_up` in the
background, and until it is done (or where there is no compiler) `step_all` generates the text.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from modelcraft.gpt import GPTLanguageModel
from modelcraft.inference.gpt_step import TINY, KVCache, StepWeights

Matrix = Tensor  # (outputs, inputs)
# Else the compiler for CPUs computes a vector anew, divisions and all, for each row of the matrix that takes it.
KEEP_VECTORS: dict[str, Any] = {"realize_opcount_threshold": 0, "realize_reads_threshold": 0}


def lone_step(
    token: Tensor,
    position: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    freqs: Tensor,
    embedding: Tensor,
    layers: Sequence[tuple[Matrix, Matrix, Matrix, Matrix]],
    lm_head: Matrix,
    logit_cap: float,
) -> Tensor:
    """Read one token (1,) at `position` (1,) into the caches of the layers, (n_kv, W, hs) each; return logits (V,).

    `layers` holds the matrices qkv, proj, fc and out of each block.
    """
    n_kv, W, hs = keys[0].shape
    nh = layers[0][1].shape[1] // hs
    slot = position % W
    hidden = torch.where(torch.arange(W, device=freqs.device) > position, -torch.inf, 0.0)  # (W,)
    angles = position * freqs  # (hs/2,)
    cos, sin = angles.cos(), angles.sin()
    x = embedding[token][0]  # (C,)
    for (qkv, proj, fc, out), ring_k, ring_v in zip(layers, keys, values, strict=True):
        heads = _product(qkv, _unit(x)).view(nh + 2 * n_kv, hs)
        a, b = heads[: nh + n_kv].chunk(2, dim=-1)  # (nh + n_kv, hs/2) each
        qk = _unit(torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1))  # rotated, (nh + n_kv, hs)
        ring_k.index_copy_(1, slot, qk[nh:, None])
        ring_v.index_copy_(1, slot, heads[nh + n_kv :, None])
        q = qk[:nh].view(n_kv, nh // n_kv, 1, hs)
        wei = (q * ring_k[:, None]).sum(-1) * hs**0.5 + hidden  # (n_kv, nh/n_kv, W)
        gathered = (wei.softmax(-1)[..., None] * ring_v[:, None]).sum(-2)  # (n_kv, nh/n_kv, hs)
        x = x + _product(proj, gathered.view(-1))
        x = x + _product(out, _product(fc, _unit(x)).relu().square())
    return logit_cap * torch.tanh(_product(lm_head, _unit(x)) / logit_cap)


def _product(matrix: Matrix, x: Tensor) -> Tensor:
    return (matrix.float() * x).sum(-1)


def _unit(x: Tensor) -> Tensor:
    return x / x.square().sum(-1, keepdim=True).sqrt().clamp(min=TINY)


class CompiledStep:
    """`lone_step` compiled for the current weights of one model; compiling takes about fifteen seconds of one core."""

    def __init__(self, model: GPTLanguageModel) -> None:
        weights = StepWeights.of(model, _kept)
        layers = [(layer.qkv, layer.proj, layer.fc, layer.out) for layer in weights.layers]
        cap = float(model.config.logit_cap)
        self._given = (model.freqs, weights.embedding, layers, weights.lm_head, cap)
        options = KEEP_VECTORS if model.device.type == "cpu" else None
        self._step = torch.compile(lone_step, fullgraph=True, dynamic=False, options=options)
        cache = KVCache.of(model, 1)
        cache.lengths.append(0)
        self._made_for = (torch.get_num_threads(), cache.keys.shape, cache.keys.stride())
        for _ in range(2):  # the first calls compile it
            self(torch.zeros((1, 1), dtype=torch.long, device=model.device), cache)

    def serves(self, cache: KVCache) -> bool:
        """Return whether this step was compiled for `cache`: one text, in a cache of its own.

        Everything else that it depends on must match, too, or PyTorch would recompile it while the text waits.
        """
        return self._made_for == (torch.get_num_threads(), cache.keys.shape, cache.keys.stride())

    @torch.no_grad()
    def __call__(self, newest: Tensor, cache: KVCache) -> Tensor:
        """Read one token, (1, 1), after what `cache` holds; return the logits (1, V) of the next."""
        position = cache.positions  # (1,)
        # Each layer's by itself: the compiler copies all of what it is to change a part of.
        keys, values = cache.keys[:, 0].unbind(), cache.values[:, 0].unbind()  # (n_kv, W, hs) each
        logits: Tensor = self._step(newest[0], position, keys, values, *self._given)  # (V,)
        cache.lengths[0] += 1
        return logits[None]


def _kept(matrix: Matrix) -> Matrix:
    """Use bfloat16 where that holds a matrix exactly."""
    rounded = matrix.bfloat16()
    return rounded if torch.equal(rounded.float(), matrix) else matrix
