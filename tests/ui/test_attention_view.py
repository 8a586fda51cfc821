"""The attention tab shows what the model does: every rung, every head, and what each step says."""

import asyncio
import base64

import gradio as gr
import pytest
import torch
from app_server import BigramFirst

from modelcraft.insight.attention import trace_attention
from modelcraft.serving.catalogue import Catalogue
from modelcraft.serving.service import Service
from modelcraft.ui.tabs.attention import EXAMPLES, GUESSES, MAX_SEEN, STAGES, THUMBNAIL, AttentionView

WITHOUT = {"counting", "bigram"}


@pytest.fixture(scope="module")
def view():
    with gr.Blocks(), gr.Tabs(), gr.Tab("Attention") as tab:
        return AttentionView(Service(BigramFirst(device="cpu")), tab)


def show(view, text=EXAMPLES[0], rung="block", head=None):
    read, all_heads, told = asyncio.run(view.show(text, rung, {"chosen": head}))
    assert told == read.get("refused", read.get("note"))  # it is said below the text, too
    return read, all_heads


def weights(read, scaled=True, masked=True):
    """What the page makes of the scores."""
    scores = torch.tensor(read["scores"])
    logits = scores * read["scale"] if scaled else scores
    if masked and read["hides"]:
        logits = logits.masked_fill(torch.ones_like(logits, dtype=torch.bool).triu(1), -torch.inf)
    return logits.softmax(-1)


@pytest.mark.parametrize("rung", Catalogue().names)
def test_every_rung_shows_its_heads_or_says_why_not(view, rung):
    read, all_heads = show(view, rung=rung)
    if rung in WITHOUT:
        assert "has no attention" in read["refused"]
        assert not all_heads["heads"]
        return
    heads = [one["name"] for one in all_heads["heads"]]
    name = all_heads["chosen"]
    assert name == heads[0] or (rung == "encoder-decoder" and name.startswith("cross"))
    assert len(read["scores"]) == len(read["rows"])
    assert {len(row) for row in read["scores"]} == {len(read["columns"])}


@pytest.mark.parametrize("rung", ["block", "gpt", "encoder-decoder"])
def test_what_is_shown_is_what_the_model_does(view, rung):
    entry = view.service.catalogue.get(rung)
    for name in [one["name"] for one in show(view, text="To be, or not to be", rung=rung)[1]["heads"]][::7]:
        read, all_heads = show(view, text="To be, or not to be", rung=rung, head=name)
        assert all_heads["chosen"] == name
        kind, layer, number = name.split()
        ids = entry.tokenizer.encode(read["rows"])
        if rung == "encoder-decoder":
            ids = entry.tokenizer.encode("\nTo be, or not to be")
            trace = trace_attention(entry.model, ids, entry.tokenizer.encode("T b, r nt t b\n"))
        else:
            trace = trace_attention(entry.model, ids)
        (head,) = [one for one in trace.heads if (one.kind, one.layer, one.head) == (kind, int(layer), int(number))]
        for scaled in (True, False):
            for masked in (True, False):
                torch.testing.assert_close(
                    weights(read, scaled, masked), head.weights(scaled, masked), atol=2e-3, rtol=0
                )


def test_the_small_pictures_show_the_shares_of_all_heads(view):
    entry, (_, all_heads) = view.service.catalogue.get("gpt"), show(view, rung="gpt")
    trace = trace_attention(entry.model, entry.tokenizer.encode(EXAMPLES[0]))
    assert len(all_heads["heads"]) == len(trace.heads)
    for head, small in zip(trace.heads, all_heads["heads"], strict=True):
        assert max(small["size"]) <= THUMBNAIL
        pixels = torch.frombuffer(bytearray(base64.b64decode(small["pixels"])), dtype=torch.uint8).view(small["size"])
        assert float(pixels.max()) / 255 == pytest.approx(float(head.weights().max()) ** 0.5, abs=0.01)
        assert int(pixels[0, -1]) == 0  # hidden


def test_no_character_sees_what_comes_after_it_unless_the_mask_is_off(view):
    read, _ = show(view)
    assert float(weights(read).triu(1).max()) == 0
    assert float(weights(read, masked=False).triu(1).max()) > 0
    assert "it would copy, not predict" in read["said"]["softmax"][True][False]


def test_without_scaling_the_shares_are_sharper(view):
    read, _ = show(view)
    scaled, bare = (weights(read, scaled=on).max(-1).values.mean() for on in (True, False))
    assert bare > scaled


def test_an_encoder_decoder_opens_on_cross_attention_between_the_line_and_its_source(view):
    read, all_heads = show(view, text="To be, or not to be", rung="encoder-decoder", head="self 0 0")
    kinds = [one["kind"] for one in all_heads["heads"]]
    assert list(dict.fromkeys(kinds)) == ["encoder", "decoder", "cross-attention"]
    assert all_heads["chosen"].startswith("cross")
    assert not read["hides"]
    assert (read["rows"], read["columns"]) == ("\nTo be, or not to be", "T b, r nt t b\n")
    # The diagonal: each character looks most at the next consonant, or at one beside it.
    cursors = [sum(c not in "aeiou" for c in read["rows"][1 : t + 1]) for t in range(len(read["rows"]))]
    looks = [max(range(len(row)), key=row.__getitem__) for row in read["scores"]]
    assert sum(abs(a - b) <= 1 for a, b in zip(looks, cursors, strict=True)) > 0.8 * len(looks)


def test_a_line_that_was_typed_without_vowels_is_restored_first(view):
    read, _ = show(view, text="\nT b, r nt t b\nwht nxt", rung="encoder-decoder")
    assert read["columns"] == "T b, r nt t b\n"
    assert "".join(c for c in read["rows"] if c not in "aeiou") == "\nT b, r nt t b"
    assert len(read["rows"]) > len(read["columns"])


def test_every_step_is_said_with_either_switch_on_and_off(view):
    said = show(view)[0]["said"]
    assert list(said) == list(STAGES)
    sentences = [one for pairs in said.values() for pair in pairs for one in pair]
    assert len(sentences) == 4 * 4
    assert all(one.endswith(".") for one in sentences)


def test_another_head_comes_without_the_pictures_of_all(view):
    read = asyncio.run(view.choose(EXAMPLES[0], "block", {"chosen": "self 1 2"}))
    assert read["label"] == "self-attention, layer 2, head 3"


@pytest.mark.parametrize("heads", [None, {}, {"chosen": 7}, {"chosen": "self 99 1"}, ["self 0 1"], "self 0 1"])
def test_a_head_that_is_not_there_gives_way_to_the_first(view, heads):
    assert asyncio.run(view.choose(EXAMPLES[0], "block", heads))["label"] == "self-attention, layer 1, head 1"


def test_opening_again_leaves_what_is_there(view):
    assert asyncio.run(view.open("x", "block", {"chosen": "self 0 0"})) == (gr.skip(),) * 5


def test_what_comes_along_is_looked_at_with_the_same_head_unless_the_rung_has_none(view):
    along = {"rung": "block", "text": "To be"}
    text, rung, shown, heads, _ = asyncio.run(view.open("x", "gpt", {"chosen": "self 1 2"}, along))
    assert (text, rung, shown["rows"], heads["chosen"]) == ("To be", "block", "To be", "self 1 2")
    for other in ("counting", "bigram", "yours-nobody", None):
        assert asyncio.run(view.open("x", "block", {"chosen": "self 1 2"}, {"rung": other})) == (gr.skip(),) * 5


def test_what_is_too_long_ago_for_a_rung_is_said(view):
    block, gpt = (show(view, rung=rung)[0] for rung in ("block", "gpt"))
    assert block["note"] == "block sees the last 8 characters only."
    assert block["unread"] + block["rows"] == EXAMPLES[0]
    assert gpt["note"] == gpt["unread"] == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Write a text first."),
        ("Ж", "block knows none of these characters. Not in the model's alphabet, so left out: Ж."),
        ("日本", "block knows none of these characters. Not in the model's alphabet, so left out: 日, 本."),
    ],
)
def test_a_text_of_which_nothing_is_left_is_answered_in_the_pictures_place(view, text, said):
    read, all_heads = show(view, text=text, head="self 1 1")
    assert read["refused"].startswith(said)
    assert all_heads == {"heads": [], "chosen": "self 1 1"}  # for the next text


def test_what_is_left_out_of_a_text_is_said(view):
    assert "Ж" in show(view, text="To Ж be")[0]["note"]


def test_the_question_has_guesses_and_an_answer(view):
    (asked,) = [block for block in view.view.parent.parent.parent.children if block.elem_id == "attention-guess"]
    assert asked.value["guesses"] == list(GUESSES)
    assert asked.value["answer"].startswith(asked.value["guesses"][asked.value["right"]].removesuffix(" it"))


@pytest.mark.parametrize(
    "wrong",
    [{"text": None}, {"text": "\udfff"}, {"text": "x" * (MAX_SEEN + 1)}, {"rung": "nobody"}, {"rung": 3}],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(view, wrong):
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        show(view, **wrong)
