"""Print the exact losses of a model: `python -m modelcraft.evaluate gpt`."""

import json
from typing import Annotated, Any

import typer

from modelcraft.ladder import DEFAULT_RUNG
from modelcraft.support.cli import MODEL_HELP, CorpusName, Device, run


def evaluate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)] = DEFAULT_RUNG,
    corpus: CorpusName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a line of text.")] = False,
    device: Device = None,
) -> None:
    """Measure a model's exact loss on the last tenth of a corpus: every character, no random batch.

    By each of its protocols, and by where in its window a character stands and of what kind it is.
    """
    from modelcraft.data import load_corpus
    from modelcraft.encoder_decoder import EncoderDecoder
    from modelcraft.inference.restoring import restore_all
    from modelcraft.loss import character_losses
    from modelcraft.store.load import load

    network, tokenizer = load(model, device)
    text = load_corpus(corpus)
    if text.notice:
        typer.echo(text.notice, err=True)
    _, val_data = text.splits(tokenizer, network.block_size)
    described: dict[str, Any] = {"model": model, "corpus": text.name, "losses": {}}
    for protocol in network.protocols:
        measured = character_losses(network, val_data, protocol, progress=not as_json)
        loss, by = measured.exact, {"by_kind": measured.by_kind(tokenizer.vocabulary)}
        if protocol != "sliding":  # every context is full there, so the position says nothing
            by["by_position"] = measured.by_position()
        described["losses"][protocol] = {**loss.as_dict(), **by}
        if as_json:
            continue
        typer.echo(
            f"{model}: {loss.nats_per_character:.4f} nats per character ({loss.bits_per_character:.4f} bits) on the "
            f"last tenth of {text.name}, {loss.protocol} ({loss.window}), {loss.characters:,} characters."
        )
        for table in by.values():
            for row in table:
                typer.echo(f"    {row['what']:<26}{row['characters']:>9,}{row['nats_per_character']:>9.4f}")
    if isinstance(network, EncoderDecoder):
        found = restore_all(network, val_data, progress=not as_json)
        described["losses"]["restored"] = found.as_dict()
        if not as_json:
            typer.echo(
                f"{model}: of {found.lines:,} lines {found.exact:.1%} are restored in every character, always by the "
                f"likeliest; {found.character_error_rate:.1%} of the characters would have to be mended."
            )
    if as_json:
        typer.echo(json.dumps(described, indent=2))


if __name__ == "__main__":
    run(evaluate)
