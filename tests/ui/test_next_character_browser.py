"""The microscope in a real browser: a picture at once, sliders, Step, Run and Stop."""

import pytest
from browsing import CONTRAST, open_tab


def opened(visitor, **options):
    page = visitor(**options).page
    open_tab(page, "Next character")
    page.wait_for_selector(".mc-next tbody tr")
    return page


def text(page) -> str:
    return page.input_value("#next-text textarea")


def marked(page) -> str:
    shown = page.locator(".mc-next tr.mc-next-drawn th").text_content()
    return {"␣": " ", "⏎": "\n"}.get(shown, shown)


def note(page) -> str:
    return page.locator(".mc-next-note").text_content()


def turn(page, dial, value) -> None:
    field = page.locator(f"#next-{dial} input[type=number]")
    field.fill(str(value))
    field.press("Tab")


LONGER = "n => document.querySelector('#next-text textarea').value.length > n"


def test_step_appends_what_is_marked_to_the_only_text_there_is(visitor):
    page = opened(visitor)
    before, drawn = text(page), marked(page)
    page.click("#next-step")
    page.wait_for_function(LONGER, arg=len(before))
    assert text(page) == before + drawn
    assert before not in page.locator("#next").text_content()


def test_what_is_cleared_stays_cleared(visitor):
    page = opened(visitor)
    page.fill("#next-text textarea", "")
    page.wait_for_selector(".mc-next-note:has-text('Write a text first')")
    assert not page.is_visible(".mc-next table")
    page.click("#next-step")
    page.click("#next-run")
    page.wait_for_timeout(800)
    assert text(page) == ""
    assert not page.is_visible("#next-stop")
    assert page.locator(".toast-body").count() == 0


def test_what_is_typed_is_looked_at_and_an_example_too(visitor):
    page = opened(visitor)
    page.fill("#next-text textarea", "<b>q")
    page.wait_for_function("document.querySelector('.mc-next tbody th')?.textContent === 'u'")
    page.click("#next-character-tab button:has-text('JULIET:')")
    page.wait_for_function("document.querySelector('.mc-next tbody th').textContent !== 'u'")
    assert text(page) == "JULIET:\n"


def test_unknown_characters_are_answered_below_the_text_and_nothing_moves(visitor):
    page = opened(visitor)
    before = page.locator(".mc-next").bounding_box()
    page.fill("#next-text textarea", "The king 🙂")
    page.wait_for_selector(".mc-next-note:has-text('🙂')")
    page.fill("#next-text textarea", "🙂🙂")
    page.wait_for_selector(".mc-next-note:has-text('knows none of these characters')")
    assert not page.is_visible(".mc-next table")
    assert page.locator(".mc-next").bounding_box() == before
    assert page.locator(".toast-body").count() == 0
    page.fill("#next-text textarea", "The king")
    page.wait_for_selector(".mc-next table", state="visible")
    assert note(page) == ""


def test_a_dial_cuts_and_cut_characters_say_so(visitor):
    page = opened(visitor)
    before = page.locator(".mc-next").bounding_box()
    turn(page, "top_k", 3)
    page.wait_for_function("document.querySelector('.mc-next-kept').textContent.includes('3 of 65 characters')")
    assert page.locator(".mc-next tr.mc-next-cut").count() >= 9
    assert "cut" in page.locator(".mc-next tr.mc-next-cut").first.text_content()
    assert page.locator(".mc-next").bounding_box() == before
    page.click(".mc-dials-reset")
    page.wait_for_function("document.querySelector('.mc-next-kept').textContent.includes('65 of 65 characters')")
    assert page.is_disabled(".mc-dials-reset")


def test_a_dial_turns_by_the_keyboard_and_its_number_stays_in_its_range(visitor):
    page = opened(visitor)
    page.focus("#next-temperature input[type=range]")
    page.keyboard.press("Home")
    page.wait_for_function("document.querySelector('.mc-next-kept').textContent.startsWith('1 of')")
    assert page.input_value("#next-temperature input[type=number]") == "0"
    turn(page, "temperature", 7)
    page.wait_for_function("document.querySelector('.mc-next-kept').textContent.startsWith('65 of')")
    assert page.input_value("#next-temperature input[type=number]") == "2"


def test_run_goes_on_until_it_is_stopped_and_only_then_there_is_a_stop(visitor):
    page = opened(visitor)
    before = len(text(page))
    assert not page.is_visible("#next-stop")
    page.focus("#next-run")
    page.keyboard.press("Enter")
    page.wait_for_function(LONGER, arg=before + 3)
    assert page.is_visible("#next-stop") and not page.is_visible("#next-run")
    page.wait_for_function("document.activeElement.id === 'next-stop'")
    page.keyboard.press("Enter")
    page.wait_for_selector("#next-run", state="visible")
    page.wait_for_timeout(600)
    stopped = text(page)
    page.wait_for_timeout(700)
    assert text(page) == stopped
    assert not page.is_visible("#next-stop")


@pytest.mark.parametrize(
    "act",
    [
        lambda page: turn(page, "top_k", 2),
        lambda page: page.fill("#next-text textarea", "ROMEO:"),
        lambda page: page.click("#next-step"),
        lambda page: page.click("#next-character-tab button:has-text('JULIET:')"),
    ],
)
def test_whatever_else_changes_the_picture_ends_a_run(visitor, act):
    page = opened(visitor)
    page.click("#next-run")
    page.wait_for_selector("#next-stop", state="visible")
    act(page)
    page.wait_for_selector("#next-stop", state="hidden")
    page.wait_for_timeout(700)
    stopped = text(page)
    page.wait_for_timeout(700)
    assert text(page) == stopped and not page.is_visible("#next-stop")


def test_the_question_is_guessed_first_and_no_default_answers_it(visitor):
    page = opened(visitor)
    assert page.input_value("#next-temperature input[type=number]") == "1"
    before = page.locator("#next").bounding_box()
    assert page.locator("#next-guess .mc-guess-answer").text_content() == ""
    page.click("#next-guess button >> nth=0")
    assert page.locator("#next-guess .mc-guess-answer").text_content().startswith("Not quite. The order stays.")
    assert page.locator("#next").bounding_box() == before


def test_its_words_are_explained_where_they_stand(visitor):
    page = opened(visitor)
    words = page.locator("#next-character-tab .mc-word button")
    assert words.all_text_contents() == ["softmax", "Temperature", "Top-k", "Top-p", "Min-p"]
    words.nth(1).focus()
    assert page.locator(".mc-word-note:popover-open").text_content().startswith("What the scores are divided by")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(visitor, scheme):
    page = opened(visitor, viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for part in (
        ".mc-next-said",
        ".mc-next-said b",
        ".mc-next tr.mc-next-drawn th",
        ".mc-next thead th",
        ".mc-dial-name",
    ):
        assert page.evaluate(CONTRAST, part) >= 4.5
    small = page.evaluate(
        """[...document.querySelectorAll('#next-character-tab button:not(.mc-word *), .mc-dial input')]
        .filter(node => node.checkVisibility())
        .map(node => [node.textContent || node.ariaLabel, node.offsetWidth, node.offsetHeight])
        .filter(([, w, h]) => Math.min(w, h) < 40)"""
    )
    assert small == []


def test_on_a_phone_the_bar_stays_while_the_bars_are_on_the_screen(visitor):
    page = opened(visitor, viewport={"width": 390, "height": 844})
    for y in (0, 150, 300, 9_000):
        page.evaluate(f"scrollTo(0, {y})")
        box = page.locator("#next-bar").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 845, (y, box)
        assert box["height"] < 200
