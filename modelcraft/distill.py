"""Train the best GPT: several teachers, and a student of their mean: `python -m modelcraft.distill`."""

from pathlib import Path
from typing import Annotated

import typer

from modelcraft.support.cli import CorpusName, Device, run


def distill(
    out: Annotated[Path, typer.Option(help="Where the student goes; its teachers go beside it.")] = Path("runs/gpt"),
    corpus: CorpusName = None,
    teachers: Annotated[int, typer.Option(min=1, max=16, help="How many.")] = 3,
    teacher_steps: Annotated[int, typer.Option(help="Batches that each teacher learns from.")] = 5000,
    steps: Annotated[int, typer.Option(help="Batches that the student learns from.")] = 7000,
    dropout: Annotated[float, typer.Option(help="The student's: its targets keep it from learning by heart.")] = 0.1,
    device: Device = None,
) -> None:
    """Train GPTs that differ only in their seed, then one that learns what they find likely.

    Ctrl-C saves everything, and the same command goes on: what is finished is not trained again.
    """
    from modelcraft.ladder import RUNGS
    from modelcraft.store.folder import STATE_FILE
    from modelcraft.training.run import TrainingRun

    out, rung = out.expanduser(), RUNGS["gpt"]
    folders = [out.with_name(f"{out.name}-teacher-{seed}") for seed in range(1, teachers + 1)]
    for seed, folder in enumerate(folders, start=1):
        TrainingRun(
            rung,
            folder,
            corpus,
            {"steps": teacher_steps, "seed": seed},
            device=device,
            resume=(folder / STATE_FILE).exists(),
        ).run()
    TrainingRun(
        rung,
        out,
        corpus,
        {"steps": steps},
        {"dropout": dropout},
        device=device,
        teachers=[str(folder) for folder in folders],
        resume=(out / STATE_FILE).exists(),
    ).run()


if __name__ == "__main__":
    run(distill)
