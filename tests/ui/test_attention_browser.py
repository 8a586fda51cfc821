"""The attention tab in a real browser: a picture at once, characters chosen by keyboard, steps left out."""

import pytest
from app_server import AppServer
from browsing import CONTRAST, open_tab


@pytest.fixture(scope="module")
def server():
    running = AppServer()
    yield running
    running.close()


def opened(visitor, rung="block", **options):
    page = visitor(**options).page
    open_tab(page, "Attention")
    page.wait_for_function("document.querySelector('#attention .mc-plots-said').textContent.length > 0")
    page.click("#attention-rung input")
    page.locator(".options li", has_text=rung).first.click()
    page.wait_for_selector("#attention svg")
    return page


def test_the_arrows_choose_a_character_and_colour_what_it_looks_at(visitor):
    page = opened(visitor)
    page.focus(".mc-attention-text")
    page.keyboard.press("Home")
    said = page.locator(".mc-attention-said").text_content()
    assert "100\u00a0%" in said  # the first can only look at itself
    page.keyboard.press("End")
    assert page.locator(".mc-attention-said").text_content() != said
    heat = page.evaluate(
        "[...document.querySelectorAll('.mc-attention-text span')].map(s => +s.style.getPropertyValue('--heat'))"
    )
    assert max(heat) > 0.2
    assert sum(share**2 for share in heat) == pytest.approx(1, abs=0.1)


def test_the_mask_can_be_switched_off(visitor):
    page = opened(visitor)
    page.uncheck("#attention-masked input")
    page.wait_for_function("document.querySelector('#attention .mc-plots-said').textContent.includes('would copy')")
    page.check("#attention-masked input")
    page.click("#attention-stage input[value=scores]")
    page.wait_for_function("document.querySelector('#attention .mc-plots-said').textContent.startsWith('query')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(visitor, scheme):
    page = opened(visitor, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for part in (".mc-attention-said", ".mc-attention-text", "#attention .mc-plots-said"):
        assert page.evaluate(CONTRAST, part) >= 4.5
