"""The tab Counting in a real browser: a plate at once, a click chooses a row, and the switch shows another plate."""

import pytest
from browsing import CONTRAST, open_tab


def opened(visitor, **options):
    page = visitor(**options).page
    open_tab(page, "Counting")
    page.wait_for_selector("#counting svg image")
    page.wait_for_selector("#counting-row td")
    return page


def after(page, letter):
    page.wait_for_function(
        "said => document.querySelector('#counting-row caption').textContent.includes(said)", arg=f"after “{letter}”"
    )


def choose_row(page, letter):
    """Click in the middle of a row, where its label says it is."""
    row = page.evaluate(
        """letter => {
          const labels = [...document.querySelectorAll('#counting svg text')];
          const boxes = labels.filter(one => one.textContent === letter).map(one => one.getBoundingClientRect());
          return Math.max(...boxes.map(({top, bottom}) => (top + bottom) / 2));
        }""",
        letter,
    )
    plate = page.locator("#counting svg image").bounding_box()
    page.mouse.click(plate["x"] + plate["width"] / 2, row)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_plate_is_there_at_once_and_legible_on_a_phone(visitor, scheme):
    page = opened(visitor, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for part in (".mc-pairs-pair", ".mc-row caption", ".mc-row td", ".mc-row p", ".mc-pairs-switch button"):
        assert page.evaluate(CONTRAST, part) >= 4.5


def test_another_character_is_another_row(visitor):
    page = opened(visitor)
    page.fill("#counting-first input, #counting-first textarea", "z")
    after(page, "z")
    assert page.inner_text(".mc-pairs-pair").startswith("“z” then “")


def test_a_click_chooses_a_row(visitor):
    page = opened(visitor)
    choose_row(page, "q")
    after(page, "q")
    assert page.input_value("#counting-first input, #counting-first textarea") == "q"
    page.wait_for_function("document.querySelector('.mc-pairs-here').textContent === 'q'")


def test_the_arrow_keys_go_from_row_to_row(visitor):
    page = opened(visitor)
    page.focus(".mc-pairs-plate")
    page.keyboard.press("ArrowDown")
    after(page, "u")
    page.keyboard.press("ArrowUp")
    after(page, "t")


def test_the_switch_shows_another_plate_and_it_stays(visitor):
    page = opened(visitor)
    image = "#counting svg image"
    first = page.get_attribute(image, "href")
    page.click(".mc-pairs-switch button >> nth=2")
    assert page.get_attribute(".mc-pairs-switch button >> nth=2", "aria-pressed") == "true"
    other = page.get_attribute(image, "href")
    assert other != first
    choose_row(page, "q")
    after(page, "q")
    assert page.get_attribute(image, "href") == other


def test_what_is_pointed_at_is_said(visitor):
    page = opened(visitor)
    plate = page.locator("#counting svg image").bounding_box()
    page.mouse.move(plate["x"] + 2, plate["y"] + 2)
    assert page.inner_text(".mc-pairs-pair").startswith("“⏎” then “⏎”: ")
