"""The microscope in a real browser: a picture at once, sliders, Step, Run and Stop."""

import pytest
from app_server import AppServer
from browsing import CONTRAST, open_tab


@pytest.fixture(scope="module")
def server():
    running = AppServer()
    yield running
    running.close()


def opened(visitor, **options):
    page = visitor(**options).page
    open_tab(page, "Next character")
    page.wait_for_selector(".mc-next tbody tr")
    return page


def text(page) -> str:
    return page.locator(".mc-next-text span").text_content()


def test_step_appends_what_is_marked(visitor):
    page = opened(visitor)
    before, marked = text(page), page.locator(".mc-next tr.mc-next-drawn th").text_content()
    page.click("#next-step")
    page.wait_for_function("n => document.querySelector('.mc-next-text span').textContent.length > n", arg=len(before))
    assert text(page) == before + {"␣": " ", "⏎": "\n"}.get(marked, marked)
    assert page.input_value("#next-text textarea") == text(page)


def test_what_is_typed_is_looked_at_and_an_example_too(visitor):
    page = opened(visitor)
    page.fill("#next-text textarea", "<b>q")
    page.wait_for_function("document.querySelector('.mc-next-text span').textContent.endsWith('q')")
    assert page.locator(".mc-next tbody th").first.text_content() == "u"
    page.click("#next-character-tab button:has-text('JULIET:')")
    page.wait_for_function("document.querySelector('.mc-next-text span').textContent === 'JULIET:\\n'")


def test_a_slider_cuts_and_cut_characters_say_so(visitor):
    page = opened(visitor)
    field = page.locator("#next-top_k input[type=number]")
    field.fill("3")
    field.press("Tab")
    page.wait_for_function("document.querySelector('.mc-next-said').textContent.includes('3 of 65 characters')")
    assert page.locator(".mc-next tr.mc-next-cut").count() >= 11
    assert "cut" in page.locator(".mc-next tr.mc-next-cut").first.text_content()


def test_run_goes_on_until_it_is_stopped(visitor):
    page = opened(visitor)
    before = len(text(page))
    page.click("#next-run")
    page.wait_for_function("n => document.querySelector('.mc-next-text span').textContent.length > n + 3", arg=before)
    page.click("#next-stop")
    page.wait_for_timeout(600)
    stopped = text(page)
    page.wait_for_timeout(700)
    assert text(page) == stopped


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(visitor, scheme):
    page = opened(visitor, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for part in (".mc-next-said", ".mc-next-text b", ".mc-next tr.mc-next-drawn th", ".mc-next thead th"):
        assert page.evaluate(CONTRAST, part) >= 4.5
