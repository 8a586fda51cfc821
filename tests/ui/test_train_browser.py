"""Training in a real browser: paste a text, watch, leave, come back, play, take home."""

import threading
import zipfile

from browsing import open_tab

POEM = "Tyger Tyger, burning bright,\nIn the forests of the night;\n" * 60


def says(page, what: str, within: float = 60) -> None:
    page.wait_for_function(
        "what => document.querySelector('#train .mc-training')?.textContent.includes(what)",
        arg=what,
        timeout=1000 * within,
    )


def test_a_text_of_ones_own_becomes_a_model(visitor):
    tab = visitor()
    page = tab.page
    open_tab(page, "Train")
    says(page, "Choose a rung")
    page.click("#train-rung input")
    page.locator("[role=option]", has_text="one head of self-attention").click()
    page.wait_for_selector("#train-n_layer input[type=number]:disabled")
    page.locator("#train-source label", has_text="paste").click()
    page.fill("#train-pasted textarea", POEM)
    page.fill("#train-steps input[type=number]", "3000")
    page.press("#train-steps input[type=number]", "Tab")
    page.click("#train-go")
    says(page, "head on pasted text, from the bundled model")
    says(page, " left")
    page.wait_for_selector("#train .mc-plot svg")

    page.reload()  # the training outlives its page
    page.wait_for_function("document.querySelector('#status')?.textContent.includes('parameters')")
    open_tab(page, "Train")
    says(page, "head on pasted text, from the bundled model")
    says(page, "of 3,000")
    page.click("#train-pause")
    says(page, "paused at step")
    page.click("#train-resume")
    says(page, "steps a second")
    page.click("#train-stop")
    says(page, "Done: exact validation loss")
    with page.expect_download() as download:
        page.click("#train-download")
    assert download.value.suggested_filename == "head-pasted-text.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        assert "head-pasted-text/model.safetensors" in archive.namelist()

    page.click("#train-play")
    page.wait_for_selector("#message", state="visible")
    page.wait_for_function("document.querySelector('#status')?.textContent.includes('weights trained here')")
    tab.set("length", 40)
    tab.say("Tyger")
    assert len(tab.wait_written()[1]) == 40

    page.reload()
    page.wait_for_function("document.querySelector('#status')?.textContent.includes('parameters')")
    page.click("#model input")
    page.wait_for_selector("[role=option]:has-text('mine 1: pasted text, head')")

    stranger = visitor()  # with another browser
    open_tab(stranger.page, "Train")
    says(stranger.page, "Choose a rung")
    open_tab(stranger.page, "Chat")
    stranger.page.click("#model input")
    stranger.page.wait_for_selector("[role=option]:has-text('bigram')")
    assert not stranger.page.locator("[role=option]", has_text="mine 1").count()


def test_in_five_clicks_from_the_first_page_to_ones_own_model_beside_the_bundled_one_in_a_race(visitor):
    page = visitor().page
    clicks = []

    def click(place: str) -> None:
        page.locator(place).first.click()
        clicks.append(place)

    click("#train-tab-button")
    click("#train-source label:has-text('paste')")
    page.fill("#train-pasted textarea", POEM)
    page.fill("#train-steps input[type=number]", "1")
    page.press("#train-steps input[type=number]", "Tab")
    page.wait_for_selector("#train-go:enabled")
    click("#train-go")
    says(page, "Done: exact validation loss", 170)
    click("#train-race")
    page.wait_for_selector("#race-prompt textarea", state="visible")
    page.wait_for_function("document.querySelector('#race-prompt textarea').value.startsWith('Tyger Tyger')")
    click("#race-go")
    page.wait_for_function(
        "[...document.querySelectorAll('.mc-lane-text')].every(text => text.textContent.length > 20)"
    )
    names = page.eval_on_selector_all(".mc-lane-name", "nodes => nodes.map(node => node.textContent)")
    assert names == ["gpt-mini", "mine 1: pasted text, gpt-mini"]
    assert len(clicks) == 5
    assert page.locator("#race-rungs label.selected", has_text="mine 1: pasted text, gpt-mini").count() == 1
    page.wait_for_timeout(700)  # the address waits for the fields to be at rest
    assert "yours-" not in page.url  # the name that requests use is a secret
    assert "Tyger" not in page.url  # nobody has typed this line of a private text
    page.wait_for_selector(".mc-lane:nth-child(2) .mc-lane-foot:has-text('words stand in its text')")

    page.locator("#ladder-tab-button").click()
    page.locator("#ladder-rung label", has_text="gpt-mini").click()
    page.wait_for_selector(".mc-ladder-bars th:has-text('mine 1: pasted text, gpt-mini')")
    assert "mine 1: pasted text, gpt-mini learned another text" in page.inner_text(".mc-ladder-apart")
    page.locator("#ladder-who label", has_text="mine 1: pasted text, gpt-mini").click()
    page.fill("#ladder-prompt textarea", "Tyger")
    page.click("#ladder-write")
    page.wait_for_selector("#ladder-sample :text('Written by mine 1: pasted text, gpt-mini')")


def test_train_waits_until_the_page_knows_who_is_there(visitor, server, monkeypatch):
    seen, welcome = threading.Event(), server.service.visitors.welcome
    monkeypatch.setattr(server.service.visitors, "welcome", lambda address: seen.wait(30) and welcome(address))
    page = visitor().page
    open_tab(page, "Train")
    page.wait_for_selector("#train-go:disabled")
    assert not page.evaluate("localStorage.getItem('modelcraft-visitor')")
    seen.set()
    page.wait_for_selector("#train-go:enabled")
    page.wait_for_function("localStorage.getItem('modelcraft-visitor')")


def test_a_file_is_taken(visitor, tmp_path, server):
    page = visitor().page
    (tmp_path / "tyger.txt").write_text(POEM)
    open_tab(page, "Train")
    page.locator("#train-source label", has_text="a file").click()
    with page.expect_file_chooser() as chooser:
        page.click("#train-upload")
    chooser.value.set_files(tmp_path / "tyger.txt")
    page.wait_for_function(
        "document.querySelector('#train-uploaded :is(textarea, input)').value.startsWith('tyger.txt: 3,')"
    )
