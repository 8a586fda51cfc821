"""The microscope: its odds are the model's, sliders run no forward pass, and what it draws is what sampling draws."""

import asyncio

import gradio as gr
import pytest
import torch
from app_server import BigramFirst

from modelcraft.sampling import SamplingParams, distribution, sample
from modelcraft.serving.service import Service
from modelcraft.ui.tabs.next_character import MAX_TEXT, NEUTRAL, NextCharacter, next_logits, page

TEXT = "O Romeo, Romeo! wherefore art th"


@pytest.fixture(scope="module")
def view():
    with gr.Blocks(), gr.Tabs(), gr.Tab("Next character") as tab:
        return NextCharacter(Service(BigramFirst(device="cpu")), tab)


def look(view, text=TEXT, rung="bigram", **dials):
    return asyncio.run(view.look(text, rung, NEUTRAL | dials))


def step(view, shown, text=TEXT, rung="bigram", **dials):
    return asyncio.run(view.step(shown, text, rung, NEUTRAL | dials))


@pytest.mark.parametrize("rung", ["counting", "bigram", "averaging", "head", "block", "gpt-mini"])
def test_its_odds_are_those_of_the_first_character_of_a_stream(view, rung):
    shown = look(view, TEXT, rung)
    entry = view.service.catalogue.get(rung)
    raw = next_logits(entry, TEXT).softmax(-1)
    for character, share, after, _ in shown["lines"]:
        assert share == after == pytest.approx(float(raw[entry.tokenizer.encode(character)[0]]), abs=1e-4)
    greedy = look(view, TEXT, rung, temperature=0.0)
    stream = entry.engine.submit(entry.tokenizer.encode(TEXT), SamplingParams(1, temperature=0.0))
    assert greedy["lines"][greedy["drawn"]][0] == entry.tokenizer.decode(list(stream))
    assert sum(share for _, share, *_ in shown["lines"]) + shown["rest"][1] == pytest.approx(1, abs=1e-3)
    assert sum(share for _, share in shown["strip"]) == pytest.approx(1, abs=2e-3)


def test_of_an_encoder_decoder_it_shows_what_follows_in_a_line_without_a_source(view):
    entry = view.service.catalogue.get("encoder-decoder")
    with torch.no_grad():
        logits, _ = entry.model(torch.tensor([entry.tokenizer.encode("\nThe king is ")]))
    torch.testing.assert_close(next_logits(entry, "ROMEO:\nThe king is "), logits[0, -1])
    assert next_logits(entry, "q").argmax() == entry.tokenizer.encode("u")[0]


def test_sliders_sample_the_stored_logits_and_run_no_forward_pass(view, monkeypatch):
    shown = look(view)
    monkeypatch.setattr("modelcraft.ui.tabs.next_character.next_logits", None)  # whoever calls it fails
    entry = view.service.catalogue.get("bigram")
    for dials in [
        {"temperature": 0.5},
        {"top_k": 5},
        {"top_p": 0.8},
        {"temperature": 1.3, "min_p": 0.2},
        {"temperature": 0},
    ]:
        again = asyncio.run(view.redraw(shown, NEUTRAL | dials))
        assert again["dart"] == shown["dart"]
        assert again["logits"] == shown["logits"]
        expected = distribution(torch.tensor([shown["logits"]]), SamplingParams(**(NEUTRAL | dials)))[0]
        for character, _, after, _ in again["lines"]:
            assert after == pytest.approx(float(expected[entry.tokenizer.encode(character)[0]]), abs=1e-4)
        assert again["kept"] == int((expected > 0).sum())
    assert asyncio.run(view.throw(shown, NEUTRAL))["dart"] != shown["dart"]


def test_the_dart_hits_what_sampling_hits(view):
    entry = view.service.catalogue.get("bigram")
    logits = next_logits(entry, TEXT)
    params = SamplingParams(temperature=0.9, top_p=0.95)
    for seed in range(40):
        dart = float(torch.rand((1, 1), generator=torch.Generator().manual_seed(seed)))
        drawn = int(sample(logits[None], params, torch.Generator().manual_seed(seed)))
        shown = page(entry, TEXT, logits.tolist(), dart, params)
        character, _, after, start = shown["lines"][shown["drawn"]]
        assert character == entry.tokenizer.vocabulary[drawn]
        assert start - 1e-4 <= dart <= start + after + 1e-4


def test_step_appends_what_is_marked(view):
    shown = look(view)
    for _ in range(5):
        marked = shown["lines"][shown["drawn"]][0]
        after, text = step(view, shown, shown["text"])
        assert after["text"] == text == shown["text"] + marked
        shown = after


def test_run_appends_many_and_frees_its_place(view, monkeypatch):
    monkeypatch.setattr("modelcraft.ui.tabs.next_character.RUN_TICK_S", 0)
    monkeypatch.setattr("modelcraft.ui.tabs.next_character.RUN", 8)

    async def run():
        return [page async for page, _ in view.run(look_at, TEXT, "bigram", NEUTRAL)]

    look_at = look(view)
    pages = asyncio.run(run())
    assert [len(page["text"]) for page in pages] == [len(TEXT) + n + 1 for n in range(8)]
    assert all(page["running"] for page in pages)
    assert view.service.running == 0


def test_what_is_cleared_stays_cleared_and_what_was_typed_since_is_looked_at_first(view):
    shown = look(view)
    after, text = step(view, shown, "")
    assert (text, after["text"], after["notice"]) == ("", "", "Write a text first.")
    assert "logits" not in after
    _, text = step(view, shown, "q", temperature=0.0)
    assert text == "qu"
    after, _ = step(view, shown, TEXT, "block")
    assert after["rung"] == "block"

    async def run():
        return [text async for _, text in view.run(shown, "", "bigram", NEUTRAL)]

    assert asyncio.run(run()) == [""]


def test_strangers_in_the_text_are_told_of(view):
    assert look(view, "and Ж")["notice"] == "Not in the model's alphabet, so left out: Ж."
    assert "knows none of these characters" in look(view, "🙂Ж")["notice"]


def test_no_character_overtakes_another_whatever_the_temperature(view):
    """As the answer to the question says."""
    for temperature in (0.3, 1.0, 2.0):
        shown = look(view, TEXT, "gpt-mini", temperature=temperature)
        after = [share for _, _, share, _ in shown["lines"][:-1]]  # in the order of the model's odds
        assert after == sorted(after, reverse=True)


@pytest.mark.parametrize("text", [None, 5, "x" * (MAX_TEXT + 1), "\ud800", ["a"]])
def test_a_text_that_is_none_is_refused_with_a_sentence(view, text):
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        look(view, text)
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        step(view, look(view), text)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"logits": [1.0]},
        {"logits": "x" * 65},
        {"dart": float("nan")},
        {"dart": "x"},
        {"logits": [float("nan")] * 65},
        {"logits": [None] * 65},
        {"logits": [float("inf")] * 65},
    ],
)
def test_a_page_that_a_client_made_up_is_refused(view, spoiled):
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        step(view, {**look(view), **spoiled})
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        asyncio.run(view.redraw({**look(view), **spoiled}, NEUTRAL))


@pytest.mark.parametrize("spoiled", [{"rung": "nobody"}, {"rung": 7}, {"text": None}, {"notice": 7}])
def test_a_page_of_nothing_known_is_not_drawn_again(view, spoiled):
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        asyncio.run(view.redraw({**look(view), **spoiled}, NEUTRAL))


@pytest.mark.parametrize("shown", [None, [], "x", {"text": TEXT, "rung": "nobody"}])
def test_where_no_page_is_shown_a_step_looks_at_the_text(view, shown):
    assert step(view, shown)[1].startswith(TEXT)


@pytest.mark.parametrize(
    "dials",
    [
        {"temperature": -1},
        {"top_k": 1.5},
        {"top_p": 2},
        {"min_p": None},
        {"temperature": float("nan")},
        {"seed": 1},
    ],
)
def test_dials_out_of_range_are_refused(view, dials):
    for spoiled in (NEUTRAL | dials, list(dials), None):
        with pytest.raises(gr.Error, match=r"\.\W?$"):
            asyncio.run(view.redraw(look(view), spoiled))
