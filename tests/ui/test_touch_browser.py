"""On a phone a finger meets every control of every tab: 40 pixels high, and as wide where it is a button."""

import pytest
from app_server import AppServer
from browsing import open_tab

from modelcraft.serving.catalogue import Catalogue

# What stands on the screen in each tab before it is looked at.
READY = {
    "Chat": ".mc-script",
    "Race": ".mc-lane",
    "In your browser": ".mc-browser [name=go]:enabled",
    "Next character": ".mc-next tbody tr",
    "Attention": ".mc-attention-said:not(:empty)",
    "One step": ".mc-way tbody tr",
    "Surprise": ".mc-surprise-spots >> nth=1",
    "Counting": "#counting svg image",
    "Embeddings": "#embeddings svg text >> nth=9",
    "Ladder": ".mc-ladder h2",
    "Train": "#train-go:enabled",
}
# Of each control on the page that is met less far up, down or, if it is a button, sideways: what it is, and how far.
# A label belongs to its control. Links and explained words in a running text are as high as the text.
MISSED = """() => {
  const missed = [];
  const controls = document.querySelectorAll(
    'button, input, textarea, select, summary, a[href], [role=radio], [role=tab], [role=button], [role=option]');
  for (const control of controls) {
    if (control.closest('.mc-word, p a, [inert]') || control.type === 'file' || control.disabled) continue;
    if (!control.checkVisibility({visibilityProperty: true}) || !control.getClientRects().length) continue;
    const one = control.matches('[type=checkbox], [type=radio]') ? control.closest('label') ?? control : control;
    one.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
    const {left, top, width, height} = one.getBoundingClientRect();
    if (width <= 1 || height <= 1) continue;
    const [x, y] = [left + width / 2, top + height / 2];
    const meets = (right, down) => {
      const met = document.elementFromPoint(x + right, y + down);
      return met && (one.contains(met) || met.closest('label')?.control === control);
    };
    const sideways = control.matches('button, [role=radio], [role=tab], [type=checkbox], [type=radio]');
    const far = [meets(0, -19), meets(0, 19), !sideways || meets(-19, 0), !sideways || meets(19, 0)];
    if (far.every(Boolean)) continue;
    const name = control.getAttribute('aria-label') || control.textContent.trim().slice(0, 30) || control.placeholder;
    missed.push(`${control.localName} ${control.type ?? ''} "${name}" in #${control.closest('[id]')?.id} `
      + `${Math.round(width)}x${Math.round(height)} ${far.map(Number).join('')}`);
  }
  return missed;
}"""


@pytest.fixture(scope="module")
def server():
    running = AppServer(Catalogue(device="cpu"))
    yield running
    running.close()


@pytest.mark.parametrize("tab", READY)
def test_on_a_phone_a_finger_meets_every_control(visitor, tab):
    page = visitor(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).page
    open_tab(page, tab)
    if tab == "Chat":
        page.click("#more > button")
    if tab == "Train":
        page.click("#train-source label:has-text('paste')")
    if tab == "Surprise":
        page.click("#surprise-guess button >> nth=0")
    page.wait_for_selector(READY[tab], state="attached")
    page.wait_for_timeout(400)
    missed = page.evaluate(MISSED)
    assert not missed, "\n".join(missed)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_on_a_phone_a_finger_meets_every_choice_of_a_list(visitor):
    page = visitor(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).page
    page.tap("#model input")
    choices = page.locator("[role=option]")
    choices.first.wait_for()
    assert choices.count() > 9
    assert round(min(one.bounding_box()["height"] for one in choices.all()), 2) >= 40


def test_where_a_mouse_points_nothing_is_larger(visitor):
    page = visitor().page
    open_tab(page, "Race")
    assert page.locator("#race-rungs label").first.bounding_box()["height"] < 32
    assert page.locator("#race-examples button").first.bounding_box()["height"] < 32
    assert page.locator("#race-length input[type=range]").bounding_box()["height"] < 16
