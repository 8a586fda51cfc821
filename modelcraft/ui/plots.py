"""Plates: pictures drawn by matplotlib, as SVG in the page's own ink, so that they are legible by day and by night.

A tab of plates shows one value: {"plates": [{"title", "svg", "alt"}], "texts": [{"title", "text"}], which stand beside
the plates, "said": a sentence, "note": another, "tables": [{"caption", "head": [...], "rows": [[...]]}]}. The tables
say in words what the pictures show.
"""

import io
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from modelcraft.training.plots import picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that stand for the page's: what they are is the style sheet's to say.
INK, RUBRIC, MUTED = "#010203", "#040506", "#070809"
_STYLE = {INK: "currentColor", RUBRIC: "var(--mc-rubric)", MUTED: "var(--mc-muted)"}
HEAT, COLD = (200 / 255, 85 / 255, 58 / 255), (58 / 255, 120 / 255, 170 / 255)
_SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥", "\x7f": "␡"}
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def sign(character: str) -> str:
    """Return what stands for a character that could not be seen, or that would turn around what is beside it."""
    if character in _SIGNS:
        return _SIGNS[character]
    if character < " ":
        return chr(0x2400 + ord(character))  # Unicode's own pictures of them
    if unicodedata.category(character) in _UNSEEN:
        return f"U+{ord(character):04X}"
    return f"◌{character}" if unicodedata.combining(character) else character


def plates_view(elem_id: str, min_height: int) -> gr.HTML:
    """Make the sheet that the plates of a tab stand on."""
    return gr.HTML(
        {}, html_template=_HTML, js_on_load=_JS, apply_default_css=False, elem_id=elem_id, min_height=min_height
    )


def plate(
    title: str, alt: str, draw: Callable[["Axes"], None], width: float = 4.2, height: float = 4.2
) -> dict[str, str]:
    """Draw a picture, `width` × `height` inches of which one is 72 pixels; `alt` says what is to be seen in it."""
    names = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    settings: dict[str, Any] = dict.fromkeys(names, INK) | {"axes.edgecolor": MUTED, "font.size": 9}
    settings["svg.fonttype"] = "none"  # text stays text, in the page's font, which may have what matplotlib's lacks
    with picture(width, height, settings) as (figure, axes):
        figure.patch.set_alpha(0)
        axes.patch.set_alpha(0)
        draw(axes)
        written = io.StringIO()
        figure.savefig(written, format="svg", backend="svg", metadata={"Date": None})
    svg = written.getvalue()
    for stands_for, colour in _STYLE.items():
        svg = svg.replace(stands_for, colour)
    return {"title": title, "svg": svg[svg.index("<svg") :], "alt": alt}


def heat(axes: "Axes", values: Any, most: float, **options: Any) -> None:
    """Draw a matrix, each cell the redder the nearer to `most`, the bluer the nearer to -`most`; 0 is the paper."""
    import numpy as np

    values = np.nan_to_num(np.asarray(values, dtype=float), posinf=0, neginf=0)  # (N, M)
    share = np.clip(values / max(most, 1e-12), -1, 1)
    colours = np.where((share >= 0)[..., None], HEAT, COLD)  # (N, M, 3)
    axes.imshow(np.concatenate((colours, np.abs(share)[..., None]), -1), interpolation="nearest", **options)


def name_ticks(axes: "Axes", rows: Sequence[str], columns: Sequence[str], most: int = 70) -> None:
    """Write the characters along both sides; of more than `most` only some."""
    for axis, characters in ((axes.yaxis, rows), (axes.xaxis, columns)):
        step = -(-len(characters) // most)
        places = range(0, len(characters), max(1, step))
        axis.set_ticks(list(places), [sign(characters[place]) for place in places])
        axis.set_tick_params(length=0, pad=1)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")


_HTML = """
<div class="mc-plates"><p class="mc-plates-said" role="status"></p><div class="mc-plates-row"></div>
  <div class="mc-plates-tables"></div><p class="mc-plates-note"></p></div>
"""

_JS = """
const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name, textContent: text});
const draw = () => {
  const {plates = [], texts = [], tables = [], said = '', note = ''} = props.value ?? {};
  element.querySelector('.mc-plates-said').textContent = said;
  element.querySelector('.mc-plates-note').textContent = note;
  const pictures = plates.map(({title, svg, alt}) => {
    const figure = make('figure', 'mc-plate', ''), parsed = new DOMParser().parseFromString(svg, 'image/svg+xml');
    const picture = document.importNode(parsed.documentElement, true);
    picture.removeAttribute('width');
    picture.removeAttribute('height');
    picture.setAttribute('role', 'img');
    picture.setAttribute('aria-label', alt);
    figure.append(make('figcaption', '', title), picture);
    return figure;
  });
  const pages = texts.map(({title, text}) => {
    const figure = make('figure', 'mc-plate', ''), words = make('pre', 'mc-plate-text', text);
    words.tabIndex = 0;
    words.setAttribute('aria-label', title);
    words.setAttribute('role', 'region');
    figure.append(make('figcaption', '', title), words);
    return figure;
  });
  element.querySelector('.mc-plates-row').replaceChildren(...pictures, ...pages);
  element.querySelector('.mc-plates-tables').replaceChildren(...tables.map(({caption, head, rows}) => {
    const box = make('div', 'mc-plates-table', ''), table = make('table', '', ''), top = make('tr', '', '');
    top.append(...head.map(name => Object.assign(make('th', '', name), {scope: 'col'})));
    table.append(make('caption', '', caption), top, ...rows.map(cells => {
      const row = make('tr', '', '');
      row.append(...cells.map((cell, i) => make(i ? 'td' : 'th', '', cell)));
      row.firstChild.scope = 'row';
      return row;
    }));
    box.tabIndex = 0;
    box.setAttribute('role', 'region');
    box.setAttribute('aria-label', caption);
    box.append(table);
    return box;
  }));
};
draw();
watch('value', draw);
"""

CSS = """
.mc-plates {
  --mc-rubric: #8c2f1b; --mc-muted: #6b604e;
  width: min(76rem, 100vw - 3rem); position: relative; left: 50%; transform: translateX(-50%); padding: 1.2rem 1.6rem;
  background: #fffdf6; color: #241f1a; border: 1px solid var(--border-color-primary); border-radius: 2px;
  font-family: var(--font);
}
.dark .mc-plates { --mc-rubric: #e9a491; --mc-muted: #b5a88f; background: #1f1b17; color: #ece4d4; }
.mc-plates p { margin: .2rem 0; color: var(--mc-muted); }
.mc-plates .mc-plates-said { min-height: 1.5rem; text-align: center; font-style: italic; }
.mc-plates .mc-plates-note { min-height: 1.4rem; font-size: .9rem; font-style: italic; }
.mc-plates-row { display: flex; flex-wrap: wrap; gap: 1.2rem; justify-content: center; margin: .4rem 0; }
.mc-plates .mc-plate { flex: 1 1 20rem; max-width: 46rem; min-width: 0; margin: 0; }
.mc-plate svg { display: block; width: 100%; height: auto; }
.mc-plate svg text { font-family: var(--font) !important; }
.mc-plate svg image { image-rendering: pixelated; }
.mc-plates figcaption { text-align: center; font-size: 1.05rem; color: inherit; }
.mc-plates .mc-plate-text {
  height: 19rem; margin: .6rem 0 0; padding: 0; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere;
  font-family: var(--font); font-size: 1.02rem; line-height: 1.5; background: none; color: inherit;
}
.mc-plates-tables { display: flex; flex-wrap: wrap; gap: 1rem 2.2rem; justify-content: center; }
.mc-plates-table { flex: 0 1 auto; max-width: 100%; max-height: 17rem; overflow: auto; }
.mc-plates table { border-collapse: collapse; font-size: .95rem; font-variant-numeric: tabular-nums; }
.mc-plates caption { padding: .3rem 0; text-align: left; font-style: italic; color: var(--mc-rubric); }
.mc-plates :is(th, td) {
  padding: .1rem 1.3rem .1rem 0; border: 0; color: inherit; text-align: left; font-weight: 400; white-space: pre;
}
.mc-plates tr:first-of-type th { color: var(--mc-muted); font-size: .88rem; }
@media (max-width: 800px) { .mc-plates { width: 100%; padding: .9rem .8rem; } }
"""
