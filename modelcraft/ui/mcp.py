"""The API for assistants, by the Model Context Protocol: the tools `generate` and `models`, with answers in JSON.

Opt-in: GRADIO_MCP_SERVER=True, as Gradio has it, and the extra gradio[mcp].
"""

import importlib.util
import json
import os
from typing import TYPE_CHECKING, Any

from modelcraft.support.errors import StartError

if TYPE_CHECKING:
    from gradio.mcp import GradioMCPServer
    from mcp.types import TextContent

# Not /chat: to Gradio all assistants are one session, and they would share a script.
TOOLS = ("/generate", "/models")


def wanted() -> bool:
    """Say whether the environment asks for it; raises StartError if a package is missing for it."""
    if os.environ.get("GRADIO_MCP_SERVER", "").lower() != "true":
        return False
    if importlib.util.find_spec("mcp") is None:
        raise StartError("GRADIO_MCP_SERVER needs a package more; install it with `pip install 'gradio[mcp]'`.")
    return True


def refine(server: "GradioMCPServer") -> None:
    """Leave Gradio's server the tools of TOOLS, and let it answer in JSON; it would write Python's `{'a': None}`."""
    server.tool_to_endpoint = {tool: path for tool, path in server.tool_to_endpoint.items() if path in TOOLS}
    server.postprocess_output_data = _in_json  # type: ignore[method-assign, assignment]


def _in_json(data: list[Any], root_url: str) -> list["TextContent"]:
    from mcp.types import TextContent

    answers = [{"text": one} if isinstance(one, str) else one for one in data]
    return [TextContent(type="text", text=json.dumps(answer, ensure_ascii=False)) for answer in answers]
