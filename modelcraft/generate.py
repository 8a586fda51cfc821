"""Stream text to the terminal: `python -m modelcraft.generate --model bigram --prompt "ROMEO:"`."""

from dataclasses import replace
from typing import Annotated

import typer

from modelcraft.ladder import DEFAULT_RUNG
from modelcraft.support.cli import MODEL_HELP, Device, run


def generate(
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = DEFAULT_RUNG,
    prompt: Annotated[
        str | None,
        typer.Option(help="The text to continue, or to restore.", show_default="a line of its text"),
    ] = None,
    length: Annotated[int, typer.Option(help="Characters to write.")] = 500,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest, 1 the model's own odds.")] = 0.8,
    top_k: Annotated[int, typer.Option(help="Draw from the k likeliest only; 0: from all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest that hold this share; 1: from all.")] = 1.0,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same text.", show_default="another each time")
    ] = None,
    stop: Annotated[str, typer.Option(help="End before this text; the length is the most then.")] = "",
    device: Device = None,
) -> None:
    """Continue a text, streamed to the terminal as it is written.

    The encoder-decoder restores lines instead: it writes them with their vowels, and nothing more.
    """
    from modelcraft.inference.stream import stream
    from modelcraft.sampling import SamplingParams
    from modelcraft.store.folder import load_folder
    from modelcraft.store.load import locate

    params = SamplingParams(length, temperature, top_k, top_p, seed)
    network, tokenizer, info = load_folder(locate(model), device)
    if not tokenizer.unknown(stop):  # the model never writes unknown characters
        params = replace(params, stop=tuple(tokenizer.encode(stop)))
    example = next(iter(info.snippets), network.example)
    known = tokenizer.normalize(example if prompt is None else prompt)
    if known.changed:
        typer.echo(known.report(), err=True)
    tokens = stream(network, tokenizer.encode(known.text), params)
    if network.continues:
        print(known.text, end="", flush=True)
    for token in tokens:
        print(tokenizer.decode([token]), end="", flush=True)
    print()


if __name__ == "__main__":
    run(generate)
