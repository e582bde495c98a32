"""Each tokenizer returns the same result in Python, a SavedModel and LiteRT."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers.runtimes import INVALID_TEXTS, NASTY_TEXTS, LiteRT, Tokenizing

from keras_s2s.tokenizers import (
    ByteTokenizer,
    CharTokenizer,
    DecomposedCharTokenizer,
    FeatureTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
)

# Words with parts in common, for pieces of more than one character.
WORDS = ["the lower lowest lowly", "the newer newest newly", "the wider widest widely"]
# Half of the difficult texts are known, so that the texts have known and unknown tokens.
TOKENIZERS = {
    "byte": ByteTokenizer(),
    "char": CharTokenizer.train(NASTY_TEXTS[::2]),
    "decomposed": DecomposedCharTokenizer.train([*NASTY_TEXTS[::2], "각 ệ ᾂ"]),
    "feature": FeatureTokenizer.train([*NASTY_TEXTS[::2], "a;b c ;V;;PST"]),
    "word": WordTokenizer.train(NASTY_TEXTS[::2]),
    "sentencepiece": SentencePieceTokenizer.train([*NASTY_TEXTS[::2], *WORDS], vocabulary_size=50),
    "sentencepiece, identity": SentencePieceTokenizer.train(
        [*NASTY_TEXTS[::2], *WORDS], vocabulary_size=60, normalization="identity"
    ),
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def exported(request, tmp_path_factory):
    tokenizer = TOKENIZERS[request.param]
    folder = str(tmp_path_factory.mktemp(request.param))
    Tokenizing(tokenizer).save(folder)
    return tokenizer, tf.saved_model.load(folder), LiteRT(folder)


def _batches() -> list[list[str | bytes]]:
    """Return batches of each text alone, all texts, and no text."""
    texts: list[str | bytes] = [*NASTY_TEXTS, *INVALID_TEXTS]
    alone: list[list[str | bytes]] = [[text] for text in texts]
    return [*alone, texts, []]


def test_tokenize_is_the_same_in_every_runtime(exported):
    tokenizer, saved, litert = exported
    for texts in _batches():
        ids = tokenizer.tokenize(texts).numpy()
        in_saved_model = saved.signatures["tokenize"](texts=tf.constant(texts, tf.string))["ids"]
        in_litert = litert.tokenize(texts)
        assert ids.dtype == in_saved_model.numpy().dtype == in_litert.dtype == np.int32
        np.testing.assert_array_equal(in_saved_model, ids)
        np.testing.assert_array_equal(in_litert, ids)


def test_detokenize_is_the_same_in_every_runtime(exported):
    tokenizer, saved, litert = exported
    for texts in _batches():
        ids = tokenizer.tokenize(texts).numpy()
        back = list(tokenizer.detokenize(ids).numpy())
        in_saved_model = saved.signatures["detokenize"](ids=tf.constant(ids))["texts"]
        assert list(in_saved_model.numpy()) == back
        assert litert.detokenize(ids) == back


@pytest.mark.parametrize("shape", [(1, 1), (5, 31), (5, 32), (5, 33), (200, 40), (2, 1025), (3, 0)])
@pytest.mark.sampled(27)
def test_any_ids_detokenize_equally_in_every_runtime(exported, shape):
    tokenizer, saved, litert = exported
    # Special ids in all places, and some that no vocabulary has.
    ids = np.random.default_rng(0).integers(-2, tokenizer.vocabulary_size + 2, shape, np.int32)
    ids[0, : shape[1] // 2] %= 3
    in_saved_model = list(saved.signatures["detokenize"](ids=tf.constant(ids))["texts"].numpy())
    assert in_saved_model == _read_in_python(tokenizer, ids)
    assert litert.detokenize(ids) == in_saved_model


def test_hypotheses_detokenize_equally_in_every_runtime(exported):
    tokenizer, saved, litert = exported
    for shape in [(2, 3, 5), (1, 1, 40), (0, 2, 3), (2, 2, 0)]:
        ids = np.random.default_rng(1).integers(0, tokenizer.vocabulary_size, shape, np.int32)
        texts = tokenizer.detokenize(ids).numpy()
        assert texts.shape == shape[:2]
        in_saved_model = saved.signatures["detokenize_hypotheses"](ids=tf.constant(ids))["texts"]
        np.testing.assert_array_equal(in_saved_model.numpy(), texts)
        in_litert = litert.runner("detokenize_hypotheses")(ids=ids)["texts"]
        np.testing.assert_array_equal(in_litert.reshape(shape[:2]), texts)


def test_a_row_does_not_depend_on_its_batch_mates(exported):
    tokenizer, _, litert = exported
    # Bytes that would be white space or one character together, but stand in two texts.
    texts = [b"a\xe2\x80", b"\x80b", b"\xc2", b"\xa0", b"", b"", b"\xe3", b"\x80\x80", b""]
    together = tokenizer.tokenize(texts).numpy()
    for row, text in zip(together, texts, strict=True):
        alone = tokenizer.tokenize([text]).numpy()[0]
        np.testing.assert_array_equal(row[: len(alone)], alone)
        np.testing.assert_array_equal(litert.tokenize([text])[0], alone)


def _read_in_python(tokenizer: Tokenizer, ids: np.ndarray) -> list[bytes]:
    """Convert ids to a text in plain Python."""
    beginning, following = tokenizer.pieces()
    texts = []
    for row in ids.tolist():
        until_eos = row[: row.index(3)] if 3 in row else row
        known = [i if 0 <= i < tokenizer.vocabulary_size else 1 for i in until_eos]
        read = [place for place, i in enumerate(known) if i not in (0, 2)]
        if isinstance(tokenizer, FeatureTokenizer):
            features = [place + 1 for place, i in enumerate(known) if len(following[i]) > 1]
            features = [place for place in features if following[known[place - 1]][0] == ";"]
        else:
            features = read[1:]
        pieces = [(following if p in features else beginning)[known[p]] for p in read]
        encoded = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
        texts.append(b"".join(encoded))
    return texts
