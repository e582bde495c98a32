"""One meaning of "empty", white space and line."""

from __future__ import annotations

import sys

import pytest
import tensorflow as tf

from keras_s2s.data.pairs import check_pairs
from keras_s2s.export.litert_runner import _check_texts, _split_lines
from keras_s2s.text_inputs import encode_texts
from keras_s2s.texts import batches_by_length, is_empty, split_lines
from keras_s2s.tokenizers import WordTokenizer

WHITE_SPACE = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
EMPTY = ["", " ", "\u00a0", "\u3000", " \t\u2028\u0085\x1f"]


def test_white_space_of_unicode_is_empty_as_str_and_as_bytes():
    assert len(WHITE_SPACE) == 29
    for text in [*EMPTY, *WHITE_SPACE]:
        assert is_empty(text)
        assert is_empty(text.encode())


@pytest.mark.parametrize("text", ["a", "\u3000a", "\u200b", "\ufeff", "\0", b"\xff", b"\xe3\x80"])
def test_anything_else_is_not(text):
    assert not is_empty(text)


def test_the_graph_sees_the_same_white_space():
    tokenizer = WordTokenizer.train(["a"])
    texts = [*WHITE_SPACE, "\u200b", "\ufeff", "\u180e"]
    _, lengths = tokenizer.split(texts)
    assert [not length for length in lengths.numpy()] == [is_empty(text) for text in texts]


@pytest.mark.parametrize("text", EMPTY)
def test_every_door_takes_the_same_texts_for_empty(text):
    with pytest.raises(ValueError, match="`texts` must not be empty"):
        encode_texts(["a", text])
    with pytest.raises(ValueError, match="`texts` must not be empty"):
        encode_texts(tf.constant(["a", text]))
    with pytest.raises(ValueError, match="`texts` must not be empty"):
        _check_texts("texts", ["a", text], may_be_empty=False)
    with pytest.raises(ValueError, match="the source is empty"):
        list(check_pairs([(text, "a")]))
    assert batches_by_length([b"a", text.encode()], 2) == [[0]]


@pytest.mark.parametrize("split_lines", [split_lines, _split_lines])
def test_lines_end_with_lf_or_cr_lf_only(split_lines):
    text = "a\r\n\nb\u2028c\u0085d\x0be\x0cf\rg\n"
    assert split_lines(text) == ["a", "", "b\u2028c\u0085d\x0be\x0cf\rg"]
    assert split_lines("a") == ["a"]
    assert split_lines("a\n\n") == ["a", ""]
    assert split_lines("") == []


@pytest.mark.parametrize(
    ("batch_size", "batches"), [(1, [[2], [4], [0]]), (2, [[2, 4], [0]]), (9, [[2, 4, 0]])]
)
def test_batches_have_all_texts_that_are_not_empty_from_short_to_long(batch_size, batches):
    texts = [b"abc", b"", b"a", "\u3000".encode(), "é".encode()]
    assert batches_by_length(texts, batch_size) == batches
    assert batches_by_length([b"", b" "], batch_size) == []
