"""Embeddings: where a rung puts its characters, and how similar it considers two positions."""

from typing import TYPE_CHECKING, Any

import gradio as gr

from modelcraft.insight.tables import embeddings, plane, position_similarity, similarity
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import Service
from modelcraft.ui.component import component
from modelcraft.ui.plots import heat, plot, sign
from modelcraft.ui.widgets import QUIET, guess, rung_chooser, told
from modelcraft.vowels import is_vowel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEIGHBOURS = 4
QUESTION = "Nobody told these models what a vowel is. Do they put the vowels together?"
GUESSES = ("None does", "Some do", "All do")
ANSWER = (
    "Some do. Letters that stand in the same places come to lie close: in the bigram model and in the GPT, where the "
    "nearest of a vowel are vowels. In the head and the block they are scattered; see for yourself."
)


class EmbeddingsView:
    """The tab: a rung's characters in two dimensions, and its positions."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        guess("embeddings-guess", QUESTION, GUESSES, 1, ANSWER)
        with gr.Row(elem_classes="mc-beside"):
            with gr.Column():
                self.view = component("embeddings", {}, "embeddings")
            with gr.Column():
                self.rung = rung_chooser(service.catalogue, "embeddings-rung")
                self.places = component("places", {}, "embeddings-places")
        self.choosers = [self.rung]
        outputs = [self.view, self.places]
        tab.select(self.open, [self.view, self.rung], outputs, preprocess=False, **QUIET)
        self.rung.input(self.show, self.rung, outputs, preprocess=False, **QUIET)

    @told
    async def open(self, shown: Any, rung: Any) -> Any:
        """Draw when the tab first opens."""
        return (gr.skip(),) * 2 if shown else await self.show(rung)

    @told
    async def show(self, rung: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the map of a rung and the picture of its places; raises gr.Error with one sentence."""
        entry = await self.service.get(rung)
        return await self.service.look(page, entry)


def page(entry: Entry) -> tuple[dict[str, Any], dict[str, Any]]:
    """Lay out the characters of one rung and its places, or a single line for a rung without embeddings.

    `characters` says where each one lies, `near` which ones are nearest, by the cosine of their vectors less the mean
    of all.
    """
    vectors = embeddings(entry.model)
    if vectors is None:
        return {"said": f"{entry.title} has no embeddings: to it each character is itself and nothing else."}, {}
    vocabulary = entry.tokenizer.vocabulary
    found, alike = plane(vectors), similarity(vectors - vectors.mean(0)).fill_diagonal_(-2)  # (V, V)
    nearest = alike.argsort(descending=True)[:, :NEIGHBOURS].tolist()
    first, second = found.explained
    return {
        "said": f"{entry.title}: {vectors.shape[1]} numbers for each of {len(vocabulary)} characters",
        "characters": [
            {"sign": sign(character), "x": round(x, 4), "y": round(y, 4), "kind": _kind(character)}
            for character, (x, y) in zip(vocabulary, found.points.tolist(), strict=True)
        ],
        "near": [
            [[j, round(float(alike[i, j]), 3)] for j in others if j != i]  # the only character of a text has none
            for i, others in enumerate(nearest)
        ],
        "chosen": max(0, vocabulary.find("e")),
        "note": f"The two directions that show most: {first:.0%} and {second:.0%} of how the characters differ. The "
        "rest cannot be seen here, so what is nearest (by the cosine, with lines) goes by all "
        f"{vectors.shape[1]} numbers. "
        "Red: vowels; ink: other letters; grey: all else.",
    }, _places(entry)


def _kind(character: str) -> str:
    return "vowel" if is_vowel(character) else "letter" if character.isalpha() else "other"


def _places(entry: Entry) -> dict[str, Any]:
    places = position_similarity(entry.model)
    if places is None:
        return {"said": f"{entry.title} knows no places."}
    table, by = places
    near, far = (float(table.diagonal(d).mean()) for d in (1, max(1, len(table) - 1)))
    alt = f"How alike places are, by {by}: neighbours {near:+.2f}, the two farthest {far:+.2f}."

    def draw(axes: "Axes") -> None:
        heat(axes, table, 1)
        axes.set(xlabel="place", ylabel="place")

    return {"plots": [plot(f"places, by {by}", alt, draw, 3.6, 3.6)], "said": f"{alt} Red: alike; blue: opposed."}
