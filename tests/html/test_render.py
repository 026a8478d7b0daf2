"""Pages from templates: every text is escaped, tables and figures carry what a reader needs."""

import base64

import pytest
from jinja2 import UndefinedError

from gnomon.html import render

MARKUP = "<script>alert('x')</script> & \"quotes\""


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Renders a template of a package that is made for the test."""
    name = f"package_of_{tmp_path.name}"
    templates = tmp_path / name / "templates"
    templates.mkdir(parents=True)
    (tmp_path / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(content, **context):
        template = f"page{len(list(templates.iterdir()))}.html"
        (templates / template).write_text(
            '{% extends "base.html" %}{% from "macros.html" import table, figure %}'
            f"{{% block content %}}{content}{{% endblock %}}"
        )
        return render(name, template, title=MARKUP, **context)

    return make


def test_text_stays_text_in_title_paragraph_table_and_alt(page):
    content = "<p>{{ bad }}</p>{{ table((bad,), ((bad, bad),), row_names=True) }}{{ figure(png, bad) }}"
    found = page(content, bad=MARKUP, png=b"PNG")
    assert "<script" not in found
    assert found.count("&lt;script&gt;") == 6
    assert '"quotes"' not in found  # also within an attribute


def test_a_table_has_header_cells_and_columns_of_numbers(page):
    found = page("{{ table(('name', 'value', 'note'), rows, numbers=(1,), text=2, row_names=True) }}", rows=[(1, 2, 3)])
    assert '<th scope="col">name</th>' in found
    assert '<th scope="col" class="number">value</th>' in found
    assert '<th scope="row">1</th>' in found
    assert '<td class="number">2</td>' in found
    assert '<td class="text">3</td>' in found
    assert "<thead" not in page("{{ table((), ((1, 2),)) }}")


def test_a_figure_holds_the_image(page):
    png = b"\x89PNG bytes"
    found = page("{{ figure(png, 'a curve') }}", png=png)
    assert f'src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="a curve"' in found


def test_a_page_asks_for_nothing_and_follows_the_colour_scheme(page):
    found = page("<p>text</p>")
    assert found.startswith("<!doctype html>")
    assert "prefers-color-scheme: dark" in found
    assert 'name="viewport"' in found
    assert not [word for word in ("http:", "https:", "<link", "src=", "@import", "url(") if word in found]


def test_a_name_that_is_not_given_is_an_error(page):
    with pytest.raises(UndefinedError, match="missing"):
        page("{{ missing }}")
