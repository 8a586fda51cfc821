"""Beyond the context: is a ring of the last 256 characters as good as cropping and recomputing?

`python -m benchmarks.band` reads pieces of 2,048 characters of the validation text in both ways and compares the loss
of the characters from 256 on: in one pass with the band (what the ring cache computes while it writes), and each
character anew from the 256 before it (what the video does). The second way is slow, so that only every so-manieth is
asked.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
import typer

import modelcraft
from modelcraft.data import load_corpus
from modelcraft.model import evaluating


def main(
    model: Annotated[str, typer.Option(help="A GPT: a rung, a folder, or a Hub repository.")] = "gpt",
    length: Annotated[int, typer.Option(help="Characters of a piece.")] = 2048,
    pieces: Annotated[int, typer.Option(help="So many of them, from the beginning of the validation text.")] = 54,
    every: Annotated[int, typer.Option(help="Compare each so-manieth character.")] = 16,
) -> None:
    network, tokenizer = modelcraft.load(model, "cpu")
    corpus = load_corpus()
    _, data = corpus.splits(tokenizer, network.block_size)
    context = network.block_size
    starts = range(0, len(data) - length, length)[:pieces]
    at = torch.arange(context, length, every)  # the characters that are compared: (n,)
    banded, cropped = [], []
    with evaluating(network):
        for start in starts:
            piece = data[start : start + length]
            logits, _ = network(piece[None, :-1])  # (1, length - 1, V)
            banded.append(F.cross_entropy(logits[0, at - 1], piece[at], reduction="none"))
            windows = piece[at[:, None] - context + torch.arange(context)]  # (n, context)
            last = torch.cat([network(some)[0][:, -1] for some in torch.split(windows, 32)])  # (n, V)
            cropped.append(F.cross_entropy(last, piece[at], reduction="none"))
    band, crop = torch.cat(banded).double(), torch.cat(cropped).double()
    worse = band - crop
    error = worse.std() / len(worse) ** 0.5
    print(f"{len(worse):,} characters, {context} to {length:,} of {len(starts)} pieces, every {every}th\n")
    print(f"| way | nats per character |\n|---|---:|\n| cropped to {context}, anew each time | {crop.mean():.4f} |")
    print(f"| banded, in one pass | {band.mean():.4f} |\n\nThe band is worse by {worse.mean():+.4f} ± {error:.4f}.")


if __name__ == "__main__":
    typer.run(main)
