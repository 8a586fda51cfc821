"""Turn a corpus into batches: load the text, split it, cut random windows out of it."""

import codecs
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from modelcraft.support.device import read_at_once
from modelcraft.support.download import NO_CORPUS, download
from modelcraft.support.errors import CorpusError, VocabularyError
from modelcraft.support.files import HOME, INSTALLED
from modelcraft.support.wording import describe, listing
from modelcraft.tokenizer import CharTokenizer

TINY_SHAKESPEARE = "tiny_shakespeare"
TINY_SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
TINY_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
UTF_8, UTF_16, WINDOWS_1252 = "UTF-8", "UTF-16", "Windows-1252"
NO_TEXT = {  # the first bytes of files that hold a text, but in their own format
    b"PK\x03\x04": "a Word document or another archive",
    b"\xd0\xcf\x11\xe0": "an old Word document",
    b"%PDF": "a PDF",
    b"{\\rtf": "a document in RTF",
}
Batch = dict[str, Tensor]  # arguments for a model: "idx", "targets", and more for some rungs
UNSCORED = -100  # a target that no loss counts, by the convention of cross_entropy
GOLDEN = 11_400_714_819_323_198_485  # 2⁶⁴ / the golden ratio
TRAIN_SHARE = 0.9  # the lesson's split: the first 90 % for training, the last 10 % for validation


@dataclass(frozen=True)
class Corpus:
    """A text, its name, and the encoding of its file."""

    name: str
    text: str
    encoding: str = UTF_8

    @property
    def notice(self) -> str:
        """A sentence about the encoding that was assumed; empty for UTF-8."""
        return "" if self.encoding == UTF_8 else f"{self.name} is not UTF-8; it was read as {self.encoding}."

    @property
    def sha256(self) -> str:
        """The hash of the text as models train on it."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    def splits(self, tokenizer: CharTokenizer, block_size: int) -> tuple[Tensor, Tensor]:
        """Return the training and the validation ids, two 1-D LongTensors on the CPU.

        Raises CorpusError if either is shorter than one window and the character after it, VocabularyError if
        `tokenizer` does not know all of the text.
        """
        if unknown := tokenizer.unknown(self.text):
            raise VocabularyError(
                f"The text {self.name!r} has characters that the model does not know "
                f"({listing([*map(describe, unknown)])}); name the text that it was trained on with --corpus."
            )
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
    """Return what MODELCRAFT_CORPUS names, else tiny Shakespeare; a path is absolute, to work in any folder."""
    source = os.environ.get("MODELCRAFT_CORPUS") or TINY_SHAKESPEARE
    return source if source == TINY_SHAKESPEARE else str(_path(source).absolute())


def corpus_title() -> str:
    """Return the title on a page of the text that MODELCRAFT_CORPUS names; raise CorpusError if it is not a text."""
    source = corpus_source()
    name = source if source == TINY_SHAKESPEARE else load_corpus(source).name  # a title needs no download
    return "tiny Shakespeare" if name == TINY_SHAKESPEARE else name


def data_dir() -> Path:
    """Return the folder of the texts: data/ in the repository, else one in the Hub's cache, which HF_HOME moves."""
    if not INSTALLED:
        return HOME / "data"
    from huggingface_hub import cached_assets_path

    return cached_assets_path("modelcraft", "data")


def load_corpus(name_or_path: str | Path | None = None) -> Corpus:
    r"""Load tiny Shakespeare by its name, or any UTF-8 text by its path.

    Without an argument, load what the environment variable MODELCRAFT_CORPUS names, else tiny Shakespeare, which is
    downloaded on first use. `\r\n` becomes `\n`. Raises CorpusError, which names the fix.
    """
    source = str(name_or_path or os.environ.get("MODELCRAFT_CORPUS") or TINY_SHAKESPEARE)
    if source == TINY_SHAKESPEARE:
        path = data_dir() / f"{TINY_SHAKESPEARE}.txt"
        if not path.exists():
            download(TINY_SHAKESPEARE_URL, path, TINY_SHAKESPEARE_SHA256)
    else:
        path = _path(source)
    text, encoding = read_text(path)
    known = hashlib.sha256(text.encode("utf-8")).hexdigest() == TINY_SHAKESPEARE_SHA256
    return Corpus(TINY_SHAKESPEARE if known else path.name, text, encoding)


def _path(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError as error:  # the home of a user who does not exist
        raise CorpusError(
            f"There is no corpus {source!r}; give {TINY_SHAKESPEARE!r} or the path of a UTF-8 text file.", NO_CORPUS
        ) from error


def read_text(path: Path) -> tuple[str, str]:
    """Read a text and detect its encoding; raise CorpusError with one sentence for any failure."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise CorpusError(
            f"There is no corpus {str(path)!r}; give {TINY_SHAKESPEARE!r} or the path of a UTF-8 text file.", NO_CORPUS
        ) from error
    except IsADirectoryError as error:
        raise CorpusError(
            f"{str(path)!r} is a folder; give the path of one UTF-8 text file in it.", NO_CORPUS
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise CorpusError(f"The corpus {str(path)!r} cannot be read ({reason}); check the path.", NO_CORPUS) from error
    try:
        return decode_text(raw, str(path))
    except CorpusError as error:
        raise CorpusError(str(error), NO_CORPUS) from error


def decode_text(raw: bytes, name: str) -> tuple[str, str]:
    """Decode and clean a text (see `cleaned`) for training; return it and its encoding.

    The encoding is UTF-8, UTF-16 if a byte-order mark says so, else Windows-1252, which old texts use. Raises
    CorpusError, which calls the text `name`.
    """
    if kind := next((kind for start, kind in NO_TEXT.items() if raw.startswith(start)), None):
        raise CorpusError(f"{name!r} is {kind}; open it, save it as plain text (UTF-8), and take that.")
    encoding = UTF_16 if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else UTF_8
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        refusal = CorpusError(
            f"{name!r} is not {encoding} text (byte {error.start} cannot be decoded); save it as UTF-8."
        )
        if encoding == UTF_16 or _mostly_utf8(raw):
            raise refusal from error
        try:
            text, encoding = raw.decode("windows-1252"), WINDOWS_1252
        except UnicodeDecodeError:
            raise refusal from error
    return cleaned(text, name), encoding


def cleaned(text: str, name: str) -> str:
    r"""Return `text` without byte-order marks and with `\n` line ends only; raise CorpusError if it is not a text."""
    if "\0" in text:
        raise CorpusError(f"{name!r} holds NUL bytes, so it is no text, or UTF-16 without a mark; save it as UTF-8.")
    # A mark can also be inside the text, where files were joined.
    text = text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n")
    if not text:
        raise CorpusError(f"{name!r} is empty; give a text to learn from.")
    return text


def _mostly_utf8(raw: bytes) -> bool:
    """Return whether most of the non-ASCII part is UTF-8: then the text is cut or damaged, not in another encoding."""
    beyond = [c for c in raw.decode("utf-8", "surrogateescape") if c > "\x7f"]
    return 2 * sum("\udc80" <= c <= "\udcff" for c in beyond) < len(beyond)


def get_batch(
    data: Tensor,
    block_size: int,
    batch_size: int,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Cut `batch_size` random windows out of `data` (N,): inputs and the same shifted by one, each (B, T).

    `generator` (on the CPU; torch's own one if None) draws the windows, so that a seed decides the batches on every
    device.
    """
    return cut(data, window_starts(len(data), block_size, batch_size, generator), block_size, device)


def window_starts(
    length: int,
    block_size: int,
    batch_size: int,
    generator: torch.Generator | None = None,
    first: int | None = None,
) -> Tensor:
    """Return where the windows of a batch begin in a text of `length` characters: (B, 1).

    They are random, or with `first` those number `first` and following of `spread_starts`. Raises CorpusError for a
    text without a whole window.
    """
    if length <= block_size:
        raise CorpusError(f"{length:,} characters are too few for a window of {block_size:,} and the one after it.")
    room = length - block_size
    if first is not None:
        return spread_starts(first, batch_size, room)
    return torch.randint(room, (batch_size, 1), generator=generator)


def cut(
    data: Tensor, starts: Tensor, block_size: int, device: torch.device | str | None = None
) -> tuple[Tensor, Tensor]:
    """Cut the windows that begin at `starts` (B, 1) out of `data` (N,): inputs and targets, each (B, T)."""
    windows = starts + torch.arange(block_size + 1)  # (B, T+1): each row holds its start and the next positions
    rows = data[windows.to(data.device)].to(device if device is not None else data.device)  # (B, T+1)
    return rows[:, :-1], rows[:, 1:]


def spread_starts(first: int, batch_size: int, room: int) -> Tensor:
    """Return where the windows number `first` and following begin, from 0 to `room` - 1: (B, 1).

    Each lies the golden ratio of the whole text behind the one before it, and goes on at the beginning, so that at any
    time all that were drawn lie as evenly as so many can, and no two passes over the text cut it at the same places.
    """
    return torch.tensor([[k * GOLDEN % 2**64 * room >> 64] for k in range(first, first + batch_size)])


def disjoint_windows(data: Tensor, block_size: int, rows: int) -> Iterator[Batch]:
    """Cut `data` (N,) into adjacent windows, `rows` at a time; every character but the first is a target once."""
    n = len(data) - 1
    whole = n - n % block_size
    inputs = torch.split(data[:whole].view(-1, block_size), rows)  # (rows, T) each
    targets = torch.split(data[1 : whole + 1].view(-1, block_size), rows)
    for x, y in zip(inputs, targets, strict=True):
        yield {"idx": x, "targets": y}
    if n > whole:  # the last one is shorter
        yield {"idx": data[None, whole:n], "targets": data[None, whole + 1 :]}


def sliding_windows(data: Tensor, block_size: int, rows: int, length: int) -> Iterator[Batch]:
    """Cut `data` (N,) into overlapping windows, so that each character is scored with its whole context in view.

    A window has `length` characters, at least `block_size`; its first `block_size` - 1 targets are UNSCORED, because
    the window before scored them. (The very first window has none before it and scores all its targets.)
    """
    n = len(data) - 1
    length = min(length, n)
    known = min(block_size, length) - 1  # targets at a window's start whose context is incomplete
    stride = length - known
    starts = torch.arange(0, n - known, stride).clamp(max=n - length)  # the last one ends where the data ends
    scored = 0  # everything before this position is scored
    for some in torch.split(starts, rows):
        at = some[:, None] + torch.arange(length)  # (rows, T)
        x, y = data[at], data[at + 1]
        # The last start was moved back, so its larger overlap with the window before would be counted twice.
        fresh = torch.maximum(some + known, torch.cat((some.new_tensor([scored]), some[:-1] + length)))
        scored = int(some[-1]) + length
        fresh = torch.where(some == 0, 0, fresh)
        yield {"idx": x, "targets": y.masked_fill(at < fresh[:, None], UNSCORED)}


class Dataset(Protocol):
    """A text as batches of arguments for the `forward` of a model."""

    def draw(
        self, batch_size: int, generator: torch.Generator | None = None, noise: float = 0.0, first: int | None = None
    ) -> Batch:
        """Return a random batch on the model's device; `generator` (on the CPU) makes every random choice.

        With `first`, a number, the batch is the next one after so many windows that are spread evenly over the text,
        where the dataset can do that.
        """

    def windows(self, protocol: str) -> Iterator[Batch]:
        """Yield the batches of an exact loss, with each predicted character once; see loss.PROTOCOLS."""


class Windows:
    """A text (N,) for training and measuring a model: windows of its context, as arguments of its `forward`.

    `length` is the longest window that the model reads at once in a band (see `windows`); batches go to `device`.
    """

    def __init__(self, data: Tensor, block_size: int, length: int, device: torch.device) -> None:
        self.data, self.block_size, self.length, self.device = data, block_size, length, device

    def draw(
        self, batch_size: int, generator: torch.Generator | None = None, noise: float = 0.0, first: int | None = None
    ) -> Batch:
        """Cut `batch_size` windows and replace a share `noise` of the inputs; `generator` makes every choice.

        They are random, or with `first` those number `first` and following of `spread_starts`.
        """
        starts = window_starts(len(self.data), self.block_size, batch_size, generator, first)
        idx, targets = cut(self.data, starts, self.block_size, self.device)
        if noise:
            idx = garble(idx, noise, generator)
        return {"idx": idx, "targets": targets}

    def windows(self, protocol: str) -> Iterator[Batch]:
        """Yield the batches of an exact loss, on the text's own device; every character but the first is scored once.

        "disjoint": adjacent windows of the context's length, as in the literature. "sliding": each character with its
        whole context in view; a model that reads longer windows with a band reads four contexts at a time.
        """
        length = min(self.length, max(4 * self.block_size, 512)) if protocol == "sliding" else self.block_size
        rows = max(1, read_at_once(self.device) // length)
        if protocol == "sliding":
            return sliding_windows(self.data, self.block_size, rows, length)
        return disjoint_windows(self.data, self.block_size, rows)


def count_scored(targets: Tensor) -> int:
    """Return how many characters a loss counts: of targets (B, T) those that are not UNSCORED, of (B, T, V) all."""
    if targets.is_floating_point():  # probabilities
        return targets[..., 0].numel()
    return int((targets != UNSCORED).sum())


def garble(idx: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Replace a random `share` of the characters idx (B, T) by others of the same batch.

    `generator` (on the CPU) chooses them.
    """
    others = torch.randint(idx.numel(), idx.shape, generator=generator).to(idx.device)  # (B, T)
    chosen = torch.rand(idx.shape, generator=generator).to(idx.device) < share  # (B, T)
    return torch.where(chosen, idx.flatten()[others], idx)
