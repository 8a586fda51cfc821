"""All commands under one name: `python -m modelcraft COMMAND`, and installed `gptcraft COMMAND`."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelcraft.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[1]


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelcraft", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name):
    asked = call(name, "--help")
    assert asked.returncode == 0, asked.stderr
    assert ("usage: app.py" if name == "app" else f"Usage: gptcraft {name}") in asked.stdout
    assert asked.stdout.split("\n\n")[1].strip()


def test_it_does_what_the_module_does():
    options = ("--model", "bigram", "--prompt", "ROMEO:", "--length", "40", "--seed", "1")
    module = [sys.executable, "-m", "modelcraft.generate", *options]
    alone = subprocess.run(module, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True)
    assert call("generate", *options).stdout == alone.stdout
    assert len(alone.stdout) == len("ROMEO:") + 40 + 1


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("--help",), 0), (("help",), 0)])
def test_without_a_command_it_names_them(arguments, code):
    asked = call(*arguments)
    assert asked.returncode == code
    assert all(f"  {name} " in asked.stdout for name in COMMANDS)


def test_a_pipe_of_a_western_encoding_takes_the_names(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert call("--help").returncode == 0


def test_an_unknown_command_is_one_sentence():
    asked = call("trian")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr == "There is no command 'trian'; take one of " + ", ".join(COMMANDS) + ".\n"


def test_the_app_says_why_it_cannot_start(monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_PORT", "none")
    asked = call("app")
    assert asked.returncode != 0
    assert asked.stderr == "GRADIO_SERVER_PORT must be a number from 1 to 65535, not 'none'.\n"
