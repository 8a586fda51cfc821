"""The surprise of each character is the exact one, and what the page is told of it."""

import asyncio
import math

import gradio as gr
import pytest
import torch
from app_server import BigramFirst

import modelcraft
from modelcraft.insight.surprise import surprise
from modelcraft.serving.service import Service
from modelcraft.support.errors import VocabularyError
from modelcraft.ui.tabs.surprise import EXAMPLES, MAX_TEXT, NAMES, SurpriseView

TEXT = "ROMEO:\nBut, soft! what light through yonder window breaks?\nIt is the east, and Juliet is the sun.\n"


@pytest.mark.parametrize("rung", ["counting", "bigram", "averaging", "block"])
def test_each_character_has_its_whole_context_before_it(rung):
    model, tokenizer = modelcraft.load(rung, device="cpu")
    ids = tokenizer.encode(TEXT * 3)
    found = surprise(model, ids)
    assert len(found.bits) == len(found.likeliest) == len(found.share) == len(ids) - 1
    for at in (1, 2, 7, 8, 9, 50, 203, len(ids) - 1):
        with torch.no_grad():
            logits, _ = model(torch.tensor([ids[max(0, at - model.block_size) : at]]))
        p = logits[0, -1].softmax(-1)
        assert float(found.bits[at - 1]) == pytest.approx(-math.log2(p[ids[at]]), abs=1e-3)
        assert int(found.likeliest[at - 1]) == int(p.argmax())
        assert float(found.share[at - 1]) == pytest.approx(float(p.max()), abs=1e-3)


def test_an_encoder_decoder_reads_line_by_line_without_a_source():
    model, tokenizer = modelcraft.load("encoder-decoder", device="cpu")
    ids, newline = tokenizer.encode(TEXT), tokenizer.encode("\n")
    found = surprise(model, ids)
    assert len(found.bits) == len(ids) - 1
    place = 0
    for line in TEXT.splitlines(keepends=True):
        with torch.no_grad():
            logits, _ = model(torch.tensor([newline + tokenizer.encode(line)[:-1]]))
        p = logits[0].log_softmax(-1).gather(-1, torch.tensor(tokenizer.encode(line))[:, None])[:, 0] / -math.log(2)
        begin = max(0, 1 - place)  # the first character of all is not scored
        torch.testing.assert_close(found.bits[place + begin - 1 : place + len(line) - 1], p[begin:], atol=1e-3, rtol=0)
        place += len(line)
    long = surprise(model, tokenizer.encode("a" * 300))
    assert len(long.bits) == 299 and long.bits.isfinite().all()


def test_a_wide_context_is_read_with_a_band():
    model, tokenizer = modelcraft.load("gpt-mini", device="cpu")
    ids = tokenizer.encode(TEXT * 5)
    found = surprise(model, ids)
    logits, _ = model(torch.tensor([ids[:-1]]))  # all of it fits
    p = logits[0].log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
    torch.testing.assert_close(found.bits, -p / math.log(2), atol=1e-3, rtol=1e-3)


def test_short_texts():
    model, _ = modelcraft.load("bigram", device="cpu")
    assert len(surprise(model, [3]).bits) == 0
    assert len(surprise(model, [3, 4]).bits) == 1
    with pytest.raises(VocabularyError):
        surprise(model, [])


@pytest.fixture(scope="module")
def view():
    with gr.Blocks(), gr.Tabs(), gr.Tab("Surprise") as tab:
        return SurpriseView(Service(BigramFirst(device="cpu")), tab)


def read(view, *arguments):
    return asyncio.run(view.read(*arguments))[0]


def test_every_character_is_there_and_strangers_are_marked_not_dropped(view):
    text = "Café 日 <b>x</b>\n"
    shown = read(view, text, "bigram", "")
    (panel,) = shown["panels"]
    assert "".join(cell[0] for cell in panel["cells"]) == text
    marks = [cell[0] for cell in panel["cells"] if cell[1] is None]
    assert marks == ["C", "é", "日", "<", ">", "<", "/", ">"] or set(marks) == {"C", "é", "日", "<", ">", "/"}
    assert panel["strangers"] == "é, 日, less-than sign, greater-than sign, /"
    told = asyncio.run(view.read(text, "bigram", "block"))[2]
    assert told.startswith("Left out and underlined, as bigram and block know no such character: é, 日, ")
    scored = [cell[1] for cell in panel["cells"] if cell[1] is not None]
    assert panel["bits"] == pytest.approx(sum(scored) / len(scored), abs=0.01)


def test_the_first_character_has_nothing_before_it(view):
    (panel,) = read(view, "the", "bigram", "")["panels"]
    assert [cell[1] is None for cell in panel["cells"]] == [True, False, False]
    assert panel["strangers"] == ""


def test_two_rungs_read_the_same_text(view):
    shown = read(view, EXAMPLES[0], "bigram", "block")
    assert [panel["name"] for panel in shown["panels"]] == ["bigram", "block"]
    one, other = (panel["bits"] for panel in shown["panels"])
    assert other < one
    assert shown["verdict"] == f"block is less surprised than bigram, by {one - other:.2f} bits a character."
    assert read(view, EXAMPLES[0], "block", "bigram")["verdict"] == shown["verdict"]
    assert (
        read(view, EXAMPLES[0], "bigram", "bigram")["verdict"] == f"bigram is surprised by {one:.2f} bits a character."
    )
    assert read(view, "a", "bigram", "block")["verdict"].startswith("One character alone")


def test_the_spots_are_the_most_surprising_ones(view):
    shown, (one, other), _ = asyncio.run(view.read("the king zxq of the land", "bigram", "block"))
    assert (one["name"], other["name"]) == ("bigram", "block")
    bits = sorted((cell[1] for cell in shown["panels"][0]["cells"] if cell[1] is not None), reverse=True)
    assert [spot["bits"] for spot in one["spots"]] == bits[: len(one["spots"])]
    worst = one["spots"][0]
    assert f"{worst['before']}{worst['character']}" in "the king zxq of the land"
    assert any(spot["before"].endswith("king z") and spot["character"] == "x" for spot in one["spots"])


def test_the_first_example_was_trained_on_and_the_second_was_held_out(corpus_text):
    training, held_out = corpus_text[: int(0.9 * len(corpus_text))], corpus_text[int(0.9 * len(corpus_text)) :]
    assert NAMES[:2] == ("trained on", "held out: never seen")
    assert EXAMPLES[0] in training and EXAMPLES[0] not in held_out
    assert EXAMPLES[1] in held_out and EXAMPLES[1] not in training


@pytest.mark.parametrize("text", EXAMPLES[:2])
def test_a_gpt_is_surprised_most_at_the_beginning_of_a_word_and_least_at_its_end(view, text):
    """As the answer to the question says."""
    (panel,) = read(view, text, "gpt-mini", "")["panels"]
    places: dict[str, list[float]] = {"beginning": [], "middle": [], "end": []}
    for at in range(1, len(text) - 1):
        before, here, after = text[at - 1 : at + 2]
        if here.isalpha():
            place = "beginning" if not before.isalpha() else "middle" if after.isalpha() else "end"
            places[place].append(panel["cells"][at][1])
    beginning, middle, end = (sum(bits) / len(bits) for bits in places.values())
    assert beginning > middle > end


@pytest.mark.parametrize(("text", "says"), [("", "Write a text"), ("日本", "bigram knows none of these")])
def test_a_text_of_nothing_to_read_is_answered_in_its_place(view, text, says):
    shown, spots, told = asyncio.run(view.read(text, "bigram", ""))
    assert (shown, spots) == ({}, [])
    assert told.startswith(says)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((5, "bigram", ""), "must be text"),
        (("A" * (MAX_TEXT + 1), "bigram", ""), "at most 2,000"),
        (("A\ud800", "bigram", ""), "lone surrogates"),
        (("the", "gpt-17", ""), "There is no model"),
        (("the", "bigram", "../.."), "There is no model"),
        (("the", ["bigram"], ""), "model must be"),
        (("the", "bigram", 7), "model must be"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(view, arguments, says):
    with pytest.raises(gr.Error, match=says):
        read(view, *arguments)
