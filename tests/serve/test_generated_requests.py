"""Generated requests, right and wrong ones: no answer is a 5xx, and every one is of the form that is documented."""

import traceback

import pytest

from support.serve_app import make_collection, server

KNOWN = {
    "collection": "kb",
    "vector_store_id": "kb",
    "document": "guides/clock.md",
    "version": "v1",
    "model": "model",
}
"""Names that there are, put in for half of the generated ones: else all would be 404."""


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("generated"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_generated_requests(kb):
    import schemathesis  # takes a second, also where the test is left out

    model = str(kb.parent / "model")
    with server({"kb": kb}, models=(model,), request_log=False) as address:
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        broken = []
        for found in schema.get_all_operations():
            try:
                answer_as_promised(found.ok())
            except (Exception, BaseExceptionGroup) as error:
                broken.append(f"{found.ok().label}: {''.join(traceback.format_exception(error, limit=0))[:4000]}")
    assert not broken, "\n\n".join(broken)


def answer_as_promised(operation):
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    promised = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    right, wrong = (operation.as_strategy(generation_mode=mode) for mode in GenerationMode)

    @given(right | wrong, st.booleans())
    @settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def check(case, is_known):
        for name in KNOWN.keys() & case.path_parameters.keys():
            case.path_parameters[name] = KNOWN[name] if is_known else case.path_parameters[name]
        if is_known and isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = KNOWN["model"]
        case.call_and_validate(checks=promised, timeout=30)

    check()
