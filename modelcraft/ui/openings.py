"""The first sight of the chat: what a model does with a line, and three lines to begin with, on the empty sheet."""

from typing import Any, NamedTuple

import gradio as gr

from modelcraft.serving.service import DEFAULT_TEMPERATURE
from modelcraft.store.folder import ModelInfo
from modelcraft.ui.script import plain_view


class Invitation(NamedTuple):
    """How a kind of model invites a visitor."""

    lead: str
    placeholder: str
    temperature: float
    openings: tuple[tuple[str, str], ...]  # a line, and what to know of it


TO_GO_ON = Invitation(
    "It goes on writing; it does not answer.",
    "Write a line …",
    DEFAULT_TEMPERATURE,
    (
        ("ROMEO:", "a name, so someone speaks"),
        ("First Citizen:\nBefore we proceed", "how its corpus begins"),
        ("To be, or not to be", "Hamlet is not in the corpus"),
    ),
)
TO_RESTORE = Invitation(
    "It restores the vowels of a line; it does not answer.",
    "A line without its vowels …",
    0,  # of what was struck out only one thing is right
    (
        ("T b, r nt t b: tht s th qstn", "Hamlet is not in the corpus"),
        ("Whr s my Rm?", "Juliet asks this when she wakes"),
        ("My kingdom for a horse!", "it strikes the vowels out itself"),
    ),
)


def invitation_of(continues: bool, info: ModelInfo) -> Invitation:
    """Return how a model invites: one of another text with lines of that, if its config says some."""
    usual = TO_GO_ON if continues else TO_RESTORE
    lines = info.snippets[: len(usual.openings)]
    if not lines:
        return usual
    name = str(info.corpus.get("name"))[:60]
    notes = ["a line of its text begins so", *[""] * len(lines)]
    return usual._replace(lead=f"{usual.lead} Its text: {name}.", openings=tuple(zip(lines, notes, strict=False)))


class Openings:
    """The lead, and a button with a note for each opening. They stand on the sheet as long as it is empty."""

    def __init__(self) -> None:
        self.buttons: list[gr.Button] = []
        self.notes: list[gr.HTML] = []
        with gr.Column(elem_id="openings"):
            self.lead = plain_view("openings-lead")
            self.lead.value = TO_GO_ON.lead
            with gr.Row(elem_id="examples", elem_classes="mc-examples"):
                for place, (line, note) in enumerate(TO_GO_ON.openings):
                    with gr.Column(min_width=0):
                        self.buttons.append(gr.Button(line, size="sm", min_width=0))
                        self.notes.append(plain_view(f"opening-{place}"))
                        self.notes[-1].value = note

    @property
    def outputs(self) -> list[Any]:
        """The components that an invitation changes."""
        return [self.lead, *self.buttons, *self.notes]

    def show(self, invitation: Invitation) -> list[Any]:
        """Return the new values of `outputs`."""
        missing = len(self.buttons) - len(invitation.openings)
        lines, notes = zip(*invitation.openings, *[("", "")] * missing, strict=True)
        return [invitation.lead, *(gr.update(value=line, visible=line != "") for line in lines), *notes]
