"""The OpenAPI document: complete, and of nothing but the API."""

import json

import pytest

from support.serve_app import client, make_collection


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("openapi"))


@pytest.fixture(scope="module")
def document(kb):
    with client({"kb": kb}) as http:
        return http.get("/openapi.json").json()


def test_each_route_documents_its_errors_and_its_result(document):
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            where = f"{method} {path}"
            assert {"4XX", "5XX"} <= set(answers), where
            assert "422" not in answers, where
            assert {"summary", "description", "tags"} <= set(operation), where


def test_the_document_names_no_path_of_this_machine(document, kb):
    assert str(kb) not in json.dumps(document)
    assert "/home/" not in json.dumps(document)
