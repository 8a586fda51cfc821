"""The page of a running app without a browser: its buttons are pressed as its JavaScript presses them."""

import json
import time

import httpx

POEM = "Tyger Tyger, burning bright,\nIn the forests of the night;\n" * 60


class Page:
    """The page of the app as its JavaScript sees it: buttons, and what pressing them brings."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)
        self.config = self.http.get("/config").json()
        self.ids = {part["props"].get("elem_id"): part["id"] for part in self.config["components"]}
        self.said = ""
        self.visitor = self.press("train-tab", ["", ""], event="select")["output"]["data"][0]

    def press(self, part: str, data: list, headers: dict[str, str] | None = None, event: str = "click") -> dict:
        number = next(one["id"] for one in self.config["dependencies"] if [self.ids[part], event] in one["targets"])
        body = {"fn_index": number, "data": data, "session_hash": f"s{time.monotonic_ns()}"}
        self.http.post("/gradio_api/queue/join", json=body, headers=headers).raise_for_status()
        events = self.http.get(f"/gradio_api/queue/data?session_hash={body['session_hash']}").text
        self.said += events
        messages = [json.loads(line.removeprefix("data: ")) for line in events.splitlines() if line]
        return next(message for message in messages if message["msg"] == "process_completed")
