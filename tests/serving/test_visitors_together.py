"""What visitors ask for at the same time of one model is what each would get alone: nothing of theirs is shared."""

import asyncio
import threading

import pytest
from app_server import BigramFirst

from modelcraft.sampling import SamplingParams
from modelcraft.serving.service import Service
from modelcraft.ui.tabs import attention, embeddings, surprise
from modelcraft.ui.tabs.next_character import next_logits

RUNGS = ("block", "encoder-decoder", "blend")
TEXTS = ("ROMEO:\nO, she doth", "What's in a name?", "To be", "First Citizen:\nBefore we proceed any further")


def asks(entry, text):
    """Everything on the page that looks into a model, for one text."""
    ids = entry.tokenizer.encode(text)
    return {
        "attention": lambda: attention.page(entry, text, None)[:2],
        "surprise": lambda: surprise.panel(entry, text),
        "next": lambda: next_logits(entry, text).tolist(),
        "embeddings": lambda: embeddings.page(entry)[0]["near"],
        "writing": lambda: list(entry.engine.submit(ids, SamplingParams(20, temperature=0))),
    }


@pytest.mark.cases
@pytest.mark.parametrize("rung", RUNGS)
def test_each_gets_what_they_would_get_alone(rung):
    entry = asyncio.run(Service(BigramFirst(device="cpu")).get(rung))
    alone = {text: {name: ask() for name, ask in asks(entry, text).items()} for text in TEXTS}
    faults, together = [], threading.Barrier(len(TEXTS))

    def visit(text):
        together.wait()
        for name, ask in asks(entry, text).items():
            try:
                if ask() != alone[text][name]:
                    faults.append((name, text))
            except Exception as error:
                faults.append((name, repr(error)))

    threads = [threading.Thread(target=visit, args=(text,)) for text in TEXTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entry.engine.close()
    assert faults == []
