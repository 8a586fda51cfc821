"""The whole way, in processes of their own: `python app.py` answers; train, push, and the app runs what was pushed."""

import http.server
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import gradio
import pytest
from app_server import AppServer
from gradio_client import Client
from hub_server import GOOD_TOKEN, running_hub
from pressing import POEM, Page

ROOT = Path(__file__).resolve().parents[2]


# What the package spaces looks for when it is imported, and only PyTorch for CUDA has.
NAMES_OF_CUDA = """
import torch

if torch.version.cuda is None:
    torch.version.cuda, torch._C._cuda_init, torch.cuda._is_in_bad_fork = "13.0", bool, bool
"""


@pytest.fixture
def environment(tmp_path):
    """What a newcomer's shell has: no login, an empty cache."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "MODELCRAFT_", "GRADIO_"))}
    return {**kept, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}


class App:
    """`python app.py` on a free port, from its start to its end."""

    def __init__(self, environment: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env={**environment, "GRADIO_SERVER_PORT": str(self.port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self) -> "App":
        while True:
            assert self.process.poll() is None, self.process.communicate()[0]
            try:
                with urllib.request.urlopen(self.url, timeout=5) as answer:
                    assert b"ModelCraft" in answer.read()
                return self
            except OSError:
                time.sleep(0.05)

    def end(self, number: int = signal.SIGINT) -> str:
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=30)
        return output


@pytest.fixture
def start(environment):
    apps = []

    def start(**more):
        apps.append(App({**environment, **more}).wait())
        return apps[-1]

    yield start
    for app in apps:
        if app.process.poll() is None:
            app.process.kill()
            app.process.communicate()


def test_the_app_starts_as_it_is_and_writes(start):
    app = start()
    client = Client(app.url, verbose=False)
    assert len(client.predict("ROMEO:", length=100, api_name="/generate")) == 100
    with urllib.request.urlopen(app.url) as answer:
        page = answer.read().decode()
    assert "googleapis" not in page.split("<script", 1)[0]  # fonts are the visitor's own
    output = app.end()
    assert "Traceback" not in output
    assert app.process.returncode == 0


@pytest.mark.cases
def test_a_notebooks_backend_for_pictures_is_no_obstacle(start):
    """Every notebook sets it, also where the package that it names is not installed."""
    client = Client(start(MPLBACKEND="module://matplotlib_inline.backend_inline").url, verbose=False)
    assert len(client.predict("ROMEO:", length=10, model="bigram", api_name="/generate")) == 10


def test_zero_gpu_hardware_is_told_of_a_function_and_all_runs_on_the_cpu(start, tmp_path):
    """With the real package, as far as that goes: its server takes everything, and CUDA is only named."""
    (tmp_path / "sitecustomize.py").write_text(NAMES_OF_CUDA)
    told = []

    class Hardware(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hardware) as hardware:
        threading.Thread(target=hardware.serve_forever).start()
        address = f"http://127.0.0.1:{hardware.server_port}"
        try:
            app = start(SPACES_ZERO_GPU="true", SPACES_ZERO_DEVICE_API_URL=address, PYTHONPATH=str(tmp_path))
            client = Client(app.url, verbose=False)
            assert len(client.predict("ROMEO:", length=100, model="gpt", api_name="/generate")) == 100
            models = client.predict(api_name="/models")["models"]
            assert next(model for model in models if model["name"] == "gpt")["device"] == "cpu"
            assert "Traceback" not in app.end()
        finally:
            hardware.shutdown()
    assert told == ["/startup-report"]  # which it sends only if a function is registered


def test_train_push_and_run_what_was_pushed(start, environment, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(random.Random(3).choices("ROMEabc :\n", k=3000)), encoding="utf-8")
    with running_hub() as hub:
        on_the_hub = {"HF_ENDPOINT": hub.url, "HF_TOKEN": GOOD_TOKEN}
        trained = subprocess.run(
            [
                *(sys.executable, "-m", "modelcraft.train", "--model", "bigram", "--corpus", str(text)),
                *("--steps", "50", "--out", str(tmp_path / "run"), "--push-to-hub", "tester/bigram"),
            ],
            cwd=ROOT,
            env={**environment, **on_the_hub},
            capture_output=True,
            text=True,
            check=False,
        )
        assert trained.returncode == 0, trained.stderr
        assert re.search(rf"On the Hub: {hub.url}/tester/bigram/tree/[0-9a-f]{{40}}", trained.stdout)
        files = hub.repos["tester/bigram"].files()
        assert set(files) >= {"config.json", "model.safetensors", "README.md", "loss_curve.png"}
        assert files["model.safetensors"] == (tmp_path / "run" / "model.safetensors").read_bytes()

        repos = "tester/bigram, nobody/nothing, no-name"
        app = start(MODELCRAFT_HUB_REPOS=repos, **on_the_hub)
        client = Client(app.url, verbose=False)
        deadline = time.monotonic() + 60
        while True:
            listed = client.predict(api_name="/models")
            if "on its way" not in listed["hub"].values() or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        commit = hub.repos["tester/bigram"].branches["main"][:7]
        assert listed["hub"]["tester/bigram"] == "runs as bigram"
        assert "There is no nobody/nothing on the Hub" in listed["hub"]["nobody/nothing"]
        assert "no name of a Hub repository" in listed["hub"]["no-name"]
        bigram = next(model for model in listed["models"] if model["name"] == "bigram")
        assert bigram["weights"] == f"tester/bigram@{commit}"
        assert bigram["corpus"] == "text.txt"
        # What it writes is in the alphabet of the pushed model.
        written = client.predict("ROMEO:", length=300, model="bigram", seed=1, api_name="/generate")
        assert set(written) <= set(json.loads(files["config.json"])["vocabulary"])
        output = app.end()
        assert GOOD_TOKEN not in output
        assert str(tmp_path) not in json.dumps(listed)


def test_a_hub_that_never_answers_does_not_keep_the_app_from_ending(start):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app = start(MODELCRAFT_HUB_REPOS="tester/bigram", HF_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}")
        listed = Client(app.url, verbose=False).predict(api_name="/models")
        assert listed["hub"] == {"tester/bigram": "on its way"}
        app.end()


def test_without_a_hub_the_bundled_weights_run(start):
    app = start(MODELCRAFT_HUB_REPOS="tester/bigram@main", HF_ENDPOINT="http://127.0.0.1:9")
    client = Client(app.url, verbose=False)
    deadline = time.monotonic() + 90
    while (listed := client.predict(api_name="/models"))["hub"]["tester/bigram@main"] == "on its way":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "cannot be reached" in listed["hub"]["tester/bigram@main"]
    assert listed["models"][0]["weights"] == "bundled"
    assert len(client.predict("ROMEO:", length=10, api_name="/generate")) == 10


@pytest.mark.cases
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_outlives_the_app_however_it_ends(start, tmp_path, number):
    """Neither a training nor a file; and uploads do not meet those of others in /tmp/gradio."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (temporary / "gradio").touch()  # as good as another user's folder: nothing can be written there
    app = start(TMPDIR=str(temporary))
    page = Page(app.url)
    files = {"files": ("poem.txt", POEM.encode())}
    uploaded = page.http.post("/gradio_api/upload", files=files)
    assert uploaded.status_code == 200, uploaded.text
    assert page.press(
        "train-go", [page.visitor, "gpt", 5_000, 64, 2, 64, "a text you paste", POEM, "nothing", None, None, None]
    )["success"]
    while not list(temporary.glob("modelcraft-*/*/run/training_state.safetensors")):
        time.sleep(0.05)
    assert len(list(temporary.glob("modelcraft-*"))) == 2
    output = app.end(number)
    assert "Traceback" not in output
    assert app.process.returncode == (-number if number == signal.SIGKILL else 0)
    deadline = time.monotonic() + 20
    while left := list(temporary.glob("modelcraft-*")):  # after a kill -9 it is the training that ends, and sweeps
        assert number == signal.SIGKILL and time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.cases
@pytest.mark.parametrize("proxy", ["http_proxy=http://127.0.0.1:9", "http_proxy=", "ALL_PROXY=socks5://127.0.0.1:9"])
def test_no_proxy_keeps_the_app_from_starting(start, proxy):
    """Neither one that is dead, nor one that answers 503, nor one that speaks SOCKS."""

    class Unwilling(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(503)

        do_HEAD = do_GET  # noqa: N815 (the library's name)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unwilling) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        name, _, url = proxy.partition("=")
        app = start(**{name: url or f"http://127.0.0.1:{server.server_port}"})
        assert "Traceback" not in app.end()
        server.shutdown()
    assert app.process.returncode == 0


@pytest.mark.cases
@pytest.mark.parametrize("port", ["taken", "any"])
def test_what_keeps_the_app_from_starting_is_one_sentence(environment, port):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1]) if port == "taken" else port
        done = subprocess.run(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env={**environment, "GRADIO_SERVER_PORT": port},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(rf"[^\n]*\b{port}\b[^\n]*\.\n", done.stderr), done.stderr


@pytest.mark.cases
def test_a_machine_that_is_too_busy_to_answer_soon_serves_the_page(monkeypatch):
    monkeypatch.setattr(gradio.networking, "url_ok", lambda url: False)  # it gives up after three seconds
    AppServer().close()
