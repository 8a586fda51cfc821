"""Whatever a handler raises, a visitor reads one sentence."""

import asyncio

import gradio as gr
import pytest
from app_server import AppServer

from modelcraft.support.errors import CheckpointError, ConfigError
from modelcraft.ui.widgets import BROKEN, told

pytestmark = pytest.mark.cases
RAISED = [
    (ConfigError("Choose another."), "Choose another."),
    (CheckpointError("'/home/ana/x' is damaged."), CheckpointError.visitors),  # a path is nobody's affair
    (gr.Error("In its own words."), "In its own words."),
    (RuntimeError("CUDA error: device-side assert"), BROKEN),
    (OSError(28, "No space left on device"), BROKEN),
    (MemoryError(), BROKEN),
    (KeyError("x"), BROKEN),
]


@pytest.mark.parametrize(("error", "said"), RAISED)
@pytest.mark.parametrize("kind", ["plain", "waiting", "streaming"])
def test_what_is_raised_becomes_a_sentence(kind, error, said, caplog):
    @told
    def plain():
        raise error

    @told
    async def waiting():
        raise error

    @told
    async def streaming():
        yield 1
        raise error

    async def read():
        return [one async for one in streaming()]

    call = {"plain": plain, "waiting": lambda: asyncio.run(waiting()), "streaming": lambda: asyncio.run(read())}[kind]
    with pytest.raises(gr.Error) as raised:
        call()
    assert raised.value.message == said
    assert bool(caplog.records) is (said == BROKEN)  # the owner reads what broke


def test_who_leaves_a_stream_closes_it():
    closed = []

    @told
    async def streaming(self):
        """Stream."""
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async def read():
        stream = streaming(None)
        assert await anext(stream) == 1
        await stream.aclose()

    asyncio.run(read())
    assert closed == [True]
    assert streaming.__doc__ == "Stream."


def test_every_handler_of_the_page_is_told():
    server = AppServer()
    try:
        handlers = [fn.fn for fn in server.demo.fns.values() if fn.fn is not None and fn.inputs]
        assert len(handlers) > 40
        assert [fn for fn in handlers if not hasattr(fn, "__wrapped__") and fn.__name__ != "<lambda>"] == []
    finally:
        server.close()
