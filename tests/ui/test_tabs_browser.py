"""The row of tabs: three named groups on a screen, a row that scrolls on a phone, and no menu that hides some."""

import pytest
from browsing import open_tab

GROUPS = {
    "play": ["Chat", "Race", "In your browser"],
    "look inside": ["Next character", "Attention", "One step", "Surprise", "Counting", "Embeddings"],
    "build": ["Ladder", "Train"],
}
TABS = [tab for tabs in GROUPS.values() for tab in tabs]
LABELS = """() => [...document.querySelectorAll('#tabs [role=tab]')].map(tab => {
  const {content} = getComputedStyle(tab, '::before');
  return [content.match(/^"(.+?)"/)?.[1] ?? '', tab.textContent];
})"""
INSIDE = """name => {
  const tab = [...document.querySelectorAll('#tabs [role=tab]')].find(tab => tab.textContent === name);
  const {left, right} = tab.getBoundingClientRect();
  return left >= 0 && right <= innerWidth;
}"""


def test_the_tabs_stand_in_three_named_groups(visitor):
    page = visitor().page
    labels = page.evaluate(LABELS)
    assert [name for _, name in labels] == TABS
    assert {label: name for label, name in labels if label} == {label: tabs[0] for label, tabs in GROUPS.items()}
    for tab in TABS:  # what is read aloud is the tab's own name
        assert page.get_by_role("tab", name=tab, exact=True).count() == 1
        assert page.evaluate(INSIDE, tab)


@pytest.mark.parametrize("width", [320, 390, 800, 960, 1000, 1050, 1440])
def test_every_tab_is_in_the_row_and_none_is_cut(visitor, width):
    page = visitor(viewport={"width": width, "height": 700}).page
    assert page.locator("#tabs [role=tab]:visible").all_inner_texts() == TABS
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = """() => [...document.querySelectorAll('#tabs [role=tab]')]
        .filter(tab => tab.scrollWidth > tab.clientWidth + 1).map(tab => tab.textContent)"""
    assert page.evaluate(cut) == []


def test_on_a_phone_a_finger_meets_every_tab(browser, visitor):
    page = visitor(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).page
    for tab in TABS:
        one = page.get_by_role("tab", name=tab, exact=True)
        one.scroll_into_view_if_needed()
        box = one.bounding_box()
        assert box["height"] >= 40 and box["width"] >= 40, (tab, box)
        one.tap()
        page.wait_for_selector(f"#tabs [aria-selected=true] >> text={tab}")
        assert page.evaluate(INSIDE, tab)
        assert page.evaluate("scrollY") == 0


def test_the_row_follows_to_a_tab_that_another_button_opens(visitor):
    page = visitor(viewport={"width": 390, "height": 844}).page
    open_tab(page, "Ladder")
    page.click("#ladder-look")
    page.wait_for_function("document.querySelector('#tabs [aria-selected=true]').textContent === 'Counting'")
    page.wait_for_timeout(100)
    assert page.evaluate(INSIDE, "Counting")
    assert not page.evaluate(INSIDE, "Chat")
