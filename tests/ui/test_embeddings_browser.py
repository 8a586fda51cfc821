"""The tab Embeddings in a real browser: labels apart and inside the frame, nearest on hover and by the keyboard."""

import pytest
from browsing import CONTRAST, open_tab

APART = """() => {
  const frame = document.querySelector('.mc-emb svg').getBoundingClientRect();
  const boxes = [...document.querySelectorAll('.mc-emb svg text')].map(node => node.getBoundingClientRect());
  const inside = boxes.every(({left, right, top, bottom}) =>
    left >= frame.left && right <= frame.right && top >= frame.top && bottom <= frame.bottom);
  const middle = ({left, right, top, bottom}) => [(left + right) / 2, (top + bottom) / 2];
  const close = boxes.flatMap((one, i) => boxes.slice(0, i).map(other => {
    const [x, y] = middle(one), [u, v] = middle(other);
    return Math.hypot(x - u, y - v);
  }));
  return {inside, closest: Math.min(...close), labels: boxes.length};
}"""


def opened(visitor, **options):
    page = visitor(**options).page
    open_tab(page, "Embeddings")
    page.wait_for_selector(".mc-emb svg text >> nth=64")
    return page


def near(page):
    return page.inner_text(".mc-emb-near")


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_labels_stand_apart_and_in_the_frame(visitor, width, scheme):
    page = opened(visitor, viewport={"width": width, "height": 844}, color_scheme=scheme)
    found = page.evaluate(APART)
    assert found["labels"] == 65
    assert found["inside"]
    assert found["closest"] > 6  # pixels between the middles of two letters
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for part in (".mc-emb-said", ".mc-emb-near", ".mc-emb-note", ".mc-emb-places p"):
        assert page.evaluate(CONTRAST, part) >= 4.5


def test_what_is_pointed_at_shows_its_nearest(visitor):
    page = opened(visitor)
    assert near(page).startswith("“e”: nearest are ")
    page.locator(".mc-emb svg").get_by_text("q", exact=True).hover()
    assert near(page).startswith("“q”: nearest are ")
    assert page.locator(".mc-emb-tie").count() == page.locator(".mc-emb-by").count() == 4


def test_the_arrow_keys_go_from_character_to_character(visitor):
    page = opened(visitor)
    page.focus(".mc-emb-map")
    page.keyboard.press("ArrowRight")
    assert near(page).startswith("“f”: nearest are ")
    page.keyboard.press("Home")
    assert near(page).startswith("“⏎”: nearest are ")


def test_another_rung_has_other_embeddings(visitor):
    page = opened(visitor)
    page.click("#embeddings-rung input")
    page.locator(".options li", has_text="counting").first.click()
    page.wait_for_function(
        "document.querySelector('#embeddings .mc-emb-said').textContent.startsWith('counting has no')"
    )
    assert page.locator("#embeddings svg text").count() == 0
    assert near(page) == ""
