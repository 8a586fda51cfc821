"""The models of the app: the bundled ones at once, those from the Hub once they have arrived and are valid."""

import logging
import math
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelcraft.inference.engine import Engine
from modelcraft.ladder import DEFAULT_RUNG, RUNGS
from modelcraft.model import LanguageModel
from modelcraft.store.folder import CONFIG_FILE, WEIGHTS_DIR, ModelInfo, load_folder, read_info
from modelcraft.support.device import pick_device
from modelcraft.support.errors import CheckpointError, ConfigError, ModelCraftError, is_plain
from modelcraft.tokenizer import CharTokenizer

ON_ITS_WAY = "on its way"
NO_NAME_FOR_VISITORS = "it is no name of a repository."
NO_NAME = "write user/name or user/name@revision there; a token belongs into HF_TOKEN, and an address nowhere."
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A model that is ready to generate, the engine that serves many with it, and the source of its weights."""

    model: LanguageModel
    tokenizer: CharTokenizer
    info: ModelInfo
    source: str  # "bundled", or "user/repo@abc1234"
    own: str = ""  # for a model that a visitor trained: the secret name that requests use
    called: str = ""  # and the name shown on the page
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "engine", Engine(self.model))

    @property
    def name(self) -> str:
        """The name that requests use: the rung's, unless the model is a visitor's own."""
        return self.own or self.info.rung

    @property
    def title(self) -> str:
        """The name shown on the page."""
        return self.called or self.info.rung


@dataclass(frozen=True)
class Figures:
    """What the app can say about a model without loading it."""

    name: str
    adds: str
    parameters: int | None = None  # None: its folder is damaged
    loss: float | None = None  # nats per character; None: not measured


class Catalogue:
    """The rungs of the app by name; it loads bundled weights on first use, and weights from the Hub replace them.

    Any thread may call any method.
    """

    def __init__(self, device: str | None = None, weights: Path = WEIGHTS_DIR) -> None:
        self.device = pick_device(device)
        self._weights = weights
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._figures: dict[str, tuple[int, Figures]] = {}  # rung → time its config was written, and its figures
        self._pulled: dict[str, int] = {}  # rung → the index in `_repos` of the repository that runs
        self._repos: list[str] = []
        self._states: dict[str, str] = {}  # repository → its state
        if (wanted := os.environ.get("MODELCRAFT_MODEL")) and wanted not in RUNGS:
            log.warning("MODELCRAFT_MODEL is %r, which is no rung; the rungs are %s.", wanted, ", ".join(RUNGS))

    @property
    def names(self) -> list[str]:
        """The rungs that requests can name, in the order of the ladder."""
        return [n for n in RUNGS if n in self._entries or (self._weights / n / CONFIG_FILE).exists()]

    @property
    def default(self) -> str:
        """The rung that a visitor sees first: MODELCRAFT_MODEL, if it is there."""
        names = self.names
        if (wanted := os.environ.get("MODELCRAFT_MODEL")) in names:
            return str(wanted)
        return DEFAULT_RUNG if DEFAULT_RUNG in names or not names else names[0]

    def get(self, name: str | None = None) -> Entry:
        """Return the model `name`; raise ConfigError if there is none, CheckpointError if it cannot be read."""
        name = name or self.default
        self.check(name)
        if entry := self._entries.get(name):  # no lock: at once, even while another model loads
            return entry
        with self._lock:
            if name not in self._entries:
                self._entries[name] = self._load(self._weights / name, "bundled")
            return self._entries[name]

    def loaded(self, name: str | None = None) -> Entry | None:
        """Return the model `name` at once if it is already loaded, else None."""
        return self._entries.get(name or self.default)

    def check(self, name: Any) -> None:
        """Raise ConfigError unless there is a model with that name."""
        if name not in self.names:
            if not self.names:
                raise ConfigError("No model is installed, so train one first.", "There is no model here yet.")
            asked = f" {name!r}" if re.fullmatch(r"[\w.-]{1,40}", str(name)) else " of that name"  # it may be markup
            raise ConfigError(f"There is no model{asked}; there are {', '.join(self.names)}.")

    def figures(self, name: str) -> Figures:
        """Return the figures of one of `names`: from the loaded model, else from its `config.json` alone."""
        adds = RUNGS[name].adds
        if entry := self._entries.get(name):
            return Figures(name, adds, entry.model.num_parameters, entry.info.validation_loss)
        folder = self._weights / name
        try:
            written = (folder / CONFIG_FILE).stat().st_mtime_ns
            if self._figures.get(name, (None,))[0] != written:
                info = read_info(folder)
                self._figures[name] = written, Figures(name, adds, info.parameters, info.validation_loss)
            return self._figures[name][1]
        except (CheckpointError, OSError):  # a request for the model reports the error
            return Figures(name, adds)

    def _load(self, folder: Path, source: str) -> Entry:
        try:
            return Entry(*load_folder(folder, self.device), source)
        except CheckpointError as error:  # visitors read another sentence; this one is for the app's owner
            log.warning("%s", error)
            raise

    def pull(self, repos: Sequence[str], wait: bool = False) -> None:
        """Fetch each `user/repo[@revision]` in parallel in the background; of two for one rung, the later one counts.

        If a repository cannot be loaded, the running model stays; `states` says why. An entry that may hold a secret is
        not requested, and messages name it by its place in `repos`.
        """
        names = [repo if is_plain(repo) else place_of(place) for place, repo in enumerate(repos, 1)]
        self._states = dict.fromkeys(names, ON_ITS_WAY)
        for name in names:
            if name not in repos:
                self._refuse(name, NO_NAME, NO_NAME_FOR_VISITORS)
        self._repos = [name for name in self._states if name in repos]
        # Daemon threads, because a Hub that never answers must not keep the app from exiting.
        threads = [
            threading.Thread(target=self._pull_one, args=(place, repo), name=f"pull {repo}", daemon=True)
            for place, repo in enumerate(self._repos)
        ]
        for thread in threads:
            thread.start()
        if wait:
            for thread in threads:
                thread.join()

    def _pull_one(self, place: int, repo: str) -> None:
        repo_id, _, revision = repo.partition("@")
        try:
            from modelcraft.store import hub_client

            folder = hub_client.pull(repo_id, revision or None)
            entry = self._load(folder, f"{repo_id}@{folder.name[:7]}")
        except ModelCraftError as error:
            self._refuse(repo, str(error), error.for_visitors)
            return
        except Exception:  # on any error the page continues with the bundled weights and says so
            log.exception("%s", repo)
            self._refuse(repo, "it could not be loaded; the bundled weights run instead.")
            return
        with self._lock:
            if place > self._pulled.get(entry.name, -1):
                if (earlier := self._pulled.get(entry.name)) is not None:
                    self._refuse(self._repos[earlier], f"{repo} is named later for the same rung")
                self._pulled[entry.name] = place
                self._entries[entry.name] = entry
                self._states[repo] = f"runs as {entry.name}"
            else:
                winner = self._repos[self._pulled[entry.name]]
                self._refuse(repo, f"{winner} is named later for the same rung")

    def _refuse(self, repo: str, why: str, for_visitors: str | None = None) -> None:
        self._states[repo] = f"not used: {for_visitors or why}"
        log.warning("%s is not used: %s", repo, why)

    @property
    def pulling(self) -> bool:
        """Whether a repository is still being fetched."""
        return ON_ITS_WAY in self._states.values()

    @property
    def states(self) -> dict[str, str]:
        """The state of each requested repository."""
        return dict(self._states)

    def describe(self) -> dict[str, Any]:
        """Return every rung with its figures and the source of its weights, and the state of every repository."""
        models: list[dict[str, Any]] = []
        for name in self.names:
            try:
                entry = self.get(name)
            except ModelCraftError as error:
                models.append({"name": name, "adds": RUNGS[name].adds, "problem": error.for_visitors})
                continue
            models.append(
                {
                    "name": name,
                    "adds": RUNGS[name].adds,
                    "parameters": entry.model.num_parameters,
                    "context": entry.model.block_size,
                    "validation_loss": entry.info.validation_loss,
                    "bits_per_character": loss / math.log(2) if (loss := entry.info.validation_loss) else None,
                    "corpus": str(entry.info.corpus.get("name"))[:100],
                    "weights": entry.source,
                    "device": str(entry.model.device),
                }
            )
        return {"default": self.default, "models": models, "hub": self.states}


def place_of(place: int) -> str:
    """Return a name for an entry of MODELCRAFT_HUB_REPOS whose text must not be shown."""
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"the {place}{ending} entry of MODELCRAFT_HUB_REPOS"
