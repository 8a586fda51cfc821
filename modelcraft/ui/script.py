"""The script of a chat and the columns of a race, shown exactly: character for character, never as Markdown or HTML.

Gradio's own Chatbot renders or rewrites what it shows.
"""

from collections.abc import Sequence
from typing import Any, TypedDict

import gradio as gr

from modelcraft.support.checks import check_text
from modelcraft.support.errors import ConfigError
from modelcraft.ui import component

MAX_SCRIPT = 200_000  # characters of one visitor's script
MAX_TURNS = 500


class Turn(TypedDict):
    """One turn of the script: who wrote it ("you" or a rung's name), and the text exactly as written."""

    who: str
    text: str


class ScriptValue(TypedDict):
    """The value of a script view: its turns, whether the last one is being written, and a word about it."""

    turns: list[Turn]
    writing: bool
    note: str


class Lane(TypedDict):
    """One column of a race: a rung and its figures, and what it has written so far."""

    name: str
    adds: str
    loss: str
    share: float  # of the loss of guessing: how long its bar is
    parameters: str
    said: str  # the prompt
    text: str
    speed: int  # characters a second that the model can do
    note: str  # why it writes nothing, or no more
    writing: bool


YOU = "you"
# The list is within another one: Gradio takes what comes as the list of all outputs.
STOPPED_JS = "lanes => [lanes.map(lane => ({...lane, writing: false}))]"


def script_view(elem_id: str) -> gr.HTML:
    """Make the page of the play: the visitor's lines and the model's, one under the other; a ScriptValue."""
    return component.component("script", script(), elem_id)


def race_view(lanes: Sequence[Lane], elem_id: str) -> gr.HTML:
    """Make the sheet of a race: up to four columns side by side, each a rung; a list of Lanes."""
    return component.component("race", lanes, elem_id)


def plain_view(elem_id: str) -> gr.HTML:
    """Make a line of text that is shown exactly as it is; a `str`."""
    return component.component("line", "", elem_id)


def script(turns: Sequence[Turn] = (), writing: bool = False) -> ScriptValue:
    """Make the value of a script view."""
    return {"turns": list(turns), "writing": writing, "note": ""}


def read_script(value: Any) -> list[Turn]:
    """Return the turns of a script view's value as a client sent it; raises ConfigError if it is none."""
    turns = value.get("turns") if isinstance(value, dict) else None
    if not isinstance(turns, list) or len(turns) > MAX_TURNS:
        raise ConfigError("This script is too long or not a script; clear it and start again.")
    if sum(len(str(turn.get("text"))) if isinstance(turn, dict) else 0 for turn in turns) > MAX_SCRIPT:
        raise ConfigError(f"This script has more than {MAX_SCRIPT:,} characters; clear it and start again.")
    read: list[Turn] = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise ConfigError("This is not a script; clear it and start again.")
        read.append(
            {"who": check_text("who", turn.get("who"), 40), "text": check_text("text", turn.get("text"), MAX_SCRIPT)}
        )
    return read


def whole_text(turns: Sequence[Turn]) -> str:
    """Join the turns as the model reads them and as Copy copies them: a visitor's line starts a new paragraph."""
    text = ""
    for turn in turns:
        if turn["who"] == YOU and text:
            text += "" if text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        text += turn["text"]
    return text


def line_up_js(ladder: Sequence[Lane]) -> str:
    """Return the script that turns the names that were ticked into the columns of a race; `ladder`: all there are."""
    return component.script("line_up", ladder=ladder)
