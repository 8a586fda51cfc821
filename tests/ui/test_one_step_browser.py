"""The tab One step in a real browser: a character is chosen by mouse and keyboard, and the rows follow."""

import pytest
from app_server import AppServer
from browsing import open_tab

from modelcraft.serving.catalogue import Catalogue
from modelcraft.ui.tabs.one_step import EXAMPLES


@pytest.fixture(scope="module")
def server():
    running = AppServer(Catalogue(device="cpu"))
    yield running
    running.close()


def opened(visitor, **options):
    page = visitor(**options).page
    open_tab(page, "One step")
    page.wait_for_selector(".mc-way tbody tr")
    return page


def here(page):
    return page.evaluate(
        "[...document.querySelectorAll('.mc-way-text span')].findIndex(one => one.classList.contains('mc-way-here'))"
    )


def choose(page, rung):
    page.click("#one-step-rung input")
    page.locator(".options li", has_text=f"{rung} ·").first.click()


def test_a_click_and_the_arrows_choose_a_character(visitor):
    page = opened(visitor)
    assert here(page) == len(EXAMPLES[0]) - 1
    assert page.locator(".mc-way tbody tr").count() == 14
    assert "drawn from the last row" in page.locator(".mc-way-said").text_content()
    page.locator(".mc-way-text span").nth(17).click()
    page.wait_for_selector(".mc-way-said:has-text('the 17 characters before it')")
    assert here(page) == 17
    assert f"“{EXAMPLES[0][18]}”" in page.locator(".mc-way-said").text_content()
    page.focus(".mc-way-text")
    page.keyboard.press("Home")
    page.wait_for_selector(".mc-way-said:has-text('nothing before it')")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector(".mc-way-said:has-text('the 3 characters before it')")
    assert here(page) == 3


def test_the_guess_of_the_end_is_marked_in_every_row(visitor):
    page = opened(visitor)
    best = page.locator(".mc-way tbody tr").last.locator(".mc-way-guess b").first.text_content()
    marked = page.locator(".mc-way-best b").all_text_contents()
    assert set(marked) == {best}
    assert len(marked) >= 7


def test_another_rung_keeps_the_character_and_another_text_does_not(visitor):
    page = opened(visitor)
    page.locator(".mc-way-text span").nth(5).click()
    page.wait_for_selector(".mc-way-said:has-text('the 5 characters before it')")
    choose(page, "block")
    page.wait_for_function("document.querySelectorAll('.mc-way tbody tr').length === 8")
    assert here(page) == 5
    page.fill("#one-step-say textarea", "To be")
    page.wait_for_function("document.querySelectorAll('.mc-way-text span').length === 5")
    assert here(page) == 4
    choose(page, "counting")
    page.wait_for_selector(".mc-way-refused:has-text('no layers')")
    assert page.locator(".mc-way-box").is_hidden()


def test_nothing_moves_and_a_phone_needs_no_scrolling_sideways(visitor):
    page = opened(visitor, viewport={"width": 390, "height": 844})
    parts = (".mc-way-box", "#one-step-say", "#one-step-rung")
    before = [page.locator(part).bounding_box() for part in parts]
    page.locator(".mc-way-text span").nth(17).click()
    page.wait_for_selector(".mc-way-said:has-text('the 17 characters before it')")
    assert [page.locator(part).bounding_box() for part in parts] == before
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator(".mc-way-box")
    assert box.evaluate("node => node.scrollWidth <= node.clientWidth")


def test_the_answer_comes_after_a_guess(visitor):
    page = opened(visitor)
    assert page.locator("#one-step-guess .mc-guess-answer").text_content() == ""
    page.click("#one-step-guess button:has-text('bigram')")
    assert page.locator("#one-step-guess .mc-guess-answer").text_content().startswith("Yes.")
