"""Embeddings: where a rung puts its characters, and how similar it considers two positions."""

from typing import TYPE_CHECKING, Any

import gradio as gr
from torch import Tensor

from modelcraft.insight.tables import Plane, embeddings, plane, position_similarity, similarity
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import Service
from modelcraft.ui.plots import INK, MUTED, RUBRIC, heat, plot, plots_view, sign
from modelcraft.ui.widgets import QUIET, question, rung_chooser, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEIGHBOURS = 4
VOWELS = frozenset("aeiouAEIOU")
QUESTION = "Before you choose another rung: will a model that never heard of vowels have put them together?"


class EmbeddingsView:
    """The tab: a rung's characters in two dimensions, and its positions."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        self.view = plots_view("embeddings", 640)
        question(QUESTION)
        self.rung = rung_chooser(service.catalogue, "embeddings-rung")
        self.choosers = [self.rung]
        tab.select(self.open, [self.view, self.rung], self.view, preprocess=False, **QUIET)
        self.rung.input(self.show, self.rung, self.view, preprocess=False, **QUIET)

    @told
    async def open(self, shown: Any, rung: Any) -> Any:
        """Draw when the tab first opens."""
        return gr.skip() if shown else await self.show(rung)

    @told
    async def show(self, rung: Any) -> dict[str, Any]:
        """Return the page of a rung; raises gr.Error with one sentence."""
        entry = await self.service.get(rung)
        return await self.service.look(page, entry)


def page(entry: Entry) -> dict[str, Any]:
    """Lay out the pictures of one rung, or a single line for a rung without embeddings."""
    vectors, places = embeddings(entry.model), position_similarity(entry.model)
    if vectors is None:
        return {"said": f"{entry.title} has no embeddings: to it each character is itself and nothing else."}
    vocabulary = entry.tokenizer.vocabulary
    found, alike = plane(vectors), similarity(vectors - vectors.mean(0)).fill_diagonal_(-2)  # (V, V)
    nearest = alike.argsort(descending=True)[:, :NEIGHBOURS].tolist()
    rows = [
        [sign(character), "   ".join(f"{sign(vocabulary[j])} {alike[i, j]:+.2f}" for j in nearest[i])]
        for i, character in enumerate(vocabulary)
        if nearest[i]
    ]
    close = "; ".join(
        f"{c} lies by {sign(vocabulary[nearest[vocabulary.index(c)][0]])}" for c in "aet" if c in vocabulary
    )
    first, second = found.explained
    plots = [plot("characters", f"Where the characters lie: {close}.", _characters(found, vocabulary), 5.4, 5.0)]
    note = (
        f"Two directions of {vectors.shape[1]} show {first:.0%} and {second:.0%} of the characters' spread. "
        "Red: vowels; ink: other letters; grey: all else. "
    )
    if places is None:
        note += "It knows no places."
    else:
        table, by = places
        near, far = (float(table.diagonal(d).mean()) for d in (1, max(1, len(table) - 1)))
        alt = f"How alike places are, by {by}: neighbours {near:+.2f}, the two farthest {far:+.2f}."
        plots.append(plot(f"places, by {by}", alt, _places(table), 5.0, 5.0))
        note += f"{alt} Red: alike; blue: opposed."
    return {
        "said": f"{entry.title}: {vectors.shape[1]} numbers for each of {len(vocabulary)} characters",
        "plots": plots,
        "tables": [
            {"caption": "The nearest of each character (cosine)", "head": ["character", "nearest"], "rows": rows}
        ],
        "note": note,
    }


def _characters(found: Plane, vocabulary: str) -> Any:
    def draw(axes: "Axes") -> None:
        for (x, y), character in zip(found.points.tolist(), vocabulary, strict=True):
            colour = RUBRIC if character in VOWELS else INK if character.isalpha() else MUTED
            axes.text(x, y, sign(character), color=colour, ha="center", va="center", fontsize=12)
        low, high = found.points.min(0).values, found.points.max(0).values  # (2,) each
        half = 0.55 * float((high - low).max()) or 1.0  # the same scale in both directions
        (left, bottom), (right, top) = ((low + high) / 2 - half).tolist(), ((low + high) / 2 + half).tolist()
        axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
        axes.axhline(0, color=MUTED, linewidth=0.4)
        axes.axvline(0, color=MUTED, linewidth=0.4)
        axes.set_aspect("equal")

    return draw


def _places(table: Tensor) -> Any:
    def draw(axes: "Axes") -> None:
        heat(axes, table, 1)
        axes.set(xlabel="place", ylabel="place")

    return draw
