"""What is locked is what is required."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_lock_has_every_requirement_in_its_version_and_every_file_by_its_hash():
    required = re.findall(r"^([\w-]+)(?:\[\w+\])?==(\S+)$", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE)
    blocks = re.split(r"\n(?=\w)", (ROOT / "requirements.lock").read_text().partition("put back.\n")[2].strip())
    locked = dict(re.match(r"([\w-]+)==(\S+) \\", block).groups() for block in blocks)
    assert {"gradio", "filelock"} <= {name for name, _ in required}
    missing = [name for name, version in required if name != "torch" and locked.get(name.replace("_", "-")) != version]
    assert missing == []
    for block in blocks:
        assert re.fullmatch(r"\S+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\\n|$))+", block), block[:80]


def test_the_optional_extras_are_tested_in_the_version_that_they_name():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    tested = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    always = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    for name, requirements in extras.items():
        assert set(requirements) <= set(tested)
        assert any(requirement.startswith((f"{name}==", f"gradio[{name}]==")) for requirement in requirements)
        assert not any(requirement in always for requirement in requirements)
