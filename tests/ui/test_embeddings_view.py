"""Embeddings: every rung shows where its characters lie, or says why not; what the tab asks has a true answer."""

import asyncio

import gradio as gr
import pytest
import torch
from app_server import BigramFirst

from modelcraft.bigram import BigramConfig, BigramLanguageModel
from modelcraft.serving.catalogue import Catalogue, Entry
from modelcraft.serving.service import Service
from modelcraft.store.folder import ModelInfo
from modelcraft.tokenizer import CharTokenizer
from modelcraft.ui.tabs.embeddings import NEIGHBOURS, EmbeddingsView, page


@pytest.fixture(scope="module")
def view():
    with gr.Blocks(), gr.Tabs(), gr.Tab("one") as one:
        return EmbeddingsView(Service(BigramFirst(device="cpu")), one)


def near_vowels(shown) -> float:
    """Of the nearest of a, e, i, o and u, the share that are vowels."""
    characters = shown["characters"]
    at = [i for i, one in enumerate(characters) if one["sign"] in "aeiou"]
    return sum(characters[j]["kind"] == "vowel" for i in at for j, _ in shown["near"][i]) / (len(at) * NEIGHBOURS)


@pytest.mark.parametrize("rung", Catalogue().names)
def test_every_rung_shows_its_embeddings_or_says_why_not(view, rung):
    shown, places = asyncio.run(view.show(rung))
    assert shown["said"].startswith(rung)
    if rung == "counting":
        assert "has no embeddings" in shown["said"]
        assert "characters" not in shown and not places
        return
    assert len(shown["characters"]) == len(shown["near"]) == 65
    for i, near in enumerate(shown["near"]):
        cosines = [cosine for _, cosine in near]
        assert len(near) == NEIGHBOURS and i not in [j for j, _ in near]
        assert cosines == sorted(cosines, reverse=True) and all(-1 <= cosine <= 1 for cosine in cosines)
    assert len(places["plots"]) == 1


def test_some_put_the_vowels_together(view):
    share = {rung: near_vowels(asyncio.run(view.show(rung))[0]) for rung in ("bigram", "head", "block", "gpt")}
    assert min(share["bigram"], share["gpt"]) > 0.5 > max(share["head"], share["block"])


def test_vowels_are_those_of_several_scripts():
    vocabulary = "".join(sorted("bé ωбюй中"))
    shown, _ = page(_entry(vocabulary))
    kinds = {one["sign"]: one["kind"] for one in shown["characters"]}
    letters = dict.fromkeys("bбй中", "letter")
    assert kinds == {**letters, "é": "vowel", "ω": "vowel", "ю": "vowel", "␣": "other"}


@pytest.mark.parametrize("vocabulary", ["a", "ab"])
def test_few_characters_have_few_neighbours(vocabulary):
    shown, _ = page(_entry(vocabulary))
    assert [len(near) for near in shown["near"]] == [len(vocabulary) - 1] * len(vocabulary)


@pytest.mark.parametrize("rung", ["nobody", 4, ["gpt"]])
def test_a_rung_that_is_not_there_is_refused(view, rung):
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        asyncio.run(view.show(rung))


def test_opening_again_leaves_what_is_there(view):
    assert asyncio.run(view.open({"said": "x"}, "gpt")) == (gr.skip(),) * 2


def _entry(vocabulary: str) -> Entry:
    torch.manual_seed(1)
    model = BigramLanguageModel(BigramConfig(vocab_size=len(vocabulary)))
    return Entry(model.eval(), CharTokenizer(vocabulary), ModelInfo("bigram", model.config, vocabulary), "bundled")
