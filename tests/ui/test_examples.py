"""The examples of a view follow the model: lines of its own text, if its config has some."""

import asyncio

import gradio as gr
import pytest
from app_server import BigramFirst

from modelcraft.serving.service import Service
from modelcraft.ui.examples import Examples


@pytest.fixture
def functions():
    """The event of a change of the model, and the two of the buttons, as a browser calls them."""
    catalogue = BigramFirst(device="cpu")
    catalogue.get("bigram").info.corpus["snippets"] = ["In the beginning"]
    with gr.Blocks() as page:
        rung, text = gr.Dropdown(), gr.Textbox()
        Examples(["first", "second"], ["The king is ", "q"]).offer(Service(catalogue), rung, text)
    return [one.fn for one in page.fns.values()]


def test_a_model_of_the_play_has_the_examples_of_the_tab(functions):
    renamed, *fills = functions
    assert [(one["value"], one["visible"]) for one in asyncio.run(renamed("head"))] == [
        ("first", True),
        ("second", True),
    ]
    assert [asyncio.run(fill("head")) for fill in fills] == ["The king is ", "q"]


def test_a_model_of_another_text_has_lines_of_that(functions):
    renamed, *fills = functions
    first, second = asyncio.run(renamed("bigram"))
    assert (first["value"], first["visible"], second["visible"]) == ("In the beginning", True, False)
    assert asyncio.run(fills[0]("bigram")) == "In the beginning"


@pytest.mark.parametrize("name", ["nothing", "yours-guessed", 5])
def test_a_model_that_is_not_there_changes_nothing(functions, name):
    assert [one["value"] for one in asyncio.run(functions[0](name))] == ["first", "second"]
    assert asyncio.run(functions[1](name)) == "The king is "
