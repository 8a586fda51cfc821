"""On a screen of 1440 × 900 nobody scrolls between a control and what it changes."""

import pytest
from app_server import AppServer
from browsing import open_tab

from modelcraft.serving.catalogue import Catalogue

# Of each tab: its picture, the controls beside it that change it, and its text where that stands above the picture.
# A tab with the layout of `mc-beside` goes here.
TABS = {
    "Attention": (
        ".mc-attention-cells",
        ["#attention-say", "#attention-rung", ".mc-heads-all", "#attention-stage", "#attention-masked"],
        [],
    ),
    "Next character": (
        ".mc-next",
        ["#next-rung", "#next-step", "#next-run", "#next-throw", "#next-temperature", "#next-min_p", ".mc-dials-reset"],
        ["#next-text"],
    ),
    "Surprise": (
        ".mc-surprise",
        ["#surprise-one", "#surprise-other", "#surprise-spots", "text=held out"],
        ["#surprise-text", ".mc-surprise-verdict"],
    ),
    "Train": ("#train .mc-training", ["#train-rung", "#train-steps", "#train-source", "#train-lead"], []),
    "Counting": ("#counting svg", ["#counting-first", "#counting-row"], [".mc-pairs-switch", ".mc-pairs-pair"]),
    "Embeddings": (".mc-emb svg", ["#embeddings-rung", "#embeddings-places"], [".mc-emb-near"]),
    "In your browser": (
        ".mc-browser-page",
        [
            "#browser-model",
            ".mc-browser [name=line]",
            ".mc-browser [name=go]",
            "#browser-dials",
            ".mc-browser [name=compare]",
        ],
        [".mc-browser-said"],
    ),
    "Race": (".mc-race", ["#race-desk", "#race-rungs", "#race-length", "#race-pace", "#race-seed"], ["#race-guess"]),
    "One step": (".mc-way tbody", ["#one-step-say", "#one-step-rung"], []),
}


# Tabs of one column: what is pressed and what it changes, in one screen.
COLUMNS = {
    "Chat": ["#script", "#message", "#go", "#model", "#length", "#temperature", "#tools"],
    "Ladder": ["#ladder-previous", "#ladder-rung", "#ladder-next", ".mc-ladder h2", ".mc-ladder-bars"],
}


def box(page, part):
    place = page.locator(part).first.bounding_box()
    return place["x"], place["y"], place["x"] + place["width"], place["y"] + place["height"]


@pytest.fixture(scope="module")
def server():
    running = AppServer(Catalogue(device="cpu"))  # the rung that visitors meet, with most to show
    yield running
    running.close()


def opened(visitor, tab, projector=False, **viewport):
    page = visitor(viewport=viewport).page
    if projector:
        page.click("role=button[name='Projector']")
    open_tab(page, tab)
    page.wait_for_selector(TABS[tab][0], state="attached")
    if tab == "In your browser":
        page.wait_for_selector(".mc-browser-openings button")  # its model is there
    if tab == "Surprise":
        page.click("#surprise-guess button >> nth=0")
        page.wait_for_selector(".mc-surprise-spots >> nth=1")
    page.wait_for_timeout(500)
    return page


@pytest.mark.parametrize("tab", TABS)
def test_a_picture_and_its_controls_are_on_the_screen_together(visitor, tab):
    are_together(opened(visitor, tab, width=1440, height=900), tab, 900)


@pytest.mark.parametrize("tab", TABS)
def test_so_they_are_on_a_projector(visitor, tab):
    page = opened(visitor, tab, projector=True, width=1920, height=1080)
    are_together(page, tab, 1080, but=["#race-seed"])  # in so large a type one scrolls to it


def are_together(page, tab, height, but=()):
    picture, controls, above = TABS[tab]
    assert page.evaluate("scrollY") == 0
    begin, _, end, _ = box(page, picture)
    for part in (picture, *controls, *above):
        left, top, right, bottom = box(page, part)
        assert (top >= 0 and bottom <= height) or part in but, (part, top, bottom)
        assert part not in controls or left > end or right < begin, f"{part} is not beside the picture"


@pytest.mark.parametrize("tab", COLUMNS)
def test_what_a_column_shows_and_what_changes_it_are_on_the_screen_together(visitor, tab):
    page = visitor(viewport={"width": 1440, "height": 900}).page
    open_tab(page, tab)
    if tab == "Ladder":
        page.wait_for_selector(".mc-ladder h2")
        page.wait_for_timeout(500)
        sample, desk = (page.locator(part).bounding_box() for part in ("#ladder-sample", "#ladder-desk"))
        assert desk["y"] + desk["height"] - sample["y"] < 900
    for part in COLUMNS[tab]:
        _, top, _, bottom = box(page, part)
        assert top >= 0 and bottom <= 900, (part, top, bottom)


@pytest.mark.parametrize("source", ["a file", "paste"])
def test_train_fits_with_a_text_of_ones_own_and_all_that_can_be_set(visitor, source):
    page = opened(visitor, "Train", width=1440, height=900)
    page.locator("#train-source label", has_text=source).click()
    page.click("#train-more > button")
    page.wait_for_selector("#train-dropout input", state="visible")
    page.wait_for_timeout(500)
    for part in ("#train .mc-training", "#train-lead"):
        _, top, _, bottom = box(page, part)
        assert top >= 0 and bottom <= 900, (part, top, bottom)


@pytest.mark.parametrize("tab", TABS)
def test_what_stands_at_the_right_stays_while_the_page_scrolls(visitor, tab):
    page = opened(visitor, tab, width=1440, height=700)
    picture, (control, *_), _ = TABS[tab]
    left, right = sorted((picture, control), key=lambda part: box(page, part)[0])
    before = box(page, right)[1]
    page.evaluate("part => { document.querySelector(part).closest('.column').style.minHeight = '2000px' }", left)
    page.evaluate("scrollTo(0, 900)")
    assert 0 <= box(page, right)[1] < before
