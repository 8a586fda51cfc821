"""The real app on a real port, in this process, so that a test can also look at what the server is doing."""

import json
import socket
import time
import urllib.error
import urllib.request

import app
from modelcraft.serving.catalogue import Catalogue
from modelcraft.serving.service import Service
from modelcraft.ui.clients import current_client


class BigramFirst(Catalogue):
    """The bundled weights; a visitor who chooses nothing meets the bigram model, which is quick and always there."""

    default = "bigram"


class AppServer:
    """The app with the bundled weights or others; `delay` seconds are added to every step of the default model."""

    def __init__(self, catalogue: Catalogue | None = None) -> None:
        self.service = Service(catalogue or BigramFirst(device="cpu"), who=current_client)
        self.delay = 0.0
        self.steps = 0
        entry = self.service.catalogue.get()
        forward = entry.model.forward

        def slow_forward(*arguments):
            self.steps += 1
            time.sleep(self.delay)
            return forward(*arguments)

        entry.model.forward = slow_forward
        self.demo = app.build(self.service)
        with socket.socket() as free:  # other tests may run at the same time
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        app.launch(self.demo, self.service, server_name="127.0.0.1", server_port=port, quiet=True)
        self.url = self.demo.local_url.rstrip("/")

    def close(self) -> None:
        self.demo.close()
        self.service.trainings.close()

    def settled(self, within: float = 5.0) -> bool:
        """Wait until no stream is running any more."""
        end = time.monotonic() + within
        while self.service.running and time.monotonic() < end:
            time.sleep(0.005)
        return not self.service.running

    def post(self, path: str, body: object) -> tuple[int, str]:
        """Send JSON, or bytes as they are; return the status and the text of the answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/gradio_api/{path}", data=data, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def events(self, path: str, event_id: str) -> list[tuple[str, object]]:
        """Return all the events of a call, as (kind, data)."""
        with urllib.request.urlopen(f"{self.url}/gradio_api/{path}/{event_id}", timeout=60) as response:
            blocks = response.read().decode().strip().split("\n\n")
        lines = [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]
        return [(line["event"], json.loads(line["data"])) for line in lines]

    def call(self, name: str, body: object, version: str = "call/v2") -> list[tuple[str, object]]:
        """Call an endpoint as curl does; return its events."""
        status, answer = self.post(f"{version}/{name}", body)
        assert status == 200, answer
        return self.events(f"{version}/{name}", json.loads(answer)["event_id"])
