"""The tab One step shows what the layers do: every rung, every character, and a sentence where there is nothing."""

import asyncio
import base64

import gradio as gr
import pytest
from app_server import BigramFirst

from modelcraft.insight.steps import trace_steps
from modelcraft.serving.catalogue import Catalogue
from modelcraft.serving.service import Service
from modelcraft.ui.tabs.one_step import EXAMPLES, GUESSES, GUESSES_SHOWN, MAX_SEEN, OneStepView


@pytest.fixture(scope="module")
def view():
    with gr.Blocks(), gr.Tabs(), gr.Tab("One step") as tab:
        return OneStepView(Service(BigramFirst(device="cpu")), tab)


def show(view, text=EXAMPLES[0], rung="block", chosen=None):
    page, told = asyncio.run(view.show(text, rung, {"chosen": chosen}))
    assert told == page.get("refused", page.get("note"))
    return page


@pytest.mark.parametrize("rung", Catalogue().names)
def test_every_rung_shows_its_steps_or_says_why_not(view, rung):
    page = show(view, rung=rung)
    if rung == "counting":
        assert "no layers" in page["refused"]
        return
    assert page["steps"][0]["name"] == "embedding"
    assert page["steps"][-1]["name"] == ("counts" if rung == "blend" else "scores")
    for step in page["steps"]:
        assert len(step["guesses"]) == GUESSES_SHOWN
        assert len(base64.b64decode(step["strip"])) == int(step["shape"].split(" × ")[1])
    assert page["chosen"] == len(page["text"]) - 1  # the newest
    assert bool(page["source"]) is (rung == "encoder-decoder")


def test_a_chosen_character_is_seen_without_what_comes_later(view):
    entry = view.service.catalogue.get("gpt")
    page = show(view, "To be, or not to be", "gpt", 4)
    steps = trace_steps(entry.model, entry.tokenizer.encode("To be"))
    shown = [[token for token, _ in step["guesses"]] for step in page["steps"]]
    expected = [[*entry.tokenizer.decode(step.guesses.topk(GUESSES_SHOWN).indices.tolist())] for step in steps]
    assert shown == expected
    assert (page["chosen"], page["seen"], page["text"]) == (4, 4, "To be, or not to be")
    assert [step["does"] for step in page["steps"]][1].startswith("+ ")


def test_what_a_model_no_longer_sees_is_said(view):
    page = show(view, "To be, or not to be", "block")
    assert page["seen"] == 7
    assert "the last 8 characters" in page["note"]


@pytest.mark.parametrize("chosen", [-1, 500, "3", None, True, [2], 2.0])
def test_an_odd_choice_is_the_newest_character(view, chosen):
    assert show(view, "To be", "gpt-mini", chosen)["chosen"] == 4


@pytest.mark.parametrize(
    ("text", "said"), [("", "Write a text first."), ("日本", "knows none of these characters"), ("é", "")]
)
def test_a_text_of_which_nothing_is_known_is_a_sentence(view, text, said):
    page = show(view, text, "gpt-mini")
    assert said in page.get("refused", page.get("note"))


def test_a_text_that_is_too_long_or_none_is_refused(view):
    for text in ("x" * (MAX_SEEN + 1), None, 5):
        with pytest.raises(gr.Error):
            asyncio.run(view.read(text, "block"))


def test_the_first_look_is_at_the_newest_character_and_a_second_visit_changes_nothing(view):
    *_, page, _ = asyncio.run(view.open("To be", "block", {}))
    assert page["chosen"] == 4
    assert asyncio.run(view.open("To be", "block", page)) == (gr.skip(),) * 4
    text, rung, page, _ = asyncio.run(view.open("To be", "block", page, {"text": "Or not", "rung": "counting"}))
    assert (text, rung, page["text"], page["chosen"]) == ("Or not", "block", "Or not", 5)
    assert len(GUESSES) == 3
