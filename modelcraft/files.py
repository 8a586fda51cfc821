"""Files that are either whole or not there: written aside, flushed to the disk, renamed into place."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

PART = ".part"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; move it there if the block succeeds, else remove it.

    A reader, or the next start after `kill -9`, sees the old file or the new one, never a part of either.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{PART}")
    try:
        aside.touch(exist_ok=False)
        yield aside
        with aside.open("r+b") as written:  # Windows flushes only what may be written to
            os.fsync(written.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what writers that were killed have left aside in `folder`; nobody may be writing there."""
    for left in folder.glob(f".*{PART}"):
        left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")
