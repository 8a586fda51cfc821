"""Pictures are drawn whatever the environment says of drawing, and text in them is text."""

import os
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import pytest

from modelcraft.training.plots import loss_curve
from modelcraft.ui.plots import plot

RECORDS = [{"characters": n * 1e6, "train_loss": 3 - n, "val_loss": 3.1 - n} for n in range(3)]
PNG = b"\x89PNG"


@pytest.mark.cases
@pytest.mark.parametrize("title", ["bigram on price$5_and_$6.txt", r"$\frac{", "안녕", "a\x00b", ""])
def test_any_name_is_a_title(tmp_path, title):
    loss_curve(RECORDS, tmp_path / "curve.png", title)
    assert (tmp_path / "curve.png").read_bytes().startswith(PNG)


@pytest.mark.cases
@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "no backend at all", "agg"])
def test_the_environments_backend_does_not_matter_and_stays_as_it_is(tmp_path, backend):
    script = (
        "import os, pathlib, sys\n"
        "from modelcraft.training.plots import loss_curve\n"
        "from modelcraft.ui.plots import plot\n"
        "records = [{'characters': 1, 'train_loss': 2.0, 'val_loss': 2.0}]\n"
        "loss_curve(records, pathlib.Path(sys.argv[1]), 'a title')\n"
        "assert '<svg' in plot('title', 'alt', lambda axes: axes.plot([1, 2]))['svg']\n"
        "assert os.environ['MPLBACKEND'] == sys.argv[2]\n"
    )
    path = tmp_path / "curve.png"
    environment = {**os.environ, "MPLBACKEND": backend}
    command = [sys.executable, "-c", script, str(path), backend]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert path.read_bytes().startswith(PNG)


@pytest.mark.cases
def test_settings_of_the_users_do_not_matter(tmp_path):
    with matplotlib.rc_context({"text.usetex": True, "text.parse_math": True, "savefig.format": "pdf"}):
        loss_curve(RECORDS, tmp_path / "curve.png", "a$b_$")
        made = plot("title", "alt", lambda axes: axes.text(0, 0, "a$b_$"))
        assert matplotlib.rcParams["text.usetex"]
    assert (tmp_path / "curve.png").read_bytes().startswith(PNG)
    texts = [node.text for node in ElementTree.fromstring(made["svg"]).iter() if node.tag.endswith("text")]
    assert "a$b_$" in texts
