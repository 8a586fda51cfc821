"""Fetch a file over HTTP: whole and with the right checksum, or not at all."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from modelcraft.support.errors import CorpusError
from modelcraft.support.files import replacing

NO_CORPUS = "The text is not to be had here at the moment; train on one of your own."  # what visitors read


def download(url: str, path: Path, sha256: str, attempts: int = 3, patience_s: float = 1.0) -> None:
    """Fetch `url` to `path`, with a progress bar; the file appears only when it is whole and its checksum is right.

    Retry a failed attempt, first after `patience_s` seconds, and double the delay each time.
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
                raise CorpusError(
                    f"{str(path.parent)!r} cannot be written to; change its permissions.", NO_CORPUS
                ) from error
            if attempt + 1 == attempts:
                raise CorpusError(
                    f"{path.stem} could not be downloaded from {url} ({_why(error)}); put the file at {str(path)!r} "
                    "yourself, or name any UTF-8 text with --corpus PATH.",
                    NO_CORPUS,
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
