"""From a corpus to batches: load the text, split it, cut random windows out of it."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from modelcraft.errors import CorpusError
from modelcraft.files import replacing
from modelcraft.tokenizer import CharTokenizer

TINY_SHAKESPEARE = "tiny_shakespeare"
TINY_SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
TINY_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
DATA_DIR = Path(__file__).resolve().parent.parent / "data"
Batch = dict[str, Tensor]  # what a model is called with: "idx", "targets", for some rungs more
UNSCORED = -100  # a target that no loss counts, as cross_entropy has it
TRAIN_SHARE = 0.9  # the lesson's split: the first 90 % to learn from, the last 10 % to be measured on


@dataclass(frozen=True)
class Corpus:
    """A text and where it came from."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """The fingerprint of the text as it is trained on."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    def splits(self, tokenizer: CharTokenizer, block_size: int) -> tuple[Tensor, Tensor]:
        """Return the training and the validation ids, two 1-D LongTensors on the CPU.

        Raises CorpusError if either is shorter than one window and the character after it.
        """
        data = torch.tensor(tokenizer.encode(self.text), dtype=torch.long)  # (N,)
        n = int(TRAIN_SHARE * len(data))
        train_data, val_data = data[:n], data[n:]
        shortest = min(len(train_data), len(val_data))
        if shortest < block_size + 1:
            raise CorpusError(
                f"The text {self.name!r} is too short: its smaller part has {shortest} characters, and a context of "
                f"{block_size} needs at least {block_size + 1} in the last tenth; use a text of "
                f"{10 * (block_size + 1)} characters or more."
            )
        return train_data, val_data


def corpus_source() -> str:
    """Return what MODELCRAFT_CORPUS names, a path so that it holds in any working folder; without it, its default."""
    source = os.environ.get("MODELCRAFT_CORPUS") or TINY_SHAKESPEARE
    return source if source == TINY_SHAKESPEARE else str(_path(source).absolute())


def corpus_title() -> str:
    """Return what the text that MODELCRAFT_CORPUS names is called on a page; raises CorpusError if it is none."""
    source = corpus_source()
    name = source if source == TINY_SHAKESPEARE else load_corpus(source).name  # nothing is downloaded for its title
    return "tiny Shakespeare" if name == TINY_SHAKESPEARE else name


def load_corpus(name_or_path: str | Path | None = None) -> Corpus:
    r"""Load tiny Shakespeare by its name, or any UTF-8 text by its path.

    Without an argument the environment variable MODELCRAFT_CORPUS decides, else it is tiny Shakespeare, which is
    downloaded on first use. `\r\n` becomes `\n`. Raises CorpusError, which names the fix.
    """
    source = str(name_or_path or os.environ.get("MODELCRAFT_CORPUS") or TINY_SHAKESPEARE)
    if source == TINY_SHAKESPEARE:
        path = DATA_DIR / f"{TINY_SHAKESPEARE}.txt"
        if not path.exists():
            download(TINY_SHAKESPEARE_URL, path, TINY_SHAKESPEARE_SHA256)
    else:
        path = _path(source)
    text = read_text(path)
    known = hashlib.sha256(text.encode("utf-8")).hexdigest() == TINY_SHAKESPEARE_SHA256
    return Corpus(name=TINY_SHAKESPEARE if known else path.name, text=text)


def _path(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError as error:  # the home of a user who does not exist
        raise CorpusError(
            f"There is no corpus {source!r}; give {TINY_SHAKESPEARE!r} or the path of a UTF-8 text file."
        ) from error


def read_text(path: Path) -> str:
    """Read a UTF-8 text; every way in which that can fail is a CorpusError with one sentence."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise CorpusError(
            f"There is no corpus {str(path)!r}; give {TINY_SHAKESPEARE!r} or the path of a UTF-8 text file."
        ) from error
    except IsADirectoryError as error:
        raise CorpusError(f"{str(path)!r} is a folder; give the path of one UTF-8 text file in it.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise CorpusError(f"The corpus {str(path)!r} cannot be read ({reason}); check the path.") from error
    return decode_text(raw, str(path))


def decode_text(raw: bytes, name: str) -> str:
    """Decode a UTF-8 text as it is trained on; raises CorpusError, which speaks of it as `name`."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{name!r} is not UTF-8 text (byte {error.start} cannot be decoded); save it as UTF-8."
        ) from error
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if not text:
        raise CorpusError(f"{name!r} is empty; give a text to learn from.")
    return text


def download(url: str, path: Path, sha256: str, attempts: int = 3, patience_s: float = 1.0) -> None:
    """Fetch `url` to `path`, with a progress bar; the file appears only when it is whole and its checksum is right.

    A failed attempt is repeated, `patience_s` seconds later at first and twice as late each time.
    """
    for attempt in range(attempts):
        try:
            with replacing(path) as aside:
                _fetch(url, aside)
                if hashlib.sha256(aside.read_bytes()).hexdigest() != sha256:
                    raise http.client.HTTPException("what arrived has another checksum")
            return
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, PermissionError):
                raise CorpusError(f"{str(path.parent)!r} cannot be written to; change its permissions.") from error
            if attempt + 1 == attempts:
                raise CorpusError(
                    f"{path.stem} could not be downloaded from {url} ({_why(error)}); put the file at {str(path)!r} "
                    "yourself, or name any UTF-8 text with --corpus PATH."
                ) from error
            time.sleep(patience_s * 2**attempt)


def _fetch(url: str, to: Path) -> None:
    with urllib.request.urlopen(url, timeout=30) as response, to.open("wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        with tqdm(total=total or None, unit="B", unit_scale=True, desc="downloading", leave=False) as bar:
            while chunk := response.read(1 << 16):
                file.write(chunk)
                bar.update(len(chunk))
        if total and file.tell() != total:
            raise http.client.IncompleteRead(b"", total - file.tell())


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code}"
    if isinstance(error, urllib.error.URLError):
        return f"no connection: {error.reason}"
    return "the connection broke off" if isinstance(error, http.client.IncompleteRead) else str(error)


def get_batch(
    data: Tensor,
    block_size: int,
    batch_size: int,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Cut `batch_size` random windows out of `data` (N,): inputs and the same shifted by one, each (B, T).

    The windows are drawn by `generator` (on the CPU; torch's own one if None), so that a seed decides the batches
    whatever the device is.
    """
    if len(data) <= block_size:
        raise CorpusError(f"{len(data):,} characters are too few for a window of {block_size:,} and the one after it.")
    starts = torch.randint(len(data) - block_size, (batch_size, 1), generator=generator)  # (B, 1)
    windows = starts + torch.arange(block_size + 1)  # (B, T+1): every row its start and what follows
    rows = data[windows.to(data.device)].to(device if device is not None else data.device)  # (B, T+1)
    return rows[:, :-1], rows[:, 1:]


def disjoint_windows(data: Tensor, block_size: int, rows: int) -> Iterator[Batch]:
    """Cut `data` (N,) into windows side by side, `rows` at a time; every character but the first is a target once."""
    n = len(data) - 1
    whole = n - n % block_size
    inputs = torch.split(data[:whole].view(-1, block_size), rows)  # (rows, T) each
    targets = torch.split(data[1 : whole + 1].view(-1, block_size), rows)
    for x, y in zip(inputs, targets, strict=True):
        yield {"idx": x, "targets": y}
    if n > whole:  # the last one is shorter
        yield {"idx": data[None, whole:n], "targets": data[None, whole + 1 :]}


def sliding_windows(data: Tensor, block_size: int, rows: int, length: int) -> Iterator[Batch]:
    """Cut `data` (N,) into windows that overlap, so that each character is a target where its whole context is in view.

    A window has `length` characters, at least `block_size`; its first `block_size` - 1 targets are UNSCORED, for the
    window before has scored them. (The very first window, which has none before it, scores all.)
    """
    n = len(data) - 1
    length = min(length, n)
    known = min(block_size, length) - 1  # targets of a window whose context is not whole
    stride = length - known
    starts = torch.arange(0, n - known, stride).clamp(max=n - length)  # the last one ends where the data ends
    scored = 0  # so far: everything before this place
    for some in torch.split(starts, rows):
        at = some[:, None] + torch.arange(length)  # (rows, T)
        x, y = data[at], data[at + 1]
        # The last start was moved back, so what it shares with the one before would be counted twice.
        fresh = torch.maximum(some + known, torch.cat((some.new_tensor([scored]), some[:-1] + length)))
        scored = int(some[-1]) + length
        fresh = torch.where(some == 0, 0, fresh)
        yield {"idx": x, "targets": y.masked_fill(at < fresh[:, None], UNSCORED)}
