"""The page comes compressed to whoever can read that; streams and weights do not."""

import gzip

import httpx


def fetched(server, path, encodings):
    """Return the answer's headers and its bytes as they came."""
    with httpx.stream("GET", server.url + path, headers={"Accept-Encoding": encodings}) as answer:
        assert answer.status_code == 200
        return answer.headers, b"".join(answer.iter_raw())


def test_the_page_is_compressed_and_the_same(server):
    plain, page = fetched(server, "/", "identity")
    headers, packed = fetched(server, "/", "gzip, deflate, br")
    assert headers["content-encoding"] == "gzip" and "content-encoding" not in plain
    assert "Accept-Encoding" in headers["vary"] and headers["content-type"] == plain["content-type"]
    assert gzip.decompress(packed) == page
    assert len(packed) < len(page) / 3
    head = httpx.head(server.url + "/")
    assert head.status_code == 200 and not head.content


def test_nothing_else_is_compressed_here(server):
    for path in ("/browser/weights/bigram", "/browser/model/bigram", "/gradio_api/info"):
        headers, _ = fetched(server, path, "gzip")
        assert "content-encoding" not in headers
