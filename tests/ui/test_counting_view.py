"""Counting: what the plate and the row say is what was counted and learned, and what makes no sense is refused."""

import asyncio
import base64
import time

import gradio as gr
import pytest
import torch
from app_server import BigramFirst

from modelcraft.serving.service import Service
from modelcraft.serving.training_job import Order, Status
from modelcraft.ui.tabs import counting
from modelcraft.ui.tabs.counting import CountingView

POEM = "Tyger Tyger, burning bright,\nIn the forests of the night;\n" * 60


@pytest.fixture(scope="module")
def view():
    with gr.Blocks(), gr.Tabs(), gr.Tab("one") as one:
        return CountingView(Service(BigramFirst(device="cpu")), one)


def table(plate, name):
    return torch.frombuffer(bytearray(base64.b64decode(plate[name])), dtype=torch.float32).view(len(plate["at"]), -1)


def test_the_row_of_q_is_all_u(view):
    plate, row = asyncio.run(view.show("", "q"))
    first = dict(zip(row["head"], row["rows"][0], strict=True))
    assert row["caption"].startswith("What comes after “q”")
    assert first["next"] == "u"
    assert float(first["counted"].rstrip("%")) > 99
    assert abs(float(first["difference"].replace("−", "-"))) < 10
    assert plate["letters"][plate["row"]] == "q" and plate["letters"][plate["likeliest"]] == "u"


def test_the_plate_is_a_table_of_shares(view):
    plate, _ = asyncio.run(view.show("", "q"))
    times, counted, learned = (table(plate, name) for name in ("times", "counted", "learned"))
    assert times.shape == counted.shape == learned.shape == (65, 65)
    torch.testing.assert_close(counted, times / times.sum(-1, keepdim=True))
    torch.testing.assert_close(learned.sum(-1), torch.ones(65))
    q, u = plate["letters"].index("q"), plate["letters"].index("u")
    assert times[q, u] == times[q].sum() > 500  # the first is the row


def test_a_large_vocabulary_keeps_its_most_frequent_characters_and_the_chosen_one(view, monkeypatch):
    monkeypatch.setattr(counting, "MOST_LETTERS", 3)
    plate, row = asyncio.run(view.show("", "q"))
    assert {"␣", "e", "t", "q"} >= set(plate["letters"]) > {"q"} and len(plate["letters"]) == 4
    assert table(plate, "counted").shape == (4, 4)
    assert row["rows"][0][0] == "u"
    at = plate["at"][plate["letters"].index("t")]
    assert asyncio.run(view.click({"chosen": at}, "")) == "t"


def test_a_click_chooses_the_character_of_its_row(view):
    plate, _ = asyncio.run(view.show("", "q"))
    rows = zip(plate["letters"], plate["at"], strict=True)
    chosen = {letter: asyncio.run(view.click({"chosen": at}, "")) for letter, at in rows}
    assert chosen["e"] == "e" and chosen["␣"] == " "
    assert chosen["⏎"] == ""  # as the field has it


@pytest.mark.parametrize("value", [None, {}, {"chosen": -1}, {"chosen": 65}, {"chosen": True}, {"chosen": "e"}, [3]])
def test_a_click_on_nothing_changes_nothing(view, value):
    assert asyncio.run(view.click(value, "")) == gr.skip()


def test_nothing_stands_for_the_newline(view):
    assert "after “⏎”" in asyncio.run(view.show("", ""))[1]["caption"]


@pytest.mark.parametrize("first", ["Ж", "ab", None, 3, [], "\ud800"])
def test_a_character_that_was_not_counted_is_refused(view, first):
    with pytest.raises(gr.Error, match=r"\.\W?$"):
        asyncio.run(view.show("", first))


def test_opening_again_leaves_what_is_there(view):
    assert asyncio.run(view.open({"letters": ["x"]}, "", "q")) == (gr.skip(),) * 2


def test_ones_own_models_have_their_plate(view):
    trainings, owner = view.service.trainings, "a" * 32
    try:
        for rung in ("counting", "bigram", "head"):
            job = trainings.start(owner, Order(rung, 5, {}, POEM, "tyger.txt"))
            end = time.monotonic() + 60
            while job.status != Status.DONE:
                assert time.monotonic() < end and job.status != Status.FAILED, job.problem
                time.sleep(0.05)
        counted, learned, head = trainings.models(owner)
        (update,) = view.with_own([counted, learned, head])
        assert update["choices"][1:] == [
            ("mine 1: tyger.txt, counting", counted.name),
            ("mine 2: tyger.txt, bigram", learned.name),
        ]
        assert (update["visible"], view.with_own([head])[0]["visible"]) == (True, False)
        assert asyncio.run(view.choose(counted.name)) == "t"
        plates = [asyncio.run(view.show(own.name, "t")) for own in (counted, learned)]
        assert [row["head"][-1] for _, row in plates] == ["counted", "difference"]
        torch.testing.assert_close(table(plates[0][0], "times"), table(plates[1][0], "times"))  # of the same text
        assert (plates[0][0]["learned"], table(plates[1][0], "learned").shape) == (
            "",
            table(plates[1][0], "times").shape,
        )
        with pytest.raises(gr.Error, match="choose one of them"):
            asyncio.run(view.show(head.name, "t"))
        with pytest.raises(gr.Error, match="not there any more"):
            asyncio.run(view.show("yours-guessed", "t"))
    finally:
        trainings.close()
