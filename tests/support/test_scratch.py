"""Folders that end with their process: the living keep theirs, what the dead have left is swept."""

import subprocess
import sys
import tempfile
import threading

import pytest
from helpers import assert_one_sentence

from modelcraft.support.errors import StartError
from modelcraft.support.scratch import LOCK, PREFIX, Scratch, sweep_abandoned

pytestmark = pytest.mark.cases
OWNER = """
import time
from modelcraft.support.scratch import Scratch
scratch = Scratch()
print(scratch.path, flush=True)
time.sleep(120)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # where it is remembered
    yield tmp_path
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_who_lives_keeps_its_folder_and_who_was_killed_leaves_none(folder):
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    theirs = owner.stdout.readline().strip()
    mine = Scratch()
    (mine.path / "run").mkdir()
    assert {str(path) for path in folder.iterdir()} == {theirs, str(mine.path)}
    sweep_abandoned()
    assert {str(path) for path in folder.iterdir()} == {theirs, str(mine.path)}
    owner.kill()
    owner.communicate()
    next_one = Scratch()  # whoever starts next sweeps
    assert set(folder.iterdir()) == {mine.path, next_one.path}
    closing = threading.Thread(target=mine.close)  # by whichever thread
    closing.start()
    closing.join()
    next_one.close()
    assert list(folder.iterdir()) == []


def test_folders_of_others_are_let_alone(folder):
    (folder / f"{PREFIX}of-another-program").mkdir()
    (folder / f"{PREFIX}strange" / LOCK).mkdir(parents=True)
    before = set(folder.rglob("*"))
    Scratch().close()
    assert set(folder.rglob("*")) == before


def test_without_a_place_for_it_one_sentence_says_so(monkeypatch, folder):
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nowhere"))
    with pytest.raises(StartError) as caught:
        Scratch()
    assert_one_sentence(caught.value, "No temporary folder can be made (No such file or directory)", "TMPDIR")
