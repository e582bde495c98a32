"""Evaluation by search during training, and the callbacks that use its metrics."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.callbacks.search_evaluation import SearchEvaluation
from keras_s2s.data import make_dataset
from keras_s2s.evaluation import bleu, chrf, error_rates
from keras_s2s.layers import LSTMDecoder, LSTMEncoder
from keras_s2s.losses import SequenceLoss
from keras_s2s.models import Seq2Seq
from keras_s2s.search import BeamSearch, GreedySearch
from keras_s2s.special_ids import UNK_ID
from keras_s2s.tokenizers import CharTokenizer, WordTokenizer
from keras_s2s.translator import Translator

# TensorFlow's variables do not know NumPy 2's `copy` yet, and Keras saves them
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NAMES = {"a": "one", "b": "two", "c": "three"}
TEXTS = [first + second for first in "abc" for second in "abc"] + ["a", "b", "c"]
PAIRS = [(text, " ".join(NAMES[it] for it in text)) for text in TEXTS]
# "a" has two right answers, and "cc" none that the model learns
VALID = [("ab", "one two"), ("a", "x"), ("a", "one"), ("cc", "nine nine")]
SOURCE = CharTokenizer.train(NAMES)
TARGET = WordTokenizer.train(NAMES.values())
SEARCH = GreedySearch(max_length=4)


def make_model(learning_rate: float = 0.02) -> Seq2Seq:
    keras.utils.set_random_seed(0)
    model = Seq2Seq(
        LSTMEncoder(SOURCE.vocabulary_size, 24, embedding_dim=8),
        LSTMDecoder(TARGET.vocabulary_size, 24, embedding_dim=8, attention="luong"),
    )
    model.compile(keras.optimizers.Adam(learning_rate), loss=SequenceLoss())
    return model


def dataset():
    return make_dataset(PAIRS, SOURCE, TARGET, batch_size=4, shuffle=True, seed=0)


def evaluation(**kwargs) -> SearchEvaluation:
    return SearchEvaluation(VALID, SOURCE, TARGET, **{"search": SEARCH, **kwargs})


@pytest.fixture(scope="module")
def model() -> Seq2Seq:
    """A compiled model with arbitrary weights."""
    return make_model()


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A training stopped early by its metrics, and its best model."""
    path = tmp_path_factory.mktemp("best") / "best.keras"
    callback = evaluation(metrics=("wer", "ter", "bleu", "chrf"))
    model = make_model()
    history = model.fit(
        dataset(),
        epochs=80,
        verbose=0,
        callbacks=[
            callback,
            keras.callbacks.ModelCheckpoint(
                path, monitor="val_wer", mode="min", save_best_only=True
            ),
            keras.callbacks.ReduceLROnPlateau("val_ter", mode="min", patience=6),
            keras.callbacks.EarlyStopping("val_wer", mode="min", patience=12),
        ],
    ).history
    return model, callback, history, path


def test_a_source_without_a_target_counts_as_wrong(model):
    emitted = (UNK_ID, *range(4, TARGET.vocabulary_size))
    callback = evaluation(search=GreedySearch(max_length=3, min_length=3, suppress_ids=emitted))
    callback.set_model(model)
    callback.on_train_begin()
    assert callback.evaluate() == {"val_wer": 1.0, "val_ter": 1.0}
    assert set(callback.outputs.values()) == {""}


def test_each_model_is_evaluated_itself(model):
    callback, other = evaluation(), keras.models.clone_model(model)
    for trained in (model, other):
        callback.set_model(trained)
        callback.on_train_begin()
        assert callback._translator.model is trained


def test_the_figures_stop_the_training_lower_the_rate_and_choose_the_best_model(training):
    _, _, history, path = training
    wer = history["val_wer"]
    best = int(np.argmin(wer))
    assert wer[0] == 1.0
    assert wer[best] == pytest.approx(1 / 3)
    assert len(wer) == best + 1 + 12 < 80
    assert history["learning_rate"][-1] < history["learning_rate"][0]
    saved = keras.saving.load_model(path)
    assert saved.optimizer.iterations.numpy() == 3 * (best + 1)
    translator = Translator(saved, SOURCE, TARGET, search=SEARCH)
    assert translator.translate(["ab", "a"]) == ["one two", "one"]


def test_the_figures_are_those_of_the_search_scored_by_itself(training):
    model, callback, history, _ = training
    sources = ["ab", "a", "cc"]
    references = [["one two"], ["x", "one"], ["nine nine"]]
    outputs = Translator(model, SOURCE, TARGET, search=SEARCH).translate(sources)
    assert callback.outputs == dict(zip(sources, outputs, strict=True))
    rates = error_rates(outputs, references)
    expected = {
        "val_wer": rates.sequence_error_rate,
        "val_ter": rates.token_error_rate,
        "val_bleu": bleu(outputs, references).score,
        "val_chrf": chrf(outputs, references).score,
    }
    assert callback.figures == expected
    assert {name: history[name][-1] for name in expected} == expected
    assert callback.signatures["bleu"] == bleu(outputs, references).signature
    assert callback.signatures["chrf"] == chrf(outputs, references).signature


def test_the_figures_are_in_the_chosen_unit_and_tokenization():
    callback = evaluation(metrics=["ter", "bleu"], tokens="characters", bleu_tokenize="none")
    outputs, references = ["it is so, abd"], [["it is so , abc"]]
    found = callback._compute_metrics(outputs, references)
    assert found["val_ter"] == pytest.approx(1 / 10)  # of the characters that are no white space
    assert found["val_bleu"] == bleu(outputs, references, tokenize="none").score
    assert found["val_bleu"] != bleu(outputs, references).score
    assert "tok:none" in callback.signatures["bleu"]


def test_the_unit_and_the_figures_follow_the_targets():
    assert evaluation().tokens == "words"
    assert evaluation().metrics == ("wer", "ter")
    by_character = SearchEvaluation(VALID, SOURCE, CharTokenizer.train(["one two"]))
    assert by_character.tokens == "characters"
    assert SearchEvaluation(VALID, SOURCE, TARGET, tokens="characters").tokens == "characters"
    sentences = [(f"{number}", f"word{number} is what number{number} is") for number in range(99)]
    assert SearchEvaluation(sentences, SOURCE, TARGET).metrics == ("wer", "ter", "bleu", "chrf")
    assert SearchEvaluation(VALID, SOURCE, TARGET, metrics=["bleu"]).metrics == ("bleu",)


@pytest.mark.slow
def test_one_trace_of_the_search_serves_all_epochs_and_batches(model, monkeypatch):
    traces = []
    call = Translator.call

    def counted(self, texts):
        traces.append(texts)
        return call(self, texts)

    monkeypatch.setattr(Translator, "call", counted)
    model.fit(dataset(), epochs=2, verbose=0, callbacks=[evaluation(batch_size=1)])
    assert len(traces) == 1


@pytest.mark.slow
def test_every_n_steps_the_search_runs_and_the_epoch_has_the_last_figures(model, monkeypatch):
    steps = []
    evaluate = SearchEvaluation.evaluate

    def counted(self):
        steps.append(int(self.model.optimizer.iterations.numpy()))
        return evaluate(self)

    monkeypatch.setattr(SearchEvaluation, "evaluate", counted)
    callback = evaluation(every=4)
    model.optimizer.iterations.assign(0)
    history = model.fit(dataset(), epochs=3, verbose=0, callbacks=[callback]).history
    assert steps == [4, 8]  # of 9
    assert len(history["loss"]) == 3
    assert len(history["val_wer"]) == 2  # none in the first epoch, of 3 steps


@pytest.mark.parametrize(("verbose", "shown"), [(0, False), (2, True)])
@pytest.mark.slow
def test_examples_are_shown_unless_fit_is_silent(model, verbose, shown, capsys):
    callback = evaluation(examples=2, metrics=("chrf", "wer"))
    model.fit(dataset(), verbose=verbose, callbacks=[callback])
    out = capsys.readouterr().out
    assert (f"val_wer {callback.figures['val_wer']:.4f}\n" in out) is shown
    assert ("chrf: nrefs:" in out) is shown
    right = callback.outputs["ab"] == "one two"
    note = "right" if right else "reference: one two"
    assert (f"  ab -> {callback.outputs['ab']} ({note})\n  a -> " in out) is shown
    assert "cc ->" not in out


@pytest.mark.slow
def test_figures_and_examples_are_written_for_tensorboard_by_step(model, tmp_path):
    callback = evaluation(log_dir=tmp_path, metrics=("ter", "wer"))
    model.optimizer.iterations.assign(0)
    model.fit(dataset(), epochs=2, verbose=0, callbacks=[callback])
    (file,) = tmp_path.iterdir()
    found = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            kind = value.metadata.plugin_data.plugin_name
            found[value.tag, event.step] = (kind, tf.make_ndarray(value.tensor))
    assert set(found) == {
        (name, step) for name in ("val_ter", "val_wer", "examples") for step in (3, 6)
    }
    kind, figure = found["val_wer", 6]
    assert (kind, figure) == ("scalars", np.float32(callback.figures["val_wer"]))
    kind, (text,) = found["examples", 6]
    assert kind == "text"
    assert "ab ->" in text.decode()


@pytest.mark.slow
def test_in_mixed_precision_the_search_runs_in_float32():
    model = Seq2Seq(
        LSTMEncoder(SOURCE.vocabulary_size, 4, dtype="mixed_bfloat16"),
        LSTMDecoder(TARGET.vocabulary_size, 4, dtype="mixed_bfloat16"),
    )
    model.compile("adam", loss=SequenceLoss())
    callback = evaluation(search=BeamSearch(beam_width=2, max_length=3))
    model.fit(dataset(), verbose=0, callbacks=[callback])
    assert set(callback.outputs) == {"ab", "a", "cc"}


def test_callbacks_that_monitor_a_metric_must_come_later(model):
    early = keras.callbacks.EarlyStopping("val_ter", mode="min")
    with pytest.raises(
        ValueError, match="Received: `EarlyStopping` with monitor='val_ter' before it"
    ):
        model.fit(dataset(), verbose=0, callbacks=[early, evaluation()])


def test_a_model_that_cannot_be_searched_is_rejected_before_training():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="requires a model that can be searched"):
        model.fit(np.zeros([1, 1]), np.zeros([1, 1]), verbose=0, callbacks=[evaluation()])


def test_a_vocabulary_that_is_not_the_models_is_rejected_before_training(model):
    other = CharTokenizer.train(["abcdefg"])
    callback = SearchEvaluation(VALID, other, TARGET)
    with pytest.raises(ValueError, match="vocabulary of `source` must have the size"):
        model.fit(dataset(), verbose=0, callbacks=[callback])


def test_it_evaluates_only_while_fit_runs():
    with pytest.raises(ValueError, match="can only be called during `fit`"):
        evaluation().evaluate()


@pytest.mark.parametrize(
    ("pairs", "error", "match"),
    [
        ("valid.tsv", TypeError, "as `read_pairs` returns"),
        (3, TypeError, "Received: pairs=3"),
        ([], ValueError, "at least one pair"),
        ([("a", "b"), (" ", "b")], ValueError, r"\(' ', 'b'\) as pair 1: the source is empty"),
        ([("a",)], TypeError, "pairs of str"),
    ],
)
def test_pairs_that_cannot_be_searched_are_rejected(pairs, error, match):
    with pytest.raises(error, match=match):
        SearchEvaluation(pairs, SOURCE, TARGET)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"metrics": "wer"}, TypeError, "a list of names"),
        ({"metrics": ()}, ValueError, "must name at least one of wer, ter, bleu, chrf"),
        ({"metrics": ["per"]}, ValueError, "`metrics` must be one of 'wer'"),
        ({"every": 0}, ValueError, "`every` must be 'epoch' or a positive integer"),
        ({"tokens": "syllables"}, ValueError, "`tokens` must be one of 'words'"),
        (
            {"metrics": ["bleu"], "bleu_tokenize": "foo"},
            ValueError,
            "`bleu_tokenize` must be a tokenizer of sacrebleu: none",
        ),
        ({"batch_size": 0}, ValueError, "`batch_size` must be a positive integer"),
        ({"examples": -1}, ValueError, "`examples` must be an integer of at least 0"),
    ],
)
def test_arguments_out_of_range_are_rejected(arguments, error, match):
    with pytest.raises(error, match=match):
        evaluation(**arguments)


@pytest.mark.parametrize(
    ("metric", "module"), [("wer", "rapidfuzz.distance"), ("bleu", "sacrebleu")]
)
def test_what_is_missing_is_reported_before_training(metric, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"keras-s2s\[eval\]"):
        evaluation(metrics=[metric])


def test_a_long_held_out_source_does_not_end_the_training(model):
    callback = SearchEvaluation([("ab" * 600, "one")], SOURCE, TARGET, search=SEARCH)
    callback.set_model(model)
    callback.on_train_begin()
    assert set(callback.evaluate()) == {"val_wer", "val_ter"}


def test_unknown_tokens_are_replaced_as_in_a_translator():
    source = CharTokenizer.train(["ab"])
    words = WordTokenizer.train(["a"])
    callback = SearchEvaluation([("ab", "ab")], source, words, replace_unknown=True, examples=0)
    model = Seq2Seq(
        LSTMEncoder(source.vocabulary_size, 4),
        LSTMDecoder(words.vocabulary_size, 4, attention="luong"),
    )
    model.decoder.logits.bias.assign([-9.0, 9.0, -9.0, -9.0, -9.0])  # always unk
    model.compile(keras.optimizers.SGD(0.0), loss=SequenceLoss())
    model.fit(make_dataset([("ab", "a")], source, words), callbacks=[callback], verbose=0)
    assert "⁇" not in callback.outputs["ab"]
    assert set(callback.outputs["ab"].split()) <= {"a", "b"}
