"""The API as its users reach it: gradio_client, and plain HTTP as curl speaks it; good requests and bad ones."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from app_server import AppServer
from gradio.utils import get_upload_folder
from gradio_client import Client

import modelcraft
from modelcraft.serving.clients import Shares
from modelcraft.ui.middleware import NO_EVENT


@pytest.fixture(scope="module")
def server():
    running = AppServer()
    yield running
    running.close()


@pytest.fixture
def client(server):
    return Client(server.url, verbose=False)


def library_text(prompt: str, length: int, seed: int, temperature: float = 0.8) -> str:
    model, tokenizer = modelcraft.load("bigram", device="cpu")
    params = modelcraft.SamplingParams(length, temperature, seed=seed)
    return tokenizer.decode(list(modelcraft.stream(model, tokenizer.encode(prompt), params)))


def test_generate_gives_the_continuation_alone_and_what_the_library_gives(client):
    text = client.predict("ROMEO:", length=300, temperature=0.8, seed=5, api_name="/generate")
    assert text == library_text("ROMEO:", 300, 5)
    assert len(text) == 300
    assert client.predict("ROMEO:", length=300, seed=5, api_name="/generate") == text
    assert client.predict("ROMEO:", length=300, seed=6, api_name="/generate") != text


def test_all_fields_and_positions(client, server):
    by_name = client.predict(
        prompt="A", length=50, temperature=1.5, model="bigram", top_k=3, top_p=0.9, seed=1, api_name="/generate"
    )
    assert by_name == client.predict("A", 50, 1.5, "bigram", 3, 0.9, 1, api_name="/generate")
    assert server.call("generate", {"data": ["A", 50, 1.5, "bigram", 3, 0.9, 1]}, "call")[-1] == ("complete", [by_name])
    greedy = client.predict("A", length=50, temperature=0, api_name="/generate")
    assert greedy == client.predict("A", length=50, temperature=2, top_k=1, api_name="/generate")


def test_a_text_ends_before_what_was_asked_for(client):
    whole = client.predict("ROMEO:", length=300, seed=5, api_name="/generate")
    stop = whole[40:42]
    expected = whole[: whole.index(stop)]
    assert client.predict("ROMEO:", length=300, seed=5, stop=stop, api_name="/generate") == expected
    assert client.predict("ROMEO:", length=300, seed=5, stop=stop, api_name="/chat") == expected
    # What the model does not know cannot come.
    assert client.predict("ROMEO:", length=300, seed=5, stop="€", api_name="/generate") == whole
    with pytest.raises(Exception, match="stop must have at most 100 characters"):
        client.predict("ROMEO:", stop="a" * 101, api_name="/generate")


@pytest.mark.parametrize("prompt", ["To be, or not to be", "T b, r nt t b"])
def test_the_encoder_decoder_restores_a_line_and_ends(client, prompt):
    text = client.predict(prompt, model="encoder-decoder", temperature=0, api_name="/generate")
    assert "".join(c for c in text if c not in "aeiouAEIOU") == "T b, r nt t b"
    assert not text.endswith("\n")
    two = client.predict(f"{prompt}\nwht nw", model="encoder-decoder", temperature=0, api_name="/generate")
    assert two.startswith(f"{text}\n") and two.count("\n") == 1


def test_in_a_chat_it_restores_the_newest_line_alone(server):
    client = Client(server.url, verbose=False)
    options = {"model": "encoder-decoder", "temperature": 0, "api_name": "/chat"}
    first = client.predict("wht nw", **options)
    second = client.predict("T b, r nt t b", **options)
    assert second == client.predict("T b, r nt t b", model="encoder-decoder", temperature=0, api_name="/generate")
    assert "".join(c for c in first if c not in "aeiou") == "wht nw"
    with pytest.raises(Exception, match="Write a line first: encoder-decoder restores lines"):
        client.predict("", **options)


def test_the_text_grows_in_events(client, server):
    server.delay = 0.005
    try:
        texts = list(client.submit("ROMEO:", length=200, seed=1, api_name="/generate"))
    finally:
        server.delay = 0
    assert len(texts) > 5
    assert len(texts[0]) == 1  # the first character comes at once
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert texts[-1] == library_text("ROMEO:", 200, 1)


def test_no_more_than_thirty_events_a_second(server):
    server.delay = 0.001
    try:
        start = time.monotonic()
        events = server.call("generate", {"prompt": "A", "length": 1000})
        seconds = time.monotonic() - start
    finally:
        server.delay = 0
    generating = [event for event in events if event[0] == "generating"]
    assert len(generating) <= 30 * seconds + 2
    assert len(generating) > 5


def test_plain_http_like_curl(server):
    for version, body in (
        ("call", {"data": ["ROMEO:", 40, 0.8, None, 0, 1, 3]}),
        ("call/v2", {"prompt": "ROMEO:", "length": 40, "seed": 3}),
    ):
        events = server.call("generate", body, version)
        assert events[-1] == ("complete", [library_text("ROMEO:", 40, 3)])
    # Fields that are left out at the end of the positional form take their defaults.
    assert len(server.call("generate", {"data": ["ROMEO:"]}, "call")[-1][1][0]) == 400


def test_chat_keeps_a_script_for_its_session_only(server):
    first, second = Client(server.url, verbose=False), Client(server.url, verbose=False)
    reply = first.predict("ROMEO:", length=30, seed=1, api_name="/chat")
    assert reply == library_text("ROMEO:", 30, 1)
    # The next line comes after the script so far, in a paragraph of its own.
    so_far = f"ROMEO:{reply}"
    gap = "" if so_far.endswith("\n\n") else "\n" if so_far.endswith("\n") else "\n\n"
    following = first.predict("I am", length=30, seed=2, api_name="/chat")
    assert following == library_text(f"{so_far}{gap}I am"[-8:], 30, 2)
    # An empty line lets the model go on; whoever has no script yet has nothing to go on from.
    assert len(first.predict("", length=10, api_name="/chat")) == 10
    with pytest.raises(Exception, match="prompt is empty"):
        second.predict("", length=10, api_name="/chat")


def test_chat_over_plain_http_keeps_the_script_of_a_session_hash(server):
    def reply(session: str | None, line: str) -> tuple[str, object]:
        return server.call("chat", {"data": [line, 10], "session_hash": session}, "call")[-1]

    assert reply("mine", "ROMEO:")[0] == "complete"
    assert reply("mine", "")[0] == "complete"
    assert reply("yours", "")[0] == "error"
    assert reply(None, "")[0] == "error"


def test_models_says_what_runs(client):
    listed = client.predict(api_name="/models")
    assert listed["default"] == "bigram"
    bigram = next(model for model in listed["models"] if model["name"] == "bigram")
    assert bigram["weights"] == "bundled"
    assert bigram["parameters"] == 4481
    assert bigram["validation_loss"] < 2.487
    assert listed["hub"] == {}


def test_unknown_characters_are_mapped_and_none_left_is_an_error(client):
    mapped = client.predict("“ROMÉO”—", length=40, seed=4, api_name="/generate")
    assert mapped == library_text("'ROMEO'--", 40, 4)
    with pytest.raises(Exception, match=r"Nothing is left of the prompt.*日"):
        client.predict("日本", length=40, api_name="/generate")


BAD_VALUES = [
    ({"length": 0}, "length must be a whole number from 1 to 2,000, not 0."),
    ({"length": 10**9}, "length must be"),
    ({"length": 10**400}, "length must be"),
    ({"length": -5}, "length must be"),
    ({"length": 1.5}, "length must be"),
    ({"length": "5"}, "length must be a whole number from 1 to 2,000, not str."),
    ({"length": True}, "length must be"),
    ({"length": [5]}, "length must be"),
    ({"length": float("nan")}, "length must be"),
    ({"length": float("inf")}, "length must be"),
    ({"temperature": -1}, "temperature must be a number from 0 to 2.0, not -1."),
    ({"temperature": float("nan")}, "temperature must be"),
    ({"temperature": float("-inf")}, "temperature must be"),
    ({"temperature": "hot"}, "temperature must be"),
    ({"temperature": 1e300}, "temperature must be"),
    ({"model": "gpt-17"}, "There is no model 'gpt-17'"),
    ({"model": "../../etc/passwd"}, "There is no model of that name; there are "),
    ({"model": "<img src=x onerror=alert(1)>"}, "There is no model of that name"),
    ({"model": 5}, "model must be"),
    ({"model": ["bigram"]}, "model must be"),
    ({"top_k": -1}, "top_k must be"),
    ({"top_k": 2.5}, "top_k must be"),
    ({"top_p": 1.1}, "top_p must be"),
    ({"top_p": {}}, "top_p must be"),
    ({"seed": -1}, "seed must be"),
    ({"seed": 2**63}, "seed must be"),
    ({"seed": "one"}, "seed must be"),
    ({"prompt": ""}, "The prompt is empty"),
    ({"prompt": None}, "prompt must be text"),
    ({"prompt": 5}, "prompt must be text"),
    ({"prompt": ["A"]}, "prompt must be text"),
    ({"prompt": {"text": "A"}}, "prompt must be text"),
    ({"prompt": "A" * 1_000_000}, "prompt must have at most 10,000 characters, not 1,000,000."),
    ({"prompt": "A\ud800"}, "lone surrogates U+D800"),
    ({"prompt": "\u0000\u202e"}, "Nothing is left of the prompt"),
    ({"prompt": "<script>alert(1)</script>" + "<" * 10_000}, "at most 10,000"),
]


def joined(server, name: str, data: list[object]) -> list[dict[str, object]]:
    """Call an endpoint as Gradio's client for JavaScript does; return its messages."""
    number = next(number for number, fn in server.demo.fns.items() if fn.api_name == name)
    status, answer = server.post("queue/join", {"fn_index": number, "data": data, "session_hash": "javascript"})
    assert status == 200, answer
    with urllib.request.urlopen(f"{server.url}/gradio_api/queue/data?session_hash=javascript", timeout=60) as response:
        lines = response.read().decode().splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


@pytest.mark.cases
@pytest.mark.parametrize("name", ["generate", "chat"])
@pytest.mark.parametrize("data", [["A"], ["A", None, None], ["A", 400], ["A", *[None] * 6]], ids=len)
def test_what_a_javascript_client_leaves_out_is_the_default(server, name, data):
    completed = next(one for one in joined(server, name, data) if one["msg"] == "process_completed")
    assert completed["success"], completed
    assert len(completed["output"]["data"][0]) == 400


@pytest.mark.cases
@pytest.mark.parametrize("version", ["call", "call/v2"])
def test_null_is_the_default(server, version):
    fields = {"prompt": "A", "length": None, "temperature": None, "model": None, "top_k": None, "top_p": None}
    body = fields if version == "call/v2" else {"data": [*fields.values()]}
    kind, data = server.call("generate", body, version)[-1]
    assert kind == "complete"
    assert len(data["output"]["data"][0] if isinstance(data, dict) else data[0]) == 400


@pytest.mark.cases
def test_what_has_no_default_may_not_be_left_out(server):
    number = next(number for number, fn in server.demo.fns.items() if fn.api_name == "generate")
    status, answer = server.post("queue/join", {"fn_index": number, "data": [], "session_hash": "javascript"})
    assert (status, json.loads(answer)) == (400, {"error": "This function takes a list of 1 to 8 fields."})


@pytest.mark.parametrize("name", ["generate", "chat"])
@pytest.mark.parametrize(("fields", "says"), BAD_VALUES, ids=lambda value: str(value)[:40])
def test_a_bad_value_is_one_clear_sentence(server, name, fields, says):
    line = "message" if name == "chat" else "prompt"
    body = {line: "A", **{line if key == "prompt" else key: value for key, value in fields.items()}}
    if name == "chat" and says.startswith("prompt must"):
        says = says.replace("prompt", "message")
    status, answer = server.post(f"call/v2/{name}", body)
    if status == 200:
        kind, data = server.events(f"call/v2/{name}", json.loads(answer)["event_id"])[-1]
        assert kind == "error"
        answer = data["error"]
    else:
        assert 400 <= status < 500
        answer = json.loads(answer)["error"]
    if 10**400 not in fields.values():
        assert says in answer or (name == "chat" and "at most 10,000" in answer)
    assert "Traceback" not in answer
    assert "\n" not in answer
    assert "<" not in answer
    assert server.call(name, {line: "A", "length": 3})[-1][0] == "complete"


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("call/nonsense", {"data": []}, 404, "There is no such endpoint; there are /generate, /chat, /models."),
        ("call/v2/nonsense", {}, 404, "There is no such endpoint"),
        ("call/v2/generate", {}, 400, "/generate needs the field 'prompt'."),
        (
            "call/v2/generate",
            {"prompt": "A", "lenght": 5},
            400,
            "/generate has no field 'lenght'; it has prompt, length",
        ),
        ("call/generate", {"data": []}, 400, "/generate needs the field 'prompt'."),
        ("call/generate", {"data": ["A"] * 9}, 400, "at most 8 fields, not 9"),
        ("call/generate", {}, 400, '{"data": [...]}'),
        ("call/generate", {"data": "A"}, 400, '{"data": [...]}'),
        ("call/generate", [], 400, "must be a JSON object"),
        ("call/generate", b"{", 400, "not valid JSON"),
        ("call/generate", b"\xff\xfe", 400, "not valid JSON"),
        ("call/generate", b"[" * 100_000, 400, "not valid JSON"),
        ("call/generate", b"", 400, "not valid JSON"),
        ("call/generate", {"data": ["A"], "session_hash": ["x"]}, 400, "session_hash"),
        ("call/generate", b'{"data": ["' + b"A" * (5 << 20) + b'"]}', 413, "larger than 2 MB"),
        ("run/generate", {"data": ["A"]}, 404, "closed"),
        ("api/generate", {"data": ["A"]}, 404, "closed"),
        ("queue/join", {"fn_index": 10**6, "data": [], "session_hash": "x"}, 404, "no such function"),
        ("queue/join", {"fn_index": 0, "data": ["\ud800"], "session_hash": "x"}, 400, "lone surrogates"),
        ("queue/join", {"fn_index": "0", "data": [], "session_hash": "x"}, 404, "no such function"),
        ("queue/join", {"fn_index": 0, "data": [1, 2], "session_hash": "x"}, 400, "fields"),
    ],
)
def test_a_bad_request_is_answered_at_the_gate(server, path, body, status, says):
    answered, text = server.post(path, body)
    assert answered == status
    assert says in json.loads(text)["error"]
    assert "Traceback" not in text
    assert server.call("generate", {"prompt": "A", "length": 3})[-1][0] == "complete"


def upload(server, content: bytes, name: str = "poem.txt") -> tuple[int, str]:
    """Send a file as a browser does."""
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode("utf-8", "surrogateescape") + content + b"\r\n--x--\r\n"
    request = urllib.request.Request(
        f"{server.url}/gradio_api/upload", data=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_an_upload_stays_within_its_folder_and_its_bounds(server, monkeypatch):
    folder = Path(get_upload_folder()).resolve()
    for name in (
        "poem.txt",
        "../../../poem.txt",
        "/etc/passwd",
        "..",
        "<b>x</b>.txt",
        "x" * 300,
        "a\\..\\b",
        "\x00.txt",
    ):
        status, answer = upload(server, b"some text", name)
        assert status in (200, 400), (name, status, answer)
        if status == 200:
            path = Path(json.loads(answer)[0]).resolve()
            assert path.is_relative_to(folder), name
            path.unlink()
        else:
            assert "Traceback" not in answer
    assert upload(server, b"x" * (3 << 20))[0] == 413
    assert server.post("upload", {})[0] == 400
    monkeypatch.setattr("modelcraft.ui.middleware.MAX_UPLOADS", 1 << 20)
    status, answer = upload(server, b"x" * (1 << 20))
    assert status == 503
    assert "Busy, try again in 300 seconds." in answer


def test_an_event_that_does_not_exist(server):
    for path in ("call/generate", "call/v2/generate"):
        assert server.events(path, "0" * 32) == [("error", {"error": NO_EVENT})]


@pytest.mark.cases
def test_an_event_that_was_read_is_not_waited_for(server):
    """Fetching it a second time was answered with heartbeats, for ever."""
    asked = json.loads(server.post("call/v2/generate", {"prompt": "A", "length": 2})[1])["event_id"]
    assert server.events("call/v2/generate", asked)[-1][0] == "complete"
    assert server.events("call/v2/generate", asked) == [("error", {"error": NO_EVENT})]


def test_a_reader_who_leaves_ends_the_generation(server):
    server.delay = 0.02
    try:
        status, answer = server.post("call/v2/generate", {"prompt": "A", "length": 2000})
        assert status == 200
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as reader:
            event = json.loads(answer)["event_id"]
            reader.sendall(f"GET /gradio_api/call/v2/generate/{event} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert b"generating" in reader.recv(4096) + reader.recv(4096)
            assert server.service.running == 1
        assert server.settled(within=2)
        steps = server.steps
        time.sleep(0.3)
        assert server.steps == steps
    finally:
        server.delay = 0
        server.settled(60)


@pytest.mark.cases
def test_a_stream_that_nobody_fetches_is_ended_with_an_error(server, monkeypatch):
    monkeypatch.setattr("modelcraft.serving.streaming.PATIENCE_S", 0.5)
    server.delay = 0.02
    try:
        status, answer = server.post("call/v2/generate", {"prompt": "A", "length": 2000})
        assert status == 200
        time.sleep(0.2)
        assert server.service.running == 1
        assert server.settled(within=5)
        kind, data = server.events("call/v2/generate", json.loads(answer)["event_id"])[-1]
        assert kind == "error"
        assert "Nobody read this text" in data["error"]
    finally:
        server.delay = 0
        server.settled(60)


@pytest.mark.cases
@pytest.mark.parametrize("name", ["generate", "chat"])
def test_who_fetches_late_gets_the_whole_text(server, name):
    server.delay = 0.001
    try:
        field = "prompt" if name == "generate" else "message"
        _, answer = server.post(f"call/v2/{name}", {field: "A", "length": 2000, "seed": 1})
        time.sleep(4)
        events = server.events(f"call/v2/{name}", json.loads(answer)["event_id"])
    finally:
        server.delay = 0
        server.settled(60)
    assert events[-1][0] == "complete"
    assert len(events[-1][1][0]) == 2000
    assert len(events) < 60  # what waits for a reader does not pile up


def test_too_many_at_once_is_said_and_not_queued(server, monkeypatch):
    monkeypatch.setattr(server.service, "writing", Shares(4, 4, 4))  # the last of four is for another address
    server.delay = 0.01
    try:
        with ThreadPoolExecutor(6) as pool:
            ends = list(pool.map(lambda _: server.call("generate", {"prompt": "A", "length": 100})[-1], range(6)))
    finally:
        server.delay = 0
    kinds = [kind for kind, _ in ends]
    assert kinds.count("complete") == 3
    assert all("Busy, try again in" in data["error"] for kind, data in ends if kind == "error")


def test_many_at_once_give_each_their_own_text(server):
    def text(seed: int) -> str:
        return server.call("generate", {"prompt": "A", "length": 80, "seed": seed})[-1][1][0]

    expected = [library_text("A", 80, seed) for seed in range(24)]
    before = our_threads()
    for _ in range(3):
        with ThreadPoolExecutor(12) as pool:
            assert list(pool.map(text, range(24))) == expected
        assert server.settled()
    deadline = time.monotonic() + 5
    while Counter(our_threads()) - Counter(before):  # those of an earlier server may end meanwhile
        assert time.monotonic() < deadline, our_threads()
        time.sleep(0.01)


def our_threads() -> list[str]:
    """The threads there are, less those of the pools that the web server keeps, which have bounds of their own."""
    names = (thread.name for thread in threading.enumerate())
    return sorted(name for name in names if not name.startswith(("AnyIO worker", "asyncio")))


@pytest.mark.cases
def test_a_reader_whose_event_another_has_ended_is_not_left_waiting(server, monkeypatch):
    """Two readers of one session, one of whom leaves."""
    monkeypatch.setattr("gradio.utils.get_heartbeat_rate", lambda: 0.1)
    queue = server.demo._queue
    other = json.loads(server.post("call/generate", {"data": ["A", 2_000], "session_hash": "shared"})[1])["event_id"]
    server.delay = 0.01
    try:
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(server.events, "call/generate", other)
            time.sleep(0.5)
            for job in queue.active_jobs:  # what Gradio does to them when another reader of the session leaves
                for event in job or ():
                    event.alive = False
            server.delay = 0
            assert reading.result(timeout=30)[-1] == ("error", {"error": NO_EVENT})
    finally:
        server.delay = 0


@pytest.mark.cases
def test_gradio_keeps_no_figures_of_events(server):
    for _ in range(3):
        server.call("generate", {"prompt": "ROMEO:", "length": 1})
    queue = server.demo._queue
    assert len(queue.event_analytics) <= 1
    assert queue.cached_event_analytics_summary == {"functions": {}}  # it was never worked out


def test_the_api_is_documented(server, client):
    described = client.view_api(return_format="dict")["named_endpoints"]
    assert set(described) == {"/generate", "/chat", "/models"}
    names = [parameter["parameter_name"] for parameter in described["/generate"]["parameters"]]
    assert names == ["prompt", "length", "temperature", "model", "top_k", "top_p", "seed", "stop"]
    assert [p["parameter_name"] for p in described["/chat"]["parameters"]] == ["message", *names[1:]]
