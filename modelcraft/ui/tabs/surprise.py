"""Surprise: a visitor's text, each character coloured by how little one or two rungs expected it."""

from typing import Any

import gradio as gr

from modelcraft.insight.surprise import surprise
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import Desk
from modelcraft.support.checks import check_text
from modelcraft.support.errors import ConfigError, VocabularyError
from modelcraft.support.wording import describe, listing
from modelcraft.ui.widgets import QUIET, SIGN_JS, question, rung_chooser, told

MAX_TEXT = 2_000
SPOTS = 8
EXAMPLES = (
    "JULIET:\nO Romeo, Romeo! wherefore art thou Romeo?\nDeny thy father and refuse thy name.\n",
    "The train to the airport leaves every twenty minutes from platform two.",
    "Colourless green ideas sleep furiously; qzx wvb!",
)
NAMES = ("the play", "the timetable", "nonsense")
QUESTION = "Before you press Read: where in a word is a model surprised most, at its beginning or at its end?"
NOBODY = ""


class SurpriseView:
    """The tab: a text, one or two rungs, and what they made of it."""

    def __init__(self, desk: Desk, tab: gr.Tab) -> None:
        self.desk = desk
        self.view = gr.HTML(
            {},
            html_template=_HTML,
            js_on_load=SIGN_JS + _JS,
            apply_default_css=False,
            elem_id="surprise",
            min_height=320,
        )
        question(QUESTION)
        with gr.Row(elem_classes="mc-desk", equal_height=True):
            self.text = gr.Textbox(
                EXAMPLES[0],
                label="The text",
                show_label=False,
                placeholder="A text, a poem of your own …",
                lines=3,
                max_lines=8,
                max_length=MAX_TEXT,
                container=False,
                elem_id="surprise-text",
            )
            self.go = gr.Button("Read", variant="primary", min_width=0, elem_id="surprise-go")
        with gr.Row(elem_classes="mc-examples"):
            examples = [gr.Button(name, size="sm", min_width=0) for name in NAMES]
        with gr.Row():
            self.one = rung_chooser(desk.catalogue, "surprise-one", "Read by", "bigram")
            self.other = rung_chooser(desk.catalogue, "surprise-other", "and by")
            self.other.choices = [("nobody else", NOBODY), *self.other.choices]
            self.choosers = [self.one, self.other]
        inputs = [self.text, self.one, self.other]
        tab.select(self.open, [self.view, *inputs], self.view, preprocess=False, **QUIET)
        for event in (self.go.click, self.one.input, self.other.input):
            event(self.read, inputs, self.view, preprocess=False, **QUIET)
        for button, example in zip(examples, EXAMPLES, strict=True):
            chosen = button.click(lambda example=example: example, None, self.text, **QUIET)
            chosen.then(self.read, inputs, self.view, preprocess=False, **QUIET)

    @told
    async def open(self, shown: Any, text: Any, one: Any, other: Any) -> Any:
        """Read the text when the tab is opened for the first time."""
        return gr.skip() if shown else await self.read(text, one, other)

    @told
    async def read(self, text: Any, one: Any, other: Any) -> dict[str, Any]:
        """Return the page: a panel for each rung that read the text."""
        if not check_text("The text", text, MAX_TEXT):
            raise ConfigError("Write a text first, or choose one of the examples.")
        entries = [await self.desk.get(one)]
        if other not in (NOBODY, one):
            entries.append(await self.desk.get(other))
        panels = [await self.desk.look(panel, entry, text) for entry in entries]
        return {"panels": panels, "verdict": verdict(panels)}


def panel(entry: Entry, text: str) -> dict[str, Any]:
    """Let one rung read the text; `cells` has each of its characters, in bits if it was scored.

    Raises VocabularyError if the rung knows nothing of it.
    """
    known = [place for place, character in enumerate(text) if character in entry.tokenizer.vocabulary]
    if not known:
        raise VocabularyError(f"{entry.title} knows none of these characters; write others.")
    found = surprise(entry.model, entry.tokenizer.encode("".join(text[place] for place in known)))
    cells: list[list[Any]] = [[character, None, "", 0] for character in text]
    scored = zip(known[1:], found.bits.tolist(), found.likeliest.tolist(), found.share.tolist(), strict=True)
    for place, bits, likeliest, share in scored:
        cells[place][1:] = [round(bits, 2), entry.tokenizer.decode([likeliest]), round(share, 3)]
    strangers = list(dict.fromkeys(character for character in text if character not in entry.tokenizer.vocabulary))
    worst = sorted((place for place in known[1:]), key=lambda place: -cells[place][1])[:SPOTS]
    mean = float(found.bits.mean()) if len(found.bits) else None
    return {
        "name": entry.title,
        "bits": None if mean is None else round(mean, 3),
        "cells": cells,
        "first": known[0],
        "strangers": listing([describe(character) for character in strangers]),
        "reads": "as a text without a source" if not entry.model.continues else "",
        "spots": [
            {
                "before": text[max(0, place - 12) : place],
                "character": cells[place][0],
                "bits": cells[place][1],
                "instead": cells[place][2],
                "share": cells[place][3],
            }
            for place in worst
        ],
    }


def verdict(panels: list[dict[str, Any]]) -> str:
    """Say which of two rungs knew better; nothing of one."""
    if len(panels) < 2 or None in (panels[0]["bits"], panels[1]["bits"]):
        return ""
    better, worse = sorted(panels, key=lambda panel: panel["bits"])
    return f"{better['name']} needs {worse['bits'] - better['bits']:.2f} bits a character less than {worse['name']}."


_HTML = """
<div class="mc-surprise"><p class="mc-surprise-key">
  <span>expected</span><span class="mc-surprise-ramp"></span><span>8 bits and more: a surprise</span></p>
  <div class="mc-surprise-panels"></div><p class="mc-surprise-verdict" role="status"></p></div>
"""

# One tab stop a text: the arrows move from character to character, and the line below says what was thought of it.
_JS = """
const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name, textContent: text});
const percent = share => `${(100 * share).toFixed(share < .1 ? 1 : 0)}\\u00a0%`;
const draw = () => {
  const {panels = [], verdict = ''} = props.value ?? {};
  element.querySelector('.mc-surprise-verdict').textContent = verdict;
  element.querySelector('.mc-surprise-panels').replaceChildren(...panels.map(panel => {
    const box = make('section', 'mc-surprise-panel', ''), text = make('div', 'mc-surprise-text', '');
    const said = make('p', 'mc-surprise-said', 'Point at a character, or go there with the arrow keys.');
    const head = make('p', 'mc-surprise-head', '');
    head.append(make('h2', '', panel.name), make('span', 'mc-surprise-bits',
      panel.bits === null ? 'nothing to score' : `${panel.bits.toFixed(2)} bits a character`));
    said.setAttribute('aria-live', 'polite');
    const about = i => {
      const [character, bits, likeliest, share] = panel.cells[i];
      const name = `“${sign(character)}”`;
      if (bits === null) return i === panel.first ? `${name}: the first, with nothing before it`
        : `${name}: not in the vocabulary, so left out of the reading`;
      const odds = percent(2 ** -bits);
      const instead = likeliest === character ? 'nothing was likelier'
        : `likeliest was “${sign(likeliest)}” with ${percent(share)}`;
      return `${name}: ${bits.toFixed(1)} bits, a chance of ${odds}; ${instead}`;
    };
    const spans = panel.cells.map(([character, bits], i) => {
      const span = make('span', bits !== null ? '' : i === panel.first ? 'mc-surprise-first' : 'mc-surprise-stranger',
        /[ \\n\\t]/.test(character) ? character : sign(character));
      if (bits !== null) span.style.setProperty('--heat', Math.min(1, bits / 8).toFixed(3));
      return span;
    });
    let at = 0;
    const go = to => {
      spans[at].classList.remove('mc-surprise-here');
      at = Math.max(0, Math.min(spans.length - 1, to));
      spans[at].classList.add('mc-surprise-here');
      said.textContent = about(at);
    };
    text.append(...spans);
    text.tabIndex = 0;
    text.setAttribute('role', 'group');
    text.setAttribute('aria-label', `The text as ${panel.name} read it`);
    text.onpointerover = event => { const i = spans.indexOf(event.target); if (i >= 0) go(i); };
    text.onkeydown = event => {
      const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -1e6, End: 1e6}[event.key];
      if (step === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      go(at + step);
    };
    const table = make('table', 'mc-surprise-spots', '');
    table.append(make('caption', '', 'The most surprising spots'));
    for (const spot of panel.spots) {
      const row = make('tr', '', ''), where = make('td', '', [...spot.before].map(sign).join(''));
      where.append(make('b', '', sign(spot.character)));
      row.append(where, make('td', 'mc-surprise-number', `${spot.bits.toFixed(1)}\\u00a0bits`),
        make('td', '', `likeliest: ${sign(spot.instead)}, ${percent(spot.share)}`));
      table.append(row);
    }
    const notes = [panel.reads && `Read ${panel.reads}.`,
      panel.strangers && `Not in its vocabulary, marked: ${panel.strangers}.`].filter(Boolean).join(' ');
    box.append(head, text, said, make('p', 'mc-surprise-note', notes), table);
    return box;
  }));
};
draw();
watch('value', draw);
"""

CSS = """
.mc-surprise {
  width: min(72rem, 100vw - 3rem); position: relative; left: 50%; transform: translateX(-50%); min-height: 20rem;
  padding: 1.2rem 1.6rem; background: #fffdf6; color: #241f1a; border: 1px solid var(--border-color-primary);
  border-radius: 2px; font-family: var(--font);
}
.dark .mc-surprise { background: #1f1b17; color: #ece4d4; }
.mc-surprise p { margin: .2rem 0; }
.mc-surprise-panels { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); gap: 2.2rem; }
.mc-surprise .mc-surprise-head { display: flex; justify-content: space-between; align-items: baseline; }
.mc-surprise h2 { margin: 0; font-size: 1.3rem; font-weight: 500; color: inherit; }
.mc-surprise-bits, .mc-surprise-number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.mc-surprise-text {
  max-height: 26rem; overflow-y: auto; padding: .4rem .2rem; white-space: pre-wrap; overflow-wrap: anywhere;
  font-size: 1.12rem; line-height: 1.7;
}
.mc-surprise-text span { background: rgb(200 85 58 / calc(var(--heat, 0) * .75)); padding: .12em 0; }
.mc-surprise-text .mc-surprise-stranger { outline: 1px dashed #8c2f1b; outline-offset: -1px; }
.dark .mc-surprise-text .mc-surprise-stranger { outline-color: #e9a491; }
.mc-surprise-text .mc-surprise-first { border-bottom: 1px dotted currentColor; }
.mc-surprise-text .mc-surprise-here { outline: 2px solid currentColor; }
.mc-surprise .mc-surprise-said { min-height: 2.8rem; font-size: .95rem; }
.mc-surprise .mc-surprise-note { min-height: 1.4rem; font-size: .9rem; font-style: italic; }
.mc-surprise-note, .mc-surprise-key, .mc-surprise-said { color: #6b604e; }
.dark :is(.mc-surprise-note, .mc-surprise-key, .mc-surprise-said) { color: #b5a88f; }
.mc-surprise-spots { width: 100%; border-collapse: collapse; font-size: .95rem; }
.mc-surprise-spots caption { padding: .3rem 0; text-align: left; font-style: italic; color: #8c2f1b; }
.dark .mc-surprise-spots caption { color: #e9a491; }
.mc-surprise-spots td { padding: .12rem .8rem .12rem 0; border: 0; color: inherit; overflow-wrap: anywhere; }
.mc-surprise-spots b { color: #8c2f1b; }
.dark .mc-surprise-spots b { color: #e9a491; }
.mc-surprise-key { display: flex; gap: .6rem; align-items: center; justify-content: flex-end; font-size: .85rem; }
.mc-surprise-ramp { width: 8rem; height: .8rem; background: linear-gradient(90deg, transparent, rgb(200 85 58 / .75)); }
.mc-surprise-verdict { min-height: 1.5rem; text-align: center; font-style: italic; }
@media (max-width: 800px) {
  .mc-surprise { width: 100%; padding: .9rem 1rem; }
  .mc-surprise-panels { grid: auto / minmax(0, 1fr); gap: 1.4rem; }
}
"""
