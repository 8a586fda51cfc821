"""What a browser needs to write without the server: the scripts, what a model is, and its weights.

The scripts are plain modules in `browser/`, which a static Space uses as they are. The weights are sent as they are
stored, from the loaded model, so no path of this machine is shown, and a visitor's own model is as good as any.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from safetensors.torch import save
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modelcraft.gpt import GPTLanguageModel
from modelcraft.ladder import rung_named
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import Service
from modelcraft.store.nanochat import normalizers
from modelcraft.support.errors import ConfigError, ModelCraftError

SCRIPTS = Path(__file__).parent / "browser"
MEDIA = {".js": "text/javascript", ".wasm": "application/wasm"}
Handler = Callable[[Request], Awaitable[Response]]


def add_routes(app: Starlette, service: Service) -> None:
    """Serve the scripts, and the models of `service` that a browser can run."""

    async def script(request: Request) -> Response:
        path = SCRIPTS / request.path_params["file"]
        if path.suffix not in MEDIA or path.name not in {one.name for one in SCRIPTS.iterdir()}:
            return JSONResponse({"problem": "There is no such file."}, 404)
        return Response(path.read_bytes(), media_type=MEDIA[path.suffix])

    async def model(request: Request) -> Response:
        entry = await service.get(request.path_params["name"])
        server = {"id": entry.name, "api": "gradio_api/call/v2/generate"}
        return JSONResponse(await asyncio.to_thread(description, entry, f"../weights/{entry.name}") | server)

    async def weights(request: Request) -> Response:
        entry = await service.get(request.path_params["name"])
        return Response(await asyncio.to_thread(stored, entry), media_type="application/octet-stream")

    app.add_route("/browser/{file}", script)
    app.add_route("/browser/model/{name}", _in_a_sentence(model))
    app.add_route("/browser/weights/{name}", _in_a_sentence(weights))


def description(entry: Entry, weights: str) -> dict[str, Any]:
    """Say what a model is, and at which address its weights are; raise ConfigError for one that needs the server."""
    check_runs(entry)
    return {
        "name": entry.title,
        "parameters": entry.model.num_parameters,
        "config": vars(entry.info.config),
        "vocabulary": entry.tokenizer.vocabulary,
        "rules": normalizers(entry.tokenizer.vocabulary),
        "weights": weights,
        "bytes": len(stored(entry)),
    }


def stored(entry: Entry) -> bytes:
    """Return the content of `model.safetensors`; raise ConfigError for a model that needs the server."""
    check_runs(entry)
    dtype = rung_named(entry.info.rung).stored_as
    return save({name: tensor.detach().cpu().to(dtype) for name, tensor in entry.model.state_dict().items()})


def check_runs(entry: Entry) -> None:
    """Raise ConfigError unless the model is a GPT, the one that `browser/gpt.js` can run."""
    if type(entry.model) is not GPTLanguageModel:
        raise ConfigError(f"A browser runs the GPTs only, and {entry.title} is none; choose gpt or gpt-mini.")


def _in_a_sentence(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ModelCraftError as error:
            return JSONResponse({"problem": error.for_visitors}, 404)

    return answer
