"""The ladder: the rungs in order, and of each the lesson, a sample, the code, and what in it is new."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from modelcraft.insight import lessons
from modelcraft.serving.service import Desk
from modelcraft.store.folder import WEIGHTS_DIR
from modelcraft.ui import labels as figures
from modelcraft.ui.widgets import QUIET, question, told

FIRST = "block"
QUESTION = (
    "Before you choose a rung: read what it adds. How many lines does that take, and what will they do to the loss?"
)


class Ladder:
    """The tab: a pill for every rung, and the page of the one that is chosen."""

    def __init__(self, desk: Desk, tab: gr.Tab) -> None:
        self.desk = desk
        names = desk.catalogue.names
        question(QUESTION)
        self.rung = gr.Radio(
            names,
            value=FIRST if FIRST in names else (names[-1] if names else None),
            label="Rung",
            elem_id="ladder-rung",
            elem_classes="mc-pills",
        )
        self.view = gr.HTML(
            {}, html_template=_HTML, js_on_load=_JS, apply_default_css=False, elem_id="ladder", min_height=600
        )
        tab.select(self.read, self.rung, self.view, preprocess=False, **QUIET)
        self.rung.change(self.read, self.rung, self.view, preprocess=False, **QUIET)

    @told
    async def read(self, name: Any) -> dict[str, Any]:
        """Return the page of a rung."""
        self.desk.catalogue.check(name)
        return await self.desk.look(self.page, name)

    def page(self, name: str) -> dict[str, Any]:
        """Gather what the page shows; all of it is plain text and numbers."""
        of, read = self.desk.catalogue.figures(name), lessons.lesson(name)
        return {
            "name": name,
            "adds": of.adds,
            "figures": " · ".join(part for part in (figures.parameters(of), figures.loss(of)) if part),
            "lesson": lessons.paragraphs(read.text),
            "sample": lessons.sample(WEIGHTS_DIR / name),
            "file": read.file,
            "below": read.below,
            "same": read.same_code,
            "code": [[line.text, line.new] for line in read.code],
            "settings": [[key, str(value), new] for key, (value, new) in read.settings.items()],
            "ladder": [self._bar(rung, rung == name) for rung in self.desk.catalogue.names],
            "ablations": _measured(lessons.ablations()),
        }

    def _bar(self, name: str, chosen: bool) -> dict[str, Any]:
        of = self.desk.catalogue.figures(name)
        shown = "" if of.loss is None else f"{of.loss:.3f}"
        return {"name": name, "loss": shown, "share": figures.share(of), "chosen": chosen, "range": ""}


def _measured(found: Sequence[tuple[str, Sequence[float]]]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "loss": f"{sum(losses) / len(losses):.3f}",
            "share": min(1.0, sum(losses) / len(losses) / figures.GUESSING),
            "range": f"{min(losses):.3f}–{max(losses):.3f}",
            "chosen": name.startswith("block,"),
        }
        for name, losses in found
    ]


_HTML = """
<article class="mc-ladder" aria-live="polite">
  <header><h2></h2><p class="mc-ladder-adds"></p><p class="mc-ladder-figures"></p></header>
  <section><h3>The lesson</h3><div class="mc-ladder-lesson"></div></section>
  <div>
    <section><h3>What it writes</h3><div class="mc-ladder-sample"></div></section>
    <section><h3>All rungs: exact loss, nats per character</h3><table class="mc-ladder-bars"></table></section>
    <section><h3>The same budget for all, and what each part of the block buys</h3>
      <table class="mc-ladder-bars"></table>
      <p class="mc-ladder-note">Mean of three seeds, 64 wide, context 32, 600 steps; in grey the block without a part.
    </section>
  </div>
  <section class="mc-ladder-wide"><h3 class="mc-ladder-about"></h3><p class="mc-ladder-settings"></p>
    <pre class="mc-ladder-code" tabindex="0" role="region" aria-label="The code"><div></div></pre></section>
</article>
"""

_JS = """
const find = selector => element.querySelector(selector);
const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name, textContent: text});
const bars = (table, rows, marked) => table.replaceChildren(...rows.map(row => {
  const line = make('tr', row.chosen ? marked : '', '');
  const cell = make('td', 'mc-ladder-bar', ''), bar = make('span', '', '');
  bar.style.width = `${100 * row.share}%`;
  cell.append(bar);
  const head = make('th', '', row.name);
  head.scope = 'row';
  line.append(head, make('td', '', row.loss), cell);
  if (row.range) line.append(make('td', 'mc-ladder-range', row.range));
  return line;
}));
const draw = () => {
  const page = props.value ?? {};
  if (!page.name) return;
  find('h2').textContent = page.name;
  find('.mc-ladder-adds').textContent = page.adds;
  find('.mc-ladder-figures').textContent = page.figures;
  find('.mc-ladder-lesson').replaceChildren(...page.lesson.map(([text, asItStands]) => {
    if (asItStands) return Object.assign(make('pre', '', text), {tabIndex: 0, role: 'region', ariaLabel: 'A formula'});
    const paragraph = make('p', '', '');  // what stands between backticks is code
    paragraph.append(...text.split('`').map((part, i) => i % 2 ? make('code', '', part) : part));
    return paragraph;
  }));
  find('.mc-ladder-sample').textContent = page.sample || 'Its card shows no sample.';
  find('.mc-ladder-about').textContent = !page.below ? `The code, in ${page.file}`
    : page.same ? `The code, in ${page.file}: that of ${page.below}, at other sizes`
    : `The code, in ${page.file}; marked: what is new against ${page.below}`;
  find('.mc-ladder-settings').replaceChildren(...page.settings.flatMap(([name, value, isNew]) =>
    [make(isNew ? 'mark' : 'span', '', `${name} = ${value}`), ' ']));
  find('.mc-ladder-code').firstChild.replaceChildren(...page.code.map(([text, isNew]) =>
    make(isNew ? 'mark' : 'span', '', text + '\\n')));
  find('.mc-ladder-code').scrollTop = 0;
  const [all, parts] = element.querySelectorAll('.mc-ladder-bars');
  bars(all, page.ladder, 'mc-ladder-here');
  bars(parts, page.ablations, 'mc-ladder-less');
  parts.parentElement.hidden = !page.ablations.length;
};
draw();
watch('value', draw);
"""

CSS = """
.mc-ladder {
  display: grid; grid-template-columns: 1.25fr 1fr; gap: 0 2.5rem; width: min(72rem, 100vw - 3rem);
  margin-left: 50%; transform: translateX(-50%);
  padding: 1.6rem 2rem 2rem; background: #fffdf6; color: #241f1a; border: 1px solid var(--border-color-primary);
  border-radius: 2px; font-family: var(--font);
}
.dark .mc-ladder { background: #1f1b17; color: #ece4d4; }
.mc-ladder header, .mc-ladder .mc-ladder-wide { grid-column: 1 / -1; }
.mc-ladder section, .mc-ladder > div { min-width: 0; }
.mc-ladder h2 { margin: 0; font-size: 1.7rem; font-weight: 500; color: inherit; }
.mc-ladder h3 { margin: 1.5rem 0 .5rem; font-size: 1rem; font-weight: 500; font-style: italic; color: #8c2f1b; }
.dark .mc-ladder h3 { color: #e9a491; }
.mc-ladder p { margin: .1rem 0; }
.mc-ladder-adds { font-style: italic; }
.mc-ladder .mc-ladder-figures, .mc-ladder .mc-ladder-note, .mc-ladder-range { color: #6b604e; font-size: .9rem; }
.dark .mc-ladder :is(.mc-ladder-figures, .mc-ladder-note, .mc-ladder-range) { color: #b5a88f; }
.mc-ladder-lesson, .mc-ladder-sample { font-size: 1rem; line-height: 1.5; }
.mc-ladder-lesson p { margin: 0 0 .8rem; }
.mc-ladder-lesson code { background: none; color: inherit; font: .88em var(--font-mono); }
.mc-ladder-lesson pre {
  margin: 0 0 .8rem; overflow-x: auto; background: none; color: inherit; font: .8rem/1.5 var(--font-mono);
}
.mc-ladder-sample { white-space: pre-wrap; overflow-wrap: anywhere; }
.mc-ladder-code {
  max-height: 36rem; overflow: auto; margin: .6rem 0 0; padding: .8rem 1rem; background: none;
  border: 1px solid var(--border-color-primary); color: inherit;
  font: .82rem/1.5 var(--font-mono); white-space: pre; overflow-wrap: normal;
}
.mc-ladder-code div { width: max-content; min-width: 100%; }
.mc-ladder-code :is(span, mark) { display: block; }
.mc-ladder mark { background: #f6dcd4; color: inherit; }
.dark .mc-ladder mark { background: #45160c; }
.mc-ladder-code mark { box-shadow: -3px 0 #8c2f1b; }
.dark .mc-ladder-code mark { box-shadow: -3px 0 #e09a86; }
.mc-ladder-settings { font: .82rem/1.7 var(--font-mono); }
.mc-ladder-settings :is(span, mark) { padding: .1rem .35rem; white-space: nowrap; }
.mc-ladder-bars { width: 100%; border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
.mc-ladder-bars :is(th, td) {
  padding: .12rem .5rem .12rem 0; border: 0; text-align: left; font-weight: 400; color: inherit;
}
.mc-ladder-bars th { white-space: nowrap; }
.mc-ladder-bar { width: 50%; min-width: 4rem; }
.mc-ladder-bar span { display: block; height: .8rem; background: #a8412a; }
.dark .mc-ladder-bar span { background: #cf7359; }
.mc-ladder-here th { font-weight: 700; }
.mc-ladder-less .mc-ladder-bar span { background: #8a8578; }
.mc-ladder-range { white-space: nowrap; }
@media (max-width: 800px) {
  .mc-ladder { grid-template-columns: minmax(0, 1fr); width: 100%; padding: 1.1rem 1rem 1.4rem; }
  .mc-ladder-bar { width: 35%; }
  .mc-ladder-range { display: none; }
}
"""
