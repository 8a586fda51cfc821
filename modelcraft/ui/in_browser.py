"""What a browser needs to write without the server: the scripts, what a model is, and its weights.

The scripts are plain modules in `browser/`, which a static Space uses as they are; that of a rung has the name of its
file here: `head.js` runs the rung of `head.py`. The weights are sent as they are stored, from the loaded model, so no
path of this machine is shown, and a visitor's own model is as good as any.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from safetensors.torch import save
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from modelcraft.ladder import RUNGS, rung_named
from modelcraft.model import LanguageModel
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import Service
from modelcraft.store.folder import weights_of
from modelcraft.store.nanochat import normalizers
from modelcraft.support.errors import ConfigError, ModelCraftError

SCRIPTS = Path(__file__).parent / "browser"
MEDIA = {".js": "text/javascript", ".wasm": "application/wasm", ".safetensors": "application/octet-stream"}
CHUNK = 1 << 16  # bytes
Handler = Callable[[Request], Awaitable[Response]]


def add_routes(app: Starlette, service: Service) -> None:
    """Serve the scripts, and the models of `service` that a browser can run."""
    contents: WeakKeyDictionary[LanguageModel, bytes] = WeakKeyDictionary()  # one for all who fetch a model

    async def content(entry: Entry) -> bytes:
        if entry.model not in contents:
            contents[entry.model] = await asyncio.to_thread(stored, entry)
        return contents[entry.model]

    async def script(request: Request) -> Response:
        path = SCRIPTS / request.path_params["file"]
        if path.suffix not in MEDIA or path.name not in {one.name for one in SCRIPTS.iterdir()}:
            return JSONResponse({"problem": "There is no such file."}, 404)
        return Response(path.read_bytes(), media_type=MEDIA[path.suffix])

    async def model(request: Request) -> Response:
        entry = await service.get(request.path_params["name"])
        size = len(await content(entry))
        about = await asyncio.to_thread(description, entry, f"../weights/{entry.name}", size)
        return JSONResponse(about | {"id": entry.name, "api": "gradio_api/call/v2/generate"})

    async def weights(request: Request) -> Response:
        entry = await service.get(request.path_params["name"])
        data = await content(entry)

        async def chunks() -> AsyncIterator[bytes]:  # for a slow reader, no more than one is held at a time
            for start in range(0, len(data), CHUNK):
                yield data[start : start + CHUNK]

        return StreamingResponse(chunks(), headers={"Content-Length": str(len(data))}, media_type=MEDIA[".safetensors"])

    app.add_route("/browser/{file}", script)
    app.add_route("/browser/model/{name}", _in_a_sentence(model))
    app.add_route("/browser/weights/{name}", _in_a_sentence(weights))


def description(entry: Entry, weights: str, size: int) -> dict[str, Any]:
    """Say what a model is, at which address its weights are, and how many bytes they have."""
    return {
        "name": entry.title,
        "parameters": entry.model.num_parameters,
        "script": script_of(type(entry.model)).name,
        "config": vars(entry.info.config),
        "vocabulary": entry.tokenizer.vocabulary,
        "rules": normalizers(entry.tokenizer.vocabulary),
        "weights": weights,
        "bytes": size,
    }


def stored(entry: Entry) -> bytes:
    """Return the content of `model.safetensors`; raise ConfigError unless a script in `browser/` runs the model."""
    if not runs(entry.info.rung):
        here = [rung.name for rung in RUNGS.values() if rung.bundled and runs(rung.name)]
        raise ConfigError(f"A browser cannot run {entry.title}; choose {', '.join(here[:-1])} or {here[-1]}.")
    return save(weights_of(entry.model, rung_named(entry.info.rung).stored_as))


def runs(rung: str) -> bool:
    """Say whether a browser can run the models of a rung."""
    return script_of(rung_named(rung).model_class).is_file()


def script_of(model_class: type[LanguageModel]) -> Path:
    """Return where the script of a rung is, if it has one."""
    return SCRIPTS / f"{model_class.__module__.rpartition('.')[2]}.js"


def _in_a_sentence(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ModelCraftError as error:
            return JSONResponse({"problem": error.for_visitors}, 404)

    return answer
