"""What all command lines have in common."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def call(module: str, *options: str, encoding: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    command = [sys.executable, "-m", f"modelcraft.{module}", *options]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)


@pytest.mark.cases
@pytest.mark.parametrize("encoding", ["cp437", "ascii", "cp1252:strict"])
@pytest.mark.parametrize("module", ["train", "distill", "evaluate", "generate", "export", "hub"])
def test_a_pipe_of_any_encoding_takes_the_help(module, encoding):
    shown = call(module, "--help", encoding=encoding)
    assert shown.returncode == 0, shown.stderr
    assert b"Usage" in shown.stdout


@pytest.mark.cases
def test_a_korean_model_is_trained_and_writes_into_a_pipe_of_a_western_encoding(tmp_path):
    corpus, folder = tmp_path / "안녕.txt", tmp_path / "모델"
    corpus.write_text("안녕하세요 세계\n" * 60, encoding="utf-8")
    options = ("--model", "bigram", "--steps", "2", "--corpus", str(corpus), "--out", str(folder))
    trained = call("train", *options, encoding="cp1252")
    assert trained.returncode == 0, trained.stderr
    assert b"Exact validation loss" in trained.stdout
    measured = call("evaluate", str(folder), "--corpus", str(corpus), encoding="cp1252")
    assert measured.returncode == 0, measured.stderr
    written = call("generate", "--model", str(folder), "--prompt", "안", "--length", "20", encoding="cp1252")
    assert written.returncode == 0, written.stderr
    assert b"?" in written.stdout


@pytest.mark.parametrize("line", ["To be, or not to be", "T b, r nt t b"])
def test_the_encoder_decoder_prints_the_restored_line_and_nothing_more(line):
    options = ("--model", "encoder-decoder", "--temperature", "0", "--prompt", line)
    written = call("generate", *options, encoding="utf-8")
    assert written.returncode == 0, written.stderr
    text = written.stdout.decode()
    assert text.endswith("\n") and text.count("\n") == 1
    assert "".join(c for c in text if c not in "aeiouAEIOU") == "T b, r nt t b\n"


def test_a_text_in_the_terminal_ends_before_what_was_asked_for():
    options = ("--model", "bigram", "--seed", "1", "--length", "200")
    whole = call("generate", *options, encoding="utf-8").stdout.decode().removesuffix("\n")
    stop = whole[60:62]
    stopped = call("generate", *options, "--stop", stop, encoding="utf-8").stdout.decode().removesuffix("\n")
    written = whole.removeprefix("ROMEO:")
    assert stopped == "ROMEO:" + written[: written.index(stop)]
