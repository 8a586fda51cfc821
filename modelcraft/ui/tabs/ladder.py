"""The ladder: the rungs in order, each with its lesson, a sample, its code, and what is new in the code."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from modelcraft.insight import lessons
from modelcraft.serving.service import Service
from modelcraft.store.folder import WEIGHTS_DIR
from modelcraft.ui import labels
from modelcraft.ui.component import component
from modelcraft.ui.widgets import QUIET, question, told

FIRST = "block"
QUESTION = (
    "Before you choose a rung: read what it adds. How many lines does that take, and what will they do to the loss?"
)


class Ladder:
    """The tab: a pill for every rung, and the page of the chosen rung."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        names = service.catalogue.names
        question(QUESTION)
        self.rung = gr.Radio(
            names,
            value=FIRST if FIRST in names else (names[-1] if names else None),
            label="Rung",
            elem_id="ladder-rung",
            elem_classes="mc-pills",
        )
        self.view = component("ladder", {}, "ladder", min_height=600)
        tab.select(self.read, self.rung, self.view, preprocess=False, **QUIET)
        self.rung.change(self.read, self.rung, self.view, preprocess=False, **QUIET)

    @told
    async def read(self, name: Any) -> dict[str, Any]:
        """Return the page of a rung."""
        self.service.catalogue.check(name)
        return await self.service.look(self.page, name)

    def page(self, name: str) -> dict[str, Any]:
        """Gather what the page shows; all of it is plain text and numbers."""
        of, read = self.service.catalogue.figures(name), lessons.lesson(name)
        return {
            "name": name,
            "adds": of.adds,
            "figures": " · ".join(part for part in (labels.parameters(of), labels.loss(of)) if part),
            "lesson": lessons.paragraphs(read.text),
            "sample": lessons.sample(WEIGHTS_DIR / name),
            "file": read.file,
            "below": read.below,
            "same": read.same_code,
            "code": [[line.text, line.new] for line in read.code],
            "settings": [[key, str(value), new] for key, (value, new) in read.settings.items()],
            "ladder": [self._bar(rung, rung == name) for rung in self.service.catalogue.names],
            "ablations": _measured(lessons.ablations()),
        }

    def _bar(self, name: str, chosen: bool) -> dict[str, Any]:
        of = self.service.catalogue.figures(name)
        shown = "" if of.loss is None else f"{of.loss:.3f}"
        return {"name": name, "loss": shown, "share": labels.share(of), "chosen": chosen, "range": ""}


def _measured(found: Sequence[tuple[str, Sequence[float]]]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "loss": f"{sum(losses) / len(losses):.3f}",
            "share": min(1.0, sum(losses) / len(losses) / labels.GUESSING),
            "range": f"{min(losses):.3f}–{max(losses):.3f}",
            "chosen": name.startswith("block,"),
        }
        for name, losses in found
    ]
