"""The genuine Hub client, in processes of its own, against a Hub on the loopback (`hub_server.py`)."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_server import BREAK_OFF, GOOD_TOKEN, Failure, File, HubServer, Oddity, Repo, running_hub
from huggingface_hub import ModelCard
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx
from safetensors.torch import load as load_tensors

from modelcraft.bigram import create_model
from modelcraft.gpt import GPTConfig, GPTLanguageModel
from modelcraft.store.card import model_card, write_sample
from modelcraft.store.folder import ModelInfo, load_folder, save_folder
from modelcraft.store.hub_client import check_repo_id, in_one_sentence
from modelcraft.support.errors import HubError
from modelcraft.tokenizer import CharTokenizer

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = "\n abcdefg"
MODEL_FILES = {"config.json", "model.safetensors", "README.md"}
BAD_TOKEN = "hf_aTokenThatTheHubRejects"

# Runs command lines one after the other in one process, as `python -m modelcraft.hub` would, and prints what came of
# each as JSON. `-m NAME` in front is another command; `load` stands for modelcraft.load; TOKEN=… in front of all is the
# token of that command.
DRIVER = """
import json, os, runpy, sys, tempfile
import modelcraft

def outcome(arguments):
    if arguments[0].startswith("TOKEN="):
        os.environ["HF_TOKEN"] = arguments.pop(0).removeprefix("TOKEN=")
    module, *arguments = arguments[1:] if arguments[0] == "-m" else ["hub", *arguments]
    sys.argv = [module, *arguments]
    saved = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
        try:
            if arguments[0] == "load":
                print(modelcraft.load(arguments[1], "cpu")[1].vocab_size)
                sys.exit(0)
            runpy.run_module(f"modelcraft.{module}", run_name="__main__")
        except SystemExit as end:
            code = end.code
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os.dup2(saved[0], 1), os.dup2(saved[1], 2)
        out.seek(0), err.seek(0)
        return {"code": code, "out": out.read().strip(), "err": err.read()}

print(json.dumps([outcome(arguments) for arguments in json.loads(sys.argv[1])]))
"""
# The client waits for seconds before it tries again; here there is nothing to wait for.
IMPATIENT = "import time\nsleep = time.sleep\ntime.sleep = lambda seconds: sleep(min(seconds, 0.01))\n"


@pytest.fixture
def server() -> Iterator[HubServer]:
    with running_hub() as running:
        yield running


class Client:
    """Starts processes that know nothing but this Hub, with a cache of their own."""

    def __init__(self, server: HubServer, folder: Path) -> None:
        self.folder = folder
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(IMPATIENT)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
        self.environment = kept | {
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(folder / "hf"),
            "HF_TOKEN": GOOD_TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(ROOT)]),
        }

    def process(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python with `arguments`; an empty value takes a variable away."""
        everything = {k: v for k, v in (self.environment | environment).items() if v}
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, check=False, env=everything, cwd=self.folder, capture_output=True, text=True, timeout=120
        )

    def hub(self, *commands: list[str], **environment: str) -> list[dict[str, Any]]:
        done = self.process("-c", DRIVER, json.dumps(commands), **environment)
        assert done.returncode == 0, done.stderr
        outcomes: list[dict[str, Any]] = json.loads(done.stdout)
        return outcomes


@pytest.fixture
def client(server: HubServer, tmp_path: Path) -> Client:
    return Client(server, tmp_path)


def make_folder(folder: Path, seed: int = 1, n_embd: int = 4) -> Path:
    model = create_model(len(VOCABULARY), block_size=4, n_embd=n_embd, device="cpu", seed=seed)
    info = ModelInfo(
        rung="bigram",
        config=model.config,
        vocabulary=VOCABULARY,
        corpus={"name": "tiny_shakespeare", "sha256": "86c4", "characters": 100},
        training={"steps": 10, "learning_rate": 0.01},
        losses={"disjoint": {"nats_per_character": 2.0794415416798357, "protocol": "by hand", "window": 4}},
    )
    sample = write_sample(model, CharTokenizer(VOCABULARY))
    save_folder(folder, model, info, model_card(info, model.num_parameters, sample))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def digests(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name in MODEL_FILES}


def check_failure(outcome: dict[str, Any], *said: str) -> None:
    """A failure is one line on stderr, exit code 1, no traceback and no token."""
    message = outcome["err"]
    assert outcome["code"] == 1 and not outcome["out"], outcome
    assert message.endswith(".\n") and len(message.splitlines()) == 1, message
    for never in ("Traceback", "hf_", "Error(", "Request ID"):
        assert never not in message.replace("hf auth", ""), message
    for part in said:
        assert part in message, (part, message)


@pytest.mark.parametrize("mode", ["regular", "lfs"])
def test_push_and_pull(server: HubServer, client: Client, tmp_path: Path, mode: str) -> None:
    """Push, push again, push to a branch; pull each of the states byte for byte, and nothing but the model."""
    server.lfs_suffixes = (".safetensors", ".png") if mode == "lfs" else ()
    first, second, third = (make_folder(tmp_path / f"m{seed}", seed) for seed in (1, 2, 3))
    (first / "loss_curve.png").write_bytes(b"\x89PNG picture")
    (first / "training_state.safetensors").write_bytes(b"not for the Hub")
    before = contents(first)
    pushed = client.hub(
        ["push", str(first), "ana/bigram", "--private"],
        ["push", str(first), "ana/bigram", "--private"],
        ["push", str(second), "ana/bigram"],
        ["push", str(third), "ana/bigram", "--revision", "try/this"],
    )
    assert [outcome["code"] for outcome in pushed] == [0] * 4, pushed
    assert contents(first) == before

    repo = server.repos["ana/bigram"]
    assert repo.private
    _, one, two, three = repo.commits  # what had not changed made no commit
    addresses = [outcome["out"].removeprefix(f"{server.url}/ana/bigram/tree/") for outcome in pushed]
    assert addresses == [one, one, two, "try/this"]
    assert repo.branches == {"main": two, "try/this": three}
    assert set(repo.files(one)) == MODEL_FILES | {"loss_curve.png", ".gitattributes"}
    assert any(f.lfs for f in repo.commits[one].values()) == (mode == "lfs")

    # The same bytes, except for the card, which says now where the model is.
    for path in ("config.json", "model.safetensors", "loss_curve.png"):
        assert repo.files(one)[path] == before[path]
    tensors = load_tensors(repo.files("main")["model.safetensors"])
    for name, tensor in load_folder(second, "cpu")[0].state_dict().items():
        assert tensors[name].equal(tensor)

    repo.commit({"dataset.bin": File(b"x" * 5_000_000), "pytorch_model.bin": File(b"a pickle")})
    server.log.clear()
    wanted = ["ana/bigram", f"ana/bigram@{one}", "ana/bigram@try/this"]
    pulled = client.hub(*(["pull", source] for source in wanted))
    assert [outcome["code"] for outcome in pulled] == [0] * 3, pulled
    for outcome, revision in zip(pulled, ("main", one, "try/this"), strict=True):
        folder = Path(outcome["out"])
        assert folder.parent.name == "snapshots" and folder.name == repo.resolve(revision)
        assert set(contents(folder)) == MODEL_FILES
        assert digests(contents(folder)) == digests(repo.files(revision))
        load_folder(folder, "cpu")
    assert not [line for line in server.log if "dataset" in line or "pytorch" in line or "loss_curve" in line]

    # What was pulled is found again without a network: by its branch, by its commit, by modelcraft.load.
    server.log.clear()
    apart = {"HF_HUB_OFFLINE": "1"} if mode == "lfs" else {"HF_ENDPOINT": "http://127.0.0.1:9"}
    *again, loaded = client.hub(*(["pull", source] for source in wanted), ["load", "ana/bigram@try/this"], **apart)
    assert again == pulled
    assert loaded == {"code": 0, "out": str(len(VOCABULARY)), "err": ""}
    assert server.log == []


@pytest.mark.parametrize("rung", ["bigram", "gpt"])
def test_lines_of_the_text_are_uploaded_unless_they_are_to_stay(
    server: HubServer, client: Client, tmp_path: Path, rung: str
) -> None:
    folder = make_folder(tmp_path / "m")
    if rung == "gpt":
        config = GPTConfig(len(VOCABULARY), block_size=8, n_embd=8, n_head=2, n_layer=1)
        save_folder(folder, GPTLanguageModel(config), ModelInfo("gpt", config, VOCABULARY), "# A card\n")
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    described["corpus"]["snippets"] = ["Dear diary"]
    (folder / "config.json").write_text(json.dumps(described), encoding="utf-8")
    pushed = client.hub(
        ["push", str(folder), "ana/with", "--private"],
        ["push", str(folder), "ana/without", "--private", "--no-snippets"],
    )
    assert [outcome["code"] for outcome in pushed] == [0, 0], pushed
    there = {name: json.loads(server.repos[f"ana/{name}"].files("main")["config.json"]) for name in ("with", "without")}
    assert there["with"]["corpus"]["snippets"] == ["Dear diary"]
    assert "Dear diary" not in json.dumps(there["without"])
    assert "Dear diary" in (folder / "config.json").read_text(encoding="utf-8")  # nothing changes here


def test_card_on_the_hub(server: HubServer, client: Client, tmp_path: Path) -> None:
    """The card has metadata that the Hub understands, and says what the model is; the command line pushes it."""
    folder = make_folder(tmp_path / "model")
    done = client.process("-m", "modelcraft.hub", "push", str(folder), "ana/card", "--revision", "v1")
    assert (done.returncode, done.stdout) == (0, f"{server.url}/ana/card/tree/v1\n"), done.stderr
    text = server.repos["ana/card"].files("v1")["README.md"].decode()

    card = ModelCard(text)
    data = card.data
    assert (data.license, data.library_name, data.pipeline_tag) == ("mit", "modelcraft", "text-generation")
    assert data.tags == ["modelcraft", "character-level", "text-generation", "bigram"]
    assert (data.language, data.datasets) == ("en", ["karpathy/tiny_shakespeare"])
    nats, bits = data.eval_results
    assert (nats.dataset_name, nats.metric_type, nats.metric_value) == ("tiny_shakespeare", "loss", 2.0794415416798357)
    assert bits.metric_type == "bits_per_character" and bits.metric_value == pytest.approx(3.0)
    assert "nats per character" in nats.metric_name and "by hand" in nats.metric_name
    assert yaml.safe_load(text.split("---\n")[1])["model-index"][0]["name"] == "card"

    model, tokenizer, _ = load_folder(folder, "cpu")
    for part in (
        'modelcraft.load("ana/card")',
        f"{model.num_parameters:,}",
        "2.0794",
        "3.0000",
        "`86c4`",
        "| `learning_rate` | `0.01` |",
        write_sample(model, tokenizer),
    ):
        assert part in card.text
    assert "loss_curve.png" not in card.text


def test_card_is_safe_from_what_it_shows(tmp_path: Path) -> None:
    _, _, info = load_folder(make_folder(tmp_path / "model"), "cpu")
    strange = ModelInfo(info.rung, info.config, info.vocabulary, {"name": "a|b`c\n# d.txt"}, {"note": "x|y"}, {})
    text = model_card(strange, 1, "```\n````\n", picture=True)
    assert "\n`````text\n```\n````\n\n`````\n" in text and "loss_curve.png" in text
    assert "| `note` | `x\\|y` |" in text and "\n# d.txt" not in text
    data = ModelCard(text).data
    assert data.eval_results is None and data.language is None and data.datasets is None
    assert "not measured" in text


# What the Hub answers for a repository of that name, and what the user reads.
PUSH_FAILURES = {
    "rejected": (401, "", "Invalid username or password.", "rejects the token"),
    "forbidden": (403, "", "Forbidden", "gives no access to ana/forbidden"),
    "disabled": (403, "", "Access to this resource is disabled.", "has been disabled"),
    "busy": (429, "", "slow down", "too many requests"),
    "broken": (500, "", "oops", "problem of its own (500)"),
    "offlimits": (409, "", "conflict at the commit", "(409)"),
}
PULL_FAILURES = {
    "rejected": (401, "", "Invalid credentials in Authorization header", "rejects the token"),
    "forbidden": (403, "", "Forbidden", "gives no access to ana/forbidden"),
    "gated": (403, "GatedRepo", "ask for access", "is gated"),
    "disabled": (403, "", "Access to this resource is disabled.", "has been disabled"),
    "hidden": (401, "RepoNotFound", "", "no ana/hidden on the Hub, or it is private"),
    "busy": (429, "", "slow down", "too many requests"),
    "broken": (503, "", "oops", "problem of its own (503)"),
    "silent": (BREAK_OFF, "", "", "broke off"),
}


def test_push_failures(server: HubServer, client: Client, tmp_path: Path) -> None:
    """Each failure: one sentence, the command that pushes later, and a folder as it was."""
    folder = make_folder(tmp_path / "a model")
    before = contents(folder)
    for name, (status, code, message, _) in PUSH_FAILURES.items():
        where = "commit/main" if name == "offlimits" else ""
        server.failures.append(Failure(f"ana/{name}\\b.*{where}", status, code, message))
    server.failures.append(Failure("/ana/cut/commit", BREAK_OFF))
    server.failures.append(Failure("/ana/html/preupload", 502, html=True))
    said = {name: failure[3] for name, failure in PUSH_FAILURES.items()} | {"cut": "broke off", "html": "(502)"}
    outcomes = client.hub(*(["push", str(folder), f"ana/{name}"] for name in said))
    for (name, sentence), outcome in zip(said.items(), outcomes, strict=True):
        check_failure(outcome, sentence, f"python -m modelcraft.hub push '{folder}' ana/{name}`.", "weights are safe")
    assert contents(folder) == before

    # What somebody else keeps there is not overwritten unasked.
    for name, files in (("diary", {"README.md": b"Dear diary"}), ("other", {"config.json": b'{"model_type": "gpt2"}'})):
        server.repos[f"ana/{name}"] = theirs = Repo()
        theirs.commit({path: File(data) for path, data in files.items()})
        refused, replaced = client.hub(
            ["push", str(folder), f"ana/{name}"], ["push", str(folder), f"ana/{name}", "--replace"]
        )
        check_failure(refused, "no model of ModelCraft", "--replace")
        assert len(theirs.commits) == 2 and replaced["code"] == 0

    # The client tries six times; what passes before that is none of the user's business.
    server.failures = [Failure("PUT /lfs/", BREAK_OFF, times=6 + 2)]
    server.lfs_suffixes = (".safetensors",)
    server.repos["ana/public"] = repo = Repo()
    repo.commit({})
    cut, public, again = client.hub(
        ["push", str(folder), "ana/cut"],
        ["push", str(folder), "ana/public", "--private", "--revision", "v 1"],
        ["push", str(folder), "ana/cut"],
    )
    check_failure(cut, "broke off", "push them later")
    check_failure(public, "public", f"push '{folder}' ana/public --private --revision 'v 1'`.")
    assert list(repo.branches) == ["main"] and len(repo.commits) == 1
    assert again["code"] == 0 and again["err"] == ""
    assert len(server.repos["ana/cut"].commits) == 2  # the empty one and the whole one, nothing in between


def test_tokens(server: HubServer, client: Client, tmp_path: Path) -> None:
    folder = str(make_folder(tmp_path / "model"))
    server.repos["ana/fine"] = Repo()
    server.repos["ana/fine"].commit({name: File(data) for name, data in contents(Path(folder)).items()})
    push = ["push", folder, "ana/new"]
    nobody, malformed, rejected, pull_malformed, pull_rejected, pull_nobody = client.hub(
        ["TOKEN=", *push],
        ["TOKEN=hf_aaa\u00e9 bbb", *push],
        [f"TOKEN={BAD_TOKEN}", *push],
        ["TOKEN=hf_aaa\u00e9 bbb", "pull", "ana/fine"],
        [f"TOKEN={BAD_TOKEN}", "pull", "ana/fine"],
        ["TOKEN=", "pull", "ana/fine"],
    )
    later = f"modelcraft.hub push {folder} ana/new`"
    check_failure(nobody, "not logged in", "`hf auth login`", "HF_TOKEN", later)
    check_failure(malformed, "characters that no token has", later)
    check_failure(rejected, "rejects the token", "`hf auth login`", later)
    check_failure(pull_malformed, "characters that no token has")
    check_failure(pull_rejected, "rejects the token")
    assert pull_nobody["code"] == 0  # a public model is for everybody
    assert "ana/new" not in server.repos and len([line for line in server.log if "create" in line]) == 1


def test_without_a_network(server: HubServer, client: Client, tmp_path: Path) -> None:
    folder = str(make_folder(tmp_path / "model"))
    push, pull = ["push", folder, "ana/new"], ["pull", "ana/fine"]
    unreachable, unreachable_pull = client.hub(push, pull, HF_ENDPOINT="http://127.0.0.1:9")
    check_failure(unreachable, "cannot be reached", "push them later")
    check_failure(unreachable_pull, "cannot be reached")
    offline, offline_pull, wrong_name, no_folder = client.hub(
        push, pull, ["push", folder, "new"], ["push", str(tmp_path), "ana/new"], HF_HUB_OFFLINE="1"
    )
    check_failure(offline, "HF_HUB_OFFLINE", "push them later")
    check_failure(offline_pull, "HF_HUB_OFFLINE is set, and ana/fine is not in the cache")
    check_failure(wrong_name, "'new'", "user/name")
    check_failure(no_folder, "config.json is missing")
    assert server.log == []


@pytest.mark.cases
def test_a_model_without_a_card_is_a_model(server: HubServer, client: Client, tmp_path: Path) -> None:
    good = {name: File(data) for name, data in contents(make_folder(tmp_path / "model")).items()}
    server.repos["ana/no-card"] = repo = Repo()
    repo.commit({name: file for name, file in good.items() if name != "README.md"})
    pull, load = ["pull", "ana/no-card"], ["load", "ana/no-card"]
    pulled, loaded = client.hub(pull, load)
    assert pulled["code"] == 0 and set(contents(Path(pulled["out"]))) == MODEL_FILES - {"README.md"}, pulled
    assert loaded["code"] == 0, loaded
    assert client.hub(pull, load, HF_HUB_OFFLINE="1") == [pulled, loaded]
    assert client.hub(pull, load, HF_ENDPOINT="http://127.0.0.1:9") == [pulled, loaded]


@pytest.mark.cases
def test_a_folder_that_is_not_there_is_said_before_the_hub(server: HubServer, client: Client) -> None:
    """A mistyped folder looks like the name of a repository."""
    nope = client.process("-m", "modelcraft.generate", "--model", "runs/nope")
    outcome = {"code": nope.returncode, "out": nope.stdout, "err": nope.stderr}
    check_failure(
        outcome, "There is no folder 'runs/nope' here, so the Hub was asked: There is no runs/nope on the Hub"
    )


@pytest.mark.cases
def test_visitors_read_what_went_wrong_and_no_advice_for_the_owner(tmp_path: Path) -> None:
    request = httpx.Request("GET", "https://hub.example/ana/model/resolve/main/config.json")
    causes: list[Exception] = [kind("x") for kind in (OSError, ValueError, httpx.ConnectError, httpx.ReadTimeout)]
    causes += [HfHubHTTPError("x", response=httpx.Response(s, request=request)) for s in (401, 403, 408, 429, 404, 503)]
    causes += [PermissionError(13, "Permission denied", "/srv/cache")]
    for cause in causes:
        with (
            pytest.raises(HubError) as caught,
            in_one_sentence("ana/model", None, f" Safe in {tmp_path}.", " Try on."),
        ):
            raise cause
        owner, visitor = str(caught.value), caught.value.for_visitors
        assert owner.endswith(f" Safe in {tmp_path}.") and "; " in owner
        assert visitor == owner.split("; ", maxsplit=1)[0] + ". Try on."
        assert not {word for word in ("HF_", "hf auth", "network", "disk", "/srv", str(tmp_path)) if word in visitor}


def test_pull_failures(server: HubServer, client: Client, tmp_path: Path) -> None:
    good = {name: File(data) for name, data in contents(make_folder(tmp_path / "model")).items()}
    weights = good["model.safetensors"].data
    repos: dict[str, tuple[dict[str, File], tuple[str, ...]]] = {
        "fine": (good, ()),
        "no-card": ({k: v for k, v in good.items() if k != "README.md"}, ()),
        "pointer": (
            good | {"model.safetensors": File(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")},
            ("git-lfs",),
        ),
        "no-config": ({k: v for k, v in good.items() if k != "config.json"}, ("has no config.json",)),
        "no-weights": ({k: v for k, v in good.items() if k != "model.safetensors"}, ("no model.safetensors",)),
        "not-json": (good | {"config.json": File(b"{")}, ("not valid JSON",)),
        "cut-short": (good | {"model.safetensors": File(weights[:-10])}, ("damaged or cut short",)),
        "too-big": (good | {"model.safetensors": File(weights + b"\0" * 2_000_000)}, ("is the most that is sound",)),
        "other": (
            good | {"model.safetensors": File(contents(make_folder(tmp_path / "o", n_embd=8))["model.safetensors"])},
            ("the shape", "ana/other"),
        ),
    }
    for name, (files, _) in repos.items():
        server.repos[f"ana/{name}"] = repo = Repo()
        repo.commit(files)
    for name, (status, code, message, _) in PULL_FAILURES.items():
        server.failures.append(Failure(f"ana/{name}\\b", status, code, message))
    server.failures.append(Failure("GET /ana/interrupted/resolve/.*safetensors", BREAK_OFF))
    server.failures.append(Failure("HEAD /ana/late/resolve/.*config", 500))
    for name in ("interrupted", "late"):
        server.repos[f"ana/{name}"] = repo = Repo()
        repo.commit(good)
    said: dict[str, tuple[str, ...]] = {f"ana/{name}": parts for name, (_, parts) in repos.items() if parts}
    said |= {f"ana/{name}": (failure[3],) for name, failure in PULL_FAILURES.items()}
    said |= {
        "ana/interrupted": ("broke off",),
        "ana/late": ("(500)",),
        "ana/nothing": ("no ana/nothing on the Hub", "private"),
        "ana/fine@v9": ("no revision 'v9'",),
        f"ana/fine@{'0' * 40}": ("no revision",),
        "ana--x/fine": ("user/name",),
        "fine": ("user/name",),
    }
    for (source, parts), outcome in zip(said.items(), client.hub(*(["pull", s] for s in said)), strict=True):
        check_failure(outcome, *parts)
        assert "push" not in outcome["err"], source
    fetched = [line for line in server.log if line.startswith("GET") and line.endswith(".safetensors")]
    assert not [line for line in fetched if "not-json" in line or "too-big" in line]

    done = client.process("-m", "modelcraft.hub", "pull", "ana/fine@v9")
    check_failure({"code": done.returncode, "out": done.stdout, "err": done.stderr}, "no revision 'v9'")


@pytest.mark.parametrize("name", ["", "bigram", "a/b/c", "a b/c", "../c", "a/b..c", "a/b.git", "é/b", "a/"])
def test_wrong_repository_names(name: str) -> None:
    with pytest.raises(HubError, match="user/name"):
        check_repo_id(name)
    check_repo_id("ana/a-good_name.1")


@pytest.mark.cases
@pytest.mark.parametrize(
    "name", ["https://ana:hf_aSecret@h.co/ana/m", "hf_aSecret", "ana/m@hf_aSecret", "ana:aSecret/m"]
)
def test_a_token_in_an_argument_is_not_repeated(server: HubServer, client: Client, name: str) -> None:
    """Whoever types it has it in their shell's history; it need not stand in a log and at the Hub, too."""
    commands = (
        ["-m", "train", "--model", "bigram", "--push-to-hub", name],
        ["-m", "train", "--model", name],
        ["-m", "generate", "--model", name],
        ["-m", "evaluate", name],
        ["-m", "hub", "pull", name],
        ["-m", "hub", "push", str(ROOT / "weights" / "bigram"), name],
    )
    for outcome in client.hub(*commands):
        check_failure(outcome)
        assert "Secret" not in outcome["err"]
    assert server.log == []


@pytest.mark.cases
def test_a_hub_that_drips_ends_in_a_sentence(server: HubServer, client: Client, tmp_path: Path) -> None:
    """No read takes long, and the whole would take for ever."""
    server.repos["ana/slow"] = repo = Repo()
    repo.commit({name: File(data) for name, data in contents(make_folder(tmp_path / "model")).items()})
    program = """
import sys
from modelcraft.store import hub_client
from modelcraft.support.errors import HubError
try:
    hub_client.pull("ana/slow", seconds=2)
except HubError as error:
    sys.exit(str(error))
"""
    for where in ("GET /api/models/ana/slow", "GET /ana/slow/resolve/.*config", "GET /ana/slow/resolve/.*tensors"):
        server.oddities = [Oddity(where, drip=1.0)]
        done = client.process("-c", program)
        outcome = {"code": done.returncode, "out": done.stdout, "err": done.stderr}
        check_failure(outcome, "did not answer in time", "try again later")


@pytest.mark.cases
def test_a_hub_that_names_files_of_this_disk_is_not_obeyed(server: HubServer, client: Client, tmp_path: Path) -> None:
    good = {name: File(data) for name, data in contents(make_folder(tmp_path / "model")).items()}
    odd: list[dict[str, Any]] = [
        *[{"headers": {"ETag": tag}} for tag in (None, "", '""', '"."', '"../../../../taken"', "/tmp/taken", '"a b"')],
        *[{"headers": {"X-Linked-Etag": tag}} for tag in ('"../../../../taken"', "..")],
        *[{"headers": {"X-Repo-Commit": commit}} for commit in (None, "", "../../../../taken", "main")],
        *[{"sha": sha} for sha in (None, "../../../../taken", "main", 7, [], {})],
    ]
    for number, oddity in enumerate(odd):
        server.repos[f"ana/odd{number}"] = repo = Repo()
        repo.commit(good)
        what = "GET /api/models" if "sha" in oddity else "HEAD "
        server.oddities.append(Oddity(f"{what}/ana/odd{number}(/|$)", **oddity))
    # A Hub may also say that a file is not there, and at which commit.
    server.repos["ana/gone"] = repo = Repo()
    repo.commit({})
    server.oddities.append(Oddity("HEAD /ana/gone/", {"X-Repo-Commit": "../../../../taken"}))
    for outcome in client.hub(*(["pull", f"ana/odd{number}"] for number in range(len(odd))), ["pull", "ana/gone"]):
        check_failure(outcome, "gave an answer that makes no sense")
    assert not list(tmp_path.rglob("*taken*")) and not Path("/tmp/taken").exists()


def test_a_training_starts_from_a_model_on_the_hub_and_says_from_which_commit(
    server: HubServer, client: Client
) -> None:
    assert client.hub(["push", str(make_folder(client.folder / "m")), "ana/bigram"])[0]["code"] == 0
    commit = server.repos["ana/bigram"].branches["main"]
    (client.folder / "text.txt").write_text("gabe faced a bad cafe\n" * 9)
    command = ["-m", "modelcraft.train", "--corpus", "text.txt", "--init-from", "ana/bigram", "--out", "run"]
    done = client.process(*command, "--steps", "2", "--batch-size", "2", "--eval-batches", "1")
    assert done.returncode == 0, done.stderr
    training = json.loads((client.folder / "run" / "config.json").read_text())["training"]
    assert training["init_from"] == f"ana/bigram@{commit}"
    card = ModelCard((client.folder / "run" / "README.md").read_text())
    assert card.data.base_model == "ana/bigram" and commit in card.text
