"""The log of the app: one line per record, whatever is in it, and never more than a person can read."""

import logging
import re
import time

A_MINUTE = 120  # records
SECRET = re.compile(r"(?<=yours-)[\w-]+")  # the name of a visitor's own model is known to that one only
CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x2028: "\\u2028", 0x2029: "\\u2029"}


class Lines(logging.Formatter):
    """Formats a record so that text from a client cannot imitate another record or move a terminal's cursor."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line, followed by the indented traceback if there is one, and no own model's name."""
        traceback = self.formatException(record.exc_info) if record.exc_info else ""
        line = f"{record.levelname}: {record.name}: {record.getMessage()}".translate(CONTROL)
        lines = "\n    ".join([line, *(one.translate(CONTROL) for one in traceback.splitlines())])
        return SECRET.sub("…", lines)


class Bounded(logging.Filter):
    """Lets `a_minute` records a minute through, and then says how many it left out."""

    def __init__(self, a_minute: int = A_MINUTE) -> None:
        super().__init__()
        self._most, self._since, self._count = a_minute, time.monotonic(), 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether to write a record."""
        now = time.monotonic()
        if now - self._since > 60:
            if (left_out := self._count - self._most) > 0:
                record.msg, record.args = f"({left_out} records were left out.) {record.getMessage()}", ()
            self._since, self._count = now, 0
        self._count += 1
        return self._count <= self._most


def set_up() -> None:
    """Send the log records of this process to standard error in this way."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    handler.addFilter(Bounded())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
