"""What goes along from tab to tab: the rung and the text that were chosen last, in the chat or in a look inside.

Which those are only the visitor's browser knows: `components/along.js` follows the fields, and when a tab opens it
sends what comes along, which the tab takes over if it can show it.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gradio as gr

from modelcraft.model import LanguageModel
from modelcraft.serving.service import Service
from modelcraft.support.errors import ModelCraftError
from modelcraft.ui.address import fields_of
from modelcraft.ui.component import script
from modelcraft.ui.widgets import MAX_SEEN, QUIET, told

# By the tab's id: whether of a text that is too long for it the end is taken, and not the beginning.
TABS = {"chat": False, "next-character": True, "attention": True, "one-step": True, "surprise": False}


class Taken(NamedTuple):
    """With which text and rung a tab opens, and whether it has to look at them anew."""

    text: Any
    rung: Any
    anew: bool


async def taken(
    service: Service, along: Any, text: Any, rung: Any, shows: Callable[[LanguageModel], bool] = lambda _: True
) -> Taken:
    """Return what a tab opens with that holds `text` and `rung`; a rung that it cannot show stays behind."""
    if not isinstance(along, dict):
        return Taken(text, rung, False)
    now, before = bool(along.get("now")), (text, rung)
    if "rung" in along:
        with contextlib.suppress(ModelCraftError):
            if shows((await service.get(along["rung"])).model):
                rung = along["rung"]
    text = along.get("text", text)
    return Taken(text, rung, now or (text, rung) != before)


def on_opening(tab: gr.Tab, handler: Any, inputs: Sequence[Any], text: Any, rung: Any, outputs: Sequence[Any]) -> None:
    """Call `handler` when `tab` opens, with `inputs` and what comes along; it returns text, rung and the `outputs`."""
    along = gr.Textbox(visible=False)  # never filled: the browser puts what comes along in its place
    place = {part._id: number for number, part in enumerate(inputs)}
    take = script("along_take", tab=str(tab.id), text=place[text._id], rung=place[rung._id])

    @told
    async def opened(*given: Any) -> list[Any]:
        results = list(await handler(*given))
        for number, part in enumerate((text, rung)):
            if results[number] == given[place[part._id]]:
                results[number] = gr.skip()  # what is typed meanwhile stays
        return results

    tab.select(opened, [*inputs, along], [text, rung, *outputs], js=take, preprocess=False, **QUIET)


def follow_choices(page: gr.Blocks, after: Any) -> None:
    """Let the browser follow what is chosen, from the event `after` on, which has restored the fields."""
    kinds = {"text": "text", "rung": "rung", "other": "rung"}
    places = [(tab, kinds.get(name, ""), part) for tab, name, part, _ in fields_of(page)]
    rules = [{"tab": tab, "kind": kind, "first": part.value} for tab, kind, part in places]
    most = {tab: part.max_length for tab, kind, part in places if kind == "text"}
    tabs = {tab: (most[tab], end) for tab, end in TABS.items()}
    follow = script("along", rules=rules, tabs=tabs, most_seen=MAX_SEEN)
    after.then(None, [part for *_, part in places], None, js=follow, **QUIET)
