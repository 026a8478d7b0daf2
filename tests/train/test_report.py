"""The report of a run: all that it did, as JSON and as one page."""

import html
import json
import re
import tomllib
from pathlib import Path

import pytest

from gnomon.train import fit, read_recipe
from support.training_recipes import pairs, toy, write_rows


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    held = pairs(24, seed=1)
    rows = [
        *pairs(60),
        held[0],
        {"query": "<b>bar</b>", "positive": "<b>BAR</b>"},
        {"query": "", "positive": "b"},
    ]
    path = write_rows(folder / "rows & more.jsonl", rows)
    recipe = toy(folder, data={"sources": [{"path": str(path)}]}, optim={"lr": 5e-3, "epochs": 4})
    report = fit(recipe)
    return recipe, report, Path(report.training, "report.html").read_text(encoding="utf-8")


def plain(page):
    """The page's text."""
    return html.unescape(" ".join(re.sub("<[^>]*>", " ", page).split()))


def test_the_json_is_the_report(ended):
    _, report, _ = ended
    kept = json.loads(Path(report.training, "report.json").read_text(encoding="utf-8"))
    assert kept == json.loads(json.dumps(report.to_json()))


def test_the_page_says_what_was_done(ended):
    _, report, page = ended
    said = plain(page)
    assert "16 steps, 244 examples; it ran to its end" in said
    assert f"32 dimensions, cosine; fingerprint {report.space['fingerprint']}" in said
    for digest in report.data["digests"].values():
        assert digest in said
    assert "rows & more (train) pairs 63" in said
    assert "1 × leaked pair" in said
    assert "2 left out" in said
    (gain,) = report.gains
    low, high = gain.verdict["interval"]
    wanted = f"{gain.start:.4f} {gain.end:.4f} {gain.end - gain.start:+.4f} {low:+.4f} to {high:+.4f}"
    assert f"dev (dev) nDCG@10 {wanted} {gain.verdict['outcome']}" in said
    assert "best evaluation on the dev sets" in said


def test_texts_of_the_data_are_text_in_the_page(ended):
    _, _, page = ended
    assert "<b>bar" not in page
    assert "&lt;b&gt;bar&lt;/b&gt;" in page
    assert "data:image/png;base64" in page
    assert "<script" not in page
    assert 'src="http' not in page
    assert "href" not in page


def test_the_recipe_in_the_page_is_the_run_s(ended):
    recipe, _, page = ended
    (shown,) = re.findall("<pre>(.*?)</pre>", page, re.DOTALL)
    assert read_recipe(tomllib.loads(html.unescape(shown))) == recipe


def test_an_interrupted_run_says_so(tmp_path):
    report = fit(toy(tmp_path), stop=lambda: True)
    said = plain(Path(report.training, "report.html").read_text(encoding="utf-8"))
    assert "1 steps, 16 examples; it was interrupted" in said
    assert "the same command resumes it" in said
    assert "space not yet" in said
