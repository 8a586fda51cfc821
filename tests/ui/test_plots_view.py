"""Pictures are SVG in the page's ink; their tabs say in words what they show, and refuse what makes no sense."""

import asyncio
from xml.etree import ElementTree

import gradio as gr
import pytest
import torch
from app_server import BigramFirst

from modelcraft.serving.catalogue import Catalogue
from modelcraft.serving.service import Service
from modelcraft.ui.plots import INK, heat, name_ticks, plot
from modelcraft.ui.tabs.counting import CountingView
from modelcraft.ui.tabs.embeddings import EmbeddingsView


@pytest.fixture(scope="module")
def views():
    service = Service(BigramFirst(device="cpu"))
    with gr.Blocks(), gr.Tabs():
        with gr.Tab("one") as one:
            counting = CountingView(service, one)
        with gr.Tab("two") as two:
            embeddings = EmbeddingsView(service, two)
    return counting, embeddings


def test_a_plot_is_one_svg_in_the_pages_ink_and_odd_characters_are_text():
    odd = "<&$\\^_{}$\n"

    def draw(axes):
        heat(axes, torch.tensor([[0.0, 1.0], [-1.0, float("-inf")]]), 1)
        name_ticks(axes, odd, odd)
        axes.text(0, 0, "<script>$x^2$", color=INK)

    made = plot("title", "alt", draw)
    root = ElementTree.fromstring(made["svg"])
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert {"<", "&", "$", "\\", "⏎", "<script>$x^2$"} <= set(texts)
    assert not any(node.tag.endswith("script") for node in root.iter())
    assert "currentColor" in made["svg"]
    assert INK not in made["svg"]


def test_the_row_of_q_is_all_u(views):
    page = asyncio.run(views[0].show("q"))
    assert [plot["title"].split()[0] for plot in page["plots"]] == ["counted", "learned", "learned"]
    head, first = page["tables"][0]["head"], page["tables"][0]["rows"][0]
    row = dict(zip(head, first, strict=True))
    assert row["next"] == "u"
    assert float(row["counted"].rstrip("%")) > 99
    assert abs(float(row["difference"].split()[0])) < 10
    assert "Shares of what came after “q” in the text: u" in page["plots"][0]["alt"]


def test_nothing_stands_for_the_newline(views):
    assert "after “⏎”" in asyncio.run(views[0].show(""))["tables"][0]["caption"]


@pytest.mark.parametrize("first", ["Ж", "ab", None, 3, [], "\ud800"])
def test_a_character_that_was_not_counted_is_refused(views, first):
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        asyncio.run(views[0].show(first))


@pytest.mark.parametrize("rung", Catalogue().names)
def test_every_rung_shows_its_embeddings_or_says_why_not(views, rung):
    page = asyncio.run(views[1].show(rung))
    assert page["said"].startswith(rung)
    if rung == "counting":
        assert "has no embeddings" in page["said"]
        assert not page.get("plots")
    else:
        assert len(page["plots"]) == 2
        assert len(page["tables"][0]["rows"]) == 65


@pytest.mark.parametrize("rung", ["nobody", 4, ["gpt"]])
def test_a_rung_that_is_not_there_is_refused(views, rung):
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        asyncio.run(views[1].show(rung))


def test_opening_again_leaves_what_is_there(views):
    for view in views:
        assert asyncio.run(view.open({"said": "x"}, "q")) == gr.skip()
