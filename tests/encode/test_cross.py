"""Cross-encoders: against sentence-transformers' CrossEncoder.predict."""

import json
import shutil

import numpy as np
import pytest

import gnomon
from gnomon.core.errors import InvalidInput, ModelUnsupported, TruncatedText
from gnomon.encode import CrossEncoder, EncoderSettings, load_scorer
from gnomon.encode.layout.modules import MAXSIM_SCORE
from gnomon.testing import check_scorer

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
FP32 = EncoderSettings(threads=1, precision="fp32")
FAMILIES = ("bert", "roberta", "mpnet", "distilbert")


@pytest.fixture(scope="module")
def bert(st_models, tmp_path_factory):
    return st_models.cross(tmp_path_factory.mktemp("cross"), "bert")


def change(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def agree(model, scorer, queries, texts):
    for query in queries:
        wanted = model.predict([(query, text) for text in texts])
        np.testing.assert_allclose(scorer.score(query, texts), wanted, atol=1e-4)


@pytest.mark.filterwarnings("ignore::gnomon.core.errors.TruncatedText")
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_sentence_transformers(family, st_models, tmp_path):
    folder, model = st_models.cross(tmp_path, family)
    texts = [*st_models.TEXTS, "river " * 80]
    scorer = load_scorer(folder, settings=FP32)
    assert isinstance(scorer, CrossEncoder)
    agree(model, scorer, ["the river w3", "w1 " * 70, ""], texts)
    # transformers' own folder, without modules.json, is the same model.
    agree(model, load_scorer(tmp_path / "m", settings=FP32), ["the river w3"], texts)


CLASSIFIERS = (
    "modernbert",
    "modernbert of means",
    "electra",
    "albert",
    "deberta",
    "gte",
    "qwen3",
    "llama",
    "gemma3",
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::gnomon.core.errors.TruncatedText")
@pytest.mark.parametrize("family", CLASSIFIERS)
def test_classifiers_of_other_families(family, st_models, tmp_path):
    folder, model = st_models.classifier(tmp_path, family)
    texts = [*st_models.TEXTS, "river " * 80]
    wanted = model.predict([("the river w3", text) for text in texts])
    assert np.ptp(wanted) > 0.01, "one score for all would prove nothing"
    agree(model, load_scorer(folder, settings=FP32), ["the river w3", "w1 " * 70], texts)


def test_a_chat_template_is_refused(st_models, tmp_path):
    st_models.classifier(tmp_path, "qwen3")
    (tmp_path / "m" / "chat_template.jinja").write_text("{{ messages[0].content }}")
    with pytest.raises(ModelUnsupported, match="a chat template for its pairs"):
        load_scorer(tmp_path / "m", settings=FP32)


def test_the_activation_and_the_prompt_that_are_saved(st_models, tmp_path):
    said = {"activation_fn": torch.nn.Identity(), "prompts": {"ask": "w9: "}, "default_prompt_name": "ask"}
    folder, model = st_models.cross(tmp_path, "bert", **said)
    scorer = load_scorer(folder, settings=FP32)
    agree(model, scorer, ["the river w3"], st_models.TEXTS)
    scores = scorer.score("the river w3", st_models.TEXTS)
    assert scores.min() < 0 or scores.max() > 1
    change(folder / "config_sentence_transformers.json", default_prompt_name=None)
    assert not np.allclose(load_scorer(folder, settings=FP32).score("the river w3", st_models.TEXTS), scores)


def test_it_keeps_every_promise(bert, st_models):
    check_scorer(load_scorer(bert[0], settings=FP32), query="w1 river", texts=st_models.CHECKED)


def test_over_long_pairs_are_told(bert):
    scorer = load_scorer(bert[0], settings=FP32)
    assert scorer.max_tokens == 64
    with pytest.warns(TruncatedText, match="1 of 2 pairs are longer than the 64 tokens"):
        scorer.score("w1", ["w2", "w2 " * 61])


def test_the_fingerprint_is_of_what_decides_a_score(bert, tmp_path):
    first = load_scorer(bert[0]).fingerprint
    folder = shutil.copytree(bert[0], tmp_path / "copy")
    assert load_scorer(folder).fingerprint == first
    change(folder / "tokenizer_config.json", model_max_length=63)
    assert load_scorer(folder).fingerprint != first


REFUSED = {
    "gives 2 scores a pair": lambda f: change(f / "config.json", id2label={"0": "no", "1": "yes"}),
    "the activation torch.nn.modules.activation.Tanh": lambda f: change(
        f / "config_sentence_transformers.json", activation_fn="torch.nn.modules.activation.Tanh"
    ),
    "the family 'gazelle'": lambda f: change(f / "config.json", model_type="gazelle"),
    "has modality_config": lambda f: change(f / "sentence_bert_config.json", modality_config={"message": {}}),
    "module_output_name = 'other'": lambda f: change(f / "sentence_bert_config.json", module_output_name="other"),
    "makes vectors": lambda f: (
        change(f / "config_sentence_transformers.json", model_type="SentenceTransformer"),
        change(f / "sentence_bert_config.json", transformer_task="feature-extraction"),
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_run_is_refused(said, bert, tmp_path):
    folder = shutil.copytree(bert[0], tmp_path / "copy")
    REFUSED[said](folder)
    with pytest.raises(ModelUnsupported) as caught:
        load_scorer(folder, settings=FP32)
    assert said in caught.value.message
    assert caught.value.expected
    assert caught.value.hint


DAMAGED = {
    "no frame": {"separator": 3},
    "an empty frame": {"frame": [], "separator": 3},
    "no separator": {"frame": [0, 2, 3]},
}


@pytest.mark.parametrize("config", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_score_of_matched_tokens_is_refused(config, minilm_folder, tmp_path):
    folder = shutil.copytree(minilm_folder, tmp_path / "copy")
    rows = json.loads((folder / "modules.json").read_text())[:1]
    rows.append({"idx": 1, "name": "1", "path": "1_MaxSimScore", "type": MAXSIM_SCORE})
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "1_MaxSimScore").mkdir()
    (folder / "1_MaxSimScore" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnsupported, match="no score of matched tokens"):
        load_scorer(folder, settings=FP32)


def test_each_loader_names_the_other(bert, minilm_folder):
    with pytest.raises(ModelUnsupported, match="cross-encoder") as caught:
        gnomon.load_encoder(bert[0])
    assert "load_scorer" in caught.value.hint
    with pytest.raises(ModelUnsupported, match="no cross-encoder") as caught:
        load_scorer(minilm_folder)
    assert "load_encoder" in caught.value.hint


@pytest.mark.parametrize("settings", [{"precision": "int8"}, {"device": "torch-cpu"}, {"dim": 4}])
def test_settings_that_it_does_not_run_on(settings, bert):
    with pytest.raises(InvalidInput) as caught:
        load_scorer(bert[0], settings=EncoderSettings(**settings))
    assert caught.value.hint
