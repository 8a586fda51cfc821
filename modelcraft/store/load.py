"""Find and load a trained model by its name: a rung's bundled weights, a folder, or a repository on the Hub."""

import contextlib
import hashlib
import re
from pathlib import Path

import torch

from modelcraft.ladder import RUNGS
from modelcraft.model import LanguageModel
from modelcraft.store.folder import WEIGHTS_DIR, WEIGHTS_FILE, load_folder
from modelcraft.support.errors import CheckpointError, HubError, is_plain, shown
from modelcraft.tokenizer import CharTokenizer

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def load(
    source: str | Path, device: torch.device | str | None = None, revision: str | None = None
) -> tuple[LanguageModel, CharTokenizer]:
    """Load a trained model and its tokenizer; the model is in eval mode.

    `source` is a rung's name (its bundled weights), a model folder, or a Hub repository `user/repo[@revision]`.
    Raises CheckpointError, HubError or ConfigError.
    """
    model, tokenizer, _ = load_folder(locate(source, revision), device)
    return model, tokenizer


def locate(source: str | Path, revision: str | None = None) -> Path:
    """Return the model folder that `source` names; pull it first if it is a Hub repository."""
    if str(source) in RUNGS:
        return WEIGHTS_DIR / str(source)
    with contextlib.suppress(RuntimeError, OSError):  # the home of an unknown user, or too long a name
        path = Path(source).expanduser()
        try:
            if path.is_dir() or isinstance(source, Path):
                return path
        except PermissionError:  # reading it reports the error
            return path
    if isinstance(source, str) and HUB_NAME.fullmatch(source):
        from modelcraft.store import hub_client  # a slow import

        repo_id, _, at = source.partition("@")
        hub_client.check_repo_id(repo_id, at)
        try:
            return hub_client.pull(repo_id, revision or at or None)
        except HubError as error:
            sentence = f"There is no folder {shown(source)} here, so the Hub was asked: {error}"
            raise HubError(sentence, error.for_visitors) from error
    named = shown(str(source)) if is_plain(str(source)) else "of that name"
    raise CheckpointError(
        f"There is no model {named}; name a rung ({', '.join(RUNGS)}), a model folder, or user/repo on the Hub."
    )


def identity(source: str | Path, folder: Path) -> str:
    """Name the model that `locate` found at `folder`, with its version and without a path of this machine.

    A model from the Hub is `user/repo@commit`, any other `name@sha256:` and the hash of its weights.
    """
    if HUB_NAME.fullmatch(str(source)) and not Path(source).expanduser().is_dir():
        return f"{str(source).partition('@')[0]}@{folder.name}"  # the Hub's cache has a folder for each commit
    with (folder / WEIGHTS_FILE).open("rb") as weights:
        version = hashlib.file_digest(weights, "sha256").hexdigest()
    return f"{Path(source).name or 'folder'}@sha256:{version}"
