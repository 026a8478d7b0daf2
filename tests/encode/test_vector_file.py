"""Vectors in a file: the same after any interruption, and nothing a server was paid for is sent twice."""

import numpy as np
import pytest

from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.encode import vector_file
from gnomon.encode.providers.encoder import ProviderEncoder
from gnomon.encode.providers.known import ADDRESS
from gnomon.encode.vector_file import encode_to_file
from gnomon.testing.toys import HashEncoder
from support.provider_server import fails, provider_server

TEXTS = [f"text {number}" for number in range(50)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(vector_file, "BLOCK", 16)


def test_a_run_that_was_cut_off_is_carried_on_with(tmp_path):
    out, encoder, seen = tmp_path / "v.npy", HashEncoder(8), []

    def texts(until):
        for number, text in enumerate(TEXTS):
            if number == until:
                raise KeyboardInterrupt
            yield text

    with pytest.raises(KeyboardInterrupt):
        encode_to_file(encoder, texts(40), role="document", out=out)
    assert not out.exists()
    encode, encoder.encode = encoder.encode, lambda block, role: seen.extend(block) or encode(block, role=role)
    assert encode_to_file(encoder, iter(TEXTS), role="document", out=out) == (50, 0)
    assert seen == TEXTS[32:]
    np.testing.assert_array_equal(np.load(out), encode(TEXTS, role="document").data)
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]


@pytest.mark.parametrize("other", [{"texts": ["x"] * 50}, {"role": "query"}, {"encoder": HashEncoder(8, salt="b")}])
def test_a_part_of_something_else_is_refused(tmp_path, other):
    out, same = tmp_path / "v.npy", {"encoder": HashEncoder(8), "texts": TEXTS, "role": "document"}

    def broken(texts):
        yield from texts[:20]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_to_file(same["encoder"], broken(TEXTS), role="document", out=out)
    given = same | other
    with pytest.raises(InvalidInput, match=r"v\.npy\.part holds the first vectors of (other|another)"):
        encode_to_file(given["encoder"], given["texts"], role=given["role"], out=out)


def test_what_a_server_was_paid_for_is_not_sent_again(tmp_path):
    out = tmp_path / "v.npy"
    with provider_server(dim=16) as server:
        server.fault_of = lambda number: fails(401, {"error": {"message": "no"}}) if number == 9 else None
        encoder = ProviderEncoder(ADDRESS, "toy", options=server.options(dim=16, batch_items=3, parallel=2))
        with pytest.raises(GnomonError):
            encode_to_file(encoder, TEXTS, role="document", out=out)
        server.fault_of = None
        encode_to_file(encoder, TEXTS, role="document", out=out)
        assert {text: server.embedded[text] for text in TEXTS} == dict.fromkeys(TEXTS, 1)
    assert np.load(out).shape == (50, 16)
