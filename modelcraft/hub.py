"""Push a model to the Hugging Face Hub, pull it, deploy the app: `python -m modelcraft.hub push FOLDER USER/REPO`."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from modelcraft.ladder import DEFAULT_RUNG, RUNGS
from modelcraft.store.hub_client import Over, check_repo_id, pull, push
from modelcraft.support.cli import MODEL_HELP, run

__all__ = ["pull", "push"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Push a model folder to the Hugging Face Hub, pull one from there, or deploy the app to a Space.",
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
    snippets: Annotated[
        bool,
        typer.Option(
            "--snippets/--no-snippets", help="Upload the beginnings of four lines of its text, to begin texts with."
        ),
    ] = True,
) -> None:
    """Upload a model folder in one commit, and print its address."""
    over: Over = "anything" if replace else "model"
    typer.echo(push(folder, repo_id, private, revision, over=over, snippets=snippets))


@app.command("pull")
def pull_folder(
    source: Annotated[
        str, typer.Argument(metavar="USER/REPO[@REVISION]", help="What to download, and which state of it.")
    ],
) -> None:
    """Download a model, and print the folder that it is in."""
    repo_id, _, revision = source.partition("@")
    typer.echo(pull(repo_id, revision or None))


@app.command("deploy")
def deploy_space(
    space: Annotated[str, typer.Argument(metavar="USER/SPACE", help="Where to; made if it is missing.")],
    model: Annotated[str, typer.Option(help=f"The model that it opens with. {MODEL_HELP}")] = DEFAULT_RUNG,
    static: Annotated[
        bool, typer.Option("--static", help="One page with the model in it, which runs in the visitor's browser only.")
    ] = False,
    hardware: Annotated[
        str | None, typer.Option(help="The Space's hardware, such as cpu-basic or t4-small.", show_default="the Hub's")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the Space, and its model, private ones.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Deploy over a Space that holds something else.")] = False,
    snippets: Annotated[
        bool, typer.Option("--snippets/--no-snippets", help="Upload how four lines of the model's text begin, too.")
    ] = True,
) -> None:
    """Put the app on a Space, or with --static one page without a server; wait until it runs, and print its address.

    A model in a folder is pushed first, to USER/SPACE-model. A second time, only what has changed is uploaded.
    """
    from modelcraft.store.folder import read_info
    from modelcraft.store.load import locate
    from modelcraft.store.space import app_folder, deploy

    check_repo_id(space)
    if static:
        from modelcraft.serving.catalogue import Entry
        from modelcraft.store.folder import load_folder
        from modelcraft.ui.static_space import write_page

        with tempfile.TemporaryDirectory() as temporary:
            page = Path(temporary)
            write_page(Entry(*load_folder(locate(model), "cpu"), "deployed"), page, space.rpartition("/")[2])
            address, changed = deploy(space, page, "static", {}, hardware, private, replace)
    else:
        rung, repo = read_info(locate(model)).rung, ""
        if model not in RUNGS:
            repo = model
            if (own := Path(model).expanduser()).is_dir():
                repo = f"{space}-model"
                typer.echo(f"The model: {push(own, repo, private, snippets=snippets)}")
        variables = {"MODELCRAFT_MODEL": rung} | ({"MODELCRAFT_HUB_REPOS": repo} if repo else {})
        with app_folder(space, repo) as folder:
            address, changed = deploy(space, folder, "gradio", variables, hardware, private, replace)
    typer.echo(f"The Space: {address}" + ("" if changed else ", unchanged"))


if __name__ == "__main__":
    run(app)
