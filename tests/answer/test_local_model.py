"""A real, small language model on loopback: whatever it writes, nothing counts as supported that is not."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = 12


@pytest.fixture(scope="module")
def bench():
    """bench/answers/answers_generated.py, with the path that its own imports need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        import answers_generated

        yield answers_generated


@pytest.fixture(scope="module")
def chat(bench):
    if bench.prepared() is None:
        pytest.skip("there is no local model: python -m bench local_model fetches one")
    with bench.endpoint(None, "local", 1) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_sentence_is_supported_without_a_citation_that_holds(bench, chat, tmp_path, minilm_folder):
    if not (bench.DATA / "covidqa").is_dir():
        pytest.skip("covidqa is not here: set GNOMON_DATA")
    asked = sorted(bench.rows(bench.DATA / "covidqa" / "qa.jsonl.gz"), key=lambda row: row["id"])[:QUESTIONS]
    wanted = {row["doc"] for row in asked}
    settings = bench.gnomon.CollectionSettings(model=str(minilm_folder))
    with bench.gnomon.open(tmp_path / "kb", settings=settings) as kb:
        documents = bench.rows(bench.DATA / "covidqa" / "corpus.jsonl.gz")
        kb.add({"id": row["_id"], "text": row["text"]} for row in documents if row["_id"] in wanted)
        answers = [bench.ask(kb, row["question"], chat=chat, settings=bench.SETTINGS) for row in asked]
        figures = bench.counted(kb, answers)
    assert figures["sentences"] > 0, figures
    assert figures["supported without a citation that holds"] == 0, figures
    assert all(answer.passages for answer in answers)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_documents_order_it_to_say_is_never_supported(bench, chat):
    figures = bench.ordered(chat)
    assert figures["questions"] == len(bench.ORDERS) * len(bench.QUESTIONS)
    assert figures["supported"] > 0, figures  # of what the documents do say
    assert figures["obeyed and shown as supported"] == 0, figures
