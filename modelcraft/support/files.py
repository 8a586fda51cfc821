"""Files that are either whole or not there: written aside, flushed to the disk, renamed into place."""

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
INSTALLED = (PACKAGE / "bundled").is_dir()  # by pip from a wheel, not editable
HOME = PACKAGE / "bundled" if INSTALLED else PACKAGE.parent  # contains app.py, docs and weights
PART = ".part"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds, else remove it.

    A reader, or the next start after `kill -9`, sees the old file or the new one, never a part of either.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{PART}")
    try:
        aside.touch(exist_ok=False)
        mode = stat.S_IMODE(aside.stat().st_mode)  # follows the umask, while safetensors always makes it 0600
        yield aside
        aside.chmod(mode)
        with aside.open("r+b") as written:  # Windows flushes only files open for writing
            os.fsync(written.fileno())
        aside.replace(path)
        _sync_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Flush the renames in `folder` to the disk, on systems where a folder can be opened."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows
        return
    with contextlib.suppress(OSError):  # not every file system can; the file itself is safe
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def check_is_file(path: Path) -> None:
    """Raise OSError unless `path` is an ordinary file: opening a pipe would wait for its writer."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed writers left in `folder`; nobody may be writing there."""
    for left in folder.glob(f".*{PART}"):
        left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")
