"""Files that visitors upload: read at once, and deleted."""

import re
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from modelcraft.serving.training_job import MAX_TEXT
from modelcraft.support.errors import CorpusError


def read_upload(upload: Any) -> tuple[str, bytes]:
    """Return the title and the bytes of an uploaded file, and delete the file.

    Raises CorpusError for anything but a file in the folder where Gradio puts uploads.
    """
    path, name = (upload.get("path"), upload.get("orig_name")) if isinstance(upload, dict) else (None, None)
    again = CorpusError("The file did not arrive; choose it again.")
    if not isinstance(path, str) or "\0" in path:
        raise again
    try:
        real = Path(path).resolve(strict=True)
        if not real.is_relative_to(Path(get_upload_folder()).resolve()) or not real.is_file():
            raise again
        with real.open("rb") as file:
            raw = file.read(4 * MAX_TEXT + 1)
        real.unlink(missing_ok=True)
    except (OSError, ValueError, RuntimeError):
        raise again from None
    title = re.sub(r"[^\w .,()-]+", "", Path(name).name if isinstance(name, str) else "")[:60].strip()
    return title or "your file", raw
