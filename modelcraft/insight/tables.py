"""What a model keeps in tables: counted or learned pairs, and the vectors of its characters and positions."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.bigram import BigramLanguageModel
from modelcraft.blend import BlendLanguageModel
from modelcraft.counting import CountingLanguageModel
from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.gpt import GPTLanguageModel, norm
from modelcraft.model import LanguageModel, evaluating


@dataclass(frozen=True)
class Plane:
    """Characters in two dimensions, and the share of their variance that these two show."""

    points: Tensor  # (V, 2)
    explained: tuple[float, float]  # shares of the variance, the larger one first


def counted_pairs(model: CountingLanguageModel) -> Tensor:
    """Return how often each character followed each other one, (V, V), first × second, from the longest n-grams.

    The last two digits of an n-gram are its last pair, and every character of the text but the first ends one n-gram.
    """
    V = model.config.vocab_size
    base = V + 1
    pairs = model.keys.cpu() % base**2  # (entries,)
    counted = torch.zeros(base**2, dtype=torch.long).index_add_(0, pairs, model.counts.cpu().long())
    return counted.view(base, base)[1:, 1:].reshape(V, V)  # the digit 0 stands for the time before the text


def learned_pairs(model: BigramLanguageModel, firsts: Tensor | None = None) -> Tensor:
    """Return the probability of each character after each of `firsts` (K,), (K, V), averaged over all positions.

    Without `firsts`, after each character: (V, V).
    """
    firsts = torch.arange(model.config.vocab_size) if firsts is None else firsts
    idx = firsts.to(model.device)[:, None].expand(len(firsts), model.block_size)  # (K, T): one repeated character a row
    with evaluating(model):
        logits, _ = model(idx)  # (K, T, V)
    return logits.float().softmax(-1).mean(1).cpu()  # (K, V)


def embeddings(model: LanguageModel) -> Tensor | None:
    """Return the vectors (V, C) of the characters as the model reads them; None if it has none."""
    if isinstance(model, BlendLanguageModel):
        return embeddings(model.network)
    table = getattr(model, "token_embedding_table", None)
    if not isinstance(table, nn.Embedding):
        return None
    vectors = table.weight.detach().float().cpu()  # (V, C)
    return norm(vectors) if isinstance(model, GPTLanguageModel | EncoderDecoder) else vectors


def plane(vectors: Tensor) -> Plane:
    """Project vectors (V, C) onto the two directions in which they vary most (principal components)."""
    centred = vectors - vectors.mean(0)
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)  # (V, K), (K,)
    u, s = F.pad(u, (0, max(0, 2 - len(s)))), F.pad(s, (0, max(0, 2 - len(s))))
    points = u[:, :2] * s[:2]  # (V, 2)
    # The sign of a direction is arbitrary: choose it so that the farthest point is on the positive side.
    points = points * points.gather(0, points.abs().argmax(0)[None]).sign()
    first, second = (s[:2] ** 2 / (s**2).sum().clamp(min=1e-12)).tolist()
    return Plane(points, (first, second))


def similarity(vectors: Tensor) -> Tensor:
    """Return the cosine of the angle between every two vectors: (N, C) -> (N, N)."""
    unit = F.normalize(vectors, dim=-1)
    return unit @ unit.T


def position_similarity(model: LanguageModel) -> tuple[Tensor, str] | None:
    """Return how similar any two positions are to the model, (T, T) from -1 to 1, and its method; None if it has none.

    For a learned table this is the cosine of its rows. For rotations (RoPE) it is the product of two equal vectors,
    each rotated by its position, averaged over the pairs of numbers; it depends on the distance only.
    """
    if isinstance(model, BlendLanguageModel):
        return position_similarity(model.network)
    if isinstance(model, GPTLanguageModel | EncoderDecoder):
        cos, sin = model.angles(torch.arange(model.block_size, device=model.device))  # (T, hs/2) each
        turned = torch.cat((cos.view(model.block_size, -1), sin.view(model.block_size, -1)), -1).float().cpu()
        return similarity(turned), "rotations"
    table = getattr(model, "position_embedding_table", None)
    if not isinstance(table, nn.Embedding):
        return None
    return similarity(table.weight.detach().float().cpu()), "a learned table"
