"""Show a training elsewhere while it runs: `python -m modelcraft.train --track tensorboard`, or trackio.

A tracker gets the records of `metrics.jsonl`, each step once, however often the run is resumed. It is a guest: its
package is imported only if it is asked for, and if it fails, the training goes on without it.
"""

import contextlib
import importlib.util
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from modelcraft.store.folder import TENSORBOARD_DIR
from modelcraft.support.errors import ConfigError, ModelCraftWarning, one_line, shown
from modelcraft.training.trainer import METRICS_FILE

Record = Mapping[str, float]
PROJECT = "modelcraft"


class TensorBoard:
    """Event files in the folder of the run; its clock shows the seconds of work, so that pauses leave no gaps."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], resumed: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # A second start from step 0 lets TensorBoard forget what it had: a resumed run writes it anew.
        self._writer = SummaryWriter(str(folder / TENSORBOARD_DIR), purge_step=0)
        self._writer.add_text("settings", f"```json\n{json.dumps(settings, indent=2)}\n```")
        self._begun: float | None = None

    def log(self, record: Record) -> None:
        """Write a scalar for each entry, and flush: a killed run must not lose them."""
        if self._begun is None:
            self._begun = time.time() - record["seconds"]
        for name in record.keys() - {"step"}:
            self._writer.add_scalar(name, record[name], int(record["step"]), self._begun + record["seconds"])
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class Trackio:
    """A run of trackio, named like the folder; it stays on this machine unless variables of trackio say otherwise."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], resumed: bool) -> None:
        import trackio

        self._finish: Callable[[], None] = trackio.finish
        name = folder.resolve().name
        resume = "allow" if resumed and self._is_latest(name, settings) else "never"
        self._run = trackio.init(
            PROJECT, name, config=dict(settings), resume=resume, embed=False, auto_log_gpu=False, auto_log_cpu=False
        )

    @staticmethod
    def _is_latest(name: str, settings: Mapping[str, Any]) -> bool:
        """Say whether the latest run of this name, which trackio would resume, can be this one, by its settings."""
        from trackio import Api

        try:
            then = [run.config or {} for run in Api().runs(PROJECT) if run.name == name]
        except ValueError:  # no such project on this machine; a Space may have it
            return True
        return not then or all(then[-1].get(key) == settings[key] for key in settings.keys() - {"compile"})

    def log(self, record: Record) -> None:
        """Log a record, unless its step is there: trackio takes nothing back, and a resumed run measures it again."""
        step = int(record["step"])
        if step >= self._run._next_step:  # trackio has no public name for it that also holds of a Space
            self._run.log({name: value for name, value in record.items() if name != "step"}, step)

    def close(self) -> None:
        """Wait until everything is written."""
        self._finish()


Tracker = Trackio | TensorBoard
TRACKERS: Mapping[str, type[Tracker]] = {"trackio": Trackio, "tensorboard": TensorBoard}  # by their packages' names


def check_tracker(name: str) -> None:
    """Raise ConfigError if there is no such tracker, or if its package is missing."""
    if name not in TRACKERS:
        raise ConfigError(f"--track takes {' or '.join(TRACKERS)}, not {shown(name)}.")
    if importlib.util.find_spec(name) is None:
        raise ConfigError(f"--track {name} needs a package more; install it with `pip install {name}`.")


@contextlib.contextmanager
def tracked(
    name: str | None, folder: Path, settings: Mapping[str, Any], kept: Iterable[Record] = (), resumed: bool = False
) -> Iterator[Callable[[Record], None]]:
    """Yield what gives a record to the tracker `name`, or to nobody if that is None; those `kept` so far go first.

    If the tracker fails, one ModelCraftWarning says so, and it gets nothing more; the block goes on.
    """
    tracker: Tracker | None = None

    @contextlib.contextmanager
    def spared() -> Iterator[None]:
        nonlocal tracker
        try:
            with contextlib.redirect_stdout(sys.stderr):  # trackio talks, and our output is the result of the command
                yield
        except Exception as error:  # a guest has many ways to fail, and nothing depends on it
            tracker = None
            left = f"gets nothing more ({one_line(error)}); the training goes on, and {METRICS_FILE} has everything."
            warnings.warn(f"{name} failed and {left}", ModelCraftWarning, stacklevel=4)

    def send(record: Record) -> None:
        with spared():
            if tracker:
                tracker.log(record)

    with spared():
        tracker = TRACKERS[name](folder, settings, resumed) if name else None
    try:
        for record in kept:
            send(record)
        yield send
    finally:
        with spared():
            if tracker:
                tracker.close()
