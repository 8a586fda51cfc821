"""A file over HTTP, whole or not at all."""

import contextlib
import hashlib
import http.server
import socket
import threading
from pathlib import Path

import pytest
from helpers import assert_one_sentence

from modelcraft.support import download as download_module
from modelcraft.support.download import download
from modelcraft.support.errors import CorpusError

CONTENT = bytes(range(256)) * 1_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def write(folder: Path, raw: bytes) -> Path:
    path = folder / "corpus.txt"
    path.write_bytes(raw)
    return path


@contextlib.contextmanager
def serving(*answers: str):
    """Serve `CONTENT` on the loopback, one answer a request: "whole", "broken", "changed", or "missing"."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer = answers[min(len(asked), len(answers) - 1)]
            asked.append(answer)
            if answer == "missing":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            body = {"whole": CONTENT, "broken": CONTENT[: len(CONTENT) // 2], "changed": CONTENT[::-1]}[answer]
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/text", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize(
    "answers", [["whole"], ["broken", "broken", "whole"], ["missing", "changed", "whole"]], ids="-".join
)
def test_a_download_arrives_whole_after_up_to_two_failures(tmp_path, answers):
    path = tmp_path / "data" / "text.txt"
    with serving(*answers) as (url, asked):
        download(url, path, SHA256, patience_s=0)
    assert path.read_bytes() == CONTENT
    assert asked == answers
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ("broken", "the connection broke off"),
        ("missing", "the server answered 404"),
        ("changed", "what arrived has another checksum"),
    ],
)
def test_a_failed_download_leaves_nothing(tmp_path, answer, part):
    path = tmp_path / "text.txt"
    with serving(answer) as (url, asked), pytest.raises(CorpusError) as caught:
        download(url, path, SHA256, patience_s=0)
    assert_one_sentence(caught.value, part, repr(str(path)), url, "--corpus PATH")
    assert asked == [answer] * 3
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_leaves_the_old_file(tmp_path):
    path = write(tmp_path, b"old")
    with serving("broken") as (url, _), pytest.raises(CorpusError):
        download(url, path, SHA256, patience_s=0)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_server_at_all(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/text"
    with pytest.raises(CorpusError) as caught:
        download(url, tmp_path / "text.txt", SHA256, patience_s=0)
    message = str(caught.value)
    assert "no connection" in message
    assert f"put the file at {str(tmp_path / 'text.txt')!r}" in message
    assert list(tmp_path.iterdir()) == []


def test_it_waits_longer_each_time(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(download_module.time, "sleep", waited.append)
    with serving("missing") as (url, _), pytest.raises(CorpusError):
        download(url, tmp_path / "text.txt", SHA256, attempts=4, patience_s=0.5)
    assert waited == [0.5, 1.0, 2.0]
