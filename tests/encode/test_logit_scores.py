"""Rerankers by the logits of "yes" and "no": against transformers, and sentence-transformers' CrossEncoder."""

import json
import shutil

import numpy as np
import pytest

import gnomon
from gnomon.core.errors import InvalidInput, ModelUnsupported, TruncatedText
from gnomon.encode import EncoderSettings, load_scorer
from gnomon.testing import check_scorer

pytest.importorskip("torch")
CrossEncoder = pytest.importorskip("sentence_transformers").CrossEncoder
rerankers = pytest.importorskip("support.logit_rerankers")

FP32 = EncoderSettings(threads=1, precision="fp32")
QUERY = "who has money in the bank"
TEXTS = rerankers.TEXTS


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "m"
    return folder, rerankers.decoder(folder)


@pytest.fixture(scope="module")
def saved(raw, tmp_path_factory):
    folder = shutil.copytree(raw[0], tmp_path_factory.mktemp("saved") / "m")
    (folder / "chat_template.jinja").write_text(rerankers.TEMPLATE)
    model = CrossEncoder(str(folder), prompts={"web": "Find an answer"}, default_prompt_name="web")
    model.save(str(folder / "saved"))
    return folder / "saved", model


def change(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_a_folder_of_transformers_scores_as_the_models_page_does(raw):
    folder, made = raw
    wanted = rerankers.probabilities(made, QUERY, TEXTS)
    assert np.ptp(wanted) > 0.01, "one score for all would prove nothing"
    with pytest.warns(TruncatedText, match="1 of 5 pairs are longer than the 200 tokens"):
        np.testing.assert_allclose(load_scorer(folder, settings=FP32).score(QUERY, TEXTS), wanted, atol=1e-4)


def test_an_instruction_is_read_and_changes_the_fingerprint(raw):
    folder, made = raw
    scorer = load_scorer(folder, settings=FP32, instruction="Find rivers")
    wanted = rerankers.probabilities(made, QUERY, TEXTS[:4], "Find rivers")
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS[:4]), wanted, atol=1e-4)
    own = load_scorer(folder, settings=FP32).fingerprint
    assert scorer.fingerprint != own
    assert load_scorer(folder, settings=FP32, instruction=rerankers.WEB_SEARCH).fingerprint == own


def test_a_head_of_its_own_for_the_vocabulary(tmp_path):
    made = rerankers.decoder(tmp_path, tied=False)
    wanted = rerankers.probabilities(made, QUERY, TEXTS[:4])
    np.testing.assert_allclose(load_scorer(tmp_path, settings=FP32).score(QUERY, TEXTS[:4]), wanted, atol=1e-4)


@pytest.mark.filterwarnings("ignore::gnomon.core.errors.TruncatedText")
def test_folders_of_sentence_transformers(saved):
    folder, model = saved
    wanted = model.predict([(QUERY, text) for text in TEXTS])
    np.testing.assert_allclose(load_scorer(folder, settings=FP32).score(QUERY, TEXTS), wanted, atol=1e-4)
    other = model.predict([(QUERY, text) for text in TEXTS], prompt="Find rivers")
    scorer = load_scorer(folder, settings=FP32, instruction="Find rivers")
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS), other, atol=1e-4)
    assert not np.allclose(wanted, other, atol=1e-3)


def test_a_template_of_parts_and_one_token(saved, tmp_path):
    folder = shutil.copytree(saved[0], tmp_path / "m")
    plain = json.loads((folder / "sentence_bert_config.json").read_text())
    del plain["modality_config"]["message"]["format"]
    (folder / "sentence_bert_config.json").write_text(json.dumps(plain))
    said = "{% for message in messages %}<|im_start|>{{ message.content[0].text }}{% endfor %}{{ eos_token }}"
    (folder / "chat_template.jinja").write_text(said)
    change(folder / "1_LogitScore" / "config.json", false_token_id=None)
    wanted = CrossEncoder(str(folder)).predict([(QUERY, text) for text in TEXTS[:4]])
    np.testing.assert_allclose(load_scorer(folder, settings=FP32).score(QUERY, TEXTS[:4]), wanted, atol=1e-4)


def test_it_keeps_every_promise(raw):
    check_scorer(load_scorer(raw[0], settings=FP32), query="the river", texts=["money", "a sundial", "night", "time"])


REFUSED = {
    "other roles": "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
    "the time": "{{ strftime_now('%Y') }}{{ messages }}",
    "an extension": "{% generation %}{{ messages }}{% endgeneration %}",
    "beyond the sandbox": "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ messages }}",
    "Python's names": "{% set n = namespace(_x=1) %}{{ messages }}",
}


@pytest.mark.parametrize("template", REFUSED.values(), ids=REFUSED)
def test_templates_that_cannot_carry_a_pair_are_refused(template, saved, tmp_path):
    folder = shutil.copytree(saved[0], tmp_path / "m")
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(ModelUnsupported, match=r"chat_template.jinja\) that is for no pairs") as caught:
        load_scorer(folder, settings=FP32)
    assert "chat_template.jinja" in caught.value.hint


def without_special_tokens(folder):
    plain = json.loads((folder / "tokenizer.json").read_text())
    plain["added_tokens"] = plain["added_tokens"][:1]
    for token in ("<|im_start|>", "<|im_end|>"):
        plain["model"]["vocab"][token.strip("<>")] = plain["model"]["vocab"].pop(token)
    (folder / "tokenizer.json").write_text(json.dumps(plain))


DAMAGED = {
    "has no chat template": without_special_tokens,
    "the family 'gpt2'": lambda f: change(f / "config.json", model_type="gpt2"),
    "takes 136 tokens for a pair without a word, of 60": lambda f: change(
        f / "tokenizer_config.json", model_max_length=60
    ),
}


@pytest.mark.parametrize("message", DAMAGED)
def test_causal_models_that_are_no_rerankers_are_refused(message, raw, tmp_path):
    folder = shutil.copytree(raw[0], tmp_path / "m")
    DAMAGED[message](folder)
    with pytest.raises(ModelUnsupported) as caught:
        load_scorer(folder, settings=FP32)
    assert message in caught.value.message
    assert caught.value.hint


def test_pairs_that_are_read_without_a_template_are_refused(saved, tmp_path):
    folder = shutil.copytree(saved[0], tmp_path / "m")
    plain = json.loads((folder / "sentence_bert_config.json").read_text())
    change(folder / "sentence_bert_config.json", modality_config={"text": plain["modality_config"]["text"]})
    with pytest.raises(ModelUnsupported, match="modality_config"):
        load_scorer(folder, settings=FP32)


def test_ids_beyond_the_vocabulary_are_refused(saved, tmp_path):
    folder = shutil.copytree(saved[0], tmp_path / "m")
    change(folder / "1_LogitScore" / "config.json", true_token_id=100_000)
    with pytest.raises(ModelUnsupported, match="true_token_id = 100000"):
        load_scorer(folder, settings=FP32)


def test_each_loader_names_the_other(saved, minilm_folder):
    with pytest.raises(ModelUnsupported, match="cross-encoder") as caught:
        gnomon.load_encoder(saved[0])
    assert "load_scorer" in caught.value.hint
    with pytest.raises(InvalidInput, match="an instruction for cohere"):
        load_scorer("cohere:rerank-v4.0-pro", instruction="Find rivers")


def test_a_cross_encoder_that_reads_no_instruction(st_models, tmp_path):
    folder, _ = st_models.cross(tmp_path, "bert")
    with pytest.raises(InvalidInput, match="an instruction for saved"):
        load_scorer(folder, instruction="Find rivers")
