"""Train the best GPT: several teachers, and a student of their mean: `python -m modelcraft.distill`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from modelcraft.support.cli import CorpusName, Device, run


def distill(
    out: Annotated[Path, typer.Option(help="Where the student goes, its teachers beside it.")] = Path(
        "runs/gpt-student"
    ),
    corpus: CorpusName = None,
    teachers: Annotated[int, typer.Option(min=1, max=16, help="How many.")] = 3,
    teacher_steps: Annotated[int, typer.Option(help="Batches that each teacher learns from.")] = 5000,
    steps: Annotated[int, typer.Option(help="Batches that the student learns from.")] = 10_000,
    dropout: Annotated[float, typer.Option(help="The student's: its targets keep it from learning by heart.")] = 0.1,
    device: Device = None,
) -> None:
    """Train GPTs that differ only in their seed, then one that learns what they find likely.

    Ctrl-C saves everything, and the same command goes on: what is finished is not trained again.
    """
    from modelcraft.ladder import RUNGS
    from modelcraft.store.folder import STATE_FILE
    from modelcraft.support.errors import TrainingError
    from modelcraft.training.run import TrainingRun
    from modelcraft.training.state import describe_state
    from modelcraft.training.trainer import TrainingStoppedError

    def train(folder: Path, recipe: dict[str, Any], settings: dict[str, Any], taught_by: Sequence[Path] = ()) -> None:
        again, names = (folder / STATE_FILE).exists(), [str(teacher) for teacher in taught_by]
        TrainingRun(RUNGS["gpt"], folder, corpus, recipe, settings, device, resume=again, teachers=names).run()

    out = out.expanduser().resolve()
    if (out / STATE_FILE).exists():  # hours before it would be resumed
        then = describe_state(out)
        asked = (len(then["about"].get("teachers", ())), then["config"]["steps"], then["about"].get("dropout"))
        if asked != (teachers, steps, dropout):
            raise TrainingError(f"{str(out)!r} holds another training; name another folder with --out.")
    folders = [out.with_name(f"{out.name}-teacher-{seed}") for seed in range(1, teachers + 1)]
    try:
        for seed, folder in enumerate(folders, start=1):
            train(folder, {"steps": teacher_steps, "seed": seed}, {})
        train(out, {"steps": steps}, {"dropout": dropout}, folders)
    except TrainingStoppedError as error:
        raise TrainingStoppedError(
            error.signum, "Stopped; everything is saved, and the same command goes on."
        ) from None


if __name__ == "__main__":
    run(distill)
