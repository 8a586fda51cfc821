"""Push a model folder to the Hugging Face Hub, and pull it back.

`python -m modelcraft.hub push FOLDER USER/REPO`. The client retries temporary failures; a final
failure is a HubError: one sentence that never contains a token.
"""

import contextlib
import functools
import json
import logging
import re
import shlex
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import Future
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Literal

from huggingface_hub import CommitOperationAdd, HfApi, get_token, hf_hub_download, set_client_factory
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    OIDCError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
    XetDownloadError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # it exports them lazily
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
    httpx,
    validate_repo_id,
)
from huggingface_hub.utils._http import default_client_factory

from modelcraft.ladder import rung_named
from modelcraft.model import LanguageModel
from modelcraft.store.card import model_card, write_sample
from modelcraft.store.folder import (
    CARD_FILE,
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    PICTURE_FILE,
    WEIGHTS_FILE,
    ModelInfo,
    is_gpt,
    load_folder,
    read_info,
    save_folder,
)
from modelcraft.support.errors import TOKEN, CheckpointError, HubError, ModelCraftError, is_plain

Over = Literal["nothing", "model", "anything"]
REPLACE = "say that it is to be replaced (--replace; on the page the box beside the name)"
SIGN_IN = "Your login at the Hugging Face Hub is not valid; sign in again."
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
MAX_PULL_SECONDS = 600.0
COMMIT = re.compile("[0-9a-f]{40}")
# Headers that the client turns into file names, in the form that the Hub writes.
NAMES: Mapping[str, re.Pattern[str]] = {
    "X-Repo-Commit": COMMIT,
    **dict.fromkeys(("ETag", "X-Linked-Etag", "X-Xet-Hash"), re.compile(r'(W/)?"?[\w-]+"?')),
}
HEADER_BYTES = 1 << 20  # the header of a weights file may take this much beside the numbers


def push(
    folder: Path | str,
    repo_id: str,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
    later: str = "",
    over: Over = "model",
    snippets: bool = True,
) -> str:
    """Upload a model folder in one commit, and return its address.

    The repository and the branch `revision` are made if they are missing. `over` says what may already be there:
    "nothing", a "model" of ModelCraft, or "anything". Without `snippets` the lines of the training text stay here that
    the config has to begin texts with. The card is written anew, because it says how to load the model
    from the Hub; nothing in `folder` changes. Raises CheckpointError if `folder` holds no sound model, and HubError,
    which names the command that pushes later; visitors read `later` instead.
    """
    folder = Path(folder)
    check_repo_id(repo_id, revision)
    model, tokenizer, info = load_folder(folder, "cpu")
    if not snippets:
        info.corpus.pop("snippets", None)
    picture = folder / PICTURE_FILE
    card = model_card(
        info, model.num_parameters, write_sample(model, tokenizer), repo_id, picture.is_file(), is_gpt(info)
    )
    files = _files(folder, model, info)
    command = ["python", "-m", "modelcraft.hub", "push", str(folder), repo_id]
    command += ["--private"] if private else []
    command += ["--revision", revision] if revision else []
    command += [] if snippets else ["--no-snippets"]
    safe = f" The weights are safe in {folder}; push them later with `{shlex.join(command)}`."
    if lacking := check_login(token):
        raise HubError(lacking + safe, SIGN_IN + later)
    with in_one_sentence(repo_id, revision, safe, later):
        api = HfApi(token=token or get_token())
        try:
            api.create_repo(repo_id, private=private or None, exist_ok=over != "nothing")
        except HfHubHTTPError as error:
            if over == "nothing" and error.response.status_code == HTTPStatus.CONFLICT:
                there_already = f"{repo_id} exists already; {REPLACE}, or take another name."
                raise HubError(there_already + safe, there_already + later) from error
            raise
        there = api.model_info(repo_id)
        # An existing repository keeps its visibility: a private model must not become public.
        if private and not there.private:
            public = f"{repo_id} is public already; make it private in its settings, or take another."
            raise HubError(public + safe, public + later)
        if over == "model" and not _is_ours(api, repo_id, {file.rfilename for file in there.siblings or ()}):
            theirs = f"{repo_id} holds something that is no model of ModelCraft; {REPLACE}."
            raise HubError(theirs + safe, theirs + later)
        if revision:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        commit = api.create_commit(
            repo_id,
            [CommitOperationAdd(name, content) for name, content in {**files, CARD_FILE: card.encode()}.items()],
            commit_message=f"ModelCraft {info.rung}",
            revision=revision,
        )
    return f"{api.endpoint}/{repo_id}/tree/{revision or commit.oid}"


def _files(folder: Path, model: LanguageModel, info: ModelInfo) -> dict[str, bytes]:
    """Return the files to upload, by their names, without the card; a GPT's are those of transformers, too."""
    there = [CONFIG_FILE, WEIGHTS_FILE, PICTURE_FILE]
    files = {name: (folder / name).read_bytes() for name in there if (folder / name).is_file()}
    if is_gpt(info):
        with tempfile.TemporaryDirectory() as aside:
            save_folder(Path(aside), model, info, None, rung_named(info.rung).stored_as, for_transformers=True)
            files |= {path.name: path.read_bytes() for path in Path(aside).iterdir()}
    elif (described := json.loads(files[CONFIG_FILE]))["corpus"] != info.corpus:  # without its snippets
        files[CONFIG_FILE] = (
            json.dumps(described | {"corpus": info.corpus}, indent=2, ensure_ascii=False) + "\n"
        ).encode()
    return files


def _is_ours(api: HfApi, repo_id: str, files: Set[str]) -> bool:
    """Say whether a repository is empty or holds a model of ModelCraft, of any version."""
    if not files - {".gitattributes"}:
        return True
    if CONFIG_FILE not in files:
        return False
    with tempfile.TemporaryDirectory() as folder:  # not in the cache: the repository may be a visitor's private one
        path = Path(hf_hub_download(repo_id, CONFIG_FILE, token=api.token, local_dir=folder))
        try:
            described = json.loads(path.read_bytes()[:MAX_CONFIG_BYTES])
        except ValueError:
            return False
    return isinstance(described, dict) and str(described.get("format")).startswith("modelcraft-")


def pull(
    repo_id: str, revision: str | None = None, token: str | None = None, seconds: float = MAX_PULL_SECONDS
) -> Path:
    """Download the files of a model at `revision` (a branch, a tag, a commit); return their folder.

    Files in the Hub's cache are not fetched again and need no network. The config is checked before the weights are
    fetched, and the model is loaded strictly before this returns. Raises HubError, also if it takes more than
    `seconds`.
    """
    check_repo_id(repo_id, revision)
    done: Future[Path] = Future()

    def work() -> None:
        try:
            done.set_result(_pull(repo_id, revision, token))
        except BaseException as error:
            done.set_exception(error)

    # The client's timeouts do not end an answer that trickles in. A daemon: the program may end before the answer.
    threading.Thread(target=work, name=f"pull {repo_id}", daemon=True).start()
    try:
        return done.result(seconds)
    except TimeoutError as error:
        wrong, fix = TOO_SLOW
        raise HubError(f"{wrong}; {fix}.", f"{wrong}.") from error


def _pull(repo_id: str, revision: str | None, token: str | None) -> Path:
    with in_one_sentence(repo_id, revision):
        if malformed := _malformed(token or get_token()):
            raise HubError(malformed, SIGN_IN)
        # One commit for all files, whatever is pushed meanwhile.
        commit = HfApi(token=token).resolve_revision(repo_id, revision=revision)
        if not COMMIT.fullmatch(commit.resolved):
            raise ValueError("no commit")

        def fetch(name: str, most: int) -> Path:
            # Check the size before fetching a byte of the file.
            stored = hf_hub_download(repo_id, name, revision=commit, token=token, dry_run=True).file_size
            if stored is not None and stored > most:
                raise HubError(f"{repo_id} has a {name} of {stored:,} bytes; {most:,} is the most that is sound.")
            return Path(hf_hub_download(repo_id, name, revision=commit, token=token))

        folder = fetch(CONFIG_FILE, MAX_CONFIG_BYTES).parent
        try:
            fetch(WEIGHTS_FILE, _weight_bytes(read_info(folder)) + HEADER_BYTES)
            with contextlib.suppress(EntryNotFoundError):  # a model does not need a card
                fetch(CARD_FILE, MAX_CONFIG_BYTES)
            load_folder(folder, "cpu")
        except CheckpointError as error:
            reason = str(error).removesuffix(".").removesuffix("; get the model again")
            raise HubError(
                f"{repo_id} cannot be loaded as a model ({reason}); pull another revision of it.",
                f"{repo_id} cannot be loaded as a model.",
            ) from error
    return folder


def check_login(token: str | None = None) -> str | None:
    """Return None if there is a token, else the sentence that says how to get one; ask only this machine."""
    try:
        token = token or get_token()
    except (OIDCError, OSError, ValueError):
        return f"The login of this machine cannot be read; {LOG_IN}."
    return _malformed(token) if token else f"You are not logged in to the Hugging Face Hub; {LOG_IN}."


def check_repo_id(repo_id: str, revision: str | None = None) -> None:
    """Raise HubError unless `repo_id` is a valid name, `user/name`, and neither argument holds a token."""
    if TOKEN in f"{repo_id}@{revision}":
        raise HubError(
            f"What begins like a token does not belong into the name of a repository; write user/name, and {LOG_IN}."
        )
    try:
        validate_repo_id(repo_id)
        valid = repo_id.count("/") == 1
    except HFValidationError:
        valid = False
    if not valid:
        named = repr(repo_id) if is_plain(repo_id) else "What was given"
        raise HubError(f"{named} is no name of a Hub repository; write user/name, of letters, digits, '-', '_', '.'.")


def _malformed(token: str | None) -> str | None:
    # Such a token would fail deep in the transport, and the message there would quote it.
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        return f"The token has characters that no token has, such as a space; {LOG_IN}."
    return None


def _weight_bytes(info: ModelInfo) -> int:
    tensors = rung_named(info.rung).build(info.config, device="meta").state_dict().values()
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _Quiet:
    """Keeps the client's retry log, and its progress bars outside a terminal, off stderr while a block is active.

    Several pulls may run at once: the last one that leaves restores everything.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside, self._level, self._hide_bars = 0, 0, False

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                log = logging.getLogger("huggingface_hub")
                self._level = log.level
                self._hide_bars = not (sys.stderr.isatty() or are_progress_bars_disabled())
                log.setLevel(logging.ERROR)
                if self._hide_bars:
                    disable_progress_bars()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                logging.getLogger("huggingface_hub").setLevel(self._level)
                if self._hide_bars:
                    enable_progress_bars()


_QUIET = _Quiet()


@functools.cache
def _distrust() -> None:
    """Check, from now on, what the client turns into file names: a Hub may name any file on this disk."""

    def client() -> httpx.Client:
        checked = default_client_factory()
        checked.event_hooks = {**checked.event_hooks, "response": [_check_names]}
        return checked

    set_client_factory(client)


def _check_names(response: httpx.Response) -> None:
    if response.request.method != "HEAD":  # the client takes no file name from other answers
        return
    unused = {"ETag"} if "X-Linked-Etag" in response.headers else set()
    if response.is_error:  # the client notes a missing file under its commit
        unused = NAMES.keys() - {"X-Repo-Commit"}
    for header in NAMES.keys() - unused:
        if not NAMES[header].fullmatch(response.headers.get(header, "a" * 40)):
            raise ValueError(f"the {header} is none")


@contextlib.contextmanager
def in_one_sentence(repo_id: str, revision: str | None, ending: str = "", for_visitors: str = "") -> Iterator[None]:
    """Turn any error of the client into a HubError: what went wrong, what to do, and an ending.

    Visitors read what went wrong and an ending of their own, because only the owner can follow the advice.
    """
    try:
        _distrust()
        with _QUIET:
            yield
    except ModelCraftError:
        raise
    except tuple(error for error, *_ in _SENTENCES) as error:
        wrong, fix = _sentence(_cause(error), repo_id, revision)
        raise HubError(f"{wrong}; {fix}.{ending}", f"{wrong}.{for_visitors}") from error


def _cause(error: BaseException) -> BaseException:
    """Return the answer or the broken connection behind "not found" and "error while uploading"."""
    telling = (HfHubHTTPError, httpx.HTTPError, OfflineModeIsEnabled)
    while not isinstance(error, telling) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _sentence(error: BaseException, repo_id: str, revision: str | None) -> tuple[str, str]:
    """Say what went wrong and what to do, without quoting the error, which may be long or hold a secret."""
    sentence = next(((wrong, fix) for kind, wrong, fix in _SENTENCES if isinstance(error, kind)), BROKE_OFF)
    status, file, reason = 0, "", getattr(error, "strerror", None)
    if isinstance(error, HfHubHTTPError):
        status, file = error.response.status_code, PurePosixPath(error.response.request.url.path).name
        if type(error) is HfHubHTTPError:
            sentence = _STATUSES.get(status, HUB_DOWN if status >= 500 else sentence)
    elif isinstance(error, OSError) and reason and not isinstance(error, EntryNotFoundError):
        sentence = NO_FILE
    filled = {"repo": repo_id, "revision": revision or "main", "file": file, "status": status, "reason": reason}
    return sentence[0].format(**filled), sentence[1].format(**filled)


BROKE_OFF = ("The connection to the Hugging Face Hub broke off", "check the network and try again")
TOO_SLOW = ("The Hugging Face Hub did not answer in time", "try again later")
HUB_DOWN = ("The Hugging Face Hub has a problem of its own ({status})", "try again later")
NO_FILE = ("A file cannot be read or written here ({reason})", "check the disk and the cache in HF_HOME")
_STATUSES = {
    401: ("The Hugging Face Hub rejects the token", "log in again with `hf auth login`, or correct HF_TOKEN"),
    403: ("The token gives no access to {repo}", "take one that does, with `hf auth login` or HF_TOKEN"),
    408: TOO_SLOW,
    429: ("The Hugging Face Hub has had too many requests from here", "try again in some minutes"),
}
_SENTENCES: tuple[tuple[type[BaseException], str, str], ...] = (  # the first match counts
    (OfflineModeIsEnabled, "HF_HUB_OFFLINE is set, and {repo} is not in the cache", "unset it and try again"),
    (GatedRepoError, "{repo} is gated", "ask for access on its page, with the account you are logged in to"),
    (DisabledRepoError, "{repo} has been disabled on the Hub", "use another repository"),
    (
        RepositoryNotFoundError,
        "There is no {repo} on the Hub, or it is private and not yours",
        f"check the name, or {LOG_IN}",
    ),
    (RevisionNotFoundError, "{repo} has no revision {revision!r}", "name a branch, a tag or a commit of it"),
    (RemoteEntryNotFoundError, "{repo} has no {file}, so it is no model of ModelCraft", "check the name"),
    (HfHubHTTPError, "The Hugging Face Hub refused the request ({status})", "look at the page of {repo} there"),
    (httpx.TimeoutException, *TOO_SLOW),
    (httpx.ConnectError, "The Hugging Face Hub cannot be reached", "check the network and HF_ENDPOINT"),
    (httpx.ProxyError, "The Hugging Face Hub cannot be reached through the proxy", "check HTTPS_PROXY"),
    (httpx.HTTPError, *BROKE_OFF),
    (EntryNotFoundError, "{repo} is not in the cache", "check the network and try again"),
    (RevisionResolutionError, "{repo} is not in the cache", "check the network and try again"),
    (OIDCError, "The keyless login of this machine failed", LOG_IN),
    *[
        (kind, "The Hugging Face Hub gave an answer that makes no sense", "try again later")
        for kind in (FileMetadataError, ValueError, AssertionError, LookupError, TypeError, AttributeError)
    ],
    (OSError, *BROKE_OFF),
    (RuntimeError, *BROKE_OFF),
    (XetDownloadError, *BROKE_OFF),
)
