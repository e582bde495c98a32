"""Text in, text out."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small
from helpers.translators import SEARCH, TEXTS, make_translator

from keras_s2s.data import make_dataset
from keras_s2s.layers import LSTMDecoder, LSTMEncoder
from keras_s2s.losses import SequenceLoss
from keras_s2s.models import Ensemble, Seq2Seq
from keras_s2s.search import BeamSearch, GreedySearch
from keras_s2s.special_ids import UNK_ID
from keras_s2s.tokenizers import ByteTokenizer, CharTokenizer, WordTokenizer, copy_ids
from keras_s2s.translator import Translator


@pytest.fixture(scope="module")
def translator() -> Translator:
    return make_translator()


@pytest.fixture(scope="module")
def answers(translator) -> dict[str, np.ndarray]:
    """Return the outputs of a call for all texts."""
    found = translator(tf.constant(TEXTS))
    return {name: values.numpy() for name, values in found.items()}


def test_a_call_gives_what_the_search_finds(translator, answers):
    found = translator.model.search(translator.source.tokenize(TEXTS), SEARCH)
    assert set(answers) == {"target", "scores", "log_probs"}
    assert all(values.shape == (len(TEXTS), 3) for values in answers.values())
    np.testing.assert_array_equal(answers["target"], translator.target.detokenize(found.ids))
    np.testing.assert_allclose(answers["scores"], found.scores, atol=1e-6)
    np.testing.assert_allclose(answers["log_probs"], found.log_probs, atol=1e-6)
    assert len({target.decode() for target in answers["target"][:, 0]}) > 1


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_the_best_answers_come_in_the_order_of_the_texts(translator, answers, batch_size):
    best = [target.decode() for target in answers["target"][:, 0]]
    assert translator.translate(TEXTS, batch_size=batch_size) == best


@pytest.mark.parametrize(
    "give",
    [tuple, iter, np.array, tf.constant, lambda texts: [text.encode() for text in texts]],
    ids=["tuple", "iterator", "array", "tensor", "bytes"],
)
def test_texts_may_come_in_any_form(translator, give):
    assert translator.translate(give(TEXTS)) == translator.translate(TEXTS)


def test_predict_gives_what_a_call_gives(translator, answers):
    found = translator.predict(TEXTS, verbose=0)
    np.testing.assert_array_equal(found["target"], answers["target"])
    np.testing.assert_allclose(found["scores"], answers["scores"], atol=1e-6)
    with pytest.raises(TypeError, match=r"`texts` must be a list of texts\. Received: texts=None"):
        translator.predict(None)


@pytest.mark.parametrize("texts", [[], np.array([]), tf.constant([], tf.string)])
def test_predict_takes_no_texts(translator, texts):
    found = translator.predict(texts, verbose=0)
    assert set(found) == {"target", "scores", "log_probs"}
    assert all(isinstance(values, np.ndarray) for values in found.values())
    assert all(values.shape == (0, 3) for values in found.values())


@pytest.fixture(scope="module")
def silent(translator) -> Translator:
    """Return a translator whose search allows no target."""
    emitted = range(4, translator.target.vocabulary_size)
    search = GreedySearch(max_length=3, min_length=3, suppress_ids=(UNK_ID, *emitted))
    parts = (getattr(translator, part) for part in ("model", "source", "target"))
    return Translator(*parts, search=search, confidence=True)


def test_a_text_without_a_target_raises_an_error(silent):
    with pytest.raises(
        ValueError, match=r"No target was found for the text at position 0\. Expected: a target th"
    ):
        silent.translate(TEXTS)
    assert silent.hypotheses(TEXTS) == [[]] * len(TEXTS)


def test_hypotheses_are_those_of_a_call_in_the_order_of_the_texts(translator, answers):
    found = translator.hypotheses(TEXTS, batch_size=2)
    assert [[each.text.encode() for each in row] for row in found] == answers["target"].tolist()
    for name in ("scores", "log_probs"):
        values = [[getattr(each, name.removesuffix("s")) for each in row] for row in found]
        np.testing.assert_allclose(values, answers[name], atol=1e-5)
    assert {each.confidence for row in found for each in row} == {None}
    assert translator.hypotheses([]) == []


def test_hypotheses_have_the_confidence_of_a_call(translator):
    parts = (getattr(translator, part) for part in ("model", "source", "target", "search"))
    model, source, target, search = parts
    doubtful = Translator(model, source, target, search=search, confidence=2.0)
    outputs = doubtful(tf.constant(TEXTS))
    values = [[each.confidence for each in row] for row in doubtful.hypotheses(TEXTS)]
    np.testing.assert_allclose(values, outputs["confidences"], rtol=1e-4)


@pytest.mark.filterwarnings("ignore:The confidences are not calibrated")
def test_a_source_without_a_target_counts_as_wrong(silent):
    calibration = silent.calibrate([(text, "x") for text in TEXTS])
    assert not calibration.right.any()
    assert not calibration.confidences.any()


def test_a_clone_without_vocabularies_says_how_to_copy(translator):
    clone = keras.models.clone_model(translator)
    with pytest.raises(ValueError, match=r"has no vocabulary.* with `copy\.deepcopy`, not"):
        clone.translate(TEXTS)


def test_no_texts_have_no_answers(translator):
    assert translator.translate([]) == []
    found = translator(tf.constant([], tf.string))
    assert {name: values.shape for name, values in found.items()} == {
        "target": (0, 3),
        "scores": (0, 3),
        "log_probs": (0, 3),
    }


def test_scores_of_given_targets_are_those_of_the_answers(translator, answers):
    texts = np.repeat(TEXTS, 3)
    scored = translator.score_texts(tf.constant(texts), tf.reshape(answers["target"], [-1]))
    found = translator.model.search(translator.source.tokenize(TEXTS), SEARCH)
    ended = found.finished.numpy().ravel()
    assert ended.any()
    for name in ("log_probs", "scores"):
        np.testing.assert_allclose(scored[name][ended], answers[name].ravel()[ended], atol=1e-4)


def test_what_follows_eos_does_not_change_the_score_of_a_target(translator):
    source_ids = tf.repeat(translator.source.tokenize(["ab"]), 2, axis=0)
    # TF Serving pads with the first id of the request
    scored = translator.score_ids(source_ids, tf.constant([[5, 4, 3, 0, 0], [5, 4, 3, 5, 5]]))
    for values in scored.values():
        np.testing.assert_allclose(values[0], values[1], rtol=1e-6)


def test_a_target_of_pads_has_a_finite_score(translator):
    scored = translator.score_ids(translator.source.tokenize(["ab"]), tf.zeros([1, 2], tf.int32))
    assert scored["scores"].numpy().tolist() == scored["log_probs"].numpy().tolist() == [0.0]


def test_another_search_and_limits_for_each_text_may_be_given(translator):
    found = translator.search_texts(
        tf.constant(TEXTS[:2]), GreedySearch(), max_length=[1, 3], min_length=[1, 3]
    )
    words = [len(target.decode().split()) for target in found["target"].numpy()[:, 0]]
    assert words[0] <= 1
    assert 2 <= words[1] <= 3
    assert found["scores"].shape == (2, 1)


def test_the_search_that_is_set_is_the_search_that_answers():
    translator = make_translator(search=GreedySearch(max_length=1))
    first = translator.translate(TEXTS)
    translator.search = GreedySearch(max_length=5, min_length=3)
    assert translator.translate(TEXTS) != first


@pytest.mark.parametrize("replace_unknown", [False, True])
def test_the_tokenizers_that_are_set_are_those_that_are_used(replace_unknown):
    model = small.make_model("luong")
    source, target, upper = map(CharTokenizer.train, (["ab cd"], ["xyz"], ["XYZ"]))
    search = GreedySearch(max_length=9, max_length_ratio=1.0, min_length=9, suppress_ids=(UNK_ID,))
    translator = Translator(model, source, target, search=search, replace_unknown=replace_unknown)
    found = translator.translate(["ab cd"])[0]
    for tokenizer, expected in ((upper, found.upper()), (target, found)):
        translator.target = tokenizer
        assert translator.translate(["ab cd"]) == [expected]
        assert translator(["ab cd"])["target"].numpy().tolist() == [[expected.encode()]]
    translator.source = WordTokenizer.train(["ab cd", "a b c"])  # fewer tokens: a shorter output
    assert len(translator.translate(["ab cd"])[0]) < len(found)


def test_the_greedy_search_has_the_limits_of_the_search():
    limits = {"max_length": 7, "min_length": 2, "length_penalty": 0.5, "lexicon": [[4, 5, 3]]}
    greedy = make_translator(search=BeamSearch(**limits)).greedy_search()
    assert greedy == GreedySearch(**limits)


def test_a_slot_without_a_hypothesis_is_empty():
    # of one token there are eos, unk and three words
    search = BeamSearch(beam_width=7, num_hypotheses=7, max_length=1)
    found = make_translator(search=search)(tf.constant(["ab"]))
    np.testing.assert_array_equal(found["target"][0, 5:], [b"", b""])
    np.testing.assert_array_equal(found["log_probs"][0, 5:], [-1e9, -1e9])
    np.testing.assert_array_equal(found["scores"][0, 5:], [-1e9, -1e9])


def test_it_answers_in_float32_whatever_the_policy_is(translator):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = make_translator()
    finally:
        keras.config.set_dtype_policy("float32")
    assert mixed.model.dtype_policy.name == "mixed_bfloat16"
    assert mixed.dtype_policy.name == "float32"
    found, expected = (it(tf.constant(["ab"])) for it in (mixed, translator))
    np.testing.assert_array_equal(found["target"], expected["target"])
    np.testing.assert_array_equal(found["scores"], expected["scores"])


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("abc", TypeError, r"must be a list of texts, not a single text\. Received: texts='abc'"),
        (b"abc", TypeError, r"not a single text\. Received: texts=b'abc'"),
        (np.array("abc"), TypeError, r"not a single text\. Received: texts=array\('abc'"),
        (tf.constant("abc"), TypeError, "not a single text"),
        (
            ["a", None],
            TypeError,
            r"must contain texts only\. Received: None \(of type NoneType\) at position 1",
        ),
        ([["a"]], TypeError, r"must contain texts only\. Received: \['a'\]"),
        (["a", "\ud800"], ValueError, r"must be valid Unicode\. Received: '\\ud800' at position 1"),
        ([b"\xff"], ValueError, r"must be valid Unicode\. Received: b'\\xff' at position 0"),
        (["a", ""], ValueError, r"must not be empty\. Received: '' at position 1"),
        ([" \t"], ValueError, r"must not be empty\. Received: ' \\t' at position 0"),
        (["\u3000"], ValueError, r"must not be empty\. Received: '\\u3000' at position 0"),
        (["a", "\xa0"], ValueError, r"must not be empty\. Received: '\\xa0' at position 1"),
    ],
)
def test_an_invalid_text_is_rejected(translator, texts, error, message):
    with pytest.raises(error, match=message):
        translator.translate(texts)


def test_a_batch_has_at_least_one_text(translator):
    with pytest.raises(ValueError, match=r"`batch_size` must be a positive integer\. Received: ba"):
        translator.translate(["a"], batch_size=0)


@pytest.mark.parametrize("name", ["model", "source", "target", "search"])
def test_each_part_must_be_of_its_kind(translator, name):
    parts = {part: getattr(translator, part) for part in ("model", "source", "target", "search")}
    kind = {"model": "`Seq2Seq` or an `Ensemble`", "search": "`Search`"}.get(name, "`Tokenizer`")
    with pytest.raises(TypeError, match=rf"`{name}` must be a {kind}\. Received: {name}='beam'"):
        Translator(**{**parts, name: "beam"})


@pytest.mark.parametrize(("name", "size"), [("source", 8), ("target", 7)])
def test_each_vocabulary_must_be_that_of_the_model(translator, name, size):
    parts = {part: getattr(translator, part) for part in ("model", "source", "target")}
    message = f"`{name}` must have the size that the model expects, {size}. Received: a tokenizer"
    with pytest.raises(ValueError, match=message):
        Translator(**{**parts, name: CharTokenizer.train(["a"])})


@pytest.mark.parametrize("name", ["replace_unknown", "truncate_source"])
def test_a_switch_must_be_a_bool(translator, name):
    parts = (getattr(translator, part) for part in ("model", "source", "target"))
    with pytest.raises(ValueError, match=f"`{name}` must be True or False. Received: {name}='no'"):
        Translator(*parts, **{name: "no"})


def test_overwriting_must_be_switched_by_a_bool(translator, tmp_path):
    with pytest.raises(ValueError, match="`overwrite` must be True or False"):
        translator.save(tmp_path / "model.keras", overwrite="no")


def test_without_a_search_it_is_beam_search(translator):
    parts = (getattr(translator, part) for part in ("model", "source", "target"))
    assert Translator(*parts).search == BeamSearch()


@pytest.fixture(scope="module")
def copying() -> Translator:
    """A translator that often outputs unk, and then copies a character."""
    translator = make_translator(replace_unknown=True)
    likely = 34 * np.eye(7, dtype=np.float32)[UNK_ID]
    translator.model.decoder.logits.bias.assign_add(likely)
    return translator


def test_an_unknown_token_reads_as_the_source_token_that_attention_points_at(copying):
    texts = [*TEXTS, "Zoë 😀"]
    found = copying(tf.constant(texts))
    result = copying.model.search(copying.source.tokenize(texts), SEARCH, return_attention=True)
    unknown = result.ids.numpy() == UNK_ID
    assert np.all(np.any(unknown, axis=(1, 2)))
    for row, text in enumerate(texts):
        for place, ids in enumerate(result.ids[row].numpy()):
            words = []
            for position, id_ in enumerate(ids[: np.sum((ids != 0) & (ids != 3))]):
                looks = result.attention[row, place, position, : len(text)].numpy()
                copied = text[int(np.argmax(looks))]
                words.append(copied if id_ == UNK_ID else copying.target.vocabulary[id_])
            assert found["target"][row, place].numpy().decode() == " ".join(words)
    np.testing.assert_allclose(found["log_probs"], result.log_probs, atol=1e-6)
    plain = make_translator()
    plain.model.set_weights(copying.model.get_weights())
    assert any("⁇" in answer for answer in plain.translate(TEXTS))
    assert not any("⁇" in answer for answer in copying.translate(TEXTS))


@pytest.mark.parametrize("attention", ["luong", "monotonic"])
@pytest.mark.slow
def test_names_that_no_training_had_are_copied_as_text(attention):
    pairs = [
        (f"{verb} {name} {end}", f"{name} {verb}")
        for name in ("ann", "bob", "cyd", "dan", "eve")
        for verb in ("call", "write")
        for end in ("now", "soon")
    ]
    # the words are in the vocabulary of both sides, the names are not
    words = WordTokenizer(["[PAD]", "[UNK]", "[BOS]", "[EOS]", "call", "write", "now", "soon"])
    keras.utils.set_random_seed(1)
    model = Seq2Seq(
        LSTMEncoder(8, 16, bidirectional=True),
        LSTMDecoder(8, 16, attention=attention, copy=True),
        copy_ids=copy_ids(words, words),
    )
    model.compile(keras.optimizers.Adam(0.02), loss=SequenceLoss())
    model.fit(make_dataset(pairs, words, words, batch_size=20), epochs=40, verbose=0)
    translator = Translator(model, words, words, search=SEARCH, replace_unknown=True)
    unseen = ["call zoë now", "write 日本 soon", "write x,y now"]
    assert translator.translate(unseen) == ["zoë call", "日本 write", "x,y write"]


def test_a_model_that_copies_by_other_ids_is_rejected():
    source, target = CharTokenizer.train(["abc"]), CharTokenizer.train(["cba"])
    model = Seq2Seq(
        LSTMEncoder(7, 2),
        LSTMDecoder(7, 2, attention="luong", copy=True),
        copy_ids=[-1, 1, -1, 3, 6, 5, 4],
    )
    with pytest.raises(ValueError, match="`model` must use the copy_ids of these tokenizers"):
        Translator(model, source, target)


def test_unknown_tokens_cannot_be_replaced_without_attention():
    model = small.make_model("no attention")
    tokenizers = CharTokenizer.train(["abcde"]), CharTokenizer.train(["abc"])
    with pytest.raises(ValueError, match="`replace_unknown` needs a decoder with attention"):
        Translator(model, *tokenizers, replace_unknown=True)


def test_unknown_tokens_cannot_be_replaced_by_what_is_not_a_part_of_the_text():
    model = Seq2Seq(LSTMEncoder(260, 2), LSTMDecoder(260, 2, attention="luong"))
    with pytest.raises(ValueError, match=r"a `CharTokenizer` or a `WordTokenizer`\. Received: sou"):
        Translator(model, ByteTokenizer(), ByteTokenizer(), replace_unknown=True)


@pytest.mark.slow
def test_an_ensemble_translates(translator):
    other = make_translator().model
    other.set_weights([-weight for weight in other.get_weights()])
    bias = translator.model.decoder.logits.bias
    other.decoder.logits.bias.assign(bias)
    ensemble = Ensemble([translator.model, other])
    together = Translator(ensemble, translator.source, translator.target, search=SEARCH)
    found = together(tf.constant(TEXTS))
    expected = ensemble.search(together.source.tokenize(TEXTS), SEARCH)
    np.testing.assert_array_equal(found["target"], together.target.detokenize(expected.ids))
    scored = together.score_texts(tf.constant(TEXTS), found["target"][:, 0])
    ended = expected.finished[:, 0].numpy()
    assert ended.any()
    np.testing.assert_allclose(
        scored["log_probs"][ended], found["log_probs"][:, 0][ended], atol=1e-4
    )


def test_a_translator_cannot_be_trained(translator):
    with pytest.raises(ValueError, match="A `Translator` cannot be trained"):
        translator.fit(None)


def test_a_model_that_has_diverged_is_an_error_and_never_an_empty_text():
    translator = make_translator()
    translator.model.decoder.logits.bias.assign(
        tf.fill(translator.model.decoder.logits.bias.shape, float("nan"))
    )
    with pytest.raises(ValueError, match=r"The model has diverged.*in row 1"):
        translator.translate(["abc", "a"])  # the shorter one is searched first
    with pytest.raises(ValueError, match="The model has diverged"):
        translator(tf.constant(["ab"]))


def test_a_swapped_argument_is_shown_in_a_few_words():
    made = make_translator()
    many = CharTokenizer.train(["".join(map(chr, range(0x4E00, 0x5E00)))])
    decoder = LSTMDecoder(many.vocabulary_size, 4, attention="luong", copy=True)
    model = Seq2Seq(LSTMEncoder(many.vocabulary_size, 4), decoder, copy_ids=copy_ids(many, many))
    for swapped in (model, [("ab", "one")] * 10**5, Translator(model, many, many)):
        with pytest.raises(TypeError, match="`source` must be a `Tokenizer`") as error:
            Translator(made.model, swapped, made.target)
        assert len(str(error.value)) < 400
