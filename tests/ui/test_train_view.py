"""The tab Train, called as the page calls it: everything a client sends is doubted, and nobody sees another's work."""

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from app_server import BigramFirst
from gradio.utils import get_upload_folder

from modelcraft.data import load_corpus
from modelcraft.insight.real_words import real_words, words_of
from modelcraft.sampling import SamplingParams
from modelcraft.serving.catalogue import Figures
from modelcraft.serving.service import Service
from modelcraft.serving.streaming import Meter
from modelcraft.serving.training_job import Job, Order, Status, trainable
from modelcraft.serving.training_queue import TrainingQueue
from modelcraft.serving.visitors import Visitors
from modelcraft.store.folder import WEIGHTS_DIR, read_info
from modelcraft.support.errors import ConfigError
from modelcraft.ui.openings import TO_GO_ON, invitation_of
from modelcraft.ui.script import read_script
from modelcraft.ui.tabs.browser import BrowserView
from modelcraft.ui.tabs.chat import status_line
from modelcraft.ui.tabs.next_character import NEUTRAL, NextCharacter
from modelcraft.ui.tabs.race import Race, own_lane
from modelcraft.ui.tabs.surprise import panel
from modelcraft.ui.tabs.train import PARTS, TrainView
from modelcraft.ui.training_form import BUNDLED, NOTHING, OURS, PASTED, UPLOADED

POEM = "Tyger Tyger, burning bright,\nIn the forests of the night;\n" * 60
VISITORS = Visitors()
ANN, BOB = VISITORS.welcome("ann"), VISITORS.welcome("bob")


@pytest.fixture
def view():
    service = Service(BigramFirst(device="cpu"))
    service.visitors = VISITORS
    with gr.Blocks(), gr.Tabs(), gr.Tab("Train") as tab:
        made = TrainView(service, tab, gr.Textbox(visible=False))
    yield made
    service.trainings.close()


def start(
    view,
    visitor=ANN,
    rung="bigram",
    steps=20,
    width=32,
    layers=1,
    context=8,
    source=PASTED,
    pasted=POEM,
    beginning=NOTHING,
    more=(None, None, None),
):
    order = (rung, steps, width, layers, context, source, pasted, beginning, *more)
    return asyncio.run(view.start(visitor, *order))


def uploaded(name: str, content: bytes) -> dict[str, str]:
    folder = Path(get_upload_folder()) / "test"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "some.txt"
    path.write_bytes(content)
    return {"path": str(path), "orig_name": name}


def test_a_training_from_the_page(view):
    page, *_ = start(view)
    assert page["heading"] == "bigram on pasted text"
    job = view.service.trainings.look(ANN)
    end = time.monotonic() + 60
    while job.status != Status.DONE:
        assert time.monotonic() < end
        time.sleep(0.05)
    page, shown, timer, *buttons, kept, mine, _ = asyncio.run(view.look(ANN))
    assert page["heading"].startswith("Done: exact validation loss ")
    assert page["now"].startswith("mine 1: pasted text, bigram, in ")
    assert (page["share"], page["status"]) == (1.0, "done")
    assert page["plots"][0]["alt"].startswith("After 20 steps: training loss")
    assert len(page["texts"][0]["text"]) == 400
    assert timer.active is False
    assert [button["interactive"] for button in buttons] == [True, False, False, False, True, True, True, True]
    loss = job.entry.info.validation_loss
    label = f"mine 1: pasted text, bigram · loss {loss:.3f}"
    assert (kept["visible"], mine["choices"], mine["value"]) == (True, [(label, job.name)], job.name)
    assert asyncio.run(view.look(ANN, shown)) == gr.skip()  # nothing is new

    assert asyncio.run(view.service.get(job.name)).info.rung == "bigram"
    packed = asyncio.run(view.pack(ANN))
    assert packed["value"].endswith("bigram-pasted-text.zip")

    stranger, *_ = asyncio.run(view.look(BOB))
    assert "Choose a rung" in stranger["now"]
    with pytest.raises(gr.Error, match="no finished model of yours"):
        asyncio.run(view.pack(BOB))
    assert [entry.name for entry in view.models(ANN)] == [job.name]
    assert view.models(BOB) == []


def done(view, visitor=ANN, **order) -> Job:
    start(view, visitor, **order)
    job = view.service.trainings.look(visitor)
    end = time.monotonic() + 90
    while job.status != Status.DONE:
        assert time.monotonic() < end and job.status != Status.FAILED, job.problem
        time.sleep(0.05)
    return job


def test_a_visitor_chooses_among_models_and_trains_the_chosen_one_on(view):
    first, second = done(view), done(view, rung="counting")
    page, _, _, *buttons, _, mine, had = asyncio.run(view.look(ANN))
    assert [name for _, name in mine["choices"]] == [first.name, second.name]
    assert mine["value"] == second.name
    assert buttons[6]["interactive"] is False  # what is counted does not train on
    with pytest.raises(gr.Error, match="cannot train on"):
        asyncio.run(view.train_on(ANN, 20))
    page, _, _, *buttons, _, mine, _ = asyncio.run(view.choose(ANN, first.name))
    assert (page["status"], mine["value"], buttons[6]["interactive"]) == ("done", first.name, True)
    page, *_, mine, now_had = asyncio.run(view.train_on(ANN, 20))
    assert page["heading"] == "bigram on pasted text, trained on"
    assert (mine["value"], mine["interactive"], now_had) == (None, False, had)
    while first.status != Status.DONE:
        assert first.status != Status.FAILED, first.problem
        time.sleep(0.05)
    assert first.records[-1]["step"] == 40
    *_, now_had = asyncio.run(view.look(ANN))
    assert now_had != had  # so the lists show its new loss
    for name in (None, 5, "yours-guessed", second.name * 20):
        with pytest.raises(gr.Error):
            asyncio.run(view.choose(ANN, name))
    with pytest.raises(gr.Error, match="no finished model of yours"):
        asyncio.run(view.train_on(BOB, 20))


def test_ones_own_models_race_under_their_names_and_their_words_are_those_of_their_text(view, monkeypatch):
    job = done(view)
    with gr.Blocks():
        race = Race(view.service)
    choices, lanes = race.with_own(view.models(ANN))
    assert choices["choices"][-1] == ("mine 1: pasted text, bigram", job.name)
    assert json.loads(lanes) == [own_lane(job)]
    chosen, lanes, prompt = race.against_own(job)
    assert chosen["value"] == ["bigram", job.name]
    assert [lane["title"] for lane in lanes] == ["bigram", "mine 1: pasted text, bigram"]
    assert POEM.startswith(prompt)

    async def raced() -> list[Any]:
        request = SimpleNamespace(session_hash="ann")
        return [lanes async for lanes in race.start(request, "the n", ["bigram", job.name], "1", 0.8, 60, 0)][-1]

    bundled, own = asyncio.run(raced())
    assert own["text"] == "".join(
        job.entry.tokenizer.decode(
            list(job.entry.engine.submit(job.entry.tokenizer.encode("the n"), SamplingParams(60, seed=1)))
        )
    )
    assert (own["real"], own["words"]) == real_words(own["text"], words_of(POEM), "the n")
    assert bundled["real"] == []  # the app's text is not read yet
    view.service.read_words()
    bundled, own = asyncio.run(raced())
    assert (own["real"], own["words"]) == real_words(own["text"], words_of(POEM), "the n")
    assert (bundled["real"], bundled["words"]) == real_words(bundled["text"], words_of(load_corpus().text), "the n")
    with pytest.raises(ConfigError, match="not there any more"):
        race.read_names(["yours-guessed"])
    with gr.Blocks(), gr.Tab("In your browser") as tab:
        browser = BrowserView(view.service, tab)
    assert [name for _, name in browser.model.choices][-1] == "gpt"  # what an address may name
    restorer = done(view, rung="encoder-decoder", steps=1)
    (listed,) = browser.with_own(view.models(ANN))
    assert [name for _, name in listed["choices"]][-2:] == ["gpt", job.name]  # a browser cannot restore
    monkeypatch.setattr(view.service.catalogue, "figures", lambda name: Figures(name, "", 7))  # others, from the Hub
    assert browser.with_own([])[0]["choices"][0] == ("counting · 7 parameters · loss not measured", "counting")
    assert len(race.with_own(view.models(ANN))[0]["choices"]) == len(choices["choices"])
    with pytest.raises(ConfigError, match="mine 2: pasted text, encoder-decoder restores lines"):
        race.read_names([restorer.name])


def test_learning_rate_batch_and_dropout_are_the_recipes_until_they_are_changed(view):
    start(view, rung="head", more=(0.001, 32, 0))
    order = view.service.trainings.look(ANN).order
    assert (order.learning_rate, order.batch_size, order.dropout) == (None, None, None)
    start(view, BOB, rung="head", more=(0.01, 8.0, 0.5))
    order = view.service.trainings.look(BOB).order
    assert (order.learning_rate, order.batch_size, order.dropout) == (0.01, 8, 0.5)


def test_the_estimate_is_of_the_text_and_the_batch(view):
    def said(source=OURS, batch=None):
        return view.form.expect(ANN, source, "head", 5_000, 32, 1, 8, NOTHING, None, batch, None)

    usual = said()
    assert usual == "7,553 parameters; less than a minute here, once it is its turn."
    assert said(batch=1_024) != usual
    text = POEM + "".join(map(chr, range(0x4E00, 0x4E00 + 1_500)))
    _, line, _ = asyncio.run(view.form.take(ANN, uploaded("mine.txt", text.encode())))
    assert "1,5" in line and line.endswith("every step takes longer.")
    assert said(UPLOADED).startswith("102,")  # parameters, most of them for the characters
    assert said(batch=-1) == ""


@pytest.mark.parametrize("rung", trainable())
def test_a_chat_goes_on_after_a_model_of_the_longest_name(rung):
    job = Job("ann", Order(rung, 1, {}, POEM, "my collected letters of 2024.txt"), Path(), 999)
    said = {"turns": [{"who": job.title, "text": "Tyger", "rung": job.name}]}
    assert read_script(said) == said["turns"]


def test_the_lines_that_a_chat_begins_with_are_those_of_the_models_text(view):
    job = done(view)
    assert all(line in POEM for line in job.entry.info.snippets)
    own = invitation_of(True, job.entry.info)
    assert [line for line, _ in own.openings] == job.entry.info.snippets[:3]
    assert own.lead.endswith("Its text: pasted-text.txt.")
    assert invitation_of(True, read_info(WEIGHTS_DIR / "bigram")) is TO_GO_ON


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"visitor": ""}, "load it again"),
        ({"visitor": "x" * 24 + "." + "x" * 24}, "load it again"),  # made up
        ({"visitor": ANN[:-1]}, "load it again"),
        ({"visitor": None}, "load it again"),
        ({"rung": "blend"}, "The rungs that can be trained here are"),
        ({"rung": ["bigram"]}, "The rungs that can be trained here are"),
        ({"steps": 10**9}, "Steps must be"),
        ({"steps": float("nan")}, "Steps must be"),
        ({"steps": "20"}, "Steps must be"),
        ({"width": 10**6}, "Width must be"),
        ({"width": 33}, "multiple of 32"),
        ({"rung": "gpt", "width": 32, "layers": 0}, "Blocks must be"),
        ({"rung": "gpt", "context": 10**5}, "Context must be"),
        ({"pasted": ""}, "There is no text yet"),
        ({"pasted": "x"}, "needs 91 or more"),
        ({"pasted": None}, "must be text"),
        ({"pasted": "\ud800" * 200}, "lone surrogates"),
        ({"pasted": "x" * 200_001}, "at most 200,000"),
        ({"source": UPLOADED}, "There is no file yet"),
        ({"source": {"a": 1}}, "There is no file yet"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(view, given, says):
    with pytest.raises(gr.Error, match=says):
        start(view, **given)
    assert view.service.trainings.look(ANN) is None


@pytest.mark.cases
def test_the_text_of_the_app_is_called_by_its_name(view, tmp_path, monkeypatch):
    (tmp_path / "mine.txt").write_text(POEM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELCRAFT_CORPUS", "mine.txt")
    with gr.Blocks(), gr.Tabs(), gr.Tab("Train") as tab:
        mine = TrainView(view.service, tab, gr.Textbox(visible=False))
    assert mine.form.source.choices[0] == ("mine.txt", OURS)
    page, *_ = start(mine, source=OURS, pasted="")
    assert page["heading"] == "bigram on mine.txt"


def test_a_file_is_read_at_once_and_removed(view):
    upload = uploaded("my <b>poem</b>.txt", "\ufeff".encode() + POEM.replace("\n", "\r\n").encode())
    visitor, line, _ = asyncio.run(view.form.take("", upload))
    assert not Path(upload["path"]).exists()
    assert line == f"b.txt: {len(POEM):,} characters, {len(set(POEM))} different ones."
    assert view.service.visitors.knows(visitor)
    view.service.trainings = TrainingQueue(running=0)
    page, *_ = start(view, visitor, source=UPLOADED, pasted="")
    assert "waiting" in page["now"]
    assert view.service.trainings.look(visitor).order.text == POEM
    with pytest.raises(gr.Error, match="There is no file yet"):
        start(view, BOB, source=UPLOADED)
    view.service.trainings.close()


@pytest.mark.cases
@pytest.mark.parametrize(
    ("codec", "said"),
    [("utf-8", ""), ("utf-16", " It was read as UTF-16."), ("windows-1252", " It was read as Windows-1252.")],
)
def test_the_line_under_an_upload_says_how_it_was_read(view, codec, said):
    text = POEM + "Café"
    _, line, _ = asyncio.run(view.form.take(ANN, uploaded("poem.txt", text.encode(codec))))
    assert line == f"poem.txt: {len(text):,} characters, {len(set(text))} different ones.{said}"
    assert view.form._texts.get(ANN) == ("poem.txt", text)


@pytest.mark.cases
def test_a_pasted_text_is_cleaned_like_a_file(view):
    view.service.trainings = TrainingQueue(running=0)
    start(view, pasted="\ufeff" + POEM.replace("\n", "\r"))
    assert view.service.trainings.look(ANN).order.text == POEM
    with pytest.raises(gr.Error, match="NUL bytes"):
        start(view, BOB, pasted=POEM + "\0")
    view.service.trainings.close()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04" + b"\xff" * 5_000, "is a Word document or another archive"),
        (b"\x81" * 5_000, "is not UTF-8 text"),
        (POEM.encode("utf-16-le"), "UTF-16 without a mark"),
        (b"", "is empty"),
        (b"short", "needs 91 or more"),
        (b"a" * 2_000_001, "2,000,000 are the most"),
    ],
)
def test_a_file_that_is_no_text_is_refused_and_removed(view, content, says):
    upload = uploaded("some.txt", content)
    with pytest.raises(gr.Error, match=says) as caught:
        asyncio.run(view.form.take(ANN, upload))
    assert not Path(upload["path"]).exists()
    assert get_upload_folder() not in str(caught.value)


@pytest.mark.parametrize("path", [__file__, "/etc/passwd", "/", "", "\0", None, 5, ["x"], "x" * 10_000, "app.py"])
def test_no_other_file_is_ever_read(view, path):
    with pytest.raises(gr.Error, match="did not arrive"):
        asyncio.run(view.form.take(ANN, {"path": path}))
    with pytest.raises(gr.Error, match="did not arrive"):
        asyncio.run(view.form.take(ANN, path))
    assert Path(__file__).exists()


def test_no_link_leads_out_of_the_folder(view, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text(POEM)
    upload = uploaded("x.txt", b"")
    Path(upload["path"]).unlink()
    Path(upload["path"]).symlink_to(secret)
    with pytest.raises(gr.Error, match="did not arrive"):
        asyncio.run(view.form.take(ANN, upload))
    Path(upload["path"]).unlink()
    with pytest.raises(gr.Error, match="did not arrive"):
        asyncio.run(view.form.take(ANN, {"path": f"{get_upload_folder()}/../../../../../../../{secret}"}))
    assert secret.exists()


def test_a_visitor_who_is_new_is_given_a_secret(view):
    first, *_ = asyncio.run(view.open("", ""))
    second, *_ = asyncio.run(view.open(None, ""))
    assert first != second
    assert view.service.visitors.knows(first) and view.service.visitors.knows(second)
    assert asyncio.run(view.open(first, ""))[0] == gr.skip()


def test_texts_that_wait_are_few(view):
    for _ in range(40):
        asyncio.run(view.form.take("", uploaded("x.txt", POEM.encode())))
    assert len(view.form._texts) == 16  # all of one address


def test_the_form_follows_the_rung_and_the_text(view):
    steps, beginning, width, layers, context, *_ = asyncio.run(view.form.refit("bigram", OURS))
    assert steps["interactive"] and beginning == {**gr.update(value=NOTHING, interactive=True)}
    assert width["value"] == 32
    assert [dial["interactive"] for dial in (width, layers, context)] == [True, False, False]
    assert asyncio.run(view.form.refit("gpt", OURS))[4]["value"] == 256
    steps, beginning, *_ = asyncio.run(view.form.refit("counting", PASTED))  # it is counted, without steps or a start
    assert not steps["interactive"] and beginning == {**gr.update(value=NOTHING, interactive=False)}

    # A text of one's own starts from the bundled model, whose sizes are given.
    _, beginning, *rest = asyncio.run(view.form.refit("gpt-mini", PASTED))
    dials = rest[:3]
    trained = read_info(WEIGHTS_DIR / "gpt-mini").config
    assert beginning["value"] == BUNDLED
    assert [dial["value"] for dial in dials] == [trained.n_embd, trained.n_layer, trained.block_size]
    assert not any(dial["interactive"] for dial in dials)
    assert asyncio.run(view.form.resize("gpt-mini", BUNDLED)) == rest
    assert all(dial["interactive"] for dial in asyncio.run(view.form.resize("gpt-mini", NOTHING)))
    rate, batch, dropout = asyncio.run(view.form.refit("bigram", OURS))[5:]
    assert (rate["value"], batch["value"], dropout["interactive"]) == (0.01, 1024, False)
    assert asyncio.run(view.form.refit("gpt", PASTED))[5]["value"] == 0.001  # gentler, from the bundled model
    # Another text of one's own leaves what was set; the app's text begins anew.
    assert asyncio.run(view.form.begin("gpt-mini", UPLOADED, BUNDLED)) == gr.skip()
    assert asyncio.run(view.form.begin("gpt-mini", OURS, NOTHING)) == gr.skip()
    assert asyncio.run(view.form.begin("gpt-mini", OURS, BUNDLED))[1]["value"] == NOTHING
    assert asyncio.run(view.form.begin("gpt-mini", PASTED, NOTHING))[1]["value"] == BUNDLED
    for call in (view.form.refit("blend", OURS), view.form.resize("blend", NOTHING)):
        with pytest.raises(gr.Error, match="The rungs that can be trained here"):
            asyncio.run(call)


def test_a_training_that_starts_from_the_bundled_model(view):
    page, *_ = start(view, width=999, beginning=BUNDLED)  # dials that are disabled may say anything
    assert page["heading"] == "bigram on pasted text, from the bundled model"
    job = view.service.trainings.look(ANN)
    end = time.monotonic() + 60
    while job.status != Status.DONE:
        assert time.monotonic() < end and job.status != Status.FAILED, job.problem
        time.sleep(0.05)
    assert job.records[0]["val_loss"] < 3.2  # from nothing: ln 65 = 4.17
    assert set(job.entry.tokenizer.vocabulary) == set(read_info(WEIGHTS_DIR / "bigram").vocabulary) | set(POEM)
    assert job.entry.info.training["init_from"].startswith("bigram@sha256:")
    with pytest.raises(gr.Error, match="no bundled counting to start from"):
        start(view, BOB, "counting", beginning=BUNDLED)


def test_the_source_of_the_text_shows_what_it_needs(view):
    visible = {
        source: [part["visible"] for part in asyncio.run(view.form.choose(source))] for source in (OURS, PASTED, 5)
    }
    assert visible == {OURS: [False, False], PASTED: [False, True], 5: [False, False]}


def test_buttons_of_a_stranger_do_nothing(view):
    for button in (view.pause, view.resume, view.stop):
        with pytest.raises(gr.Error, match="You have no training here"):
            asyncio.run(view.ask(button)(BOB))


def test_there_is_no_login_but_on_a_space(view):
    assert view.push is None


@pytest.mark.cases
def test_a_tab_that_is_opened_again_with_nothing_new_changes_nothing(view):
    _, _, shown, *rest = asyncio.run(view.open(ANN, ""))
    assert len(rest) == PARTS - 2
    assert asyncio.run(view.open(ANN, shown)) == (gr.skip(),) * (1 + PARTS)


@pytest.mark.cases
def test_ones_own_model_is_not_the_bundled_one_of_its_rung(view):
    """In no label, and not when it is asked to go on."""
    start(view, steps=5)
    job = view.service.trainings.look(ANN)
    end = time.monotonic() + 60
    while job.status != Status.DONE:
        assert time.monotonic() < end
        time.sleep(0.05)
    own, bundled = asyncio.run(view.service.get(job.name)), asyncio.run(view.service.get("bigram"))
    assert (own.title, bundled.title) == ("mine 1: pasted text, bigram", "bigram")
    assert status_line(own).startswith("mine 1: pasted text, bigram")
    assert panel(own, "Tyger")["name"] == "mine 1: pasted text, bigram"
    assert own.name not in status_line(own)  # which is a secret
    with gr.Blocks(), gr.Tabs(), gr.Tab("Next") as tab:
        microscope = NextCharacter(view.service, tab)
    page = asyncio.run(microscope.look("Tyger", job.name, NEUTRAL))
    after, _ = asyncio.run(microscope.step(page, "Tyger", job.name, NEUTRAL))
    assert len(after["logits"]) == own.tokenizer.vocab_size != bundled.tokenizer.vocab_size


@pytest.mark.cases
def test_the_status_says_what_the_model_can_do_however_slowly_it_is_shown(view):
    entry = asyncio.run(view.service.get("bigram"))
    meter = Meter(characters=30, started=0.0, finished=1.0, worked=0.01)  # at a pace of 30 a second
    assert "the model writes 3,000 characters/s" in status_line(entry, meter)
