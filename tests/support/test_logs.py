"""No stranger forges a line of the log, or fills the disk with it."""

import io
import logging

import pytest

from modelcraft.support.logs import Bounded, Lines

pytestmark = pytest.mark.cases


@pytest.fixture
def log():
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(Lines())
    handler.addFilter(Bounded(5))
    logger = logging.Logger("modelcraft.test")
    logger.addHandler(handler)
    return logger, written


def test_a_record_is_a_line_whatever_is_in_it(log):
    logger, written = log
    logger.warning("%s is not used", "ana/x\nERROR: root: all is lost\r\x1b[2J\x85\u2028")
    assert written.getvalue() == (
        "WARNING: modelcraft.test: ana/x\\x0aERROR: root: all is lost\\x0d\\x1b[2J\\x85\\u2028 is not used\n"
    )


def test_the_name_of_a_visitors_model_stays_out_of_it(log):
    logger, written = log
    try:
        raise ValueError("yours-a_b-C4 is gone")
    except ValueError:
        logger.exception("%s %r", "GET", "/browser/model/yours-a_b-C4?x=1")
    logger.warning("%s", "\nyours-a_b-C4")
    assert "a_b-C4" not in written.getvalue()
    assert "GET '/browser/model/yours-…?x=1'" in written.getvalue()
    assert "ValueError: yours-… is gone\n" in written.getvalue()
    assert written.getvalue().endswith("\\x0ayours-…\n")


def test_a_traceback_is_indented(log):
    logger, written = log
    try:
        raise ValueError("one\nERROR: root: two")
    except ValueError:
        logger.exception("it failed")
    first, *rest = written.getvalue().splitlines()
    assert first == "ERROR: modelcraft.test: it failed"
    assert len(rest) > 3
    assert all(line.startswith("    ") for line in rest)


def test_a_flood_is_cut_and_counted(log, monkeypatch):
    logger, written = log
    now = [1000.0]
    monkeypatch.setattr("modelcraft.support.logs.time.monotonic", lambda: now[0])
    logger.handlers[0].filters[0]._since = now[0]
    for number in range(1_000):
        logger.warning("request %s", number)
    assert len(written.getvalue().splitlines()) == 5
    now[0] += 61
    logger.warning("later")
    assert written.getvalue().splitlines()[-1] == "WARNING: modelcraft.test: (995 records were left out.) later"
