"""The attention tab shows what the model does: every rung, every head, every step, and with a step left out."""

import asyncio

import gradio as gr
import pytest
import torch
from app_server import BigramFirst

from modelcraft.insight.attention import trace_attention
from modelcraft.serving.catalogue import Catalogue
from modelcraft.serving.service import Service
from modelcraft.ui.tabs.attention import EXAMPLES, MAX_SEEN, STAGES, AttentionView

WITHOUT = {"counting", "bigram"}


@pytest.fixture(scope="module")
def view():
    with gr.Blocks(), gr.Tabs(), gr.Tab("Attention") as tab:
        return AttentionView(Service(BigramFirst(device="cpu")), tab)


def show(view, text=EXAMPLES[0], rung="block", head=None, stage="softmax", scaled=True, masked=True):
    return asyncio.run(view.show(text, rung, head, stage, scaled, masked))


@pytest.mark.parametrize("rung", Catalogue().names)
def test_every_rung_shows_its_heads_or_says_why_not(view, rung):
    read, page, chooser = show(view, rung=rung)
    if rung in WITHOUT:
        assert "has no attention" in page["said"]
        assert not read
        return
    heads = [value for _, value in chooser["choices"]]
    assert chooser["value"] == heads[0] or (rung == "encoder-decoder" and chooser["value"].startswith("cross"))
    assert len(page["plots"]) == 1
    assert len(read["weights"]) == len(read["rows"]) == len(page["tables"][0]["rows"])
    for row in read["weights"]:
        assert len(row) == len(read["columns"])
        assert sum(row) == pytest.approx(1, abs=0.05)


def test_what_is_shown_is_what_the_model_does(view):
    entry = view.service.catalogue.get("block")
    trace = trace_attention(entry.model, entry.tokenizer.encode(EXAMPLES[0]))
    for head in (trace.heads[0], trace.heads[-1]):
        read, _, _ = show(view, head=f"{head.kind} {head.layer} {head.head}")
        torch.testing.assert_close(torch.tensor(read["weights"]), head.weights(), atol=1e-3, rtol=0)
        assert read["rows"] == EXAMPLES[0][-len(head.scores) :]


def test_no_character_sees_what_comes_after_it_unless_the_mask_is_off(view):
    weights = torch.tensor(show(view)[0]["weights"])
    assert float(weights.triu(1).abs().max()) == 0
    read, page, _ = show(view, masked=False)
    assert float(torch.tensor(read["weights"]).triu(1).max()) > 0
    assert "it would copy, not predict" in page["said"]


def test_without_scaling_the_shares_are_sharper(view):
    scaled, bare = (torch.tensor(show(view, scaled=on)[0]["weights"]).max(-1).values.mean() for on in (True, False))
    assert bare > scaled


def test_an_encoder_decoder_opens_on_cross_attention_between_the_line_and_its_source(view):
    read, _, chooser = show(view, text="To be, or not to be", rung="encoder-decoder")
    kinds = [value.split()[0] for _, value in chooser["choices"]]
    assert list(dict.fromkeys(kinds)) == ["encoder", "decoder", "cross"]
    assert chooser["value"].startswith("cross")
    assert (read["rows"], read["columns"]) == ("\nTo be, or not to be", "T b, r nt t b\n")
    # The diagonal: each character looks most at the next consonant, or at one beside it.
    cursors = [sum(c not in "aeiou" for c in read["rows"][1 : t + 1]) for t in range(len(read["rows"]))]
    looks = [max(range(len(row)), key=row.__getitem__) for row in read["weights"]]
    assert sum(abs(a - b) <= 1 for a, b in zip(looks, cursors, strict=True)) > 0.8 * len(looks)


def test_a_line_that_was_typed_without_vowels_is_restored_first(view):
    read, _, _ = show(view, text="\nT b, r nt t b\nwht nxt", rung="encoder-decoder")
    assert read["columns"] == "T b, r nt t b\n"
    assert "".join(c for c in read["rows"] if c not in "aeiou") == "\nT b, r nt t b"
    assert len(read["rows"]) > len(read["columns"])


@pytest.mark.parametrize("stage", STAGES)
def test_every_step_is_drawn_and_said(view, stage):
    _, page, _ = show(view, stage=stage)
    assert stage in page["plots"][0]["alt"]
    assert page["said"].endswith(".")


def test_the_head_of_another_rung_gives_way_to_the_first(view):
    assert show(view, head="self 99 1")[2]["value"] == "self 0 0"
    assert show(view, head=7)[2]["value"] == "self 0 0"


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": ""},
        {"text": None},
        {"text": "x" * (MAX_SEEN + 1)},
        {"text": "Ж"},
        {"text": "\udfff"},
        {"rung": "nobody"},
        {"rung": 3},
        {"stage": "all"},
        {"stage": []},
        {"scaled": None},
        {"masked": "yes"},
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(view, wrong):
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        show(view, **wrong)
