"""The columns of a race before it begins, and which rungs can run in it."""

from collections.abc import Sequence

from modelcraft.ladder import RUNGS
from modelcraft.serving.catalogue import Figures
from modelcraft.serving.training_job import Job
from modelcraft.support.wording import listing
from modelcraft.ui import labels
from modelcraft.ui.script import Lane

FIRST_RACE = ("bigram", "head", "block", "gpt")  # each a step that one sees


def snapshot(lanes: Sequence[Lane]) -> list[Lane]:
    """Return a copy of the lanes that later changes leave alone: Gradio sends what differs from it."""
    return [lane.copy() for lane in lanes]


def empty_lane(of: Figures) -> Lane:
    """Return the lane of a rung that has not written yet."""
    return {
        "name": of.name,
        "title": of.name,
        "adds": of.adds,
        "loss": labels.loss(of),
        "share": labels.share(of),
        "parameters": labels.parameters(of),
        "said": "",
        "text": "",
        "real": [],
        "words": 0,
        "speed": 0,
        "note": "",
        "writing": False,
    }


def own_lane(job: Job) -> Lane:
    """Return the lane of a visitor's own model that has not written yet."""
    figures = Figures(job.name, RUNGS[job.order.rung].adds, job.info.parameters, job.info.validation_loss)
    return {**empty_lane(figures), "title": job.title}


def absent(names: Sequence[str]) -> str | None:
    """Say which rungs cannot race, and why; return None if all can."""
    absent = [name for name in names if not RUNGS[name].model_class.continues]
    return f"{listing(absent)} restores lines, and cannot go on with a prompt; so it does not race." if absent else None


def first_choice(names: Sequence[str]) -> list[str]:
    """Return the race that a newcomer sees; where one of its rungs is not there, the first, two more, and the last."""
    if set(FIRST_RACE) <= set(names):
        return list(FIRST_RACE)
    last = len(names) - 1
    return [names[i] for i in sorted({round(last * share / 3) for share in range(4)} if names else ())]
