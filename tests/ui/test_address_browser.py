"""The address says what the page shows, and restores it; nothing in it can break the page."""

from urllib.parse import parse_qsl, quote, urlsplit

import gradio as gr
import pytest
from browsing import Visitor, open_tab

from modelcraft.ui.address import FIELDS

ODD = "  O <b>Romeo</b> & ${1}\n{{value}} “q” 日本"


@pytest.fixture
def arrive(browser, server):
    """Open an address in a browser of its own; at the end nothing may be broken."""
    visitors = []

    def arrived(search: str, **options):
        visitors.append(Visitor(browser, f"{server.url}/{search}", **options))
        return visitors[-1].page

    yield arrived
    for one in visitors:
        assert one.complaints == []
        assert one.page.locator(".toast-body").count() == 0
        one.context.close()


def says(page, **expected) -> None:
    """Wait until the address says exactly this."""
    for _ in range(40):
        if dict(parse_qsl(urlsplit(page.url).query, keep_blank_values=True)) == expected:
            return
        page.wait_for_timeout(50)
    assert dict(parse_qsl(urlsplit(page.url).query, keep_blank_values=True)) == expected


def opened(page, tab: str) -> None:
    page.wait_for_selector(f"#tabs [aria-selected=true] >> text={tab}")


def choose(page, chooser: str, rung: str) -> None:
    page.click(f"{chooser} input")
    page.locator(".options li", has_text=f"{rung} ·").first.click()


def test_every_field_that_an_address_can_hold_is_there(server):
    there_are = {part.elem_id: part for part in server.demo.blocks.values()}
    for tab, fields in FIELDS.items():
        assert there_are[f"{tab}-tab"].id == tab or isinstance(there_are[f"{tab}-tab"], gr.Tab)
        assert all(where.partition(".")[0] in there_are for where in fields.values()), tab


def test_an_address_opens_a_tab_with_its_rung_and_its_text(arrive):
    page = arrive(f"?tab=attention&rung=gpt-mini&text={quote('O Romeo, Romeo')}")
    opened(page, "Attention")
    page.wait_for_selector(".mc-attention-said:not(:empty)")
    assert page.input_value("#attention-say textarea") == "O Romeo, Romeo"
    assert page.input_value("#attention-rung input").startswith("gpt-mini ·")
    says(page, tab="attention", rung="gpt-mini", text="O Romeo, Romeo")
    open_tab(page, "Chat")
    assert page.input_value("#message textarea") == ""  # a text belongs to the tab that the address names


def test_texts_and_dials_are_exact(arrive):
    page = arrive(f"?text={quote(ODD)}&rung=block&temperature=1.25&seed=7&length=20")
    assert page.input_value("#message textarea") == ODD
    assert page.input_value("#temperature input[type=number]") == "1.25"
    page.wait_for_function("document.querySelector('#status').textContent.includes('block')")
    page.click("#go")
    page.wait_for_function("document.querySelectorAll('.mc-text')[1]?.textContent.length === 20")
    page.locator(".toast-close").first.click()  # which of these characters the model does not know
    page.wait_for_selector(".toast-body", state="detached")


def test_next_character_counting_surprise_and_the_ladder_are_restored(arrive):
    page = arrive("?tab=next-character&rung=block&text=q")
    page.wait_for_selector(".mc-next tbody tr")
    assert page.input_value("#next-text textarea") == "q"
    page = arrive("?tab=surprise&rung=head&other=&text=O+Romeo")
    page.wait_for_selector(".mc-surprise-spots")
    assert page.input_value("#surprise-one input").startswith("head ·")
    assert page.locator(".mc-surprise-spots").count() == 1
    page = arrive("?tab=ladder&rung=head")
    page.wait_for_function("document.querySelector('.mc-ladder h2')?.textContent.includes('head')")
    page = arrive("?tab=race&rung=block,head,nonsense&text=QUEEN&seed=3")
    page.wait_for_selector(".mc-lane")
    assert page.locator(".mc-lane-name").all_inner_texts() == ["head", "block"]
    assert page.input_value("#race-prompt textarea") == "QUEEN"


def test_the_dials_of_the_next_character_are_restored_and_followed(arrive):
    page = arrive("?tab=next-character&temperature=0.5&top_k=7&min_p=2&top_p=0.9")
    page.wait_for_selector(".mc-next tbody tr")
    dials = {"temperature": "0.5", "top_k": "7", "top_p": "0.9", "min_p": "0"}
    assert {dial: page.input_value(f"#next-{dial} input[type=range]") for dial in dials} == dials
    assert page.inner_text(".mc-next-kept").startswith(tuple(f"{kept} of " for kept in range(1, 8)))
    kept = {"tab": "next-character", "rung": "bigram", "text": "The king is "}
    says(page, **kept, temperature="0.5", top_k="7", top_p="0.9")
    page.fill("#next-top_k input[type=number]", "3")
    page.click("#next-rung input")
    page.keyboard.press("Escape")
    says(page, **kept, temperature="0.5", top_k="3", top_p="0.9")
    open_tab(page, "Counting")
    says(page, tab="counting", text="t")
    page.go_back()
    opened(page, "Next character")
    says(page, **kept, temperature="0.5", top_k="3", top_p="0.9")
    page.click(".mc-dials-reset")
    says(page, **kept)  # what a dial has at first is not said


def test_the_head_and_the_step_of_attention_are_restored_and_followed(arrive):
    page = arrive("?tab=attention&rung=gpt-mini&text=O+Romeo&head=self+1+2&stage=scaled&masked=off")
    page.wait_for_selector(".mc-attention-said:not(:empty)")
    asked = {"tab": "attention", "rung": "gpt-mini", "text": "O Romeo"}
    assert page.inner_text(".mc-attention-label") == "self-attention, layer 2, head 3"
    assert page.is_checked("#attention-stage [value=scaled]")
    assert not page.is_checked("#attention-masked") and page.is_checked("#attention-scaled")
    page.wait_for_function("document.querySelector('.mc-attention-legend figcaption').textContent.startsWith('Scores')")
    says(page, **asked, head="self 1 2", stage="scaled", masked="off")
    page.click("#attention-stage label:has([value=softmax])")
    page.click("#attention-masked")
    says(page, **asked, head="self 1 2")
    page.click(".mc-head >> nth=0")
    page.wait_for_function("document.querySelector('.mc-attention-label').textContent.endsWith('layer 1, head 1')")
    says(page, **asked, head="self 0 0")
    open_tab(page, "Counting")
    page.go_back()
    opened(page, "Attention")
    says(page, **asked, head="self 0 0")
    page.reload()
    page.wait_for_function("document.querySelector('.mc-attention-label')?.textContent.endsWith('layer 1, head 1')")
    page = arrive("?tab=attention&rung=gpt-mini&text=O+Romeo")
    page.wait_for_selector(".mc-attention-said:not(:empty)")
    says(page, **asked)  # the head that is shown at first was not chosen


def test_a_head_that_a_rung_does_not_have_gives_way_to_its_first(arrive):
    page = arrive("?tab=attention&rung=head&text=O+Romeo&head=self+9+9&stage=nonsense&scaled=perhaps")
    page.wait_for_selector(".mc-attention-said:not(:empty)")
    assert page.inner_text(".mc-attention-label") == "self-attention, layer 1, head 1"
    says(page, tab="attention", rung="head", text="O Romeo")


@pytest.mark.parametrize(
    "search",
    [
        "?tab=nonsense&rung=nonsense&text=",
        "?tab=__proto__&rung=constructor",
        "?tab=%27%5D%3Cscript%3E&rung=..%2F..%2Fetc",
        "?temperature=NaN&length=1e9&top_k=-1&top_p=two&seed=" + "9" * 200,
        "?text=" + "x" * 301,
        "?tab=chat&tab=race&rung=%ED%A0%80&length=",
        "?tab=chat&min_p=0.5&head=x&stage=scores&top_k=1.5",
    ],
)
def test_what_an_address_cannot_say_is_ignored(arrive, search):
    page = arrive(search)
    opened(page, "Chat")
    assert page.input_value("#model input").startswith("bigram ·")
    assert page.input_value("#message textarea") == ""
    dials = {"length": "400", "temperature": "0.8"}
    assert {dial: page.input_value(f"#{dial} input[type=number]") for dial in dials} == dials


def test_the_address_follows_and_back_and_forward_go_from_tab_to_tab(arrive):
    page = arrive("?__theme=dark&projector=0")
    kept = {"__theme": "dark", "projector": "0"}
    says(page, **kept)
    open_tab(page, "Attention")
    page.wait_for_selector("#attention-rung")
    choose(page, "#attention-rung", "head")
    page.fill("#attention-say textarea", "Now is the winter")
    says(page, **kept, tab="attention", rung="head", text="Now is the winter")
    open_tab(page, "Embeddings")
    says(page, **kept, tab="embeddings", rung="bigram")
    page.go_back()
    opened(page, "Attention")
    says(page, **kept, tab="attention", rung="head", text="Now is the winter")
    page.go_back()
    opened(page, "Chat")
    says(page, **kept)
    page.go_forward()
    page.go_forward()
    opened(page, "Embeddings")
    page.go_back()
    opened(page, "Attention")
    page.reload()
    opened(page, "Attention")
    page.wait_for_function("document.querySelector('#attention-say textarea')?.value === 'Now is the winter'")
    page.go_forward()
    opened(page, "Embeddings")


def test_the_fields_of_in_your_browser_are_restored_and_followed(arrive):
    page = arrive("?tab=in-your-browser&rung=bigram&length=50&top_k=7&top_p=3&seed=5")
    opened(page, "In your browser")
    asked = {"tab": "in-your-browser", "rung": "bigram"}
    says(page, **asked, length="50", top_k="7", seed="5")
    fields = {"length": "50", "temperature": "0.8", "topK": "7", "topP": "1", "seed": "5"}
    assert {name: page.input_value(f".mc-browser-dials [name={name}]") for name in fields} == fields
    assert page.inner_text(".mc-browser-dials label:has([name=length]) output") == "50"
    page.fill(".mc-browser-line textarea", "Nobody else shall read this")
    page.fill(".mc-browser-dials [name=seed]", "")
    says(page, **asked, length="50", top_k="7")  # what is typed there stays there
    page.goto(page.url.replace("length=50", "length=51"))
    page.wait_for_function("document.querySelector('.mc-browser-dials [name=length]')?.value === '51'")
    page = arrive("?tab=in-your-browser")
    says(page, tab="in-your-browser", rung="gpt-mini")  # what a dial has at first is not said


def test_the_dials_of_all_tabs_stay_through_a_reload(arrive):
    page = arrive("")
    for dial, value in {"length": "77", "temperature": "1.5"}.items():
        page.fill(f"#{dial} input[type=number]", value)
    page.keyboard.press("Tab")
    says(page, tab="chat", length="77", temperature="1.5")
    open_tab(page, "Race")
    page.fill("#race-pace input[type=number]", "9")
    page.keyboard.press("Tab")
    race = {"tab": "race", "rung": "bigram,head,block,gpt", "text": "ROMEO:"}
    says(page, **race, pace="9")
    page.reload()
    opened(page, "Race")
    says(page, **race, pace="9")
    assert page.input_value("#race-pace input[type=number]") == "9"
    open_tab(page, "Chat")
    says(page, tab="chat", length="77", temperature="1.5")
    open_tab(page, "In your browser")
    page.wait_for_selector(".mc-browser-openings button")
    page.fill(".mc-browser-dials [name=seed]", "12")
    says(page, tab="in-your-browser", rung="gpt-mini", seed="12")
    open_tab(page, "Chat")
    page.reload()
    opened(page, "Chat")
    open_tab(page, "In your browser")
    page.wait_for_function("document.querySelector('.mc-browser-dials [name=seed]')?.value === '12'")


def test_dials_that_were_kept_do_not_change_what_a_link_shows(arrive):
    page = arrive("")
    page.fill("#length input[type=number]", "77")
    page.keyboard.press("Tab")
    says(page, tab="chat", length="77")
    page.goto(urlsplit(page.url)._replace(query="tab=race").geturl())
    opened(page, "Race")
    assert page.input_value("#length input[type=number]") == "400"


ODD_DIALS = '{"chat length": {"toString": 1, "valueOf": 1}, "chat top_k": 1e9, "chat temperature": 1.5}'


@pytest.mark.parametrize(("stored", "temperature"), [("{", "0.8"), ("null", "0.8"), (ODD_DIALS, "1.5")])
def test_what_the_browser_has_kept_breaks_nothing(arrive, stored, temperature):
    page = arrive("?tab=race")
    opened(page, "Race")
    page.evaluate("stored => sessionStorage.setItem('modelcraft-dials', stored)", stored)
    page.reload()
    opened(page, "Race")
    open_tab(page, "Chat")
    assert page.input_value("#temperature input[type=number]") == temperature
    assert page.input_value("#length input[type=number]") == "400"


def test_no_long_text_goes_into_an_address(arrive):
    page = arrive("")
    page.fill("#message textarea", "x" * 300)
    says(page, tab="chat", text="x" * 300)
    page.fill("#message textarea", "x" * 301)
    says(page)


def test_a_copied_link_shows_another_visitor_the_same(arrive):
    page = arrive("?__sign=secret")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_tab(page, "Next character")
    page.wait_for_selector("#next-text textarea")
    page.fill("#next-text textarea", "The queen ")
    page.click("role=button[name='Copy link']")  # at once: the address itself waits for the fields to be at rest
    page.wait_for_selector("#title >> text=Copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert "__sign" not in link
    other = arrive("?" + urlsplit(link).query)
    other.wait_for_selector(".mc-next tbody tr")
    assert other.input_value("#next-text textarea") == "The queen "
    third = arrive("")  # and nothing of it stays on the server
    open_tab(third, "Next character")
    third.wait_for_selector(".mc-next tbody tr")
    assert third.input_value("#next-text textarea") == "The king is "
