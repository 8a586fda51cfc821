"""The attention tab in a real browser: heads to choose from, four steps, map and text linked, by mouse and keyboard."""

import pytest
from browsing import CONTRAST, open_tab

from modelcraft.insight.attention import trace_attention
from modelcraft.ui.tabs.attention import EXAMPLES

LABEL = "document.querySelector('.mc-attention-label').textContent"
MAP = """() => {
  const canvas = document.querySelector('.mc-attention-cells canvas');
  const {data, width} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const at = (i, j) => [...data.slice(4 * (i * width + j), 4 * (i * width + j) + 4)];
  return Array.from({length: canvas.height}, (_, i) => Array.from({length: width}, (_, j) => at(i, j)));
}"""  # the colours of the cells
PHONE = {"viewport": {"width": 390, "height": 844}}


def opened(visitor, rung="gpt-mini", **options):
    page = visitor(**options).page
    open_tab(page, "Attention")
    page.wait_for_selector(".mc-attention-refused:not(:empty)")  # the tests' default model has no attention
    page.click("#attention-rung input")
    page.locator(".options li", has_text=f"{rung} ·").first.click()
    page.wait_for_selector(".mc-attention-said:not(:empty)")
    return page


def said(page, part="said"):
    return page.locator(f".mc-attention-{part}").text_content()


def step(page, name):
    page.locator(f"#attention-stage [value={name}]").check(force=True)


def test_the_arrows_choose_a_character_and_colour_what_it_looks_at(visitor):
    page = opened(visitor)
    page.focus(".mc-attention-text")
    page.keyboard.press("Home")
    assert "100\u00a0%" in said(page)  # the first can only look at itself
    page.keyboard.press("End")
    assert f"({len(EXAMPLES[0]) - 1}) looks at" in said(page)
    heat = page.evaluate(
        "[...document.querySelectorAll('.mc-attention-text span')].map(s => +s.style.getPropertyValue('--heat'))"
    )
    assert max(heat) > 0.2
    assert sum(share**2 for share in heat) == pytest.approx(1, abs=0.1)


def test_a_middle_character_comes_first_so_that_the_mask_is_seen_to_go(visitor):
    page = opened(visitor)
    chosen, masked = said(page), page.evaluate(MAP)
    middle = int(chosen.split("(")[1].split(")")[0])
    assert abs(middle - len(EXAMPLES[0]) // 2) <= 2
    assert all(masked[i][j][3] == 0 for i in range(len(masked)) for j in range(i + 1, len(masked)))
    page.uncheck("#attention-masked")
    assert "would copy" in said(page, "step")
    assert f"({middle})" in said(page) and said(page) != chosen
    assert sum(cell[3] > 0 for cell in page.evaluate(MAP)[middle][middle + 1 :]) > 5
    page.check("#attention-masked")
    assert (said(page), page.evaluate(MAP)) == (chosen, masked)


def test_the_four_steps_are_drawn_in_the_page_and_the_first_three_share_a_scale(visitor):
    page = opened(visitor)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    ticks = {}
    for name in ("scores", "scaled", "masked", "softmax"):
        step(page, name)
        ticks[name] = page.locator(".mc-attention-ticks span").all_text_contents()
        assert f", {name}:" in page.get_attribute(".mc-attention-map", "aria-label")
    assert ticks["scores"] == ticks["scaled"] == ticks["masked"] != ticks["softmax"]
    step(page, "scores")
    assert said(page, "step").startswith("query")
    strong = sum(cell[3] for row in page.evaluate(MAP) for cell in row)
    step(page, "scaled")
    assert sum(cell[3] for row in page.evaluate(MAP) for cell in row) < strong
    step(page, "scores")
    page.uncheck("#attention-scaled")  # of no effect on the scores: the picture goes to the step
    assert page.is_checked("#attention-stage [value=scaled]")
    assert requests == []


def test_another_head_is_chosen_from_the_small_pictures_by_mouse_and_by_keyboard(visitor):
    page = opened(visitor)
    assert page.locator(".mc-head").count() == 16
    page.locator(".mc-head").nth(5).click()
    page.wait_for_function(f"{LABEL} === 'self-attention, layer 2, head 2'")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{LABEL} === 'self-attention, layer 3, head 3'")
    assert page.get_attribute(":focus", "aria-checked") == "true"
    page.fill("#attention-say textarea", "To be, or not")
    page.wait_for_function("document.querySelectorAll('.mc-attention-text span').length === 13")
    assert page.evaluate(LABEL) == "self-attention, layer 3, head 3"


def test_map_and_text_are_linked_and_a_cell_says_its_number(visitor, server):
    page = opened(visitor)
    entry = server.service.catalogue.get("gpt-mini")
    head = trace_attention(entry.model, entry.tokenizer.encode(EXAMPLES[0])).heads[0]
    chosen, box, n = said(page), page.locator(".mc-attention-cells").bounding_box(), len(head.scores)
    row, column = n - 5, n - 8
    page.mouse.move(box["x"] + (column + 0.5) * box["width"] / n, box["y"] + (row + 0.5) * box["height"] / n)
    share = float(head.weights()[row, column])
    assert said(page).startswith(f"“{EXAMPLES[0][row]}” ({row}) → “")
    shown = said(page).split(": ")[-1].rstrip("\u00a0%").replace("\u00a0", "")
    assert float(shown.lstrip("<")) / 100 == pytest.approx(share, abs=0.006)
    marks = page.evaluate(
        "['here', 'there'].map(name => [...document.querySelectorAll('.mc-attention-text span')]"
        ".findIndex(span => span.classList.contains(`mc-attention-${name}`)))"
    )
    assert marks == [row, column]
    page.mouse.move(5, 5)  # the pointer leaves: what was chosen comes back
    assert said(page) == chosen
    page.locator(".mc-attention-text span").nth(3).click()
    page.mouse.move(5, 5)
    assert said(page).startswith(f"“{EXAMPLES[0][3]}” (3)")
    page.focus(".mc-attention-map")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert said(page).startswith("“t” (4) → “s” (3): ")


def test_the_table_is_folded_and_unfolds(visitor):
    page = opened(visitor)
    assert not page.is_visible(".mc-attention-table")
    page.click(".mc-attention-fold summary")
    page.wait_for_selector(".mc-attention-table tbody tr")
    assert page.locator(".mc-attention-table tbody tr").count() == len(EXAMPLES[0])
    assert page.locator(".mc-attention-table tbody tr").first.text_content() == "0FF\u00a0(0)\u00a0100\u00a0%"


def test_an_encoder_decoder_shows_the_line_and_its_source(visitor):
    page = opened(visitor, "encoder-decoder")
    assert page.evaluate(LABEL).startswith("cross-attention")
    assert page.locator(".mc-attention-source").text_content() == "Frst Ctzn:⏎\n"
    assert page.is_disabled("#attention-masked")
    page.locator(".mc-attention-source span").nth(2).hover()
    assert "→ “s” (2)" in said(page)


def test_a_text_of_unknown_characters_is_answered_in_place_and_nothing_moves(visitor):
    page = opened(visitor)
    before = page.locator("#attention-heads").bounding_box()
    page.fill("#attention-say textarea", "ЖЖЖ")
    page.wait_for_selector(".mc-attention-refused:has-text('knows none of these characters')")
    assert not page.is_visible(".mc-attention-map")
    assert "knows none" in page.locator("#attention-told").text_content()
    assert page.locator("#attention-heads").bounding_box() == before
    assert page.locator(".toast-body").count() == 0
    page.fill("#attention-say textarea", "To be")
    page.wait_for_selector(".mc-attention-said:has-text('looks at')")
    assert not page.is_visible(".mc-attention-refused")


def test_the_question_is_guessed_first_and_then_answered_without_a_move(visitor):
    page = opened(visitor)
    before = page.locator("#attention").bounding_box()
    assert said_answer(page) == ""
    page.click("#attention-guess button >> nth=1")
    assert said_answer(page).startswith("Not quite. By copying")
    assert not page.locator("#attention-guess button").first.is_visible()
    assert page.locator("#attention").bounding_box() == before


def said_answer(page):
    return page.locator(".mc-guess-answer").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("rung", ["gpt-mini", "encoder-decoder"])
def test_a_phone_shows_it_without_scrolling_sideways(visitor, rung, scheme):
    page = opened(visitor, rung, **PHONE, color_scheme=scheme, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for part in (".mc-attention-said", ".mc-attention-text", ".mc-attention-step", ".mc-step b"):
        assert page.evaluate(CONTRAST, part) >= 4.5
    small = page.evaluate(
        """[...document.querySelectorAll('.mc-head, .mc-step label, .mc-guess button, .mc-attention summary')]
        .map(node => [node.textContent, node.offsetWidth, node.offsetHeight])
        .filter(([, w, h]) => Math.min(w, h) < 40)"""
    )
    assert small == []


def test_on_a_phone_the_bar_stays_while_the_map_is_on_the_screen(visitor):
    page = opened(visitor, **PHONE)
    box = "(() => { const {top, bottom} = document.querySelector('#attention-heads').getBoundingClientRect();"
    for y in (0, 150, 300, 9_000):
        page.evaluate(f"scrollTo(0, {y})")
        top, bottom = page.evaluate(box + " return [top, bottom]; })()")
        assert top >= 0 and bottom <= 845, (y, top, bottom)
        assert bottom - top < 130
