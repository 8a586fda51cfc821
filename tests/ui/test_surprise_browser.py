"""The surprise tab in a real browser: text exact, coloured, and read by keyboard."""

import pytest
from app_server import AppServer
from browsing import CONTRAST, open_tab

ODD = "A <b>bold</b> & ${1}  two  spaces\n\nand a Ж"


@pytest.fixture(scope="module")
def server():
    running = AppServer()
    yield running
    running.close()


def opened(visitor, **options):
    page = visitor(**options).page
    open_tab(page, "Surprise")
    page.wait_for_selector(".mc-surprise-spots")
    return page


def test_a_picture_is_there_at_once_and_text_is_exact(visitor):
    page = opened(visitor)
    page.fill("#surprise-text textarea", ODD)
    page.click("#surprise-go")
    page.wait_for_function("text => document.querySelector('.mc-surprise-text').textContent === text", arg=ODD)
    assert page.locator(".mc-surprise-text b").count() == 0
    strangers = page.evaluate("[...document.querySelectorAll('.mc-surprise-stranger')].map(node => node.textContent)")
    assert "Ж" in strangers
    assert "U+0416" in page.locator(".mc-surprise-note").first.text_content()
    heat = page.evaluate(
        "[...document.querySelectorAll('.mc-surprise-text span')].map(node => +node.style.getPropertyValue('--heat'))"
    )
    assert all(0 <= one <= 1 for one in heat)
    assert len(set(heat)) > 5


def test_the_arrows_go_from_character_to_character(visitor):
    page = opened(visitor)
    page.focus(".mc-surprise-text")
    page.keyboard.press("Home")
    assert "the first, with nothing before it" in page.locator(".mc-surprise-said").first.text_content()
    page.keyboard.press("ArrowRight")
    said = page.locator(".mc-surprise-said").first.text_content()
    assert said.startswith("“U”: ")
    assert " bits, a chance of " in said
    assert page.locator(".mc-surprise-here").first.text_content() == "U"


def test_an_example_is_read_at_a_click(visitor):
    page = opened(visitor)
    page.click("text=nonsense")
    page.wait_for_function("document.querySelector('.mc-surprise-text').textContent.includes('qzx')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_reads_it_without_scrolling_sideways(visitor, scheme):
    page = opened(visitor, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for part in (".mc-surprise-bits", ".mc-surprise-said", ".mc-surprise-spots b", ".mc-surprise-key"):
        assert page.evaluate(CONTRAST, part) >= 4.5
