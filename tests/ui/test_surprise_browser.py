"""The surprise tab in a real browser: text exact, coloured, and read by keyboard."""

import pytest
from browsing import CONTRAST, open_tab

ODD = "A <b>bold</b> & ${1}  two  spaces\n\nand a Ж"


def opened(visitor, **options):
    """Return the page with the tab open, after a guess."""
    page = visitor(**options).page
    open_tab(page, "Surprise")
    page.click("#surprise-guess button >> nth=0")
    page.wait_for_selector(".mc-surprise-spots")
    return page


def write(page, text):
    page.fill("#surprise-text textarea", text)
    page.wait_for_function("text => document.querySelector('.mc-surprise-text')?.textContent === text", arg=text)


def test_nothing_is_read_before_the_guess_which_is_answered_without_a_move(visitor, server):
    page, steps = visitor().page, server.steps
    open_tab(page, "Surprise")
    page.wait_for_selector(".mc-surprise-first:has-text('First your guess')")
    page.wait_for_timeout(500)
    assert server.steps == steps
    assert page.locator(".mc-surprise-panel").count() == 0
    before = page.locator("#surprise").bounding_box()
    page.click("#surprise-guess button >> nth=2")
    page.wait_for_selector(".mc-surprise-verdict:not(:empty)")
    assert server.steps > steps
    assert page.locator("#surprise-guess .mc-guess-answer").text_content().startswith("Not quite. At its beginning")
    assert not page.is_visible(".mc-surprise-first")
    assert page.locator("#surprise").bounding_box() == before


def test_whoever_writes_without_a_guess_is_read_too(visitor):
    page = visitor().page
    open_tab(page, "Surprise")
    write(page, "the king")


def test_text_is_exact_and_read_once_it_is_typed(visitor):
    page = opened(visitor)
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)
    page.fill("#surprise-text textarea", "")
    page.locator("#surprise-text textarea").press_sequentially(ODD, delay=5)
    page.wait_for_function("text => document.querySelector('.mc-surprise-text')?.textContent === text", arg=ODD)
    assert len(asked) <= 4  # of some forty keys
    assert page.locator(".mc-surprise-text b").count() == 0
    strangers = page.evaluate("[...document.querySelectorAll('.mc-surprise-stranger')].map(node => node.textContent)")
    assert "Ж" in strangers
    assert "{, 1, }, Ж." in page.locator("#surprise-told").text_content()
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


def test_the_verdict_comes_first_and_its_word_is_explained(visitor):
    page = opened(visitor)
    page.click("text=held out")
    page.wait_for_function("document.querySelector('.mc-surprise-text').textContent.startsWith('Full fathom')")
    verdict, panels = (page.locator(part).bounding_box() for part in (".mc-surprise-verdict", ".mc-surprise-panels"))
    assert verdict["y"] + verdict["height"] <= panels["y"]
    page.focus(".mc-surprise-verdict .mc-word button")
    assert "-log2" in page.locator(".mc-word-note:popover-open").text_content()


def test_an_empty_text_and_one_of_strangers_are_answered_in_place_and_nothing_moves(visitor):
    page = opened(visitor)
    before = [page.locator(part).bounding_box() for part in ("#surprise", "#surprise-bar", "#surprise-spots")]
    page.fill("#surprise-text textarea", "")
    page.wait_for_selector("#surprise-told:has-text('Write a text')")
    assert page.locator(".mc-surprise-panel").count() == 0
    page.fill("#surprise-text textarea", "日本")
    page.wait_for_selector("#surprise-told:has-text('knows none of these characters')")
    assert page.locator(".toast-body").count() == 0
    write(page, "日本 " * 40 + "the king")
    after = [page.locator(part).bounding_box() for part in ("#surprise", "#surprise-bar", "#surprise-spots")]
    assert after == before


def test_many_strangers_stay_legible(visitor):
    """A line beneath each run, and no box around each character."""
    page = opened(visitor)
    write(page, "Привет, мир! And Caesar")
    styles = page.evaluate(
        """[...document.querySelectorAll('.mc-surprise-stranger')].map(node => getComputedStyle(node))
        .map(({textDecorationLine, outlineStyle}) => [textDecorationLine, outlineStyle])"""
    )
    assert len(styles) >= 8
    assert all(style == ["underline", "none"] for style in styles)
    assert page.evaluate(CONTRAST, ".mc-surprise-stranger") >= 4.5


def test_shift_and_enter_read_at_once_and_enter_begins_a_line(visitor):
    page = opened(visitor)
    page.focus("#surprise-text textarea")
    page.keyboard.press("Control+End")
    page.keyboard.press("Enter")
    assert page.input_value("#surprise-text textarea").endswith("\n")
    page.evaluate("document.addEventListener('input', event => event.stopImmediatePropagation(), true)")
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)
    page.wait_for_timeout(800)
    asked.clear()
    page.keyboard.press("Shift+Enter")
    page.wait_for_timeout(800)
    assert len(asked) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_reads_it_without_scrolling_sideways(visitor, scheme):
    page = opened(visitor, viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for part in ("bits", "said", "spots b", "key", "verdict"):
        assert page.evaluate(CONTRAST, f".mc-surprise-{part}") >= 4.5
    small = page.evaluate(
        """[...document.querySelectorAll('#surprise-tab button:not(.mc-word *), #surprise-bar .wrap')]
        .filter(node => node.checkVisibility() && getComputedStyle(node).visibility !== 'hidden')
        .map(node => [node.textContent || node.ariaLabel, node.offsetWidth, node.offsetHeight])
        .filter(([, w, h]) => Math.min(w, h) < 40)"""
    )
    assert small == []


def test_on_a_phone_the_rungs_stay_while_the_text_is_on_the_screen(visitor):
    page = opened(visitor, viewport={"width": 390, "height": 844})
    order = [page.locator(part).bounding_box()["y"] for part in ("#surprise-text", ".mc-surprise", "#surprise-spots")]
    assert order == sorted(order)
    for y in (0, 150, 400, 600):
        page.evaluate(f"scrollTo(0, {y})")
        box = page.locator("#surprise-bar").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 845, (y, box)
        assert box["height"] < 110
