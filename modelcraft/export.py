"""Write a trained GPT for other programs: `python -m modelcraft.export gpt --to transformers`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from modelcraft.support.cli import MODEL_HELP, run


class Target(StrEnum):
    """What a GPT can be written for."""

    TRANSFORMERS = "transformers"
    ONNX = "onnx"


def export(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    to: Annotated[Target, typer.Option(help="What it is written for.")] = Target.TRANSFORMERS,
    out: Annotated[Path | None, typer.Option(help="The folder.", show_default="runs/<model>-<to>")] = None,
) -> None:
    """Write a trained GPT for other programs: a folder for transformers, and with its ONNX file for Transformers.js.

    The folder is also a model folder, which every command here takes.
    """
    from modelcraft.gpt import GPTLanguageModel
    from modelcraft.ladder import rung_named
    from modelcraft.store.card import model_card, write_sample
    from modelcraft.store.folder import as_gpt, load_folder, save_folder
    from modelcraft.store.load import locate
    from modelcraft.support.errors import ConfigError

    source = locate(model)
    trained, tokenizer, info = load_folder(source, "cpu")
    as_gpt(info)  # raises for another rung
    folder = (out or Path("runs") / f"{source.resolve().name}-{to}").expanduser()
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{str(folder)!r} is not empty; name another folder with --out.")
    card = model_card(info, trained.num_parameters, write_sample(trained, tokenizer), for_transformers=True)
    save_folder(folder, trained, info, card, rung_named(info.rung).stored_as, for_transformers=True)
    if to == Target.ONNX:
        from modelcraft.store.onnx import save_onnx

        assert isinstance(trained, GPTLanguageModel)
        save_onnx(trained, folder / "onnx" / "model.onnx")
    typer.echo(f"{folder}/")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        typer.echo(f"  {path.relative_to(folder)}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    run(export)
