"""Train a rung, and leave a model folder: `python -m modelcraft.train --model bigram`."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from modelcraft.ladder import QUICK_RUNG, RUNGS, rung_named
from modelcraft.support.cli import CorpusName, Device, run
from modelcraft.support.errors import ConfigError


def train(
    model: Annotated[
        str | None, typer.Option(help=f"The rung to train: {', '.join(RUNGS)}.", show_default=QUICK_RUNG)
    ] = None,
    corpus: CorpusName = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER|USER/REPO",
            help="Start from this trained model of the rung, with fewer steps and lower rates.",
            show_default="from nothing",
        ),
    ] = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FOLDER|USER/REPO", help="Learn what this trained model finds likely, too."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Batches to train on in all; more of them with --resume train on.", show_default="the rung's"
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows a batch.", show_default="the rung's")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="The highest one; Muon's changes with it.", show_default="the rung's")
    ] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Steps until then.", show_default="the rung's")] = None,
    out: Annotated[Path | None, typer.Option(help="Where all of it goes.", show_default="runs/<model>")] = None,
    device: Device = None,
    seed: Annotated[
        int | None, typer.Option(help="Decides the first weights and the batches.", show_default="1337")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.", show_default="auto")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many evaluations without a better loss.", show_default="never")
    ] = None,
    eval_interval: Annotated[
        int | None, typer.Option(help="Steps between evaluations.", show_default="the rung's")
    ] = None,
    eval_batches: Annotated[
        int | None, typer.Option(help="Batches that an evaluation reads, of either text.", show_default="the rung's")
    ] = None,
    save_interval: Annotated[
        int | None, typer.Option(help="Steps between saved states.", show_default="the rung's")
    ] = None,
    held_out: Annotated[
        float | None,
        typer.Option(
            help="Share of the training text to calibrate the model on, not to learn.", show_default="the rung's"
        ),
    ] = None,
    compile_: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Let PyTorch compile it.", show_default="the rung's")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the model, such as n_embd=64.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out was interrupted.")] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Train no more: keep the best model of the run in --out as it is.")
    ] = False,
    samples: Annotated[
        bool, typer.Option("--samples", help="Write a sample to sample.txt at each evaluation.")
    ] = False,
    track: Annotated[
        str | None,
        typer.Option(
            metavar="trackio|tensorboard",
            help="Give what goes into metrics.jsonl to this package, too.",
            show_default="none",
        ),
    ] = None,
    exact_loss: Annotated[
        bool,
        typer.Option(
            "--exact-loss/--no-exact-loss",
            help="Measure the exact loss at the end, which takes a while of a large model; --finish makes up for it.",
        ),
    ] = True,
    push_to_hub: Annotated[str | None, typer.Option(metavar="USER/REPO", help="Upload the result.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the Hub repository a private one.")] = False,
    snippets: Annotated[
        bool, typer.Option("--snippets/--no-snippets", help="Upload how four lines of its text begin, too.")
    ] = True,
    stdin: Annotated[
        bool, typer.Option("--stdin", help='Stop when the input says "stop", end when it ends: for other programs.')
    ] = False,
) -> None:
    """Train a rung, and leave a model folder that every other command takes.

    Ctrl-C saves everything; --resume goes on and ends with the same weights as an uninterrupted run.
    A finished run trains on with --resume and more --steps.
    """
    from modelcraft.support.control import follow_stdin
    from modelcraft.training.distributed import joined
    from modelcraft.training.run import TrainingRun

    if stdin:
        follow_stdin()
    if init_from and model is None and not (resume or finish):
        from modelcraft.store.folder import read_info
        from modelcraft.store.load import locate

        model = read_info(locate(init_from)).rung
    folder = (out or Path("runs") / (model or QUICK_RUNG)).expanduser()
    resume = resume or finish
    if resume and model is None:  # the saved run knows it
        from modelcraft.training.state import describe_state

        model = describe_state(folder)["about"].get("rung")
    rung = rung_named(model or QUICK_RUNG)
    given: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "warmup_steps": warmup_steps,
        "seed": seed,
        "precision": precision,
        "patience": patience,
        "eval_interval": eval_interval,
        "eval_batches": eval_batches,
        "save_interval": save_interval,
        "held_out": held_out,
        "compile": compile_,
    }
    given = {name: value for name, value in given.items() if value is not None}
    with joined(device) as (ranks, own_device):
        if ranks.first:
            _look_ahead_to_push(push_to_hub)
        TrainingRun(
            rung=rung,
            folder=folder,
            corpus=corpus,
            recipe=given,
            settings=_settings(set_ or []),
            device=own_device,
            ranks=ranks,
            resume=resume,
            finish=finish,
            init_from=init_from,
            teachers=teacher or (),
            samples=samples,
            exact=exact_loss,
            track=track,
        ).run()
    if not ranks.first:  # a torch thread may still run: Python's normal exit once ended in a C++ error
        os._exit(0)
    if push_to_hub:
        from modelcraft.store.hub_client import push

        typer.echo(f"On the Hub: {push(folder, push_to_hub, private=private, snippets=snippets)}")


def _settings(given: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for setting in given:
        name, _, value = setting.partition("=")
        if name == "vocab_size":
            raise ConfigError("vocab_size follows from the corpus; leave it out.")
        try:
            settings[name] = {"true": True, "false": False}.get(value)
            if settings[name] is None:
                settings[name] = float(value) if {".", "e"} & {*value} else int(value)
        except ValueError:
            raise ConfigError(f"--set takes NAME=VALUE with a number, true or false, not {setting!r}.") from None
    return settings


def _look_ahead_to_push(repo_id: str | None) -> None:
    """Report before the training, not after it, what a push will lack."""
    if repo_id is None:
        return
    from modelcraft.store.hub_client import check_login, check_repo_id

    check_repo_id(repo_id)
    if lacking := check_login():
        typer.echo(f"{lacking} The training goes on meanwhile.", err=True)


if __name__ == "__main__":
    run(train)
