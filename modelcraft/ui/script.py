"""The script of a chat and the columns of a race, shown exactly: character for character, never as Markdown or HTML.

Gradio's own Chatbot renders or rewrites what it shows.
"""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

import gradio as gr

from modelcraft.support.checks import check_text
from modelcraft.support.errors import ConfigError
from modelcraft.ui import component

MAX_SCRIPT = 200_000  # characters of one visitor's script
MAX_TURNS = 500
MAX_WHO = 100  # characters of a name; a visitor's own model has a long one


class Turn(TypedDict):
    """One turn of the script: who wrote it ("you" or a rung's title), and the text exactly as written."""

    who: str
    text: str
    rung: NotRequired[str]  # the name of the model that wrote it


class ScriptValue(TypedDict):
    """The value of a script view: its turns, whether the model is still writing the last one, and a short note."""

    turns: list[Turn]
    writing: bool
    note: str


class Lane(TypedDict):
    """One column of a race: a rung and its figures, and what it has written so far."""

    name: str
    title: str
    adds: str
    loss: str
    share: float  # of the loss of guessing: the length of the bar
    parameters: str
    said: str  # the prompt
    text: str
    real: list[int]  # where its words begin and end that stand in the text that it learned from
    words: int  # how many words there are
    speed: int  # characters per second that the model can write
    note: str  # why it writes nothing, or nothing more
    writing: bool


YOU = "you"
# The list is inside another one: Gradio treats the result as the list of all outputs.
STOPPED_JS = "lanes => [lanes.map(lane => ({...lane, writing: false}))]"


def script_view(elem_id: str) -> gr.HTML:
    """Make the component that shows a ScriptValue: the visitor's lines and the model's, one below the other."""
    return component.component("script", script(), elem_id)


def race_view(lanes: Sequence[Lane], elem_id: str) -> gr.HTML:
    """Make the component that shows a race, a list of Lanes: up to four rungs in columns side by side."""
    return component.component("race", lanes, elem_id)


def plain_view(elem_id: str) -> gr.HTML:
    """Make the component that shows a `str` exactly as it is."""
    return component.component("line", "", elem_id)


def script(turns: Sequence[Turn] = (), writing: bool = False) -> ScriptValue:
    """Make the value of a script view."""
    return {"turns": list(turns), "writing": writing, "note": ""}


def read_script(value: Any) -> list[Turn]:
    """Return the turns of a ScriptValue that a client sent; raises ConfigError if it is not valid."""
    turns = value.get("turns") if isinstance(value, dict) else None
    if not isinstance(turns, list) or len(turns) > MAX_TURNS:
        raise ConfigError("This script is too long or not a script; clear it and start again.")
    if sum(len(str(turn.get("text"))) if isinstance(turn, dict) else 0 for turn in turns) > MAX_SCRIPT:
        raise ConfigError(f"This script has more than {MAX_SCRIPT:,} characters; clear it and start again.")
    read: list[Turn] = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise ConfigError("This is not a script; clear it and start again.")
        one: Turn = {
            "who": check_text("who", turn.get("who"), MAX_WHO),
            "text": check_text("text", turn.get("text"), MAX_SCRIPT),
        }
        if "rung" in turn:
            one["rung"] = check_text("rung", turn["rung"], 100)
        read.append(one)
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
    """Return the script that turns ticked names into the columns of a race; `ladder` holds all possible columns."""
    return component.script("line_up", ladder=ladder)
