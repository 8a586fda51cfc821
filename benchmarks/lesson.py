"""Run the notebook docs/lesson.ipynb on tiny Shakespeare, and keep what its cells show: `python -m benchmarks.lesson`.

It takes some minutes, and nothing of this machine stays in the file but the numbers.
"""

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs" / "lesson.ipynb"
ABOUT = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(NOTEBOOK.parent)}}
    client = NotebookClient(notebook, timeout=3600, record_timing=False, coalesce_streams=True, resources=where)
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})
    notebook.metadata = nbformat.from_dict(ABOUT)
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
