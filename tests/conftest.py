"""What every test file may use. No test needs the network; the few that need tiny Shakespeare skip without it."""

import json
import os
from pathlib import Path

import pytest
from browsing import CHROMIUM, Visitor
from helpers import CHAIN, VOCABULARY, PrefixModel, spread
from hypothesis import HealthCheck, settings

from modelcraft.bigram import BigramConfig, BigramLanguageModel
from modelcraft.data import TINY_SHAKESPEARE, load_corpus
from modelcraft.loss import exact_loss
from modelcraft.model import ModelConfig
from modelcraft.store.folder import ModelInfo, save_folder

# The same examples every time, and no clock: a test fails because of the code, not because a machine was busy.
settings.register_profile(
    "modelcraft", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("modelcraft")


# Files whose tests start programs, or train, for most of their time.
SLOW = {
    *("test_abuse", "test_app_api", "test_app_start", "test_middleware", "test_routes", "test_space"),
    *("test_distributed", "test_export", "test_fit", "test_trainer", "test_training_queue", "test_hub_client"),
    *("test_bigram", "test_cli", "test_loss", "test_plots", "test_view_plots", "test_race", "test_readme"),
    *("test_counting_view", "test_embeddings_view"),
    *("test_lesson", "test_train_view", "test_visitors_together", "test_tracking"),
}


def pytest_collection_modifyitems(items):
    for item in items:
        name = item.path.stem
        if name.endswith("_browser"):
            item.add_marker(pytest.mark.browser)
        if name in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def chain():
    return CHAIN


@pytest.fixture(scope="session")
def chain_text(chain):
    return chain.text(100_000, seed=1)


@pytest.fixture
def tiny_model():
    """A bigram model over nine characters with a context of four, whose logits differ."""
    return spread(BigramLanguageModel(BigramConfig(vocab_size=len(VOCABULARY), block_size=4, n_embd=5))).eval()


@pytest.fixture(params=["bigram", "prefix"])
def language_model(request, tiny_model):
    """A rung, and a model that needs every character of its context."""
    if request.param == "bigram":
        return tiny_model
    return spread(PrefixModel(ModelConfig(vocab_size=len(VOCABULARY), block_size=4))).eval()


@pytest.fixture
def model_folder(tmp_path, tiny_model):
    """`tiny_model` on disk."""
    folder = tmp_path / "tiny"
    info = ModelInfo(
        rung="bigram",
        config=tiny_model.config,
        vocabulary=VOCABULARY,
        corpus={"name": "synthetic", "sha256": "0" * 64, "characters": 1_000},
        training={"steps": 10, "seed": 1},
        losses={"disjoint": {"nats_per_character": 2.5, "bits_per_character": 3.6}},
    )
    save_folder(folder, tiny_model, info, "# A card\n")
    return folder


@pytest.fixture
def described(model_folder):
    """Read, change and write back the `config.json` of `model_folder`."""

    class Described:
        path: Path = model_folder / "config.json"

        def read(self):
            return json.loads(self.path.read_text(encoding="utf-8"))

        def write(self, value):
            self.path.write_text(json.dumps(value), encoding="utf-8")

    return Described()


@pytest.fixture(scope="session")
def corpus_text():
    """Tiny Shakespeare, where MODELCRAFT_CORPUS says that it is."""
    where = os.environ.get("MODELCRAFT_CORPUS")
    if not where:
        pytest.skip("needs tiny Shakespeare: set MODELCRAFT_CORPUS to its path")
    corpus = load_corpus(where)
    if corpus.name != TINY_SHAKESPEARE:
        pytest.skip("MODELCRAFT_CORPUS is another text than tiny Shakespeare, whose losses are known")
    return corpus.text


@pytest.fixture
def loss_of():
    """The exact loss in nats per character, as a function of a model and its data."""
    return lambda model, data: exact_loss(model, data).nats_per_character


@pytest.fixture(scope="module")
def browser():
    """A browser without a window."""
    if not Path(CHROMIUM).exists():
        missing = f"there is no Chromium at {CHROMIUM}; `apt-get install chromium` brings it"
        if os.environ.get("MODELCRAFT_REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--headless"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server():
    """The app with the bundled weights, of which the bigram model is met first; a module may have another one."""
    from app_server import AppServer  # not for the tests that need no page

    running = AppServer()
    yield running
    running.close()


@pytest.fixture
def visitor(browser, server):
    """Open the page of the module's `server` in tabs of their own; at the end nothing may be broken or running."""
    visitors = []

    def visit(**options) -> Visitor:
        visitors.append(Visitor(browser, server.url, **options))
        return visitors[-1]

    yield visit
    for one in visitors:
        assert one.complaints == []
        one.context.close()
    server.delay = 0
    assert server.settled()
