"""Recognize a browser from one page to the next by a secret that the app issues and can verify.

The secret is signed, so that nobody can invent secrets and pose as many visitors; the browser keeps it where it can. It
says nothing about a person and is invalid after the app ends.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections import Counter

from modelcraft.serving.clients import Allowance

VISITOR_KEY = "modelcraft-visitor"  # the key under which the browser stores it
GIVEN_OUT = (60, 0.1)  # secrets per address: at once (a whole class may share one), and per second
SECRET = re.compile(r"([\w-]{24})\.([\w-]{24})")


class Visitors:
    """Issues secrets to browsers and recognizes the ones that it issued."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._allowance = Allowance(*GIVEN_OUT)

    def welcome(self, address: str) -> str:
        """Return a new secret for a browser at `address`; raise BusyError if it got too many recently."""
        self._allowance.spend(address)
        name = secrets.token_urlsafe(18)
        return f"{name}.{self._signature(name)}"

    def knows(self, secret: object) -> bool:
        """Return whether this object issued `secret`."""
        parts = SECRET.fullmatch(secret) if isinstance(secret, str) else None
        return parts is not None and hmac.compare_digest(self._signature(parts[1]).encode(), parts[2].encode())

    def _signature(self, name: str) -> str:
        digest = hmac.digest(self._key, name.encode(), hashlib.sha256)[:18]
        return base64.urlsafe_b64encode(digest).decode()


class Texts:
    """Texts that visitors uploaded and have not trained on yet: one per visitor, and few per address."""

    def __init__(self, most: int = 64, an_address: int = 16) -> None:
        self._most, self._an_address = most, an_address
        self._kept: dict[str, tuple[str, str, str]] = {}  # visitor → address, title and text; the newest is last

    def put(self, visitor: str, address: str, title: str, text: str) -> None:
        """Keep a text; if the address is full, drop its oldest text, else if all is full, the fullest address's."""
        self._kept.pop(visitor, None)
        addresses = Counter(kept[0] for kept in self._kept.values())
        if addresses[address] >= self._an_address:
            self._drop(address)
        elif len(self._kept) >= self._most:
            self._drop(addresses.most_common(1)[0][0])
        self._kept[visitor] = address, title, text

    def get(self, visitor: str) -> tuple[str, str] | None:
        """Return the title and the text of a visitor, or None."""
        kept = self._kept.get(visitor)
        return kept and kept[1:]

    def __len__(self) -> int:
        return len(self._kept)

    def _drop(self, address: str) -> None:
        del self._kept[next(visitor for visitor, kept in self._kept.items() if kept[0] == address)]
