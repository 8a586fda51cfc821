"""Put a folder on a Space of the Hugging Face Hub, in one commit."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, cast

from huggingface_hub import HfApi, RepoCard, SpaceHardware, SpaceStage, get_token

from modelcraft.store.folder import TENSORBOARD_DIR
from modelcraft.store.hub_client import SIGN_IN, check_login, check_repo_id, in_one_sentence
from modelcraft.support.errors import HubError
from modelcraft.support.files import HOME, PACKAGE

SDK = Literal["gradio", "static"]
# What a Space needs beside the package; other things, such as tests, stay here.
APP = ("app.py", "README.md", "LICENSE", "pyproject.toml", "requirements.txt", "docs", "weights")
THUMBNAIL = "docs/chat-wide-light.png"
STARTS_WITHIN_S = 1_800.0  # a build installs PyTorch
OURS = {"modelcraft/__init__.py", "gpt.js"}  # what only our app and our page have
FRESH = {".gitattributes", "README.md", "style.css", "index.html"}  # what the Hub itself may put there


@contextlib.contextmanager
def app_folder(space: str, model: str) -> Iterator[Path]:
    """Yield a folder with all that a Space needs of the app; its README names `model`, if any, and has a thumbnail."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        without = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "bundled", TENSORBOARD_DIR)
        for source in (*(HOME / name for name in APP), PACKAGE):
            if source.is_dir():
                shutil.copytree(source, folder / source.name, ignore=without)
            else:
                shutil.copy(source, folder)
        card = RepoCard.load(folder / "README.md", ignore_metadata_errors=True)
        card.data.models = [model.partition("@")[0]] if model else None
        card.data.thumbnail = f"{HfApi().endpoint}/spaces/{space}/resolve/main/{THUMBNAIL}"
        card.save(folder / "README.md")
        yield folder


def deploy(
    space: str,
    folder: Path,
    sdk: SDK,
    variables: Mapping[str, str],
    hardware: str | None = None,
    private: bool = False,
    replace: bool = False,
    wait_s: float = STARTS_WITHIN_S,
) -> tuple[str, bool]:
    """Upload the files of `folder`; return the Space's address, and whether it changed.

    The Space is made if it is missing, and its variables are set; what is as it should be is left alone. Waits until
    the Space runs. Raises HubError, also for a Space that holds something else, unless `replace` is set.
    """
    check_repo_id(space)
    if lacking := check_login():
        raise HubError(lacking, SIGN_IN)
    wanted = [{"key": key, "value": value} for key, value in variables.items()]
    with in_one_sentence(space, None):
        api = HfApi(token=get_token())
        api.create_repo(
            space,
            repo_type="space",
            space_sdk=sdk,
            space_hardware=cast(SpaceHardware | None, hardware),
            space_variables=wanted or None,
            private=private or None,
            exist_ok=True,
        )
        there = api.space_info(space)
        if private and not there.private:
            raise HubError(f"{space} is public already; make it private in its settings, or take another.")
        files = {file.rfilename for file in there.siblings or ()}
        if not replace and not files & OURS and files - FRESH:
            raise HubError(f"{space} holds something else; say that it is to be replaced (--replace), or take another.")
        before = there.sha
        changed = False
        known = api.get_space_variables(space) if variables else {}
        for key, value in variables.items():
            if key not in known or known[key].value != value:
                api.add_space_variable(space, key, value)
                changed = True
        commit = api.upload_folder(
            repo_id=space,
            repo_type="space",
            folder_path=folder,
            commit_message="ModelCraft",
        )
        changed = changed or commit.oid != before
        try:
            stage = api.wait_for_space(space, timeout=wait_s).stage
        except TimeoutError:
            stage = SpaceStage.BUILDING
    address = f"{api.endpoint}/spaces/{space}"
    if stage == SpaceStage.BUILDING:
        raise HubError(f"{space} is uploaded and still being built; look at {address} in some minutes.")
    if stage not in (SpaceStage.RUNNING, SpaceStage.PAUSED):
        raise HubError(f"{space} is uploaded but does not run ({stage}); look at its logs at {address}.")
    return address, changed
