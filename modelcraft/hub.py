"""Push a model folder to the Hugging Face Hub, and pull it back: `python -m modelcraft.hub push FOLDER USER/REPO`."""

from pathlib import Path
from typing import Annotated

import typer

from modelcraft.store.hub_client import pull, push
from modelcraft.support.cli import run

__all__ = ["pull", "push"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Push a model folder to the Hugging Face Hub, or pull one from there.",
)


@app.command("push")
def push_folder(
    folder: Annotated[Path, typer.Argument(help="A model folder, such as runs/bigram.")],
    repo_id: Annotated[str, typer.Argument(metavar="USER/REPO", help="Where to; made if it is missing.")],
    private: Annotated[bool, typer.Option("--private", help="Make the repository a private one.")] = False,
    revision: Annotated[
        str | None, typer.Option(help="The branch; made if it is missing.", show_default="main")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Push over a repository that holds something else than a model of ours.")
    ] = False,
) -> None:
    """Upload a model folder in one commit, and print its address."""
    typer.echo(push(folder, repo_id, private, revision, over="anything" if replace else "model"))


@app.command("pull")
def pull_folder(
    source: Annotated[
        str, typer.Argument(metavar="USER/REPO[@REVISION]", help="What to download, and which state of it.")
    ],
) -> None:
    """Download a model, and print the folder that it is in."""
    repo_id, _, revision = source.partition("@")
    typer.echo(pull(repo_id, revision or None))


if __name__ == "__main__":
    run(app)
