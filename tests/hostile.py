"""Requests as a fuzzer would make them: generated from a seed, so that the same ones come every time."""

import json
import math
import random
import string
from typing import Any

TEXTS = (
    "",
    " ",
    "A",
    "ROMEO:",
    "\x00\x01\x1b[31m\x7f",
    "\u202egnihtyna\u202c \u200f\u200b\ufeff",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "${1+1} {{7*7}} {0} %s %n",
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "/etc/shadow",
    "file:///etc/passwd",
    "http://127.0.0.1:1/x",
    "C:\\con",
    "yours-" + "A" * 22,
    "yours-../../run",
    "gpt/../../etc",
    "user/repo@main",
    "' OR 1=1 --",
    "日本語 🎭 é e\u0301",
    "\u0000",
    "\ud800",
    "A\udfffB",
    "A" * 20_000,
    "\n" * 5_000,
)
NUMBERS = (
    0, 1, -1, 3, 0.5, 1.5, -0.0, 5.0, 1e-320, 1e308, -1e308, 2**31, 2**63, 2**64 - 1, 10**30, -(10**30),
    math.nan, math.inf, -math.inf,
)  # fmt: skip
MODELS = ("bigram", "counting", "head", "gpt-mini", "nonsense", "BIGRAM", "bigram ", "bigram\n")
GOOD = {
    "prompt": "A",
    "message": "A",
    "length": 2,
    "temperature": 0.8,
    "model": "bigram",
    "top_k": 0,
    "top_p": 1.0,
    "seed": 1,
}
KEYS = ("path", "url", "orig_name", "value", "meta", "turns", "text", "who", "__type__", "_type", "x")
SPARE = ("lenght", "", "__class__", "request", "self", "\x00", "<b>", "a" * 500, "data", "fn_index")


class Hostile:
    """Makes values, fields and bodies; `whole` says how often a field keeps a value that makes sense."""

    def __init__(self, seed: int, whole: float = 0.6) -> None:
        self.random, self.whole = random.Random(seed), whole

    def value(self, depth: int = 0) -> Any:
        simple = (TEXTS, TEXTS, TEXTS, TEXTS, NUMBERS, NUMBERS, NUMBERS, (True, False, None), MODELS)
        kind = self.random.randrange(len(simple) + 3)
        if kind < len(simple):
            return self.random.choice(simple[kind])
        if kind == len(simple) or depth > 2:
            return "".join(chr(self.random.choice((self.random.randrange(0xD800), 10))) for _ in range(9))
        inside = [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        if kind == len(simple) + 1:
            return inside
        return {self.random.choice(KEYS): value for value in inside}

    def fields(self, names: tuple[str, ...]) -> dict[str, Any]:
        made = {name: GOOD[name] if self.random.random() < self.whole else self.value() for name in names}
        if "length" in made and self.random.random() < 0.9:
            made["length"] = self.random.choice((1, 2, 5, made["length"]))
        if self.random.random() < 0.1:
            made.pop(self.random.choice(names), None)
        if self.random.random() < 0.05:
            made[self.random.choice(SPARE)] = self.value()
        return made

    def body(self, names: tuple[str, ...], positional: bool) -> bytes:
        """Return the body of a call, which is JSON most of the time."""
        fields: Any = self.fields(names)
        if positional:
            data: Any = list(fields.values())
            if self.random.random() < 0.05:
                data = self.random.choice((None, "A", 5, {}, data * 3))
            fields = {"data": data}
            if self.random.random() < 0.2:
                fields["session_hash"] = self.random.choice((self.session(), "a" * 200, 5, None, "../x", "<b>", ["s"]))
        raw = json.dumps(fields).encode()
        if self.random.random() < 0.05:
            place = self.random.randrange(len(raw))
            raw = self.random.choice(
                (
                    raw[:place],
                    raw[:place] + bytes([self.random.randrange(256)]) + raw[place:],
                    b"",
                    b"[" * 9_999,
                    b"null",
                )
            )
        return raw

    def file(self) -> tuple[bytes, bytes]:
        """Return the name and the content of an upload."""
        name = self.random.choice((*TEXTS[:16], "x.txt", "x.zip", "." * 300, "a/b/c.txt", "%2e%2e%2fx", 'x"; y="z'))
        content = self.random.choice(
            (
                b"",
                b"The quick brown fox.\n" * 50,
                b"PK\x03\x04" + bytes(200),
                b"\x1f\x8b\x08" + bytes(100),
                self.random.randbytes(500),
                b"\xef\xbb\xbf" + b"a" * 100,
                "日本".encode() * 400,
                b"<svg onload=alert(1)>" * 9,
            )
        )
        return name.encode("utf-8", "replace")[:400].replace(b"\r", b"").replace(b"\n", b""), content

    def session(self) -> str:
        return "".join(self.random.choices(string.ascii_lowercase, k=10))
