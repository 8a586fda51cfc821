"""On a screen of 1440 × 900 nobody scrolls between a control and what it changes."""

import pytest
from app_server import AppServer
from browsing import open_tab

from modelcraft.serving.catalogue import Catalogue

# Of each tab: its picture, and the controls that change it. A tab with the layout of `mc-beside` goes here.
TABS = {
    "Attention": (
        ".mc-attention-cells",
        ["#attention-say", "#attention-rung", ".mc-heads-all", "#attention-stage", "#attention-masked"],
    ),
    "Train": ("#train .mc-training", ["#train-rung", "#train-steps", "#train-source", "#train-lead"]),
    "One step": (".mc-way tbody", ["#one-step-say", "#one-step-rung"]),
}
BOX = """selector => {
  const {left, top, right, bottom} = document.querySelector(selector).getBoundingClientRect();
  return [left, top, right, bottom];
}"""


@pytest.fixture(scope="module")
def server():
    running = AppServer(Catalogue(device="cpu"))  # the rung that visitors meet, with most to show
    yield running
    running.close()


@pytest.mark.parametrize("tab", TABS)
def test_a_picture_and_its_controls_are_on_the_screen_together(visitor, tab):
    page = visitor(viewport={"width": 1440, "height": 900}).page
    open_tab(page, tab)
    picture, controls = TABS[tab]
    page.wait_for_selector(picture, state="attached")
    page.wait_for_timeout(500)
    assert page.evaluate("scrollY") == 0
    left, _, right, _ = page.evaluate(BOX, picture)
    for part in (picture, *controls):
        box = page.evaluate(BOX, part)
        assert box[1] >= 0 and box[3] <= 900, (part, box)
        assert part == picture or box[0] > right or box[2] < left, f"{part} is not beside the picture"


@pytest.mark.parametrize("tab", TABS)
def test_what_stands_at_the_right_stays_while_the_page_scrolls(visitor, tab):
    page = visitor(viewport={"width": 1440, "height": 700}).page
    open_tab(page, tab)
    page.wait_for_timeout(500)
    picture, (control, *_) = TABS[tab]
    left, right = sorted((picture, control), key=lambda part: page.evaluate(BOX, part)[0])
    before = page.evaluate(BOX, right)[1]
    page.evaluate("part => { document.querySelector(part).closest('.column').style.minHeight = '2000px' }", left)
    page.evaluate("scrollTo(0, 900)")
    assert 0 <= page.evaluate(BOX, right)[1] < before
