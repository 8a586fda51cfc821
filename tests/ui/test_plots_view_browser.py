"""The tabs of pictures in a real browser: a picture at once, in ink that can be read, and on a phone."""

import pytest
from app_server import AppServer
from browsing import CONTRAST, open_tab

TABS = ["Counting", "Embeddings"]


@pytest.fixture(scope="module")
def server():
    running = AppServer()
    yield running
    running.close()


def opened(visitor, tab, **options):
    page = visitor(**options).page
    open_tab(page, tab)
    page.wait_for_selector(".mc-plot svg >> visible=true")
    return page


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_picture_is_there_at_once_and_legible_on_a_phone(visitor, tab, scheme):
    page = opened(visitor, tab, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    name = page.locator(".mc-plot svg >> visible=true").first.get_attribute("aria-label")
    assert name.endswith(".")
    for part in (".mc-plots-said", ".mc-plots caption", ".mc-plots td"):
        assert page.evaluate(CONTRAST, f"#{tab.lower()} {part}") >= 4.5
    fill = page.evaluate(f"getComputedStyle(document.querySelector('#{tab.lower()} .mc-plot svg text')).fill")
    assert fill in ("rgb(36, 31, 26)", "rgb(236, 228, 212)", "rgb(107, 96, 78)", "rgb(181, 168, 143)")


def test_another_character_is_another_row(visitor):
    page = opened(visitor, "Counting")
    page.fill("#counting-first input, #counting-first textarea", "z")
    page.wait_for_function("document.querySelector('#counting caption').textContent.includes('after “z”')")


def test_another_rung_has_other_embeddings(visitor):
    page = opened(visitor, "Embeddings")
    page.click("#embeddings-rung input")
    page.locator(".options li", has_text="counting").first.click()
    page.wait_for_function(
        "document.querySelector('#embeddings .mc-plots-said').textContent.startsWith('counting has no')"
    )
    assert page.locator("#embeddings svg").count() == 0
