"""A picture of the cross-attention: which consonant each character of a restored line looked at.

python -m benchmarks.cross_attention --out docs/cross-attention.png
"""

from pathlib import Path
from typing import Annotated

import torch
import typer

import modelcraft
from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.insight.attention import trace_attention
from modelcraft.training.plots import picture
from modelcraft.ui.plots import heat, name_ticks, sign


def main(
    line: Annotated[str, typer.Option(help="With or without vowels.")] = "To be, or not to be: that is the question",
    out: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("docs/cross-attention.png"),
) -> None:
    """Restore a line by the bundled model, greedily, and draw the head that is surest of its place."""
    model, tokenizer = modelcraft.load("encoder-decoder", "cpu")
    assert isinstance(model, EncoderDecoder)
    source = model.sources(torch.tensor(tokenizer.encode(line)))[0].tolist()
    params = modelcraft.SamplingParams(model.block_size, temperature=0)
    restored = list(modelcraft.stream(model, source, params))
    trace = trace_attention(model, [model.config.newline, *restored], source)
    heads = [head for head in trace.heads if head.kind == "cross"]
    surest = max(heads, key=lambda head: float(head.weights().max(-1).values.mean()))
    weights = surest.weights()[:-1]  # (T, S): the row of a character is the look before it is written
    with picture(6.4, 9.2) as (figure, axes):
        heat(axes, weights, 1.0, aspect="auto")
        name_ticks(axes, tokenizer.decode(restored), tokenizer.decode(source))
        axes.set(xlabel="what the encoder read", ylabel="what the decoder wrote, from top to bottom")
        figure.savefig(out, dpi=110)
    print(tokenizer.decode(restored))
    print(f"{out}: layer {surest.layer + 1}, head {surest.head + 1}; {sign(' ')} is a space.")


if __name__ == "__main__":
    typer.run(main)
