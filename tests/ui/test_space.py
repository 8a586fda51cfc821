"""On a Space: whoever has signed in pushes a model of their own to their own account, and the token is seen nowhere."""

import base64
import hashlib
import json
import time

import httpx
import itsdangerous
import pytest
from hub_server import APPS_TOKEN, File, Repo, running_hub
from pressing import POEM, Page
from test_app_start import environment, start  # noqa: F401  (fixtures)

SECRET = "the-spaces-own-secret"


def signed_in(token: str) -> dict[str, str]:
    """Return the cookie that Gradio leaves with a visitor who has signed in with Hugging Face."""
    about = {"name": "T", "preferred_username": "tester", "profile": "", "picture": ""}
    info = {"access_token": token, "scope": "contribute-repos", "userinfo": about, "expires_at": time.time() + 3600}
    session = {"oauth_info": info}
    key = hashlib.sha256(f"{SECRET}-v4".encode()).hexdigest()
    signer = itsdangerous.TimestampSigner(key)
    return {"Cookie": "session=" + signer.sign(base64.b64encode(json.dumps(session).encode())).decode()}


def test_who_has_signed_in_pushes_to_their_own_account(start):  # noqa: F811
    with running_hub() as hub:
        app = start(
            SYSTEM="spaces",
            SPACE_ID="tester/space",
            OAUTH_CLIENT_ID="id",
            OAUTH_CLIENT_SECRET=SECRET,
            OAUTH_SCOPES="openid profile contribute-repos",
            OPENID_PROVIDER_URL="http://127.0.0.1:9",
            GRADIO_SERVER_NAME="127.0.0.1",
            HF_ENDPOINT=hub.url,
        )
        page = Page(app.url)
        assert any("Sign in with" in str(part["props"].get("value")) for part in page.config["components"])
        order = ["bigram", 5, 32, 1, 8, "a text you paste", POEM, "nothing", None, None, None]
        assert page.press("train-go", [page.visitor, *order])["success"]
        deadline = time.monotonic() + 90
        while True:
            answer = page.press("train-download", [page.visitor])
            if answer["success"] or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        assert answer["success"], answer

        stranger = page.press("train-push", [page.visitor, "my-tyger", False, False, True])
        assert "Sign in with Hugging Face first." in stranger["output"]["error"]
        assert not hub.repos

        nothing = page.press(
            "train-push", [Page(app.url).visitor, "my-tyger", False, False, True], signed_in(APPS_TOKEN)
        )
        assert "no finished model of yours" in nothing["output"]["error"]
        wrong = page.press("train-push", [page.visitor, "a b/../c", False, False, True], signed_in(APPS_TOKEN))
        assert "no name of a Hub repository" in wrong["output"]["error"]
        refused = page.press("train-push", [page.visitor, "my-tyger", False, False, True], signed_in("hf_wrong"))
        assert "Your model is still here" in refused["output"]["error"]
        assert "/tmp" not in refused["output"]["error"]

        theirs = hub.repos["tester/diary"] = Repo(
            commits={"1": {"README.md": File(b"Dear diary")}}, branches={"main": "1"}
        )
        before = page.press("train-push", [page.visitor, "diary", False, False, True], signed_in(APPS_TOKEN))
        assert "tester/diary exists already" in before["output"]["error"]
        assert theirs.files() == {"README.md": b"Dear diary"}

        # Another site's page, whose visitor's browser sends the cookie along.
        for site in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            with pytest.raises(httpx.HTTPStatusError, match="403"):
                page.press("train-push", [page.visitor, "diary", False, True, True], signed_in(APPS_TOKEN) | site)
        assert theirs.files() == {"README.md": b"Dear diary"}

        own = {"Sec-Fetch-Site": "same-origin", "Origin": app.url}  # as the page itself asks, in a frame or not
        assert page.press("train-push", [page.visitor, "my-tyger", True, False, True], signed_in(APPS_TOKEN) | own)[
            "success"
        ]
        repo = hub.repos["tester/my-tyger"]
        assert repo.private
        assert set(repo.files()) >= {"config.json", "model.safetensors", "README.md", "loss_curve.png"}
        again = page.press("train-push", [page.visitor, "my-tyger", True, True, True], signed_in(APPS_TOKEN))
        assert again["success"]
        assert again["output"]["data"] == [False]  # the box is for one time
        # Not even who says so can push over what this app has not made.
        refused = page.press("train-push", [page.visitor, "diary", False, True, True], signed_in(APPS_TOKEN))
        assert "gives no access to tester/diary" in refused["output"]["error"]
        assert theirs.files() == {"README.md": b"Dear diary"}
        output = app.end()
        assert APPS_TOKEN not in output + page.said
        assert "hf_wrong" not in output + page.said
