"""The GPT's memory, and one character's way through the model, as fast as a CPU can go.

`GPTLanguageModel.step` reads any number of new characters in a clear way. Here is what it does for the one case that
generation consists of, one new character a text. The numbers are the same to rounding (a test holds them equal);
what differs is how often memory is touched:

- the weights lie transposed, so that a product with one vector reads them in the order in which they lie (30 µs for a
  matrix of 1 MB in place of 124 µs on the cores this was measured on);
- query, key and value are one matrix; norm(x) is √C · x / |x|, and the √C is multiplied into the weights once; the
  embedding is normed beforehand;
- keys and values are read only as far as the ring is filled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from modelcraft.model import Slots

if TYPE_CHECKING:
    from modelcraft.gpt import GPTLanguageModel

TINY = 1e-12  # in place of a norm of 0


@dataclass
class RingCache:
    """The keys and values of the last `block_size` characters; the character at position p stands in slot p mod W."""

    keys: Tensor  # (n_layer, B, n_kv, W, hs)
    values: Tensor  # (n_layer, B, n_kv, W, hs)
    lengths: list[int]  # of each row: how many characters it has read
    weights: "StepWeights"

    @property
    def positions(self) -> Tensor:
        """The position (B,) that the next character of each row has."""
        return torch.tensor(self.lengths, device=self.keys.device)


class RingSlots(Slots):
    """The rings of texts that come and go, side by side, so that one step writes a character of each."""

    def __init__(self, model: "GPTLanguageModel") -> None:
        self.model: GPTLanguageModel = model
        self.cache = model.make_cache(0)  # the first text brings its own
        self.rows = 0  # of those there is room for, so many are taken

    def join(self, idx: Tensor) -> Tensor:
        """Read a prompt (1, T) into a new row, the last one; return the logits (1, V) of what follows."""
        alone = self.model.make_cache(1)
        logits = self.model.step(idx, alone)
        if not self.rows:
            self.cache, self.rows = alone, 1
            return logits
        if self.rows == self.cache.keys.shape[1]:  # twice as much room, so that rows are seldom copied
            more = self.model.make_cache(self.rows)
            keys = torch.cat((self.cache.keys, more.keys), dim=1)
            values = torch.cat((self.cache.values, more.values), dim=1)
            self.cache.keys, self.cache.values = keys, values
        self.cache.weights = alone.weights  # if they have changed, all go on with the new ones
        self.cache.keys[:, self.rows] = alone.keys[:, 0]
        self.cache.values[:, self.rows] = alone.values[:, 0]
        self.cache.lengths.append(alone.lengths[0])
        self.rows += 1
        return logits

    def step(self, idx: Tensor) -> Tensor:
        """Read the newest token of each row, (B, 1); return the logits (B, V) of the next."""
        taken = replace(self.cache, keys=self.cache.keys[:, : self.rows], values=self.cache.values[:, : self.rows])
        logits = self.model.step(idx, taken)
        self.cache.lengths = taken.lengths
        return logits

    def leave(self, row: int) -> None:
        """Forget a row; the last one takes its place."""
        self.rows -= 1
        self.cache.keys[:, row] = self.cache.keys[:, self.rows]
        self.cache.values[:, row] = self.cache.values[:, self.rows]
        self.cache.lengths[row] = self.cache.lengths[-1]
        self.cache.lengths.pop()
        if self.rows == 1:  # in one piece, as the compiled step for a single text wants it
            lone = (t[:, :1].clone(memory_format=torch.contiguous_format) for t in (self.cache.keys, self.cache.values))
            self.cache.keys, self.cache.values = lone


@dataclass(frozen=True)
class LayerWeights:
    """A block's matrices as a step wants them: (inputs, outputs), each in one piece."""

    qkv: Tensor  # (C, (nh + 2 n_kv) · hs)
    proj: Tensor  # (C, C)
    fc: Tensor  # (C, 4C)
    out: Tensor  # (4C, C)


@dataclass(frozen=True)
class StepWeights:
    """A copy of the model's weights, laid out for one step; `versions` says of which state of the model."""

    embedding: Tensor  # (V, C), normed
    layers: Sequence[LayerWeights]
    lm_head: Tensor  # (C, V)
    versions: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, model: "GPTLanguageModel") -> "StepWeights":
        """Lay the weights of `model` out anew."""
        from modelcraft.gpt import norm

        scale = model.config.n_embd**0.5
        seen = versions(model)  # before the copy: what changes meanwhile makes it an old one
        with torch.no_grad():
            layers = [
                LayerWeights(
                    qkv=_laid(torch.cat((block.sa.query.weight, block.sa.key.weight, block.sa.value.weight)) * scale),
                    proj=_laid(block.sa.proj.weight),
                    fc=_laid(block.ffwd.fc.weight * scale),
                    out=_laid(block.ffwd.proj.weight),
                )
                for block in model.blocks
            ]
            embedding, lm_head = norm(model.token_embedding_table.weight), _laid(model.lm_head.weight * scale)
        return cls(embedding, layers, lm_head, seen)


def versions(model: "GPTLanguageModel") -> tuple[tuple[int, int], ...]:
    """Return what changes whenever a weight of `model` changes or moves."""
    return tuple((p.data_ptr() if not p.is_meta else 0, p._version) for p in model.parameters())


def step_one(model: "GPTLanguageModel", idx: Tensor, cache: RingCache) -> Tensor:
    """Read one token a row, idx (B, 1), after what `cache` holds; return the logits (B, V) of the next."""
    c, weights = model.config, cache.weights
    B, nh, n_kv, hs, W = len(idx), c.n_head, c.n_kv_head, c.head_size, c.block_size
    n = min(max(cache.lengths) + 1, W)  # slots that are filled in some row
    # Are all rows equally long? Then a slot is the same in all, a slice in place of an index, and nothing is hidden.
    even = min(cache.lengths) == max(cache.lengths)
    positions = cache.positions  # (B,)
    cos, sin = model.angles(positions)  # (B, 1, hs/2)
    cos, sin = torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)  # (B, 1, hs)
    if even:
        slot: int | Tensor = cache.lengths[0] % W
        hidden = torch.zeros((), device=idx.device)
    else:
        slot = positions % W
        empty = torch.arange(n, device=idx.device) > positions[:, None]  # (B, n)
        hidden = torch.zeros(B, n, device=idx.device).masked_fill_(empty, -torch.inf)
        hidden = hidden.repeat_interleave(n_kv, 0)[:, None]  # (B · n_kv, 1, n)
    rows = torch.arange(B, device=idx.device)
    x = weights.embedding[idx[:, 0]]  # (B, C)
    for layer, keys, values in zip(weights.layers, cache.keys, cache.values, strict=True):
        qkv = torch.mm(_unit(x), layer.qkv).view(B, nh + 2 * n_kv, hs)  # (B, nh + 2 n_kv, hs)
        qk, v = qkv[:, : nh + n_kv], qkv[:, nh + n_kv :]
        a, b = qk.chunk(2, -1)
        qk = _unit(torch.addcmul(qk * cos, torch.cat((b, a), -1), sin))  # turned, (B, nh + n_kv, hs)
        if even:
            keys[:, :, slot] = qk[:, nh:]
            values[:, :, slot] = v
        else:
            keys[rows, :, slot] = qk[:, nh:]
            values[rows, :, slot] = v
        q = qk[:, :nh].reshape(B * n_kv, nh // n_kv, hs)  # (B · n_kv, nh/n_kv, hs)
        # A key is a unit vector here and √hs long in `attend`, as the query is: √hs · √hs / √hs.
        wei = torch.baddbmm(hidden, q, keys.view(B * n_kv, W, hs)[:, :n].transpose(1, 2), alpha=hs**0.5).softmax(-1)
        out = torch.bmm(wei, values.view(B * n_kv, W, hs)[:, :n]).view(B, nh * hs)
        x = torch.addmm(x, out, layer.proj)  # (B, C)
        x = torch.addmm(x, torch.mm(_unit(x), layer.fc).relu_().square_(), layer.out)  # (B, C)
    cache.lengths = [length + 1 for length in cache.lengths]
    logits: Tensor = c.logit_cap * torch.tanh(torch.mm(_unit(x), weights.lm_head) / c.logit_cap)
    return logits  # (B, V)


def _unit(x: Tensor) -> Tensor:
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(TINY)


def _laid(weight: Tensor) -> Tensor:
    return weight.t().contiguous()
