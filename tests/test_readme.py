"""The README: every command in it is run, here or by CI, and what it shows is what comes out."""

import json
import math
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest
import torch
from app_server import AppServer
from gradio_client import Client

from modelcraft.data import Corpus
from modelcraft.ladder import RUNGS
from modelcraft.loss import exact_loss
from modelcraft.serving.catalogue import Catalogue
from modelcraft.store.folder import WEIGHTS_DIR, read_info
from modelcraft.tokenizer import CharTokenizer

ROOT = Path(__file__).resolve().parents[1]
SEVERAL, STARTED, PUSHED = (
    f"tests/{name}.py" for name in ("training/test_distributed", "ui/test_app_start", "store/test_hub_client")
)
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]

# Where each command is run that this file does not run, and by what it is known there.
DEPLOYED = ("tests/store/test_deploy.py", '["deploy", SPACE')
BY_HAND = ("", "it needs a person's account on the Hub")
LONG = ("", "it takes too long for a test; its result is in weights/")
ELSEWHERE = {
    "python -m modelcraft.train --model gpt-mini": LONG,
    "python -m modelcraft.train --model gpt": LONG,
    "python -m modelcraft.train --model encoder-decoder": LONG,
    "python -m modelcraft.train --model blend": LONG,
    "python -m modelcraft.distill": ("tests/training/test_distillation.py", "command(distill"),
    "python -m modelcraft.train --init-from gpt-mini --corpus path/to/any.txt": (
        "tests/training/test_start.py",
        '"--init-from"',
    ),
    "torchrun --nproc-per-node 2 -m modelcraft.train --model gpt": (
        "tests/training/test_distributed.py",
        "torch.distributed.run",
    ),
    "torchrun --nproc-per-node 2 -m modelcraft.train --model gpt --resume": (
        "tests/training/test_distributed.py",
        '"--resume"',
    ),
    "pip install -r requirements.txt && python app.py": (STARTED, '"app.py"'),
    "pip install -r requirements-dev.txt && pytest": (".ci/run", "-r requirements-dev.txt"),
    "pytest -m cases": (".ci/run", "\npytest"),
    "pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu": ("", "it needs PyTorch's own index"),
    "python -m modelcraft.export gpt --to transformers": ("tests/test_export_command.py", "runs/mine-transformers/"),
    "python -m modelcraft.export gpt --to onnx": ("tests/test_export_command.py", '"--to", "onnx"'),
    "hf auth login": BY_HAND,
    "python -m modelcraft.train --model bigram --push-to-hub USER/REPO": (
        "tests/ui/test_app_start.py",
        "--push-to-hub",
    ),
    "python -m modelcraft.hub push runs/bigram USER/REPO": (
        "tests/store/test_hub_client.py",
        '"modelcraft.hub", "push"',
    ),
    "MODELCRAFT_HUB_REPOS=USER/REPO python app.py": (STARTED, "MODELCRAFT_HUB_REPOS="),
    "pip install git+https://huggingface.co/spaces/USER/SPACE": (".ci/run", '"$environment"/wheel/*.whl'),
    "gptcraft app": ("tests/test_main.py", 'call("app")'),
    "pip install 'gradio[mcp]==6.31.0' && GRADIO_MCP_SERVER=True python app.py": (
        "tests/ui/test_mcp.py",
        '"GRADIO_MCP_SERVER", "True"',
    ),
    "python -m modelcraft.hub deploy USER/SPACE": DEPLOYED,
    "python -m modelcraft.hub deploy USER/SPACE --model runs/gpt-mini": DEPLOYED,
    "python -m modelcraft.hub deploy USER/SPACE --model gpt --static": DEPLOYED,
}
HERE = [
    "python -m modelcraft.generate",
    "python -m modelcraft.train --model bigram",
    "python -m modelcraft.evaluate runs/bigram",
    "curl",
    "session=$(openssl rand -hex 16)",
]


def shell(command: str, **options) -> subprocess.CompletedProcess[str]:
    """Run a command of the README with the Python of the tests."""
    command = command.replace("python -m", f"{sys.executable} -m")
    return subprocess.run(command, shell=True, check=False, capture_output=True, text=True, **options)


def block_after(text: str, kind: str) -> str:
    """Return the first block of that kind behind `text`."""
    return re.search(rf"```{kind}\n(.*?)```", README[README.index(text) :], re.DOTALL)[1]


def test_every_command_is_run_somewhere():
    for command in (line.split("  #")[0].strip() for line in COMMANDS if not line.startswith("hf jobs run")):
        assert command in ELSEWHERE or any(command.startswith(start) for start in HERE), command
    for file, known_by in ELSEWHERE.values():
        assert not file or known_by in (ROOT / file).read_text(encoding="utf-8"), file
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("pytest")


def test_generate_prints_what_the_readme_shows():
    command = next(command for command in COMMANDS if command.startswith("python -m modelcraft.generate"))
    done = shell(command, cwd=ROOT)
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout == block_after(command, "text")


def test_the_python_example_prints_what_the_readme_shows(capsys):
    example = block_after("From Python", "python")
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.rstrip() == block_after("From Python", "text").rstrip()


def test_curl_prints_what_the_readme_shows():
    server = AppServer(Catalogue("cpu"))
    try:
        ask, fetch = (command for command in COMMANDS if command.startswith("curl") and "/generate" in command)
        answer = shell(ask.replace("http://127.0.0.1:7860", server.url)).stdout
        event = json.loads(answer)["event_id"]
        shown = shell(fetch.replace("http://127.0.0.1:7860", server.url).replace("EVENT_ID", event)).stdout
    finally:
        server.close()
    last = shown.strip().split("\n\n")[-1]
    assert last in block_after("From any program", "text")


@pytest.mark.cases
def test_a_session_is_drawn_at_random_and_has_a_script_of_its_own():
    """It is a password: one that everybody copies would open everybody's script."""
    server = AppServer()
    try:
        commands = block_after("`/chat` goes on", "sh").replace("http://127.0.0.1:7860", server.url)
        sessions = []
        for _ in range(2):
            answer, session = shell(f"{commands}\necho; echo $session").stdout.split()
            assert server.events("call/chat", json.loads(answer)["event_id"])[-1][0] == "complete"
            sessions.append(session)
        assert sessions[0] != sessions[1] and all(re.fullmatch("[0-9a-f]{32}", session) for session in sessions)
        for session, goes_on in ((sessions[0], True), (sessions[1], True), ("0" * 32, False)):
            # An empty line is taken only where there is a script that it goes on with.
            kind, _ = server.call("chat", {"data": ["", 1], "session_hash": session}, "call")[-1]
            assert (kind == "complete") is goes_on
    finally:
        server.close()


def test_train_and_evaluate(tmp_path, corpus_text):
    """As a newcomer runs them, with the text at hand instead of a download; the recipe is the published one."""
    text = tmp_path / "text.txt"
    text.write_text(corpus_text, encoding="utf-8")
    where = {"cwd": tmp_path, "env": {**os.environ, "MODELCRAFT_CORPUS": str(text), "PYTHONPATH": str(ROOT)}}
    done = shell("python -m modelcraft.train --model bigram", **where)
    assert done.returncode == 0, done.stderr
    shown = block_after("python -m modelcraft.evaluate runs/bigram", "text")
    without_seconds = re.compile(r"after \d+ s")
    assert without_seconds.sub("", done.stdout) == without_seconds.sub("", shown)
    done = shell("python -m modelcraft.evaluate runs/bigram --json", **where)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)["losses"]["disjoint"]["nats_per_character"]
    assert measured == pytest.approx(read_info(WEIGHTS_DIR / "bigram").validation_loss, abs=1e-3)


def test_the_table_shows_the_bundled_weights():
    for name in (name for name, rung in RUNGS.items() if rung.bundled):
        info = read_info(WEIGHTS_DIR / name)
        parameters = json.loads((WEIGHTS_DIR / name / "config.json").read_text())["parameters"]
        row = next(line for line in README.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {parameters:,} | **{info.validation_loss:.4f}** |" in row


def test_the_ladder_at_equal_budget_is_what_the_benchmark_wrote():
    shown = README.split("<!-- ladder -->\n")[1].split("<!-- /ladder -->")[0]
    assert shown == (ROOT / "docs" / "ladder.md").read_text(encoding="utf-8")
    results = [json.loads(line) for line in (ROOT / "docs" / "ladder.jsonl").read_text().splitlines()]
    losses = [row["val_loss"] for row in results if row["rung"] == "block"]
    assert len(losses) == 3 and f"| {sum(losses) / 3:.3f} | {min(losses):.3f}–{max(losses):.3f} |" in shown


def test_guessing_and_counting_pairs_cost_what_the_table_says(corpus_text):
    tokenizer = CharTokenizer.of(corpus_text)
    train_data, val_data = Corpus("tiny_shakespeare", corpus_text).splits(tokenizer, block_size=8)
    counts = torch.ones(65, 65, dtype=torch.float64)
    counts.index_put_((train_data[:-1], train_data[1:]), torch.ones(len(train_data) - 1).double(), accumulate=True)
    log_probs = (counts / counts.sum(1, keepdim=True)).log()
    assert f"| 4,225 counts | {-log_probs[val_data[:-1], val_data[1:]].mean():.4f} |" in README
    assert f"| 0 | {math.log(65):.4f} |" in README


def test_the_lessons_code_ends_where_the_readme_says(corpus_text, tmp_path, monkeypatch, capsys):
    text = tmp_path / "text.txt"
    text.write_text(corpus_text, encoding="utf-8")
    monkeypatch.setenv("MODELCRAFT_CORPUS", str(text))
    names: dict = {}
    exec(compile(block_after("The lesson's own code", "python"), "README.md", "exec"), names)
    assert len(capsys.readouterr().out) == 102  # the context, a hundred characters, and print's own line end
    said = re.search(r"validation loss of ([\d.]+) .* exact one of ([\d.]+)\.", README)
    assert f"{names['training_records'][0]['val_loss']:.4f}" == said[1]
    assert f"{exact_loss(names['model'], names['val_data']).nats_per_character:.3f}" == said[2]


def test_a_space_starts_from_this_folder():
    front = README.split("---\n")[1]
    settings = dict(line.split(": ", 1) for line in front.splitlines() if ": " in line)
    assert settings["sdk"] == "gradio"
    assert (ROOT / settings["app_file"]).exists()
    assert f"gradio[oauth]=={settings['sdk_version']}" in (ROOT / "requirements.txt").read_text().splitlines()
    assert settings["python_version"] == '"3.11"'
    assert len(settings["short_description"]) <= 60
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"


@pytest.mark.cases
def test_the_build_for_cpus_is_of_the_version_that_is_required():
    named = re.search(r"pip install (torch==\S+) --index-url https://download.pytorch.org/whl/cpu", README)[1]
    assert named in (ROOT / "requirements.txt").read_text().splitlines()


@pytest.mark.cases
def test_behind_a_proxy_the_page_lives_under_the_path_that_the_readme_names(monkeypatch):
    for name, value in (("GRADIO_ROOT_PATH", "/modelcraft"), ("FORWARDED_ALLOW_IPS", "127.0.0.1")):
        assert f"`{name}`" in README
        monkeypatch.setenv(name, value)
    server = AppServer()
    try:
        page = httpx.get(f"{server.url}/config", headers={"X-Forwarded-Host": "example.org"}).json()
        assert page["root"] == "http://example.org/modelcraft"
        for whole in ("", "/modelcraft"):  # whether the proxy takes the path off or not
            client = Client(f"{server.url}{whole}", verbose=False)
            assert len(client.predict("ROMEO:", length=10, api_name="/generate")) == 10
    finally:
        server.close()


def test_what_the_readme_links_to_is_there():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_layout_names_every_module_where_it_is():
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## How the house is laid out")[1].split("```")[1]
    where, named = [], set()
    for line in tree.splitlines():
        place = (len(line) - len(line.lstrip())) // 4
        if folder := re.match(r" *(\w+)/( |$)", line):
            where = [*where[:place], folder[1]]
        elif place <= len(where):
            where = where[:place]
        named |= {"/".join([*where, file]) for file in re.findall(r"\b\w+\.py\b", line)}
    there = {str(file.relative_to(ROOT)) for file in (ROOT / "modelcraft").rglob("*.py") if file.name != "__init__.py"}
    assert {file for file in named if file.startswith("modelcraft/")} == there
