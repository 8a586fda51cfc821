"""Claim the folder that a training writes into: check that it may, and keep other trainings out."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from modelcraft.store.folder import CONFIG_FILE, STATE_FILE
from modelcraft.support.errors import TrainingError
from modelcraft.support.files import PART

LOCK_FILE = ".lock"  # in the folder: its parent may be on another disk or not writable
NOBODYS = {LOCK_FILE, ".DS_Store", ".gitkeep", ".gitignore", "Thumbs.db", "desktop.ini", "lost+found"}


@contextlib.contextmanager
def claimed(folder: Path, resume: bool) -> Iterator[Path | None]:
    """Reserve `folder` for one training while the block runs; yield the new place of an earlier run, if one moved.

    Nothing is overwritten: unless `resume` is set, an earlier run moves as a whole to the next free number. A symlink
    stays a symlink, and its target moves. Raises TrainingError.
    """
    name, folder = str(folder), folder.resolve()  # `.` and `..` have no name
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{name!r} is a file; name a folder with --out.")
    _check_is_ours(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"The folder {name!r} cannot be made ({error.strerror}); name another with --out."
        ) from error
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(FileLock(folder / LOCK_FILE, timeout=0))
            earlier = None if resume else _move_aside(folder, name)
            if earlier is not None:  # the lock moved with it
                folder.mkdir(exist_ok=True)
                held.enter_context(FileLock(folder / LOCK_FILE, timeout=0))
                (earlier / LOCK_FILE).unlink(missing_ok=True)
        except Timeout:
            raise TrainingError(
                f"Another training is running in {name!r}; wait for it, or name another folder with --out."
            ) from None
        try:
            yield earlier
        finally:
            with contextlib.suppress(OSError):
                (folder / LOCK_FILE).unlink()  # while it is held: a waiting process sees that it is gone, and makes one


def _is_nobodys(path: Path) -> bool:
    """Say whether a file belongs to the system, or is left over from a killed writer."""
    return path.suffix == PART or (path.name in NOBODYS and not path.is_symlink())


def _check_is_ours(folder: Path, name: str) -> None:
    """Refuse a folder that holds anything but a training or a model, because it would be moved aside."""
    inside = list(folder.iterdir()) if folder.is_dir() else []
    ours = any((folder / file).exists() for file in (STATE_FILE, CONFIG_FILE)) or all(map(_is_nobodys, inside))
    if not ours or Path.cwd().is_relative_to(folder):
        raise TrainingError(f"{name!r} holds other things than a training; name another folder with --out.")


def _move_aside(folder: Path, name: str) -> Path | None:
    if all(map(_is_nobodys, folder.iterdir())):
        return None
    number = 1
    while (earlier := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    try:
        return folder.rename(earlier)
    except OSError as error:  # a mount point, or a parent that is not writable
        raise TrainingError(
            f"The earlier run in {name!r} cannot be moved aside ({error.strerror}); go on with it with --resume, or "
            "name another folder with --out, such as one in there."
        ) from error
