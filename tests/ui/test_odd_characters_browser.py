"""A model of a text with characters that cannot be seen: the views show symbols, and no picture breaks."""

from xml.etree import ElementTree

import pytest
from app_server import AppServer, BigramFirst

from modelcraft.bigram import create_model
from modelcraft.block import BlockLanguageModel
from modelcraft.residual import BlockConfig
from modelcraft.serving.catalogue import Entry
from modelcraft.store.folder import ModelInfo
from modelcraft.tokenizer import CharTokenizer
from modelcraft.ui.plots import sign
from modelcraft.ui.tabs import attention, embeddings, surprise

pytestmark = pytest.mark.cases
ODD = "".join(sorted("\0\x07\n\x1b abc\x7f\x85\u0301\u200b\u202e\u2028\ue000\U000e0001"))
SIGNS = {"\0": "␀", "\x1b": "␛", "\x7f": "␡", "\x85": "U+0085", "\u0301": "◌\u0301", "\u202e": "U+202E"}


def entry(rung: str) -> Entry:
    config = BlockConfig(vocab_size=len(ODD), n_embd=32, block_size=24)
    model = create_model(len(ODD), device="cpu") if rung == "bigram" else BlockLanguageModel(config)
    return Entry(model.eval(), CharTokenizer(ODD), ModelInfo(rung, model.config, ODD), "bundled")


def test_signs_are_seen():
    assert {character: sign(character) for character in SIGNS} == SIGNS
    assert [sign(character) for character in "aé동\n "] == ["a", "é", "동", "⏎", "␣"]


def test_every_picture_is_xml():
    odd = entry("block")
    assert len(attention.page(odd, ODD, None)[0]["scores"]) == len(ODD)
    shown, places = embeddings.page(odd)
    ElementTree.fromstring(places["plots"][0]["svg"])
    assert "\u202e" not in str(shown)
    assert len(surprise.panel(odd, ODD)["cells"]) == len(ODD)


def test_the_page_shows_them_as_symbols(visitor, server):
    tab = visitor()
    page = tab.page
    page.click("role=tab[name='Attention']")
    page.click("#attention-rung input")
    page.locator("[role=option]", has_text="block").click()
    page.fill("#attention-say textarea", "abc\u202eba")
    page.wait_for_function("document.querySelector('.mc-attention-text')?.textContent.includes('U+202E')")
    page.click("role=tab[name='Surprise']")
    page.fill("#surprise-text textarea", "abc\u202eba")
    page.wait_for_function("document.querySelector('.mc-surprise-text')?.textContent === 'abcU+202Eba'")


@pytest.fixture(scope="module")
def server():
    catalogue = BigramFirst(device="cpu")
    for rung in ("bigram", "block", "gpt"):
        catalogue._entries[rung] = entry(rung if rung != "gpt" else "block")
    one = AppServer(catalogue)
    yield one
    one.close()
