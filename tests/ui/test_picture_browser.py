"""Save picture: each view's picture as a file that another browser window shows."""

import io
import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from app_server import AppServer
from browsing import open_tab
from PIL import Image

from modelcraft.serving.catalogue import Catalogue

SVG = "{http://www.w3.org/2000/svg}"
ODD = "<b>&amp; „q“ ${1}"  # what a text may hold that is something else in a file


def attention(page):
    page.wait_for_selector(".mc-attention-said:not(:empty)")
    return ["First Citizen:", "Before we proceed", "looks at", "self-attention, layer 1, head 1"]


def race(page):
    page.fill("#race-length input[type=number]", "40")
    page.fill("#race-prompt textarea", "ROMEO:")
    page.click("#race-go")
    page.wait_for_function("document.querySelectorAll('.mc-lane-speed:not(:empty)').length > 1", timeout=60_000)
    return ["bigram", *page.locator(".mc-lane-text").all_text_contents()]


def next_character(page):
    page.fill("#next-text textarea", "The q")
    page.wait_for_function("document.querySelector('.mc-next tbody th')?.textContent === 'u'")
    return ["next", "after the dials", "u", "%"]


def one_step(page):
    page.wait_for_selector(".mc-way tbody tr")
    return ["First Citizen:", "embedding", "the best guesses"]


def surprise(page):
    page.fill("#surprise-text textarea", ODD + "the king\n" * 60)  # longer than its box
    page.wait_for_function("document.querySelectorAll('.mc-surprise-text span').length > 500")
    return [ODD, "the king\n" * 60, "bits a character", "a surprise"]


def counting(page):
    page.wait_for_selector("#counting svg image")
    return ["t", "⏎"]


def embeddings(page):
    page.wait_for_selector("#embeddings svg text >> nth=9")
    return ["e", "␣"]


def ladder(page):
    page.wait_for_selector(".mc-ladder-bars tr")
    return ["bigram", "counting", "4.174"]


def train(page):
    page.wait_for_selector("#train-go:enabled")
    page.click("#train-rung input")
    page.locator("[role=option]", has_text="bigram").first.click()
    page.fill("#train-steps input[type=number]", "100")
    page.press("#train-steps input[type=number]", "Tab")
    page.click("#train-go")
    page.wait_for_selector("#train-play:enabled", timeout=90_000)
    page.wait_for_selector(".mc-training .mc-plot svg")
    return ["step"]


VIEWS = {
    "Race": (race, r"modelcraft-race-bigram(-[a-z-]+)?"),
    "Next character": (next_character, "modelcraft-next-character-gpt"),
    "Attention": (attention, "modelcraft-attention-gpt"),
    "One step": (one_step, "modelcraft-one-step-gpt"),
    "Surprise": (surprise, "modelcraft-surprise-bigram-gpt"),
    "Counting": (counting, "modelcraft-counting"),
    "Embeddings": (embeddings, "modelcraft-embeddings-gpt"),
    "Ladder": (ladder, "modelcraft-ladder-counting"),
    "Train": (train, "modelcraft-train-[A-Za-z0-9-]+"),
}
ANY_PROGRAM = ("Counting", "Embeddings", "Train")  # no HTML in it


@pytest.fixture(scope="module")
def server():
    running = AppServer(Catalogue(device="cpu"))
    yield running
    running.close()


def save(page):
    with page.expect_download() as saved:
        page.click("[name=picture]")
    return saved.value.suggested_filename, saved.value.path().read_text("utf-8")


def shown(browser, text, path):
    """Open a file in a window of its own; return its pixels."""
    path.write_text(text, "utf-8")
    root = ElementTree.fromstring(text)
    size = {"width": int(root.get("width")), "height": int(root.get("height"))}
    with browser.new_context(viewport=size) as context:
        page = context.new_page()
        page.goto(path.as_uri())
        picture = page.screenshot()
    path.with_suffix(".png").write_bytes(picture)
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))  # (H, W, 3)


def looks(pixels):
    """Say how many colours there are, and which share of the picture is no paper."""
    colours, count = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    return len(colours), 1 - count.max() / count.sum(), colours[count.argmax()].mean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("tab", VIEWS)
def test_every_view_saves_its_picture(browser, visitor, tmp_path, tab, scheme):
    page = visitor(color_scheme=scheme).page
    open_tab(page, tab)
    show, name = VIEWS[tab]
    held = show(page)
    page.wait_for_timeout(300)
    file, text = save(page)
    page.wait_for_selector("[name=picture]:has-text('Saved')")
    assert re.fullmatch(rf"{name}\.svg", file), file
    root = ElementTree.fromstring(text)
    everything = "".join(root.itertext())
    for part in held:
        assert part in everything, part
    assert (root.find(f".//{SVG}foreignObject") is None) == (tab in ANY_PROGRAM)
    colours, drawn, paper = looks(shown(browser, text, tmp_path / f"{tab}-{scheme}.svg"))
    assert colours > 20 and drawn > 0.01, (colours, drawn)
    assert paper > 240 if scheme == "light" else paper < 60


def test_the_picture_holds_what_its_box_scrolls(browser, visitor, tmp_path):
    page = visitor().page
    open_tab(page, "Surprise")
    surprise(page)
    high = page.locator(".mc-surprise").bounding_box()["height"]
    pixels = shown(browser, save(page)[1], tmp_path / "long.svg")
    assert len(pixels) > 3 * high
    assert looks(pixels[-200:])[1] > 0.01  # down to its end
    assert page.locator(".mc-surprise").bounding_box()["height"] == high


@pytest.mark.cases
def test_a_picture_is_as_it_was_on_the_page(browser, visitor, tmp_path):
    """The same places have the same colours, but for the smoothing of letters."""
    page = visitor().page
    open_tab(page, "Attention")
    attention(page)
    page.wait_for_timeout(300)
    view = page.locator(".mc-attention-cells")
    there = np.asarray(Image.open(io.BytesIO(view.screenshot())).convert("RGB")).astype(int)
    whole, cells = page.locator(".mc-attention").bounding_box(), view.bounding_box()
    saved = shown(browser, save(page)[1], tmp_path / "map.svg").astype(int)
    left, top = (round(cells[side] - whole[side]) + 16 for side in ("x", "y"))
    apart = []
    for down, right in itertools.product(
        range(-12, 13), (-1, 0, 1)
    ):  # the text above is as high as it is, not as its box
        here = saved[top + down :, left + right :][: len(there), : len(there[0])]
        apart.append(np.abs(here - there).mean())
    assert min(apart) < 2


@pytest.mark.cases
def test_a_file_is_xml_whatever_a_text_holds(visitor):
    page = visitor().page
    open_tab(page, "Surprise")
    surprise(page)
    page.evaluate("document.querySelector('.mc-surprise h2').textContent = 'a\\x07\\ud800\\uffff]]>&<🎭'")
    file, text = save(page)
    assert "a���]]>&<🎭" in "".join(ElementTree.fromstring(text).itertext())
    assert file == "modelcraft-surprise-a-gpt.svg"


@pytest.mark.cases
def test_a_model_of_ones_own_has_its_title_in_the_name_and_no_secret(visitor):
    page = visitor().page
    open_tab(page, "Train")
    train(page)
    secret = page.evaluate("localStorage.getItem('modelcraft-visitor')")
    page.click("#train-play")
    page.wait_for_function("document.querySelector('#model input').value.includes('yours') || true")
    own = page.input_value("#model input")
    open_tab(page, "Embeddings")
    embeddings(page)
    page.click("#embeddings-rung input")
    page.locator("[role=option]", has_text=own.split(" · ")[0]).last.click()
    page.wait_for_timeout(1500)
    file, text = save(page)
    title = re.sub("[^A-Za-z0-9]+", "-", own.split(" · ")[0])
    assert file == f"modelcraft-embeddings-{title.strip('-')}.svg"
    assert secret not in text and not re.search(r"yours-[\w-]{20}", text + file)


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_the_page_has_room_for_the_button(visitor, width):
    page = visitor(viewport={"width": width, "height": 844}).page
    open_tab(page, "Attention")
    page.wait_for_selector("[name=picture]", state="visible")
    title, link, picture = (page.locator(part).bounding_box() for part in ("h1", "[name=link]", "[name=picture]"))
    assert title["x"] + title["width"] < link["x"]
    assert link["x"] + link["width"] <= picture["x"] < picture["x"] + picture["width"] <= width


def test_the_button_is_there_where_there_is_a_picture(visitor):
    page = visitor().page
    for tab in ("Chat", "In your browser"):
        open_tab(page, tab)
        page.wait_for_selector("[name=picture]", state="hidden")
    open_tab(page, "Surprise")
    page.wait_for_selector("[name=picture]", state="visible")
    downloads = []

    def note(saved):  # Playwright takes no method of a list
        downloads.append(saved)

    page.on("download", note)
    page.click("[name=picture]")  # nothing has been read
    page.wait_for_selector("[name=picture]:has-text('Nothing yet')")
    assert not downloads
