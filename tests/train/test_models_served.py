"""Models as they are saved: gnomon serves them and sentence-transformers loads them, with the same result."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import gnomon
from gnomon.core.errors import InvalidInput
from gnomon.encode import EncoderSettings
from gnomon.encode.load import load_scorer
from gnomon.train.attention_pooling import AttentionPooling
from gnomon.train.models.build import Architecture, LoadSettings, build_model, load_model
from gnomon.train.models.cross_encoder import TrainableCrossEncoder, TrainableMaxSimCrossEncoder
from gnomon.train.models.layers import TrainableProjection
from support.tiny_backbones import NEW, SHORT_AND_LONG, TEXTS, shared, tiny

EXACT = EncoderSettings(precision="fp32")
ROLES = ("query", "document")
MODELS = {
    "bi, mean": ("bi", {}),
    "bi, cls": ("bi", {"pooling": "cls"}),
    "bi, last": ("bi", {"pooling": "last"}),
    "bi, max": ("bi", {"pooling": "max"}),
    "bi, weightedmean": ("bi", {"pooling": "weightedmean"}),
    "bi, attention": ("bi", {"pooling": "attention"}),
    "bi, projected": ("bi", {"dim": 16}),
    "bi, dot": ("bi", {"similarity": "dot"}),
    "bi, bpe": ("bi", {"tokenizer": "bpe", "vocabulary": 400}),
    "bi, prompts": ("bi", {"prompts": {"query": "the fox: ", "document": "a bank: "}}),
    "bi, prompts read only": ("bi", {"prompts": {"query": "the fox: "}, "pool_prompt": False}),
    "bi, attention, prompts read only": (
        "bi",
        {"prompts": {"query": "the fox: "}, "pool_prompt": False, "pooling": "attention"},
    ),
    "dual": ("dual", {"dim": 16}),
    "dual, prompts": ("dual", {"dim": 16, "pooling": "cls", "prompts": {"document": "a bank: "}}),
    "static": ("static", {"dim": 16}),
    "static, dot": ("static", {"dim": 16, "similarity": "dot"}),
}
WARNED = pytest.mark.filterwarnings("ignore::gnomon.core.errors.TruncatedText")


def vectors(model, texts, role):
    """One row a text as it is served: normalised where the similarity is cosine."""
    with torch.inference_mode():
        values = model.embed(model.features(texts, role))[0].values
    return (normalize(values) if model.similarity == "cosine" else values).numpy()


def token_vectors(model, texts, role):
    with torch.inference_mode():
        made = model.embed(model.features(texts, role))[0]
    return [normalize(row[kept]).numpy() for row, kept in zip(made.values, made.mask, strict=True)]


def trained(model):
    """Something to save: attention that is not the mean, a projection's shift."""
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, AttentionPooling):
                part.query.copy_(torch.linspace(-2, 2, part.dim))
    return model


@WARNED
@pytest.mark.parametrize("name", MODELS)
def test_one_vector_a_text(name, tmp_path):
    from sentence_transformers import SentenceTransformer

    kind, more = MODELS[name]
    model = trained(tiny(kind, **more))
    model.save(tmp_path / "model")
    served = gnomon.load_encoder(tmp_path / "model", settings=None if kind == "static" else EXACT)
    again = load_model(tmp_path / "model")
    other = SentenceTransformer(str(tmp_path / "model"), device="cpu", trust_remote_code=True)
    assert again.kind == kind
    assert again.similarity == model.similarity == served.space.similarity
    for role in ROLES:
        ours = vectors(model, SHORT_AND_LONG, role)
        assert np.abs(ours - ours[0]).max() > 0.01
        encode = other.encode_query if role == "query" else other.encode_document
        np.testing.assert_allclose(vectors(again, SHORT_AND_LONG, role), ours, atol=1e-6)
        np.testing.assert_allclose(served.encode(SHORT_AND_LONG, role=role).data, ours, atol=1e-4)
        np.testing.assert_allclose(encode(list(SHORT_AND_LONG)), ours, atol=1e-4)


@WARNED
@pytest.mark.parametrize("bias", [True, False])
def test_a_projection_with_tanh(bias, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = tiny("bi")
    model.tower.projections.append(TrainableProjection(32, 8, bias=bias, activation="tanh"))
    model.save(tmp_path / "model")
    ours = vectors(model, SHORT_AND_LONG, "query")
    served = gnomon.load_encoder(tmp_path / "model", settings=EXACT)
    np.testing.assert_allclose(served.encode(SHORT_AND_LONG, role="query").data, ours, atol=1e-4)
    np.testing.assert_allclose(vectors(load_model(tmp_path / "model"), SHORT_AND_LONG, "query"), ours, atol=1e-6)
    other = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(other.encode(list(SHORT_AND_LONG)), ours, atol=1e-4)


@WARNED
@pytest.mark.parametrize(("attend", "query_tokens"), [(False, 12), (True, 12), (False, None)])
def test_late_interaction(attend, query_tokens, tmp_path):
    from sentence_transformers import MultiVectorEncoder

    from gnomon.train.models.late_interaction import LateSettings

    late = LateSettings(query_tokens, attend, (",", ".", "!", "§"))
    model = tiny("late", dim=16, late=late, prompts={"query": "the fox: "})
    model.save(tmp_path / "model")
    served = gnomon.load_encoder(tmp_path / "model", settings=EXACT)
    again, other = load_model(tmp_path / "model"), MultiVectorEncoder(str(tmp_path / "model"), device="cpu")
    for role in ROLES:
        ours = token_vectors(model, SHORT_AND_LONG, role)
        encode = other.encode_query if role == "query" else other.encode_document
        for found in (
            token_vectors(again, SHORT_AND_LONG, role),
            encode(list(SHORT_AND_LONG)),
            [served.encode([text], role=role).data for text in SHORT_AND_LONG],
        ):
            assert [len(rows) for rows in found] == [len(rows) for rows in ours]
            for mine, theirs in zip(ours, found, strict=True):
                np.testing.assert_allclose(np.asarray(theirs), mine, atol=1e-4)
    assert {len(rows) for rows in token_vectors(model, TEXTS[:9], "query")} == {12} or query_tokens is None


@WARNED
@pytest.mark.parametrize("more", [{}, {"head": "maxsim"}, {"head": "maxsim", "tokenizer": "bpe", "vocabulary": 400}])
def test_cross_encoder(more, tmp_path):
    from sentence_transformers import CrossEncoder

    model = tiny("cross", **more)
    model.save(tmp_path / "model")
    queries, documents = TEXTS[:4], SHORT_AND_LONG
    with torch.inference_mode():
        ours = model.judge(model.pairs(queries, documents)).numpy()
        again = load_model(tmp_path / "model")
        reloaded = again.judge(again.pairs(queries, documents)).numpy()
    other = CrossEncoder(str(tmp_path / "model"), device="cpu", trust_remote_code="head" in more)
    served = load_scorer(tmp_path / "model", settings=EXACT)
    assert np.ptp(ours) > 0.01
    np.testing.assert_allclose(reloaded, ours, atol=1e-5)
    np.testing.assert_allclose(other.predict(list(zip(queries, documents, strict=True))), ours, atol=1e-4)
    one_by_one = [served.score(q, [d])[0] for q, d in zip(queries, documents, strict=True)]
    np.testing.assert_allclose(one_by_one, ours, atol=1e-4)


def test_a_head_can_be_chosen_anew(tmp_path):
    tiny("cross", head="maxsim").save(tmp_path / "matching")
    shared("cross").save(tmp_path / "classifying")

    def build(start, head):
        return build_model(Architecture("cross", tmp_path / start, head=head))

    kept, anew = build("matching", None), build("classifying", "maxsim")
    assert isinstance(kept, TrainableMaxSimCrossEncoder)
    assert isinstance(anew, TrainableMaxSimCrossEncoder)
    assert kept.head.frame.tolist() == anew.head.frame.tolist()
    assert len(kept.head.frame) == 3
    assert isinstance(build("classifying", None), TrainableCrossEncoder)
    assert isinstance(build("matching", "classifier"), TrainableCrossEncoder)


def test_matched_tokens_rank_before_training(minilm_folder, tmp_path):
    model = build_model(Architecture("cross", minilm_folder, head="maxsim", max_tokens=64))
    model.save(tmp_path / "model")
    texts = ["It keeps money safe.", "A bank lends money to people.", "The fox sleeps.", ""]
    scores = load_scorer(tmp_path / "model").score("who lends money", texts)
    assert scores[1] > scores[0] > scores[2] > scores[3] == 0


def test_the_default_model_is_itself_before_training_and_after_it_is_saved(minilm_folder, tmp_path):
    model, served = load_model(minilm_folder), gnomon.load_encoder(minilm_folder, settings=EXACT)
    theirs = served.encode(TEXTS[:8], role="document")
    np.testing.assert_allclose(vectors(model, TEXTS[:8], "document"), theirs.data, atol=1e-5)
    assert model.tower.backbone.tokenizer.max_tokens == served.max_tokens
    model.save(tmp_path / "model")
    assert gnomon.load_encoder(tmp_path / "model").space.similarity == "cosine"


def test_other_kinds_start_from_a_bi_encoder(tmp_path):
    shared("bi").save(tmp_path / "bi")
    start = {"backbone": tmp_path / "bi"}
    late = build_model(Architecture("late", **start, dim=8))
    cross, other = (build_model(Architecture("cross", **start, seed=seed)) for seed in (1, 2))
    dual = build_model(Architecture("dual", **start))
    assert (late.dim, dual.dim, cross.kind) == (8, 32, "cross")
    whole = build_model(Architecture("late", **start, dim=32)).projection.linear.weight
    assert torch.equal(whole, torch.eye(32)), "a projection to as many dimensions starts as none"
    rows = late.projection.linear.weight
    np.testing.assert_allclose((rows @ rows.T).detach(), np.eye(8), atol=1e-5)
    np.testing.assert_allclose(
        vectors(dual, TEXTS[:4], "document"), vectors(shared("bi"), TEXTS[:4], "document"), atol=1e-6
    )
    judged = [one.judge(one.pairs(TEXTS[:4], TEXTS[4:8])) for one in (cross, other)]
    assert not torch.equal(*judged), "the seed decides the new head"


def test_a_loaded_model_takes_a_new_pooling_projection_and_length(tmp_path):
    shared("bi").save(tmp_path / "bi")
    what = Architecture("bi", tmp_path / "bi", pooling="cls", dim=8, max_tokens=9, prompts={"query": "fox "})
    model = build_model(what)
    assert (model.tower.pool.how, model.dim) == ("cls", 8)
    assert max(model.features(SHORT_AND_LONG, "document").lengths) == 9
    assert model.features(["dog"], "query").lengths == shared("bi").features(["fox dog"], "query").lengths


def test_prompts_of_sources_are_kept(tmp_path):
    prompts = {"query": "the fox: ", "nq/query": "a lazy dog: ", "nq/document": "winter "}
    model = tiny("bi", prompts=prompts)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert dict(again.prompts.texts) == prompts
    plain = shared("bi")
    for source, role, prompt in (
        ("nq", "query", "a lazy dog: "),
        ("", "query", "the fox: "),
        ("x", "document", ""),
    ):
        ids = again.features(["money"], role, source=source).ids[0]
        assert torch.equal(ids, plain.features([f"{prompt}money"], role).ids[0])
    only = tiny("bi", prompts={"nq/query": "a lazy dog: "})
    only.save(tmp_path / "only")
    assert dict(load_model(tmp_path / "only").prompts.texts) == {"nq/query": "a lazy dog: "}
    given = load_model(tmp_path / "model", LoadSettings(prompts={"query": "", "nq/query": "dog "}))
    assert given.prompts.of("query", "nq") == "dog "
    assert given.prompts.of("query", "") == ""


def test_what_a_kind_does_not_have_is_refused():
    for more, name in (
        ({"pooling": "cls"}, "pooling"),
        ({"dim": 3}, "dim"),
        ({"prompts": {"query": "q"}}, "prompts"),
    ):
        with pytest.raises(InvalidInput, match=f"{name} for a model of the kind 'cross', which has none"):
            build_model(Architecture("cross", NEW, **more))
    with pytest.raises(InvalidInput, match="a new wordpiece tokenizer, and no corpus"):
        build_model(Architecture("bi", NEW))
