"""The API behind assistants: the app as an MCP server, and the client of the `mcp` package."""

import asyncio
import importlib.util
import json
import urllib.error
import urllib.request
from contextlib import asynccontextmanager

import pytest
from app_server import AppServer
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

import app
from modelcraft.inference.stream import SamplingParams, stream
from modelcraft.support.errors import StartError


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_MCP_SERVER", "True")
        one = AppServer()
    yield one
    one.close()


@asynccontextmanager
async def session(server):
    address = f"{server.url}/gradio_api/mcp"
    async with streamable_http_client(address) as (read, write, _), ClientSession(read, write) as client:
        await client.initialize()
        yield client


async def called(server, tool, **arguments):
    """Call a tool; return whether it failed, and its text."""
    async with session(server) as client:
        answer = await client.call_tool(tool, arguments)
    (content,) = answer.content
    return answer.isError, content.text


def call(server, tool, **arguments):
    return asyncio.run(called(server, tool, **arguments))


def written(server, prompt, length, seed):
    entry = server.service.catalogue.get()
    params = SamplingParams(length, 0.8, seed=seed)
    return entry.tokenizer.decode(list(stream(entry.model, entry.tokenizer.encode(prompt), params)))


def test_there_are_two_tools_and_every_parameter_is_described(server):
    async def listed():
        async with session(server) as client:
            return (await client.list_tools()).tools

    generate, models = sorted(asyncio.run(listed()), key=lambda tool: tool.name)
    assert (generate.name, models.name) == ("generate", "models")
    assert generate.description.startswith("Continue a prompt.") and models.description.startswith("List the models")
    fields = generate.inputSchema["properties"]
    assert list(fields) == ["prompt", "length", "temperature", "model", "top_k", "top_p", "seed", "stop"]
    assert all(field["description"].endswith(".") for field in fields.values())
    assert generate.inputSchema["required"] == ["prompt"]
    with urllib.request.urlopen(f"{server.url}/gradio_api/mcp/schema") as answer:  # where the Hub looks
        assert [tool["name"] for tool in json.load(answer)] == ["generate", "models"]


def test_a_text_is_the_one_that_the_library_writes(server):
    failed, answer = call(server, "generate", prompt="ROMEO:", length=80, seed=7)
    assert not failed
    assert json.loads(answer) == {"text": written(server, "ROMEO:", 80, 7)}


def test_assistants_at_the_same_time_get_their_own_texts(server):
    async def both():
        return await asyncio.gather(*(called(server, "generate", prompt=name, length=60, seed=5) for name in "ABC"))

    answers = [json.loads(answer)["text"] for _, answer in asyncio.run(both())]
    assert answers == [written(server, name, 60, 5) for name in "ABC"]


def test_the_models_come_as_json(server):
    failed, answer = call(server, "models")
    assert not failed
    assert json.loads(answer) == server.service.catalogue.describe()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"prompt": "ROMEO:", "length": -20}, "length must be a whole number from 1 to 2,000, not -20."),
        ({"prompt": "ROMEO:", "model": "gpt-9"}, "gpt-9"),
    ],
)
def test_a_mistake_is_one_sentence(server, arguments, sentence):
    failed, answer = call(server, "generate", **arguments)
    assert failed
    assert sentence in answer and "Traceback" not in answer


def test_the_chat_is_not_there(server):
    """Gradio takes all assistants for one session: they would write on in each other's script."""
    failed, answer = call(server, "chat", message="ROMEO:")
    assert failed
    assert "Unknown tool" in answer


def test_without_the_variable_there_is_no_such_address(monkeypatch):
    monkeypatch.delenv("GRADIO_MCP_SERVER", raising=False)
    plain = AppServer()
    try:
        for path in ("mcp", "mcp/schema"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{plain.url}/gradio_api/{path}")
            assert refused.value.code == 404
            refused.value.close()
    finally:
        plain.close()


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setenv("GRADIO_MCP_SERVER", "True")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(app, "catch_signals", lambda handler: None)
    with pytest.raises(StartError, match=r"^GRADIO_MCP_SERVER needs .* `pip install 'gradio\[mcp\]'`\.$"):
        app.serve()
