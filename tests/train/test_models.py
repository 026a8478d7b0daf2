"""Parts of models: padding, order, layers, gradients, tokenizers, folders; slow twins of sums."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize, scaled_dot_product_attention

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.encode.runtime.tokenizer import TextTokenizer
from gnomon.kernels import pooling as kernel
from gnomon.train.attention_pooling import AttentionPooling
from gnomon.train.contracts import Embedder, PairScorer, Reps
from gnomon.train.models.attention import short_attention
from gnomon.train.models.backbone import BackboneSettings, NewBackbone, new_backbone, open_backbone
from gnomon.train.models.late_interaction import LateSettings
from gnomon.train.models.layers import TrainablePooling, maxsim, pool, score_matrix
from gnomon.train.models.save import replacing_model
from gnomon.train.models.static import count_tokens, distil_static, principal
from gnomon.train.models.tokenizer import train_tokenizer
from support.tiny_backbones import NEW, SHORT_AND_LONG, TEXTS, shared, tiny

EMBEDDERS = ("bi", "dual", "late", "static")
ROLES = ("query", "document")
POOLINGS = ("mean", "cls", "last", "max", "weightedmean", "attention")


def rows(made: Reps, at: int) -> torch.Tensor:
    return made.values[at] if made.mask is None else made.values[at][made.mask[at]]


def test_the_kinds_keep_their_contracts():
    assert all(isinstance(shared(kind), Embedder) and shared(kind).kind == kind for kind in EMBEDDERS)
    assert isinstance(shared("cross"), PairScorer)
    assert shared("late").similarity == "maxsim"


@pytest.mark.parametrize("kind", EMBEDDERS)
def test_neighbours_in_a_batch_change_nothing(kind):
    model = shared(kind)
    for role in ROLES:
        features = model.features(SHORT_AND_LONG, role)
        with torch.inference_mode():
            together = model.embed(features)[0]
            turned = model.embed(features.take([3, 0, 2]))[0]
            for at in range(len(SHORT_AND_LONG)):
                alone = model.embed(features.take([at]))[0]
                torch.testing.assert_close(rows(alone, 0), rows(together, at), rtol=1e-4, atol=1e-5)
            for at, was in enumerate([3, 0, 2]):
                torch.testing.assert_close(rows(turned, at), rows(together, was), rtol=1e-4, atol=1e-5)
        assert together.values.dtype == torch.float32


@pytest.mark.parametrize("head", [None, "maxsim"])
def test_a_pair_is_judged_alike_alone_and_among_others(head):
    model = shared("cross") if head is None else tiny("cross", head=head)
    features = model.pairs(TEXTS[:4], SHORT_AND_LONG)
    with torch.inference_mode():
        together = model.judge(features)
        alone = torch.cat([model.judge(features.take([at])) for at in range(4)])
        exchanged = model.judge(model.pairs(SHORT_AND_LONG, TEXTS[:4]))
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(exchanged, together), "a query is not a document"
    if head is None:
        assert features.kinds is not None
        assert set(features.kinds[0].tolist()) == {0, 1}


@pytest.mark.parametrize("how", POOLINGS)
@pytest.mark.parametrize("skip", [0, 2])
def test_pooling_is_its_slow_twin(how, skip):
    torch.manual_seed(0)
    hidden, lengths = torch.randn(5, 7, 3), torch.tensor([7, 3, 5, 4, 6])
    mask = torch.arange(7) < lengths[:, None]
    made = TrainablePooling(how, dim=3)
    query = torch.tensor([1.0, -2.0, 0.5])
    if made.attention is not None:
        made.attention.query.data.copy_(query)
    hidden[~mask] = 1e6  # what stands in the padding is nothing
    found = made(hidden, mask, skip)
    inside = mask & (torch.arange(7) >= skip)
    more = {"query": query.numpy()} if how == "attention" else {}
    wanted = kernel.pool(hidden.numpy(), inside.int().numpy(), how=how, before=skip, **more)
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)
    whole = made(hidden[:1], None, skip)
    torch.testing.assert_close(whole, found[:1], rtol=1e-4, atol=1e-5)


def test_attention_pooling_begins_as_the_mean_and_refuses_no_dimensions():
    hidden = torch.randn(2, 4, 3)
    torch.testing.assert_close(AttentionPooling(3).pool(hidden, None), hidden.mean(1))
    with pytest.raises(InvalidInput, match="attention pooling of 0 dimensions"):
        AttentionPooling(0)
    with pytest.raises(InvalidInput, match="pooling 'median'"):
        pool(hidden, None, how="median")  # type: ignore[arg-type]


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_the_score_matrix_is_each_pair_by_itself(similarity):
    torch.manual_seed(1)
    queries, documents = torch.randn(3, 5), torch.randn(4, 5)
    pairwise = {
        "cosine": lambda q, d: torch.cosine_similarity(q, d, dim=0),
        "dot": torch.dot,
        "euclidean": lambda q, d: -(q - d).square().sum().sqrt(),
    }[similarity]
    wanted = torch.stack([torch.stack([pairwise(q, d) for d in documents]) for q in queries])
    with torch.autocast("cpu", torch.bfloat16):
        found = score_matrix(queries, documents, similarity)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_another_similarity_is_refused():
    with pytest.raises(InvalidInput, match="similarity 'maxsim'"):
        score_matrix(torch.ones(1, 2), torch.ones(1, 2), "maxsim")


@settings(max_examples=25, deadline=None)
@given(
    left=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    right=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    cells=st.integers(1, 200),
)
def test_maxsim_is_its_slow_twin_however_it_is_cut(left, right, cells):
    torch.manual_seed(sum(left) + 7 * sum(right))

    def reps(lengths):
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        return Reps(torch.randn(len(lengths), max(lengths), 3), mask)

    queries, documents = reps(left), reps(right)
    wanted = torch.zeros(len(left), len(right))
    for q in range(len(left)):
        for d in range(len(right)):
            near = normalize(rows(queries, q), dim=1) @ normalize(rows(documents, d), dim=1).T
            wanted[q, d] = sum(max(row) for row in near.tolist())
    torch.testing.assert_close(maxsim(queries, documents, cells=cells), wanted, rtol=1e-4, atol=1e-4)


def test_inner_layers_are_those_of_a_network_that_ends_there():
    model = shared("bi")
    features = model.features(SHORT_AND_LONG, "document")
    with torch.inference_mode():
        last, first, same = model.embed(features, layers=(-1, 0, 1))
        hidden, _ = model.tower.backbone.embed(features.ids, (0,))
        network = model.tower.backbone.network
        layers = network.encoder.layer
        network.encoder.layer = layers[:1]
        try:
            wanted, _ = model.tower.backbone.embed(features.ids, (-1,))
        finally:
            network.encoder.layer = layers
    torch.testing.assert_close(last.values, same.values)
    torch.testing.assert_close(hidden[0][0], wanted[0][0])
    assert not torch.allclose(first.values, last.values)
    with pytest.raises(InvalidInput, match="layer 2 of a backbone of 2"):
        model.embed(features, layers=(2,))
    with pytest.raises(InvalidInput, match="of a static encoder"):
        shared("static").embed(shared("static").features(["a"], "query"), layers=(1,))


@pytest.mark.parametrize(
    ("kind", "more"),
    [*((kind, {"dim": 16}) for kind in EMBEDDERS), ("cross", {}), ("cross", {"head": "maxsim"})],
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_weight_that_can_be_trained_learns(kind, more, checkpointing):
    dropout = BackboneSettings(dropout=0.0, attention_dropout=0.0, checkpointing=checkpointing)
    model = tiny(kind, settings=dropout, **more)
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        if kind == "cross":
            scores = model.judge(model.pairs(TEXTS[:6], TEXTS[6:12]))
        else:
            sides = [
                model.embed(model.features(texts, role), layers=(-1,))[0]
                for texts, role in ((TEXTS[:6], "query"), (TEXTS[6:12], "document"))
            ]
            scores = model.score(*sides)
    assert scores.dtype == torch.float32
    (scores * torch.randn_like(scores)).sum().backward()
    idle = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert not idle
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert all("pooler" in name for name in frozen)


def test_checkpointing_changes_no_gradient():
    found = []
    for checkpointing in (False, True):
        model = tiny("bi", settings=BackboneSettings(0.0, 0.0, checkpointing)).train()
        model.embed(model.features(SHORT_AND_LONG, "query"))[0].values.square().sum().backward()
        found.append([weight.grad for weight in model.parameters() if weight.grad is not None])
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "mpnet", "modernbert"])
def test_families_of_networks(family):
    backbone = shared("bi").tower.backbone
    sizes = {"initializer_range": 0.5, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    new = NewBackbone(family, 32, 2, 2, max_tokens=48, more={**sizes, "cls_token_id": 2, "sep_token_id": 3})
    made = new_backbone(new, backbone.tokenizer).eval()
    # Some families number positions from 1 or 2 on, and so have room for fewer tokens.
    rows = made.tokenizer.encode(SHORT_AND_LONG)
    ours, mask = made.embed(rows)
    assert mask is not None
    alone, nothing = made.embed(rows[:1])
    assert nothing is None
    torch.testing.assert_close(ours[0][0, : len(rows[0])], alone[0][0], rtol=1e-4, atol=1e-4)
    made.network.set_attn_implementation("sdpa")  # which mpnet has not, and goes on with its own
    torch.testing.assert_close(made.embed(rows)[0][0][mask], ours[0][mask], rtol=1e-4, atol=1e-4)


def test_short_attention_is_torchs_own():
    torch.manual_seed(0)
    mask = (torch.arange(9) < torch.tensor([9, 4])[:, None])[:, None, None]
    for bias in (None, mask, torch.zeros(2, 1, 1, 9).masked_fill_(~mask, -1e9)):
        found = []
        for ours in (True, False):
            torch.manual_seed(1)
            sides = [torch.randn(2, 3, 9, 4, requires_grad=True) for _ in range(3)]
            if ours:
                out, _ = short_attention(None, *sides, bias, scaling=0.3)
            else:
                out = scaled_dot_product_attention(*sides, attn_mask=bias, scale=0.3).transpose(1, 2)
            out.square().sum().backward()
            found.append([out, *(side.grad for side in sides)])
        for mine, theirs in zip(*found, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_an_encoder_with_a_decoder_is_refused():
    with pytest.raises(ModelUnsupported, match="a t5, which has an encoder and a decoder"):
        new_backbone(NewBackbone("t5", 32, 2, 2), shared("bi").tower.backbone.tokenizer)


def test_dropout_is_what_the_settings_say():
    model = tiny("bi", settings=BackboneSettings(dropout=0.25, attention_dropout=0.0))
    config = model.tower.backbone.network.config
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.25, 0.0)
    features = model.features(SHORT_AND_LONG, "query")
    model.train()
    assert not torch.equal(model.embed(features)[0].values, model.embed(features)[0].values)
    with pytest.raises(InvalidInput, match=r"dropout = 1\.5"):
        BackboneSettings(dropout=1.5)


def test_the_seed_decides_random_weights():
    def first(seed):
        return next(tiny("bi", backbone=NewBackbone("bert", 32, 2, 2, max_tokens=48, seed=seed)).parameters())

    before = torch.random.get_rng_state()
    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))
    assert torch.equal(before, torch.random.get_rng_state()), "the caller's random numbers are its own"


def test_late_queries_are_filled_and_documents_leave_out_punctuation():
    model = tiny("late", dim=8, late=LateSettings(query_tokens=10))
    query = model.embed(model.features(["fox", " ".join(TEXTS[:5])], "query"))[0]
    assert query.values.shape == (2, 10, 8)
    assert query.mask is not None
    assert bool(query.mask.all())
    assert model.features([" ".join(TEXTS[:5])], "query").lengths == [10]
    with_dot, without = (model.embed(model.features([text], "document"))[0] for text in ("fox.", "fox"))
    assert with_dot.values.shape[1] == without.values.shape[1] + 1
    assert int(with_dot.mask.sum()) == int(without.mask.sum())
    with pytest.raises(InvalidInput, match="queries of 99 tokens for a model of 48"):
        tiny("late", late=LateSettings(query_tokens=99))


def test_two_towers_have_nothing_in_common_but_their_space():
    model = shared("dual")
    query, document = (set(map(id, tower.parameters())) for tower in (model.query, model.document))
    assert not query & document
    assert not torch.equal(next(model.query.parameters()), next(model.document.parameters()))
    small = NewBackbone(hidden=16, layers=1, heads=2, max_tokens=48)
    with pytest.raises(InvalidInput, match="a query tower of 32 dimensions and a document tower of 16"):
        tiny("dual", document_backbone=small)
    assert tiny("dual", document_backbone=small, dim=8).dim == 8


@pytest.mark.parametrize(("kind", "size"), [("wordpiece", 120), ("bpe", 320)])
def test_a_new_tokenizer_is_read_alike_by_all(kind, size, tmp_path):
    from transformers import AutoTokenizer

    made = train_tokenizer(lambda: TEXTS, kind=kind, size=size, max_tokens=12)
    assert made.vocabulary <= size
    assert made.raw().to_str() == train_tokenizer(lambda: TEXTS, kind=kind, size=size).raw().to_str()
    made.save(tmp_path)
    wanted = [row.tolist() for row in made.encode(SHORT_AND_LONG)]
    ours = TextTokenizer(tmp_path / "tokenizer.json", prompts={}, max_tokens=12, threads=1)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert [row.tolist() for row in ours.tokenise(SHORT_AND_LONG, role="query").ids] == wanted
    assert theirs(list(SHORT_AND_LONG), truncation=True)["input_ids"] == wanted
    assert wanted[0][0] == made.id_of("[CLS]")
    assert max(map(len, wanted)) == 12
    pairs, kinds = made.encode_pairs(["fox"], [" ".join(TEXTS[:9])])
    assert (len(pairs[0]), kinds[0].tolist().count(0)) == (
        12,
        2 + len(made.encode(["fox"], special=False)[0]),
    )


def test_what_no_tokenizer_can_be_made_of_is_refused():
    with pytest.raises(InvalidInput, match="a vocabulary of 10"):
        train_tokenizer(lambda: TEXTS, size=10)
    with pytest.raises(InvalidInput, match="no text to train a tokenizer on"):
        train_tokenizer(lambda: [" "], size=100)
    with pytest.raises(InvalidInput, match="max_tokens = 3, of which 3 are special tokens"):
        train_tokenizer(lambda: TEXTS, size=100, max_tokens=3)
    with pytest.raises(InvalidInput, match="texts that cannot be tokenised"):
        shared("bi").features(["\ud800"], "query")


def test_a_backbone_without_a_tokenizer_or_safe_weights_is_refused(tmp_path):
    shared("bi").save(tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").rename(tmp_path / "away.json")
    with pytest.raises(ModelUnsupported, match=r"has no tokenizer: there is no tokenizer\.json") as refused:
        open_backbone(tmp_path / "model")
    assert "save_pretrained" in refused.value.hint
    (tmp_path / "away.json").rename(tmp_path / "model" / "tokenizer.json")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(ModelUnsupported, match="has no weights in safetensors"):
        open_backbone(tmp_path / "model")


def test_weights_of_another_network_are_refused(tmp_path):
    shared("bi").save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ModelUnsupported, match="lacks 16 of the tensors of its network"):
        open_backbone(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInput, match="max_tokens = 49"):
        open_backbone(tmp_path, max_tokens=49)
    tokenizer = shared("bi").tower.backbone.tokenizer
    with pytest.raises(InvalidInput, match="a new 'berd' backbone"):
        new_backbone(NewBackbone("berd"), tokenizer)
    with pytest.raises(InvalidInput, match="a new 'bert' backbone"):
        new_backbone(NewBackbone(hidden=33, heads=2), tokenizer)


def cut_off(target: Path) -> None:
    """A save that fails in the middle."""
    with replacing_model(target) as made:
        (made / "modules.json").write_text("[]")
        raise RuntimeError("cut off")


def test_a_folder_is_whole_or_not_there(tmp_path):
    target = tmp_path / "model"
    with pytest.raises(RuntimeError, match="cut off"):
        cut_off(target)
    assert not list(tmp_path.iterdir())
    with replacing_model(target) as made:
        (made / "modules.json").write_text("[]")
        assert not target.exists()
    shared("bi").save(target)
    before = (target / "model.safetensors").read_bytes()
    with pytest.raises(RuntimeError, match="cut off"):
        cut_off(target)
    assert (target / "model.safetensors").read_bytes() == before
    tiny("bi", pooling="cls").save(target)
    assert json.loads((target / "1_Pooling" / "config.json").read_text())["pooling_mode"] == "cls"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidInput, match="mine is there, and is not a model"):
        shared("bi").save(mine)
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_a_static_encoder_of_a_transformer():
    teacher = shared("bi")
    tokenizer = teacher.tower.backbone.tokenizer
    model = distil_static(teacher, dim=8).requires_grad_(False)
    # A row is what the teacher makes of the token alone, along the principal directions, times a/(a + p).
    alone = [tokenizer.raw().id_to_token(at) for at in range(tokenizer.vocabulary)]
    at = alone.index("fox")
    with torch.inference_mode():
        fox = teacher.embed(teacher.features(["fox"], "document"))[0].values[0]
    flat = distil_static(teacher, dim=32, sif=1e9)  # all weights one, all directions kept: a rotation
    other = alone.index("dog")
    with torch.inference_mode():
        dog = teacher.embed(teacher.features(["dog"], "document"))[0].values[0]
    assert float((flat.table[at] - flat.table[other]).detach().norm()) == pytest.approx(
        float((fox - dog).norm()), rel=1e-3
    )
    p = 1 / torch.arange(2, tokenizer.vocabulary + 2)
    p = p / p.sum()
    wide = distil_static(teacher, dim=8, sif=1e9)
    torch.testing.assert_close(model.table[at], wide.table[at] * 1e-4 / (1e-4 + p[at]), rtol=1e-3, atol=1e-6)
    counts = count_tokens(tokenizer, TEXTS)
    assert counts[at] == sum(
        text.replace(",", " ").replace(".", " ").replace("!", " ").split().count("fox") for text in TEXTS
    )
    rare = distil_static(teacher, dim=8, counts={at: 10_000}).requires_grad_(False)
    assert float(rare.table[at].norm()) < float(rare.table[other].norm())
    with pytest.raises(InvalidInput, match="dim = 33, of a teacher of 32"):
        distil_static(teacher, dim=33)


def test_principal_directions_are_ordered_by_variance():
    torch.manual_seed(0)
    spread = torch.randn(200, 4) @ torch.diag(torch.tensor([1.0, 5.0, 0.1, 3.0]))
    found = principal(spread, 2)
    variances = torch.linalg.svdvals(spread - spread.mean(0)) ** 2
    torch.testing.assert_close(found.square().sum(0), variances[:2], rtol=1e-4, atol=1e-4)


def test_a_text_without_tokens_has_a_zero_vector_and_no_texts_are_refused():
    model = shared("static")
    assert not model.embed(model.features(["", "fox"], "query"))[0].values[0].any()
    with pytest.raises(InvalidInput, match="no texts to embed"):
        shared("bi").embed(shared("bi").features([], "query"))
    assert NEW.max_tokens == shared("bi").tower.backbone.tokenizer.max_tokens
