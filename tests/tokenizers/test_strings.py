from __future__ import annotations

import functools
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies

from keras_s2s.tokenizers import ByteTokenizer, WordTokenizer, strings

UNICODE = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]


def _cut(borders, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The parts of texts, and how many each has."""
    flat = strings.to_bytes(texts)
    return strings.substrings(texts, flat, *borders(flat))


CUTS = {
    kind: tf.function(
        functools.partial(_cut, borders),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    for kind, borders in (
        ("words", strings.word_borders),
        ("characters", strings.character_borders),
    )
}


def _parts(kind: str, texts: list[str]) -> list[list[str]]:
    """The parts of each text, cut in the graph."""
    parts, lengths = CUTS[kind](tf.constant(texts, tf.string))
    decoded = [part.decode() for part in parts.numpy()]
    ends = np.cumsum(lengths.numpy()).tolist()
    starts = [0, *ends][: len(ends)]
    return [decoded[start:end] for start, end in zip(starts, ends, strict=True)]


@hypothesis.given(texts=strategies.lists(strategies.text(max_size=40), max_size=30))
def test_python_and_the_graph_split_every_text_equally(texts):
    assert _parts("words", texts) == [text.split() for text in texts]
    assert _parts("characters", texts) == [list(text) for text in texts]


def test_white_space_separates_words_as_in_python():
    parts = [f"a{character}b" for character in UNICODE]
    texts = ["".join(parts[start : start + 100]) for start in range(0, len(parts), 100)]
    assert _parts("words", texts) == [text.split() for text in texts]


def test_every_character_of_unicode_is_one_character():
    # Between characters of one, two, three and four bytes.
    parts = [f"a{character}é{character}€{character}😀" for character in UNICODE[::7]]
    texts = ["".join(parts[start : start + 100]) for start in range(0, len(parts), 100)]
    assert _parts("characters", texts) == [list(text) for text in texts]


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 1023, 1024, 1025, 33000])
@pytest.mark.parametrize("known", [True, False])
def test_rows_of_any_length_are_joined(length, known):
    rows = [[str(i % 10) for i in range(length)], ["é"] * length]
    pieces = tf.constant([piece for row in rows for piece in row] + [""], tf.string)
    joined = strings.join_rows(
        pieces, tf.constant([length, length // 2]), length if known else None
    )
    expected = ["".join(rows[0]), "".join(rows[1][: length // 2])]
    assert [text.decode() for text in joined.numpy()] == expected


def test_many_rows_are_joined():
    # tensorflow-text's n-grams of a dense tensor crash here.
    pieces = tf.constant(["a", "bc", "ddd"] * 5000 + [""])
    assert set(strings.join_rows(pieces, tf.fill([5000], 3), 3).numpy()) == {b"abcddd"}


def test_the_graph_is_small():
    # An assertion for each property of row splits would make it more than ten times as large.
    tokenizer = WordTokenizer.train(["a"])
    tokenize = tf.function(tokenizer.tokenize).get_concrete_function(
        tf.TensorSpec([None], tf.string)
    )
    detokenize = tf.function(tokenizer.detokenize).get_concrete_function(
        tf.TensorSpec([None, None], tf.int32)
    )
    for function in (tokenize, detokenize):
        assert len(function.graph.get_operations()) < 500
        assert not {"Assert", "If", "StatelessIf"} & {
            operation.type for operation in function.graph.get_operations()
        }


@pytest.mark.slow
def test_tensorflow_text_is_imported_only_when_text_is_split():
    program = (
        "import sys\n"
        "from keras_s2s.tokenizers import ByteTokenizer\n"
        "tokenizer = ByteTokenizer()\n"
        "assert 'tensorflow_text' not in sys.modules\n"
        "tokenizer.tokenize(['a'])\n"
        "assert 'tensorflow_text' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_missing_tensorflow_text_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text.python.ops", None)
    with pytest.raises(ImportError, match=r"which is not installed: pip install .* Without it"):
        ByteTokenizer().tokenize(["a"])


def test_words_are_counted_as_python_counts_them():
    texts = ["", " ", "\u3000\u00a0\n", "a", " ab\tc ", "a\u2003b\u1680c", "\u2028", "é日"]
    assert strings.count_words(tf.constant(texts)).numpy().tolist() == [
        len(text.split()) for text in texts
    ]
