"""What the app needs of its machine: an address that is free, proxies that it can pass by, a folder for uploads."""

import ast
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import httpx
import pytest
from helpers import assert_one_sentence

from modelcraft.support.errors import StartError
from modelcraft.support.surroundings import (
    OPTIONS,
    address,
    check_is_free,
    give_uploads,
    pass_by_proxies,
    prepare,
    take_options,
)

pytestmark = pytest.mark.cases
ROOT = Path(__file__).resolve().parents[2]
NAMES = [f"{kind}_proxy" for kind in ("http", "https", "all", "no")]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Without a setting; what is set in a test is undone."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in [*NAMES, *map(str.upper, NAMES), "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "GRADIO_TEMP_DIR"]:
        os.environ.pop(name, None)


def test_without_a_proxy_nothing_is_set():
    before = dict(os.environ)
    pass_by_proxies("127.0.0.1")
    assert dict(os.environ) == before


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "socks5h://127.0.0.1:9"])
def test_this_machine_is_asked_past_any_proxy_and_others_through_it(name, proxy):
    os.environ |= {name: proxy, "NO_PROXY": "example.org"}
    pass_by_proxies("192.168.7.7")
    with httpx.Client() as client:

        def through(url):
            return type(client._transport_for_url(httpx.URL(url))._pool).__name__ != "ConnectionPool"

        assert not any(map(through, ("http://localhost:7860/", "http://127.0.0.1:7860/", "http://[::1]:7860/")))
        assert not any(map(through, ("http://192.168.7.7:7860/", "http://example.org")))
        assert through("http://huggingface.co")


def test_proxies_of_the_system_are_still_used(monkeypatch):
    """Windows and macOS have them in their settings, where Python looks only while the environment names none."""
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"http": "http://10.0.0.1:3128"})
    pass_by_proxies("127.0.0.1")
    assert os.environ["http_proxy"] == "http://10.0.0.1:3128"
    assert "127.0.0.1" in os.environ["no_proxy"].split(",")


@pytest.mark.parametrize("proxy", ["socks://127.0.0.1:9", "nonsense::x"])
def test_a_proxy_that_is_none_is_said(proxy):
    os.environ["ALL_PROXY"] = proxy
    with pytest.raises(StartError) as caught:
        pass_by_proxies("127.0.0.1")
    assert_one_sentence(caught.value, "all_proxy names a proxy that cannot be used")


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "", "7860.5"])
def test_a_port_that_is_none_is_said(port):
    os.environ["GRADIO_SERVER_PORT"] = port
    with pytest.raises(StartError) as caught:
        address()
    assert_one_sentence(caught.value, "GRADIO_SERVER_PORT", f"{port!r}")


def test_where_the_page_is_served():
    assert address() == ("127.0.0.1", 7860)
    os.environ |= {"GRADIO_SERVER_NAME": "[::1]", "GRADIO_SERVER_PORT": "8000"}
    assert address() == ("::1", 8000)


def test_an_address_that_cannot_be_had_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(StartError) as caught:
            check_is_free(*taken.getsockname())
        assert_one_sentence(caught.value, "in use", "GRADIO_SERVER_PORT")
    with pytest.raises(StartError) as caught:
        check_is_free("192.0.2.1", 7860)
    assert_one_sentence(caught.value, "192.0.2.1:7860", "GRADIO_SERVER_NAME")


def test_uploads_have_a_folder_of_the_apps_own_unless_one_is_named(tmp_path):
    give_uploads(tmp_path / "own" / "uploads")
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "own" / "uploads")
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path / "named")
    give_uploads(tmp_path / "not made")
    assert {path.name for path in tmp_path.iterdir()} == {"own", "named"}
    (tmp_path / "file").touch()
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path / "file")
    with pytest.raises(StartError) as caught:
        give_uploads(tmp_path / "own")
    assert_one_sentence(caught.value, "cannot be written to", "GRADIO_TEMP_DIR")


OLDER = """
import runpy, sys
sys.version_info = (3, 10, 13, "final", 0)
sys.argv = ["it"]
{run}
"""


@pytest.mark.parametrize(
    "run",
    ["runpy.run_path('app.py', run_name='__main__')"]
    + [f"runpy.run_module('modelcraft.{name}', run_name='__main__')" for name in ("train", "evaluate", "hub")],
)
def test_an_older_python_gets_a_sentence(run):
    done = subprocess.run(
        [sys.executable, "-c", OLDER.format(run=run)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "ModelCraft needs Python 3.11 or newer; this is 3.10.\n"


def test_an_older_python_can_read_what_says_so():
    for name in ("app.py", "modelcraft/__init__.py"):
        ast.parse((ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 8))
    page = (ROOT / "app.py").read_text()
    first = re.search(r"^from modelcraft\.support\.surroundings", page, re.MULTILINE)
    assert first.start() < page.index("\nimport torch") < page.index("modelcraft.ui")


@pytest.mark.parametrize(("space", "trusted"), [("ana/space", True), ("", False)])
def test_on_a_space_its_proxy_says_who_asks(space, trusted):
    os.environ.update(SPACE_ID=space, GRADIO_SERVER_PORT="17861")
    os.environ.pop("FORWARDED_ALLOW_IPS", None)
    before = signal.getsignal(signal.SIGINT)
    try:
        prepare().close()
    finally:
        signal.signal(signal.SIGINT, before)  # which it changes for the app, not for whoever tests it
    assert ("10.0.0.0/8" in os.environ.get("FORWARDED_ALLOW_IPS", "")) is trusted


def test_an_option_goes_before_the_environment():
    os.environ["GRADIO_SERVER_NAME"] = "127.0.0.2"
    take_options(["--port", "8000"])
    assert address() == ("127.0.0.2", 8000)
    take_options(["--address", "127.0.0.3", "--model", "bigram"])
    assert address() == ("127.0.0.3", 8000)
    assert os.environ["MODELCRAFT_MODEL"] == "bigram"


def test_help_names_every_option_and_its_variable(capsys):
    with pytest.raises(SystemExit) as ended:
        take_options(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    for name, (variable, _, what) in OPTIONS.items():
        assert f"--{name} " in said and f"{what} ({variable})" in said
    assert "?projector=1" in said
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{variable}`" in readme for variable, _, _ in OPTIONS.values())


def test_what_is_no_option_ends_the_app_with_a_sentence(capsys):
    with pytest.raises(SystemExit) as ended:
        take_options(["--prot", "8000"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(": error: unrecognized arguments: --prot 8000\n")
