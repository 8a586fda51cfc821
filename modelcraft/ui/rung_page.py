"""What the tab Ladder shows of a rung: plain text and numbers, laid out by `components/ladder*.js`."""

import math
from collections.abc import Sequence
from typing import Any

from modelcraft.data import TINY_SHAKESPEARE
from modelcraft.insight import lessons, syntax
from modelcraft.ladder import RUNGS
from modelcraft.serving.catalogue import Catalogue, Figures
from modelcraft.serving.training_job import Job
from modelcraft.support.wording import listing
from modelcraft.ui import labels

BUDGET = "Exact loss, mean of three seeds and their range: 64 wide, context 32, 600 steps for each."


def lead(catalogue: Catalogue, name: str, mine: Sequence[Job] = ()) -> dict[str, Any]:
    """Return what is above the buttons: the lesson, what the rung costs, and the question with its answer.

    `mine` are a visitor's own models of this rung; each has a bar of its own.
    """
    of, read, names = catalogue.figures(name), lessons.lesson(name), catalogue.names
    place = names.index(name)
    alike = [one for one in names if comparable(one)]
    return {
        "name": name,
        "place": f"Rung {place + 1} of {len(names)}",
        "adds": of.adds,
        **_cost(of),
        "figures": labels.parameters(of),
        "lesson": lessons.paragraphs(read.text),
        "question": read.question,
        "answer": read.answer,
        "ladder": [
            _bar("guessing", labels.GUESSING),
            *(_bar(one, catalogue.figures(one).loss, names.index(one) <= place, one == name) for one in alike),
            *(_bar(one.title, one.info.validation_loss) for one in mine),
        ],
        "apart": f"{_apart([one for one in names if not comparable(one)])} {_foreign(mine)}".strip(),
        "ablations": _bearing_out(name, names[: place + 1]) if lessons.BUDGET in read.answer else [],
        "budget": BUDGET,
    }


def source(name: str) -> dict[str, Any]:
    """Return the code of a rung, coloured, with what is new in it marked."""
    read = lessons.lesson(name)
    lines = syntax.coloured([line.text for line in read.code])
    return {
        "file": read.file,
        "below": read.below,
        "same": read.same_code,
        "code": [[spans, line.new] for spans, line in zip(lines, read.code, strict=True)],
        "settings": [[key, str(value), new] for key, (value, new) in read.settings.items()],
    }


def comparable(name: str) -> bool:
    """Say whether a rung's loss is of the task that the others have: to guess the next character of the play."""
    return RUNGS[name].model_class.continues


def _cost(of: Figures) -> dict[str, str]:
    """Say what a rung costs, and beside it how unsure that is, where its task is that of the others."""
    if of.loss is None:
        return {"loss": "", "unmeasured": "Its loss is not measured.", "unsure": ""}
    if not comparable(of.name):
        unsure = (
            "That is of another task, and an easier one: it is given each line without its vowels. So it has no bar "
            "and no place among the others."
        )
    else:
        unsure = (
            f"As unsure as a choice among {math.exp(of.loss):.1f} characters, all equally likely (its perplexity). "
            f"Guessing costs {labels.GUESSING:.2f}: a choice among {math.exp(labels.GUESSING):.0f}."
        )
    return {"loss": f"{of.loss:.3f}", "unmeasured": "", "unsure": unsure}


def _apart(names: Sequence[str]) -> str:
    return f"{listing(names)} has another task, and an easier one: its loss stands on its own page." if names else ""


def _foreign(mine: Sequence[Job]) -> str:
    titles = [job.title for job in mine if job.info.corpus.get("name") != TINY_SHAKESPEARE]
    return f"{listing(titles)} learned another text, so that loss says nothing beside these." if titles else ""


def _bar(name: str, loss: float | None, reached: bool = True, chosen: bool = False, spread: str = "") -> dict[str, Any]:
    told = loss if reached else None  # what the next rungs bring is not said before its time
    shown = "" if told is None else f"{told:.3f}"
    share = round(min(1.0, (told or 0.0) / labels.GUESSING), 4)
    return {"name": name, "loss": shown, "share": share, "chosen": chosen, "range": spread}


def _bearing_out(name: str, reached: Sequence[str]) -> list[dict[str, Any]]:
    """Return what was measured at equal budget of the rungs up to `name`, and of `name` without one of its parts."""
    return [
        _bar(
            trained,
            sum(losses) / len(losses),
            chosen=trained not in reached,
            spread=f"{min(losses):.3f}–{max(losses):.3f}",
        )
        for trained, losses in lessons.ablations()
        if trained in reached or name in trained
    ]
