import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from modelcraft.support.files import replacing, write_text

ROOT = Path(__file__).resolve().parents[2]
HALF_WAY = """
import sys, time
from pathlib import Path
from modelcraft.support.files import replacing
with replacing(Path(sys.argv[1])) as aside, aside.open("w") as file:
    file.write("new" * 1000)
    file.flush()
    print("writing", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    return path


def test_a_file_is_replaced(path):
    with replacing(path) as aside:
        assert aside.parent == path.parent  # a rename within one folder is one step
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["file.txt"]  # noqa: PTH208
    assert path.stat().st_mode & 0o777 == 0o644


def test_folders_are_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "text")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "text"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(path, error):
    with pytest.raises(error), replacing(path) as aside:
        aside.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_no_file_where_there_was_none(tmp_path):
    with pytest.raises(ValueError), replacing(tmp_path / "file.txt"):
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_a_rename_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_text(tmp_path / "folder", "a folder stands in the way")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_two_writers_of_one_file_do_not_meet(path):
    with replacing(path) as one, replacing(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the one that ended last
    assert list(path.parent.iterdir()) == [path]


def test_what_was_written_is_on_the_disk_before_it_counts(path, monkeypatch):
    """The order is: write, flush to the disk, rename."""
    done = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(("fsync", os.fstat(fd).st_size)), fsync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (done.append(("replace", to)), replace(self, to))[1])
    write_text(path, "12345")
    assert done[:2] == [("fsync", 5), ("replace", path)]


def test_text_is_written_as_it_is(path):
    write_text(path, "é\n\r\n\t€\n")
    assert path.read_bytes() == "é\n\r\n\t€\n".encode()


def test_a_killed_writer_leaves_the_old_file(path):
    writer = subprocess.Popen([sys.executable, "-c", HALF_WAY, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout.readline() == "writing\n"
        assert any(p.stat().st_size == 3_000 for p in path.parent.iterdir())  # it is in the middle of it
    finally:
        writer.kill()
        writer.communicate()
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"


@pytest.fixture
def windows(monkeypatch):
    """Windows in what counts here: only a handle that may write can be flushed, and a folder cannot be opened."""
    fsync, flushed = os.fsync, []

    def strict(handle):
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flushed.append(handle)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", strict)
    monkeypatch.delattr(os, "O_DIRECTORY")
    return flushed


@pytest.mark.cases
def test_files_are_written_where_only_a_writing_handle_can_be_flushed(path, windows):
    write_text(path, "new")
    assert path.read_text() == "new"
    assert len(windows) == 1  # and flushed it was


@pytest.mark.cases
def test_a_folder_that_cannot_be_flushed_costs_nothing(path, monkeypatch):
    fsync = os.fsync

    def refuses_folders(handle):
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_DIRECTORY:
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuses_folders)
    write_text(path, "new")
    assert path.read_text() == "new"


@pytest.mark.cases
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_weights_have_the_mode_that_the_umask_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "model.safetensors") as aside:
            save_file({"weight": torch.zeros(3)}, aside)
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask
