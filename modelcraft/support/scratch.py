"""Temporary folders that a process locks while it lives; unlocked ones are removed."""

import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from modelcraft.support.errors import StartError

PREFIX = "modelcraft-"
LOCK = "owner.lock"


class Scratch:
    """A temporary folder at `path` for this process alone; the system frees its lock even after `kill -9`."""

    def __init__(self) -> None:
        sweep_abandoned()
        try:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            self._lock = FileLock(self.path / LOCK, timeout=0, thread_local=False)
            self._lock.acquire()
        except OSError as error:
            raise StartError(
                f"No temporary folder can be made ({error.strerror or error}); name a folder with room with TMPDIR."
            ) from error

    def close(self) -> None:
        """Remove the folder."""
        _remove(self.path, self._lock)


def sweep_abandoned() -> None:
    """Remove the folders whose owners have died."""
    for file in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        lock = FileLock(file, timeout=0)
        try:
            lock.acquire()
        except (Timeout, OSError):  # its owner is alive, or is another user
            continue
        _remove(file.parent, lock)


def _remove(folder: Path, lock: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)  # Windows cannot remove the file of a held lock


if __name__ == "__main__":
    os.chdir(tempfile.gettempdir())  # Windows cannot remove the current folder of a process
    sweep_abandoned()
