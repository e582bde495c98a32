"""Behavior that all tokenizers share."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.runtimes import NASTY_TEXTS

from keras_s2s.tokenizers import (
    ByteTokenizer,
    CharTokenizer,
    DecomposedCharTokenizer,
    FeatureTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
)
from keras_s2s.tokenizers.lookup_tokenizer import LookupTokenizer

MAKERS = {
    "byte": ByteTokenizer,
    "char": lambda: CharTokenizer.train(["hello world"]),
    "decomposed": lambda: DecomposedCharTokenizer.train(["hello world"]),
    "features": lambda: FeatureTokenizer.train(["hello world", "world"]),
    "word": lambda: WordTokenizer.train(["hello world"]),
    "sentencepiece": lambda: SentencePieceTokenizer.train(["hello world"], vocabulary_size=12),
}


@pytest.fixture(scope="module", params=MAKERS)
def tokenizer(request):
    return MAKERS[request.param]()


def test_every_row_ends_with_eos_and_is_padded_on_the_right(tokenizer):
    ids = tokenizer.tokenize(["hello world", "", "hello"]).numpy()
    assert ids.dtype == np.int32
    for row in ids:
        end = row.tolist().index(3)
        assert (row[:end] > 3).all()
        assert (row[end + 1 :] == 0).all()
    assert ids[0, -1] == 3
    assert ids[1].tolist() == [3] + [0] * (ids.shape[1] - 1)


def test_a_batch_of_no_texts_gives_no_rows(tokenizer):
    nothing: list[Any] = [[], tf.constant([], tf.string), np.array([], dtype=str)]
    for texts in nothing:
        ids = tokenizer.tokenize(texts)
        assert ids.shape == (0, 1)
        assert ids.dtype == tf.int32
        assert tokenizer.detokenize(ids).shape == (0,)


def test_texts_may_be_lists_arrays_or_tensors(tokenizer):
    texts = ["hello", "world hello"]
    ids = tokenizer.tokenize(tf.constant(texts)).numpy()
    for same in (texts, tuple(texts), np.array(texts), np.array(texts, dtype=object)):
        np.testing.assert_array_equal(tokenizer.tokenize(same), ids)
        np.testing.assert_array_equal(tokenizer(same), ids)


def test_a_single_text_gives_a_single_row(tokenizer):
    for text in ("hello", tf.constant("hello"), b"hello"):
        ids = tokenizer.tokenize(text)
        assert ids.shape.rank == 1
        assert tokenizer.detokenize(ids).numpy() == b"hello"
    assert tokenizer.tokenize("").numpy().tolist() == [3]


def test_split_returns_the_ids_without_eos_and_padding(tokenizer):
    texts = ["hello world", "", "hello"]
    ids, lengths = tokenizer.split(texts)
    assert ids.dtype == lengths.dtype == tf.int32
    rows = [row[: row.index(3)] for row in tokenizer.tokenize(texts).numpy().tolist()]
    assert lengths.numpy().tolist() == [len(row) for row in rows]
    assert ids.numpy().tolist() == [token for row in rows for token in row]
    in_graph = tf.function(tokenizer.split)(tf.constant(texts))
    np.testing.assert_array_equal(in_graph[0], ids)
    with pytest.raises(ValueError, match=r"must have one dimension\. Received: a single text"):
        tokenizer.split("hello")


def test_detokenize_stops_at_eos_and_skips_pad_and_bos(tokenizer):
    hello, world = tokenizer.tokenize(["hello", "world"]).numpy()[:, :-1].tolist()
    rows = [
        [2, *hello, 3, *world],
        [0, 0, *hello, 0, 2, 0, 3],
        [2, *hello, 0],
        [2, 3, *hello],
        [0] * (len(hello) + 1),
    ]
    padded = keras.utils.pad_sequences(rows, padding="post")
    assert tokenizer.detokenize(padded).numpy().tolist() == [b"hello", b"hello", b"hello", b"", b""]


def test_detokenize_keeps_leading_dimensions(tokenizer):
    ids = tokenizer.tokenize(["hello", "world"]).numpy()
    nested = np.stack([ids, ids[::-1], ids])
    texts = tokenizer.detokenize(nested)
    there, back = [b"hello", b"world"], [b"world", b"hello"]
    assert texts.numpy().tolist() == [there, back, there]
    assert tokenizer.detokenize(nested[None, :, :0]).shape == (1, 3, 0)
    assert tokenizer.detokenize(nested[..., :0]).numpy().tolist() == [[b"", b""]] * 3


def test_unk_has_its_own_sign(tokenizer):
    assert tokenizer.detokenize([[1, 3]]).numpy()[0].decode() == "⁇"


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_ids_may_have_any_integer_type(tokenizer, dtype):
    ids = np.minimum(tokenizer.tokenize(["hello"]).numpy(), 255).astype(dtype)
    assert tokenizer.detokenize(ids).numpy().tolist() == [b"hello"]


def test_a_graph_takes_any_batch_of_texts(tokenizer):
    traces = []

    @tf.function(input_signature=[tf.TensorSpec(None, tf.string)])
    def there_and_back(texts):
        traces.append(texts)
        ids = tokenizer.tokenize(texts)
        return ids, tokenizer.detokenize(ids)

    for texts in (["hello"], ["hello world", "world"], [], NASTY_TEXTS):
        ids, back = there_and_back(tf.constant(texts, tf.string))
        np.testing.assert_array_equal(ids, tokenizer.tokenize(texts))
        np.testing.assert_array_equal(back, tokenizer.detokenize(ids))
    assert len(traces) == 1


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.sampled(3)
def test_a_tokenizer_created_during_tracing_works(make):
    kept = []

    @tf.function
    def tokenize(texts):
        kept.append(make())
        return kept[-1].tokenize(texts)

    np.testing.assert_array_equal(tokenize(tf.constant(["hello"])), make().tokenize(["hello"]))
    np.testing.assert_array_equal(kept[0].tokenize(["hello"]), make().tokenize(["hello"]))


def test_a_tokenizer_works_in_tf_data(tokenizer):
    dataset = tf.data.Dataset.from_tensor_slices(["hello", "world"]).batch(2)
    ids = next(iter(dataset.map(tokenizer.tokenize)))
    np.testing.assert_array_equal(ids, tokenizer.tokenize(["hello", "world"]))


def test_a_tokenizer_is_saved_inside_a_model(tokenizer, tmp_path):
    texts = keras.Input((), dtype="string")
    model = keras.Model(texts, tokenizer(texts))
    assert model.output.shape == (None, None)
    assert model.output.dtype == "int32"
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.layers[-1].vocabulary == tokenizer.vocabulary
    nasty = tf.constant(NASTY_TEXTS)
    np.testing.assert_array_equal(loaded(nasty), model(nasty))


def test_the_config_is_small_and_restores_the_name(tokenizer):
    config = tokenizer.get_config()
    assert config == {"name": tokenizer.name, "trainable": True}
    assert type(tokenizer).from_config(config).name == tokenizer.name


def test_a_lower_precision_policy_changes_no_id(tokenizer):
    ids = tokenizer.tokenize(["hello world"])
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        made = type(tokenizer)() if isinstance(tokenizer, ByteTokenizer) else tokenizer
        np.testing.assert_array_equal(made(["hello world"]), ids)
    finally:
        keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda tokenizer: pickle.loads(pickle.dumps(tokenizer))],  # noqa: S301
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_have_the_same_vocabulary(tokenizer, copied):
    other = copied(tokenizer)
    assert other.vocabulary == tokenizer.vocabulary
    np.testing.assert_array_equal(other.tokenize(["hello x"]), tokenizer.tokenize(["hello x"]))


def test_the_repr_describes_the_tokenizer():
    assert repr(CharTokenizer.train(["ab"])) == "CharTokenizer(vocabulary_size=6)"
    assert repr(WordTokenizer()) == "WordTokenizer(vocabulary_size=0)"
    assert repr(ByteTokenizer()) == "ByteTokenizer()"


@pytest.mark.parametrize(
    "texts",
    [1, None, [1], ["a", 1], [None], [["a"], ["b", "c"]], {"a": 1}, np.array([1.0])],
    ids=repr,
)
def test_texts_that_are_not_strings_are_refused(tokenizer, texts):
    with pytest.raises(TypeError, match=r"`texts` must be a string tensor, a list of str, or a s"):
        tokenizer.tokenize(texts)


@pytest.mark.parametrize("texts", ["a\ud800", ["b", "a\ud800"], np.array(["a\ud800"])], ids=ascii)
def test_texts_without_utf8_encoding_are_refused(tokenizer, texts):
    with pytest.raises(ValueError, match=r"'a\\ud800', which has a lone surrogate at position 1"):
        tokenizer.tokenize(texts)


def test_texts_of_two_dimensions_are_refused(tokenizer):
    with pytest.raises(ValueError, match=r"at most\. Received: texts of shape \(1, 2\)"):
        tokenizer.tokenize([["a", "b"]])


def test_ids_that_are_not_integers_are_refused(tokenizer):
    with pytest.raises(TypeError, match=r"must be integers\. Received: ids of dtype float32"):
        tokenizer.detokenize([[4.0]])


def test_ids_without_a_dimension_are_refused(tokenizer):
    with pytest.raises(ValueError, match=r"at least one dimension\. Received: a scalar"):
        tokenizer.detokenize(4)


@pytest.mark.parametrize("offset", [0, 1000])
def test_ids_outside_the_vocabulary_are_refused(tokenizer, offset):
    size = tokenizer.vocabulary_size
    with pytest.raises(
        ValueError, match=f"between 0 and {size - 1}, .* Received: {size + offset}$"
    ):
        tokenizer.detokenize([[4, size + offset]])
    with pytest.raises(ValueError, match=r"Received: -1$"):
        tokenizer.detokenize([[4, -1]])
    with pytest.raises(ValueError, match=r"Received: 4294967300$"):  # 4 in its lower 32 bits
        tokenizer.detokenize(np.array([[2**32 + 4]]))


def test_the_base_class_names_what_a_subclass_must_define():
    with pytest.raises(NotImplementedError, match="Tokenizer must define `_split`"):
        Tokenizer().tokenize(["a"])
    with pytest.raises(NotImplementedError, match="Tokenizer must define `pieces`"):
        Tokenizer().pieces()
    with pytest.raises(NotImplementedError, match="Tokenizer must define `vocabulary`"):
        _ = Tokenizer().vocabulary
    assert Tokenizer().tables == []


@pytest.mark.parametrize("method", ["split_text", "borders"])
def test_the_lookup_class_names_what_a_subclass_must_define(method):
    with pytest.raises(NotImplementedError, match=f"A subclass must define `{method}`"):
        getattr(LookupTokenizer, method)("a")


def test_many_tokenizers_cause_no_warning(caplog):
    for text in "abcdefgh":
        CharTokenizer.train([text]).tokenize(tf.constant([text]))
    assert not [record for record in caplog.records if "retracing" in record.getMessage()]
