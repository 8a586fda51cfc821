"""The client whose request is being answered, as Gradio knows it."""

from collections.abc import Callable

from gradio.context import LocalContext

from modelcraft.serving.clients import Client, network


def current_client() -> Client:
    """Return the client whose request is being answered."""
    request = LocalContext.request.get(None)
    if request is None or request.client is None:
        return Client()
    return Client(network(request.client.host), request.session_hash or "")


def unread_events() -> Callable[[], int]:
    """Return a function that counts the unread events of the client whose request is being answered."""
    blocks, session = LocalContext.blocks.get(None), current_client().session
    if blocks is None:
        return lambda: 0
    queues = blocks._queue.pending_messages_per_session

    def unread() -> int:
        queue = queues.get(session)
        return 0 if queue is None else queue.qsize()

    return unread
