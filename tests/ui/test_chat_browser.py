"""The first sight of the chat, Continue, and messages that are in nobody's way."""

import pytest
from browsing import CONTRAST

from modelcraft.ui.openings import TO_GO_ON, TO_RESTORE

PLACES = [".mc-script", "#message textarea", "#go", "#model", "#more"]
TOP = "selector => document.querySelector(selector).getBoundingClientRect().top"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844), (320, 568)])
def test_the_empty_sheet_offers_three_openings(visitor, width, height, scheme):
    page = visitor(viewport={"width": width, "height": height}, color_scheme=scheme).page
    assert page.inner_text("#openings-lead").strip() == "It goes on writing; it does not answer."
    assert page.locator("#openings button").all_inner_texts() == [
        line.replace("\n", " ") for line, _ in TO_GO_ON.openings
    ]
    sheet = page.locator(".mc-script").bounding_box()
    for button in page.locator("#openings button").all():
        button.scroll_into_view_if_needed()
        box = button.bounding_box()
        assert sheet["x"] < box["x"] and box["x"] + box["width"] < sheet["x"] + sheet["width"]
        assert width > 640 or box["height"] >= 40
    assert page.inner_text("#opening-2").strip() == "Hamlet is not in the corpus"
    for part in ("#openings-lead .mc-plain", "#opening-2 .mc-plain", "#openings button"):
        assert page.evaluate(CONTRAST, part) >= 4.5


def test_what_is_said_of_the_openings_is_true(corpus_text):
    beginning = next(line for line, note in TO_GO_ON.openings if note == "how its corpus begins")
    assert "or not to be" not in corpus_text
    assert corpus_text.startswith(beginning)
    assert ("Whr s my Rm?", "Juliet asks this when she wakes") in TO_RESTORE.openings
    assert "And there I am. Where is my Romeo?" in corpus_text


def test_an_opening_is_taken_and_the_openings_come_back(visitor):
    page = visitor()
    page.set("length", 10)
    page.page.focus("#openings button >> nth=1")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#openings", state="hidden")
    assert page.wait_written()[0] == "First Citizen:\nBefore we proceed"
    page.page.wait_for_function("['go', 'stop'].includes(document.activeElement.id)")  # not lost with the button
    page.page.focus("#clear")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#openings button")
    page.page.wait_for_function("document.activeElement.matches('#message textarea')")
    assert page.page.is_hidden("#tools")


def test_continue_goes_on_and_leaves_the_next_line_alone(visitor):
    page = visitor()
    page.set("length", 10)
    assert page.page.is_hidden("#continue")
    page.say("ROMEO:")
    first = page.wait_written()
    page.page.fill("#message textarea", "JULIET:")
    page.page.click("#continue")
    after = page.wait_written(turns=3)
    assert after[:2] == first and len(after[2]) == 10
    assert page.page.input_value("#message textarea") == "JULIET:"
    page.page.wait_for_selector("#continue", state="visible")


@pytest.mark.parametrize("width", [1440, 390])
def test_an_empty_line_gets_a_hint_in_place(visitor, width):
    page = visitor(viewport={"width": width, "height": 844}).page
    before = [page.locator(part).bounding_box() for part in PLACES]
    page.click("#go")
    page.wait_for_selector(".mc-script-note >> text=Write a line first, or choose one of the openings.")
    assert page.evaluate("document.activeElement.matches('#message textarea')")
    assert page.locator(".toast-body").count() == 0
    assert [page.locator(part).bounding_box() for part in PLACES] == before
    assert page.evaluate(CONTRAST, ".mc-script-note") >= 4.5
    page.keyboard.type("R")
    page.wait_for_selector(".mc-script-note", state="hidden")


@pytest.mark.parametrize("width", [1440, 390])
def test_messages_cover_no_tab_and_do_not_pile_up(visitor, width):
    page = visitor(viewport={"width": width, "height": 844})
    page.more()
    page.set("seed", "one")
    page.page.evaluate("scrollTo(0, 0)")
    for _ in range(4):
        page.say("ROMEO:")
        page.page.wait_for_timeout(200)
    assert page.page.locator("text=Seed must be a whole number >> visible=true").count() == 1
    tabs = page.page.locator("#tabs [role=tablist]").bounding_box()
    page.page.wait_for_timeout(300)
    assert page.page.evaluate(TOP, ".toast-body") > tabs["y"] + tabs["height"]
    page.set("seed", "")
