import math
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import assert_one_sentence

from modelcraft.ladder import DEFAULT_RUNG, RUNGS, Rung
from modelcraft.serving import catalogue
from modelcraft.serving.catalogue import Catalogue, Figures
from modelcraft.store import hub_client
from modelcraft.support.errors import CheckpointError, ConfigError, HubError


@pytest.fixture
def second_rung(monkeypatch):
    """A rung beside the bigram, so that one can break and the other not."""
    bigram = RUNGS["bigram"]
    monkeypatch.setitem(RUNGS, "second", Rung("second", "nothing", bigram.model_class, bigram.config))


@pytest.fixture
def weights(tmp_path, model_folder, second_rung):
    """A folder of weights: the tiny model as "bigram" and as "second"."""
    for name in ("bigram", "second"):
        shutil.copytree(model_folder, tmp_path / "weights" / name)
    config = tmp_path / "weights" / "second" / "config.json"
    config.write_text(config.read_text().replace('"rung": "bigram"', '"rung": "second"'))
    return tmp_path / "weights"


@pytest.fixture
def loaded(monkeypatch):
    """The folders that were loaded, in order."""
    folders = []
    load_folder = catalogue.load_folder
    monkeypatch.setattr(
        catalogue, "load_folder", lambda folder, device: (folders.append(folder.name), load_folder(folder, device))[1]
    )
    return folders


def test_the_bundled_models():
    models = Catalogue("cpu")
    assert models.default == DEFAULT_RUNG
    assert models.names == [name for name, rung in RUNGS.items() if rung.bundled]
    entry = models.get()
    assert entry.name == DEFAULT_RUNG
    assert entry.source == "bundled"
    assert entry.tokenizer.vocab_size == entry.model.config.vocab_size
    assert not entry.model.training


def test_the_environment_says_which_model_the_page_opens_with(weights, monkeypatch, caplog):
    monkeypatch.setenv("MODELCRAFT_MODEL", "second")
    models = Catalogue("cpu", weights)
    assert models.default == "second" and models.get().name == "second"
    assert not caplog.records
    monkeypatch.setenv("MODELCRAFT_MODEL", "nothing of the kind")
    assert Catalogue("cpu", weights).default == "bigram"
    assert "is 'nothing of the kind', which is no rung" in caplog.text


def test_a_model_is_loaded_when_it_is_first_asked_for(weights, loaded):
    models = Catalogue("cpu", weights)
    assert models.names == ["bigram", "second"]
    assert loaded == []
    assert models.get("second") is models.get("second")
    assert loaded == ["second"]
    assert models.get() is models.get("bigram") is models.get("")
    assert loaded == ["second", "bigram"]


def test_many_threads_load_it_once(weights, loaded):
    models = Catalogue("cpu", weights)
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda _: models.get("bigram"), range(32)))
    assert len(set(map(id, entries))) == 1
    assert loaded == ["bigram"]


def test_a_model_that_was_loaded_is_there_at_once(weights):
    """Even while another one is being loaded: switching is instant after the first use."""
    models = Catalogue("cpu", weights)
    entry, got = models.get("bigram"), []
    asking = threading.Thread(target=lambda: got.append(models.get("bigram")), daemon=True)
    with models._lock:
        asking.start()
        asking.join(5)
        assert got == [entry]


def test_figures_need_no_weights_and_no_whole_folder(weights, loaded):
    models = Catalogue("cpu", weights)
    assert models.figures("bigram") == Figures("bigram", RUNGS["bigram"].adds, 119, 2.5)
    (weights / "second" / "config.json").write_text("{")
    assert models.figures("second") == Figures("second", "nothing")
    assert loaded == []


@pytest.mark.parametrize(
    "name", ["gpt-9", "../bigram", "bigram/", "BIGRAM", 5, ["bigram"], "x" * 10_000], ids=lambda n: str(n)[:9]
)
def test_there_is_no_such_model(weights, name):
    with pytest.raises(ConfigError) as caught:
        Catalogue("cpu", weights).get(name)
    assert_one_sentence(caught.value, "there are bigram, second")
    assert len(str(caught.value)) < 200


def test_no_model_at_all(tmp_path):
    models = Catalogue("cpu", tmp_path)
    assert models.names == []
    assert models.default == DEFAULT_RUNG
    assert models.describe() == {"default": DEFAULT_RUNG, "models": [], "hub": {}}
    with pytest.raises(ConfigError) as caught:
        models.get()
    assert_one_sentence(caught.value)
    assert "train one first" in str(caught.value)
    assert caught.value.for_visitors == "There is no model here yet."


def test_describe_says_what_each_model_is(weights):
    described = Catalogue("cpu", weights).describe()
    assert described["default"] == "bigram"
    assert described["hub"] == {}
    assert described["models"][0] == {
        "name": "bigram",
        "adds": RUNGS["bigram"].adds,
        "parameters": 119,
        "context": 4,
        "validation_loss": 2.5,
        "bits_per_character": pytest.approx(2.5 / math.log(2)),
        "corpus": "synthetic",
        "weights": "bundled",
        "device": "cpu",
    }
    assert described["models"][1]["name"] == "second"


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_model_is_a_problem_of_its_own(weights, file, damage, caplog):
    path = weights / "bigram" / file
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:
        path.unlink()
    models = Catalogue("cpu", weights)
    by_name = {model["name"]: model for model in models.describe()["models"]}
    assert by_name["second"]["parameters"] == 119
    assert models.get("second").name == "second"
    if (file, damage) == ("config.json", "gone"):  # then it is no model at all
        assert list(by_name) == ["second"]
        assert models.default == "second"
        return
    assert set(by_name["bigram"]) == {"name", "adds", "problem"}
    # What visitors read names no place on this disk, and advises them; what the owner reads does both.
    assert by_name["bigram"]["problem"] == "This model cannot be loaded here at the moment; choose another."
    assert str(weights) not in str(by_name)
    with pytest.raises(CheckpointError) as caught:
        models.get("bigram")
    assert_one_sentence(caught.value, str(weights), "get the model again")
    assert str(caught.value) in caplog.text


def test_a_model_that_was_mended_is_there_again(weights, model_folder):
    path = weights / "bigram" / "model.safetensors"
    path.unlink()
    models = Catalogue("cpu", weights)
    assert "problem" in models.describe()["models"][0]
    shutil.copy(model_folder / "model.safetensors", path)
    assert "problem" not in models.describe()["models"][0]


@pytest.fixture
def pulled(monkeypatch, model_folder):
    """A Hub of one good model under any name, whose commit is 1234567…; "bad/…" fails, "odd/…" has a bug."""
    folder = model_folder.rename(model_folder.with_name("1234567890"))
    asked = []

    def pull(repo_id, revision=None):
        asked.append((repo_id, revision))
        if repo_id.startswith("slow/"):
            time.sleep(0.1)
        if repo_id.startswith("bad/"):
            raise HubError("The Hub cannot be reached.")
        if repo_id.startswith("odd/"):
            raise ZeroDivisionError
        return folder

    monkeypatch.setattr(hub_client, "pull", pull)
    return asked


def test_weights_from_the_hub_replace_the_bundled_ones(weights, pulled):
    models = Catalogue("cpu", weights)
    bundled = models.get("bigram")
    models.pull(["me/mine@v1"], wait=True)
    assert pulled == [("me/mine", "v1")]
    assert models.get("bigram") is not bundled
    assert models.get("bigram").source == "me/mine@1234567"
    assert models.states == {"me/mine@v1": "runs as bigram"}
    assert models.describe()["models"][0]["weights"] == "me/mine@1234567"
    assert models.get("second").source == "bundled"


def test_figures_are_those_of_the_weights_that_run(weights, pulled):
    config = weights / "bigram" / "config.json"
    config.write_text(config.read_text().replace("2.5,", "2.25,"))
    models = Catalogue("cpu", weights)
    assert models.figures("bigram").loss == 2.25
    models.pull(["me/mine"], wait=True)
    assert models.figures("bigram").loss == 2.5


@pytest.mark.parametrize("repo", ["bad/model", "odd/model"])
def test_a_repository_that_cannot_be_had_leaves_what_runs(weights, pulled, repo):
    models = Catalogue("cpu", weights)
    models.pull([repo], wait=True)
    assert models.get("bigram").source == "bundled"
    assert models.states[repo].startswith("not used: ")
    assert models.states[repo].endswith(".")
    assert models.describe()["hub"] == models.states


@pytest.mark.cases
def test_why_a_repository_is_not_used_is_told_apart_for_visitors_and_the_owner(weights, monkeypatch, caplog):
    def pull(repo_id, revision=None):
        raise HubError("The Hub rejects the token; set HF_TOKEN.", "The Hub rejects the token.")

    monkeypatch.setattr(hub_client, "pull", pull)
    models = Catalogue("cpu", weights)
    models.pull(["me/mine"], wait=True)
    assert models.describe()["hub"] == {"me/mine": "not used: The Hub rejects the token."}
    assert "set HF_TOKEN" in caplog.text


def test_of_two_for_one_rung_the_later_counts(weights, pulled):
    models = Catalogue("cpu", weights)
    models.pull(["a/first", "b/second", "b/second", "bad/third"], wait=True)
    assert models.get("bigram").source == "b/second@1234567"
    assert models.states["a/first"] == "not used: b/second is named later for the same rung"
    assert models.states["b/second"] == "runs as bigram"
    assert models.states["bad/third"] == "not used: The Hub cannot be reached."


def test_the_later_counts_even_if_it_arrives_first(weights, pulled):
    models = Catalogue("cpu", weights)
    models.pull(["slow/first", "b/second"], wait=True)
    assert models.get("bigram").source == "b/second@1234567"
    assert models.states == {
        "slow/first": "not used: b/second is named later for the same rung",
        "b/second": "runs as bigram",
    }


@pytest.mark.cases
@pytest.mark.parametrize(
    "secret",
    [
        "https://ana:hf_aSecret@huggingface.co/ana/model",
        "https://ana:aSecret@huggingface.co/ana/model",
        "ana:aSecret",
        "hf_aSecret",
        "ana/model@hf_aSecret",
        "hf_aSecret/model",
        "ana/hf_aSecret",
        "aSecret@huggingface.co/ana/model",
    ],
)
def test_a_token_among_the_repositories_is_neither_shown_nor_passed_on(weights, pulled, caplog, capfd, secret):
    models = Catalogue("cpu", weights)
    models.pull(["me/mine@v1", secret, "bigram"], wait=True)
    assert sorted(pulled, key=str) == [("bigram", None), ("me/mine", "v1")]
    said = models.states["the 2nd entry of MODELCRAFT_HUB_REPOS"]
    assert said == "not used: it is no name of a repository."
    assert "the 2nd entry of MODELCRAFT_HUB_REPOS is not used: write user/name" in caplog.text
    shown = [*capfd.readouterr(), caplog.text, str(models.describe()), str(models.states)]
    assert not [text for text in shown if "Secret" in text or "huggingface" in text]


@pytest.mark.cases
def test_entries_are_called_by_their_place():
    assert [catalogue.place_of(n).split()[1] for n in (1, 2, 3, 4, 11, 12, 21)] == [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "21st",
    ]


def test_no_repository_is_no_work(weights, pulled):
    models = Catalogue("cpu", weights)
    models.pull([], wait=True)
    assert models.states == {} and pulled == []
