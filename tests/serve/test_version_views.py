"""Versions as requests open them: live, by name, and one that is being built."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gnomon.collection import CollectionSettings
from gnomon.collection.catalog.versions import NotReady
from gnomon.core.errors import InvalidInput
from gnomon.migrate.adapter.files import adapter_file, save_adapter
from gnomon.migrate.adapter.fit import AdapterSettings
from gnomon.migrate.adapter.retriever import fit_adapter_for
from gnomon.serve.versions import SearchSettings, VersionViews
from support.version_collections import WORDS, documents, opened, two

SHORT = CollectionSettings(chunk_tokens=20, chunk_overlap=0)


def test_a_version_that_is_built_answers_through_its_adapter_until_it_is_complete(tmp_path: Path) -> None:
    texts = {str(at): " ".join(np.random.default_rng(at).choice(WORDS, 8)) + f" n{at}" for at in range(80)}
    with opened(tmp_path / "kb", settings=SHORT) as kb:
        kb.add(documents(texts))
        kb.versions.add(two())
        views, settings = VersionViews(kb), SearchSettings("kb", version="v2", k=3)
        live = views.open(None)
        with pytest.raises(NotReady, match="no adapter to v2"):
            views.open("v2")
        adapter_file(kb, "v2").parent.mkdir(exist_ok=True)
        save_adapter(
            fit_adapter_for(kb, two(), settings=AdapterSettings(kinds=("scores",), min_recall=0, min_pairs=60)),
            adapter_file(kb, "v2"),
        )
        building = views.open("v2")
        assert (building.version.name, building.version.space) == ("v2", two().space)
        (hits,) = building.search_many([texts["7"]], settings)
        assert hits[0].document == "7"

        kb.versions.backfill("v2")
        complete = views.open("v2")
        assert complete.version == building.version
        kb.versions.mark_ready("v2")
        kb.switch("v2")
        names = [views.open(None).version.name, live.version.name, complete.version.name]
        assert names == ["v2", "v1", "v2"]
        for view in (live, complete):
            assert view.search_many([texts["9"]], settings)[0][0].document == "9"
        with pytest.raises(InvalidInput, match="no version v9"):
            views.open("v9")
