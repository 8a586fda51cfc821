"""The microscope: its odds are the model's, sliders run no forward pass, and what it draws is what sampling draws."""

import asyncio

import gradio as gr
import pytest
import torch
from app_server import BigramFirst

from modelcraft.sampling import SamplingParams, distribution, sample
from modelcraft.serving.service import Service
from modelcraft.ui.tabs.next_character import MAX_TEXT, NextCharacter, next_logits, page

DIALS = (1.0, 0, 1.0, 0.0)
TEXT = "O Romeo, Romeo! wherefore art th"


@pytest.fixture(scope="module")
def view():
    with gr.Blocks(), gr.Tabs(), gr.Tab("Next character") as tab:
        return NextCharacter(Service(BigramFirst(device="cpu")), tab)


def look(view, text=TEXT, rung="bigram", *dials):
    return asyncio.run(view.look(text, rung, *(dials or DIALS)))


@pytest.mark.parametrize("rung", ["counting", "bigram", "averaging", "head", "block", "gpt-mini"])
def test_its_odds_are_those_of_the_first_character_of_a_stream(view, rung):
    shown = look(view, TEXT, rung)
    entry = view.service.catalogue.get(rung)
    raw = next_logits(entry, TEXT).softmax(-1)
    for character, share, after, _ in shown["lines"]:
        assert share == after == pytest.approx(float(raw[entry.tokenizer.encode(character)[0]]), abs=1e-4)
    greedy = look(view, TEXT, rung, 0.0, 0, 1.0, 0.0)
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
    for dials in [(0.5, 0, 1.0, 0.0), (1.0, 5, 1.0, 0.0), (1.0, 0, 0.8, 0.0), (1.3, 0, 1.0, 0.2), (0.0, 0, 1.0, 0.0)]:
        again = asyncio.run(view.redraw(shown, *dials))
        assert again["dart"] == shown["dart"]
        assert again["logits"] == shown["logits"]
        params = SamplingParams(temperature=dials[0], top_k=dials[1], top_p=dials[2], min_p=dials[3])
        expected = distribution(torch.tensor([shown["logits"]]), params)[0]
        for character, _, after, _ in again["lines"]:
            assert after == pytest.approx(float(expected[entry.tokenizer.encode(character)[0]]), abs=1e-4)
        assert again["kept"] == int((expected > 0).sum())
    assert asyncio.run(view.throw(shown, *DIALS))["dart"] != shown["dart"]


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
        after, text = asyncio.run(view.step(shown, *DIALS))
        assert after["text"] == text == shown["text"] + marked
        shown = after


def test_run_appends_many_and_frees_its_place(view, monkeypatch):
    monkeypatch.setattr("modelcraft.ui.tabs.next_character.RUN_TICK_S", 0)
    monkeypatch.setattr("modelcraft.ui.tabs.next_character.RUN", 8)

    async def run():
        return [text async for _, text in view.run(look_at, *DIALS)]

    look_at = look(view)
    texts = asyncio.run(run())
    assert [len(text) for text in texts] == [len(TEXT) + n + 1 for n in range(8)]
    assert view.service.running == 0


def test_strangers_in_the_text_are_told_of(view):
    assert "U+0416" in look(view, "and Ж")["notice"]


@pytest.mark.parametrize("text", [None, 5, "", "Ж", "x" * (MAX_TEXT + 1), "\ud800", ["a"]])
def test_a_text_that_cannot_be_read_is_refused_with_a_sentence(view, text):
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        look(view, text)


@pytest.mark.parametrize(
    "spoiled",
    [
        None,
        [],
        "x",
        {"text": "a"},
        {"logits": [1.0]},
        {"logits": "x" * 65},
        {"dart": float("nan")},
        {"dart": "x"},
        {"rung": "nobody"},
        {"rung": 7},
        {"text": None},
        {"logits": [float("nan")] * 65},
        {"logits": [None] * 65},
        {"logits": [float("inf")] * 65},
    ],
)
def test_a_page_that_a_client_made_up_is_refused(view, spoiled):
    given = {**look(view), **spoiled} if isinstance(spoiled, dict) and spoiled != {"text": "a"} else spoiled
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        asyncio.run(view.step(given, *DIALS))


@pytest.mark.parametrize(
    "dials", [(-1, 0, 1, 0), (1, 1.5, 1, 0), (1, 0, 2, 0), (1, 0, 1, None), (float("nan"), 0, 1, 0)]
)
def test_dials_out_of_range_are_refused(view, dials):
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        asyncio.run(view.redraw(look(view), *dials))
