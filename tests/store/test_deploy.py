"""Deploying to a Space: the genuine client, in processes of its own, against a Hub on the loopback."""

import json
import shutil
from pathlib import Path

import pytest
from hub_server import GOOD_TOKEN, Failure, File, HubServer
from huggingface_hub import RepoCard
from test_hub_client import Client, check_failure, client, make_folder, server  # noqa: F401

from modelcraft.store.folder import TENSORBOARD_DIR
from modelcraft.store.space import APP

SPACE = "ana/mine"


def space(server: HubServer):  # noqa: F811
    return server.repos[f"spaces/{SPACE}"]


@pytest.fixture
def checkout(client: Client, tmp_path: Path) -> Path:  # noqa: F811
    """A checkout that is small: the whole package, and the weights of two rungs."""
    root = Path(__file__).resolve().parents[2]
    folder = tmp_path / "checkout"
    shutil.copytree(root / "modelcraft", folder / "modelcraft", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("bigram", "gpt-mini"):
        shutil.copytree(root / "weights" / name, folder / "weights" / name)
    for name in ("app.py", "README.md", "LICENSE", "pyproject.toml", "requirements.txt"):
        shutil.copy(root / name, folder / name)
    shutil.copytree(root / "docs", folder / "docs")
    (folder / "runs").mkdir()
    (folder / "runs" / "secret.txt").write_text("not for the Space")
    (folder / "weights" / "bigram" / TENSORBOARD_DIR).mkdir()
    (folder / "weights" / "bigram" / TENSORBOARD_DIR / "events").write_text("nor this")
    client.environment["PYTHONPATH"] = f"{tmp_path / 'site'}:{folder}"
    return folder


def test_the_app_with_ones_own_model_and_again_with_nothing_new(server, client, checkout, tmp_path):  # noqa: F811
    model = make_folder(tmp_path / "m")
    command = ["deploy", SPACE, "--model", str(model), "--private", "--hardware", "cpu-upgrade"]
    first, second = client.hub(command, command)
    assert first["code"] == 0, first
    assert first["out"].splitlines() == [
        f"The model: {server.url}/ana/mine-model/tree/{server.repos['ana/mine-model'].branches['main']}",
        f"The Space: {server.url}/spaces/{SPACE}",
    ]
    repo = space(server)
    assert repo.private and server.repos["ana/mine-model"].private
    assert repo.made == {"sdk": "gradio", "hardware": "cpu-upgrade"}
    assert repo.variables == {"MODELCRAFT_MODEL": "bigram", "MODELCRAFT_HUB_REPOS": "ana/mine-model"}
    files = repo.files()
    assert files["app.py"] == (checkout / "app.py").read_bytes()
    card, ours = RepoCard(files["README.md"].decode()), RepoCard((checkout / "README.md").read_text(encoding="utf-8"))
    assert card.text == ours.text
    assert card.data.to_dict() == ours.data.to_dict() | {
        "models": ["ana/mine-model"],
        "thumbnail": f"{server.url}/spaces/{SPACE}/resolve/main/docs/chat-wide-light.png",
    }
    assert "docs/chat-wide-light.png" in files
    assert {"modelcraft/ui/browser/product.wasm", "weights/gpt-mini/model.safetensors", "README.md"} <= set(files)
    assert not any(path.startswith(("runs", "tests")) or "__pycache__" in path for path in files)
    assert not any(TENSORBOARD_DIR in path for path in files)
    # The second time nothing is changed, neither a file nor a variable.
    assert len(repo.commits) == 2 and len(server.repos["ana/mine-model"].commits) == 2
    assert second["code"] == 0 and second["out"].splitlines()[-1].endswith(", unchanged"), second
    posted = [line for line in server.log if line.startswith("POST") and "variables" in line]
    assert not posted

    # What has changed is changed, and nothing else.
    (checkout / "app.py").write_text("# newer\n")
    third = client.hub(["deploy", SPACE, "--model", "gpt-mini"])[0]
    assert third["out"] == f"The Space: {server.url}/spaces/{SPACE}"
    assert repo.variables["MODELCRAFT_MODEL"] == "gpt-mini" and len(repo.commits) == 3
    assert repo.files()["app.py"] == b"# newer\n"


def test_one_page_with_a_model_in_it(server, client):  # noqa: F811
    first, second, other = client.hub(
        ["deploy", SPACE, "--static", "--model", "gpt-mini"],
        ["deploy", SPACE, "--static", "--model", "gpt-mini"],
        ["deploy", SPACE, "--static", "--model", "blend"],
    )
    assert first["out"] == f"The Space: {server.url}/spaces/{SPACE}", first
    files = space(server).files()
    assert space(server).made["sdk"] == "static" and b"sdk: static" in files["README.md"]
    assert {"index.html", "page.js", "gpt.js", "worker.js", "product.wasm", "model.json", "model.safetensors"} <= set(
        files
    )
    assert json.loads(files["model.json"])["bytes"] == len(files["model.safetensors"])
    assert b"<h1>mine</h1>" in files["index.html"]
    assert second["out"].endswith(", unchanged") and len(space(server).commits) == 2
    check_failure(other, "A browser cannot run blend; choose counting")


def test_an_installed_app_is_the_one_of_the_repository(server, client, checkout):  # noqa: F811
    command = ["deploy", SPACE, "--model", "bigram"]
    first = client.hub(command)[0]
    assert first["out"] == f"The Space: {server.url}/spaces/{SPACE}", first
    bundled = checkout / "modelcraft" / "bundled"  # as the wheel has it
    bundled.mkdir()
    for name in ("app.py", "README.md", "LICENSE", "pyproject.toml", "requirements.txt", "docs", "weights"):
        (checkout / name).rename(bundled / name)
    assert client.hub(command)[0]["out"].endswith(", unchanged")
    assert len(space(server).commits) == 2
    assert not any("bundled" in path for path in space(server).files())


def test_what_goes_wrong_is_one_sentence(server, client, checkout):  # noqa: F811
    def deployed(*more: str, **environment: str) -> dict:
        return client.hub(["deploy", SPACE, "--model", "bigram", *more], **environment)[0]

    check_failure(deployed(HF_TOKEN=""), "You are not logged in")
    check_failure(client.hub(["deploy", "no name"])[0], "no name of a Hub repository")
    check_failure(deployed("--model", "nowhere"), "There is no model 'nowhere'")
    server.failures = [Failure("repos/create", 403)]
    check_failure(deployed(), f"The token gives no access to {SPACE}")
    server.failures = [Failure("runtime", 500)]
    check_failure(deployed(), "The Hugging Face Hub has a problem of its own")
    server.failures = []
    assert deployed()["code"] == 0
    space(server).stages = ["BUILDING", "BUILD_ERROR"]
    check_failure(deployed(), "is uploaded but does not run (BUILD_ERROR); look at its logs at")
    check_failure(deployed("--private"), "is public already; make it private")
    space(server).commit({path: File(b"") for path in ("main.py", "modelcraft/__init__.py")})
    space(server).commits[space(server).branches["main"]].pop("modelcraft/__init__.py")
    check_failure(deployed(), "holds something else; say that it is to be replaced (--replace)")
    space(server).stages = ["RUNNING"]
    assert deployed("--replace")["code"] == 0
    assert GOOD_TOKEN not in json.dumps(list(server.log))


def test_the_files_of_the_app_are_there():
    root = Path(__file__).resolve().parents[2]
    assert all((root / name).exists() for name in APP)
