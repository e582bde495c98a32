"""A token for each piece of a word."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_choice, check_int, check_number
from keras_s2s.errors import InputError, MissingPackageError
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID, SPECIAL_TOKENS, UNK_ID
from keras_s2s.texts import is_empty
from keras_s2s.tokenizers import strings
from keras_s2s.tokenizers.sentencepiece_model import (
    SPACE_SIGN,
    SentencePieceModel,
    parse_model,
    read_rules,
)
from keras_s2s.tokenizers.tokenizer import SPECIAL_PIECES, Tokenizer, check_texts

_MODEL_FILE = "sentencepiece.model"
_CHECKSUM_FILE = "sentencepiece.model.sha256"
_NORMALIZATIONS = ("nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity")
# White space that LiteRT's tokenizer takes for spaces, whatever the model says.
_TO_SPACES = str.maketrans("\t\n\r", "   ")
# Longer texts would be passed over without a word; the trainer's own limit is 4192 bytes.
_LONGEST_TEXT = 2**30


@keras.saving.register_keras_serializable(package="keras_s2s")
class SentencePieceTokenizer(Tokenizer):
    """Turns a text into ids of word pieces: the most probable way to cut it, by a unigram model.

    Common words are one token, rare ones several, so that a vocabulary of some thousand pieces
    does for a whole language. Texts are normalized by the model's own rule, runs of spaces become
    one, and spaces at both ends go; `detokenize` gives texts in that form. Characters that no
    piece has become unk, one for a run of them.

    Training needs the package sentencepiece (`pip install "keras-s2s[subword]"`); loading, using
    and serving does not.

    Args:
        proto: a model of the sentencepiece package: the content of its file, or the path of it.
            It must be of type unigram and made with `pad_id=0, unk_id=1, bos_id=2, eos_id=3`,
            without byte fallback and symbols of your own. May only be left out if `load_assets`
            is called next.
        **kwargs: the arguments of `keras.layers.Layer`.

    Raises:
        TypeError: if `proto` is neither bytes nor a path.
        FileNotFoundError: if there is no such file.
        ValueError: if the model is damaged, or another kind of model.

    Example:
        >>> texts = ["low lower lowest", "new newer newest", "wide wider widest"]
        >>> tokenizer = SentencePieceTokenizer.train(texts, vocabulary_size=18)
        >>> tokenizer.vocabulary_size
        18
        >>> tokenizer.detokenize(tokenizer.tokenize(["wide  newest"])).numpy().tolist()
        [b'wide newest']

    References:
        - [Kudo, 2018: Subword Regularization](https://arxiv.org/abs/1804.10959), the unigram model
        - [Kudo and Richardson, 2018: SentencePiece](https://arxiv.org/abs/1808.06226)
    """

    def __init__(self, proto: bytes | str | os.PathLike[str] | None = None, **kwargs: Any) -> None:
        model = None if proto is None else parse_model(_read(proto))
        super().__init__(**kwargs)
        self._model: SentencePieceModel | None = None
        self._runnable: tf.Tensor | None = None
        if model is not None:
            self._set_model(model)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocabulary_size: int = 8000,
        character_coverage: float = 0.9995,
        normalization: str = "nmt_nfkc",
    ) -> SentencePieceTokenizer:
        """Find the pieces that make texts most probable.

        The same texts in the same order always give the same pieces. All texts are held in
        memory meanwhile; of very many, a sample does as well.

        Args:
            texts: the texts; gone through once.
            vocabulary_size: how many ids there are, the four special ones among them.
            character_coverage: the part of all characters in the texts that must have pieces; the
                rarest characters become unk. Take 1.0 where a target must have all of them.
            normalization: "nmt_nfkc" (compatibility composition, all white space to spaces, no
                control characters), "nfkc", both with "_cf" (upper case folded to lower) or
                "identity".

        Returns:
            The tokenizer.

        Raises:
            ImportError: if the package sentencepiece is not installed.
            TypeError: if `texts` are not an iterable of `str`.
            ValueError: if they do not allow for so many pieces or so few, or an argument is out
                of range.
        """
        check_int("vocabulary_size", vocabulary_size, minimum=len(SPECIAL_TOKENS) + 1)
        check_number("character_coverage", character_coverage, minimum=0.98, maximum=1.0)
        check_choice("normalization", normalization, _NORMALIZATIONS)
        proto = _train(
            texts,
            vocab_size=vocabulary_size,
            character_coverage=character_coverage,
            normalization_rule_name=normalization,
        )
        return cls(proto)

    @property
    def proto(self) -> bytes:
        """The model, as the sentencepiece package reads it from a file."""
        return self._known_model().proto

    @property
    def vocabulary(self) -> list[str]:
        """The piece of each id, "▁" for a space; the first four are the special tokens."""
        return list(self._known_model().pieces)

    @property
    def vocabulary_size(self) -> int:
        """How many ids there are, the four special ones among them."""
        return len(self._known_model().pieces)

    def text_rules(self) -> dict[str, Any]:
        """The scores of the pieces, and how texts are normalized; see `Tokenizer.text_rules`."""
        return {**super().text_rules(), **read_rules(self._known_model())}

    def pieces(self) -> tuple[list[str], list[str]]:
        """The pieces with spaces; no space at the beginning. See `Tokenizer.pieces`."""
        model = self._known_model()
        following = [piece.replace(SPACE_SIGN, " ") for piece in model.pieces]
        following[: len(SPECIAL_PIECES)] = SPECIAL_PIECES
        if not model.strips_space:
            return following, following
        return [piece.removeprefix(" ") for piece in following], following

    def _split(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Find the most probable pieces of texts."""
        ids, row_splits = strings.import_text_ops().pieces.tf_text_fast_sentencepiece_tokenize(
            sp_model=self._converted_model(),
            input=texts,
            nbest_size=0,
            alpha=0.0,
            add_bos=False,
            add_eos=False,
            reverse=False,
        )
        return ids, row_splits[1:] - row_splits[:-1]

    def save_assets(self, dir_path: str) -> None:
        """Write the model into a folder; Keras calls it when it saves a `.keras` file."""
        proto = self.proto
        with open(os.path.join(dir_path, _MODEL_FILE), "wb") as file:
            file.write(proto)
        with open(os.path.join(dir_path, _CHECKSUM_FILE), "w", encoding="ascii") as file:
            file.write(_checksum(proto))

    def load_assets(self, dir_path: str) -> None:
        """Read the model that `save_assets` wrote.

        Args:
            dir_path: the folder.

        Raises:
            FileNotFoundError: if a file is not there.
            ValueError: if the model is not what was written, or cannot be used.
        """
        paths = [os.path.join(dir_path, name) for name in (_MODEL_FILE, _CHECKSUM_FILE)]
        for path in paths:
            if not os.path.isfile(path):
                raise FileNotFoundError(
                    f"The model of {type(self).__name__} is missing. Expected: {path}"
                )
        with open(paths[0], "rb") as model, open(paths[1], "rb") as checksum:
            proto, expected = model.read(), checksum.read()
        if _checksum(proto).encode() != expected:
            raise InputError(
                f"{paths[0]}: not the model that was saved, by its SHA-256 in {_CHECKSUM_FILE}; it "
                "was damaged or changed since. Get the file anew"
            )
        self._set_model(parse_model(proto))

    def __repr__(self) -> str:
        size = len(self._model.pieces) if self._model else 0
        return f"SentencePieceTokenizer(vocabulary_size={size})"

    def _set_model(self, model: SentencePieceModel) -> None:
        """Take a checked model."""
        self._model = model
        self._runnable = None
        self._compiled = None

    def _known_model(self) -> SentencePieceModel:
        """The model; an error if there is none yet."""
        if self._model is None:
            raise InputError(
                "SentencePieceTokenizer has no model yet. Give it one, or make it by "
                "`SentencePieceTokenizer.train(texts)`."
            )
        return self._model

    def _converted_model(self) -> tf.Tensor:
        """The model as the operation reads it, uint8; one tensor for all graphs."""
        model = self._known_model()
        if self._runnable is None:
            converted = strings.import_text_ops().converter.convert_sentencepiece_model(
                model.runnable
            )
            with tf.init_scope(), tf.device("CPU:0"):
                self._runnable = tf.constant(np.frombuffer(converted, np.uint8))
        return self._runnable


def _read(proto: Any) -> bytes:
    """Take the content of a model file, or read it."""
    if isinstance(proto, bytes):
        return proto
    if not isinstance(proto, str | os.PathLike):
        raise TypeError(f"`proto` must be bytes or a path. Received: {proto!r}")
    path = os.fspath(proto)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: there is no such file. Expected: a SentencePiece model")
    with open(path, "rb") as file:
        return file.read()


def _checksum(proto: bytes) -> str:
    """The line that `sha256sum --check` understands."""
    return f"{hashlib.sha256(proto).hexdigest()}  {_MODEL_FILE}\n"


def _train(texts: Iterable[str], **options: Any) -> bytes:
    """Train a model by the sentencepiece package."""
    trainer = _import_sentencepiece().SentencePieceTrainer
    failures: list[Exception] = []
    counted = [0]

    def sentences() -> Iterator[str]:
        # What is raised in an iterator that C++ calls would be lost.
        try:
            for text in check_texts(texts):
                counted[0] += not is_empty(text)
                yield text.translate(_TO_SPACES)
        except Exception as error:
            failures.append(error)

    proto = io.BytesIO()
    try:
        trainer.train(
            sentence_iterator=sentences(),
            model_writer=proto,
            model_type="unigram",
            pad_id=PAD_ID,
            unk_id=UNK_ID,
            bos_id=BOS_ID,
            eos_id=EOS_ID,
            max_sentence_length=_LONGEST_TEXT,
            minloglevel=2,
            **options,
        )
    except (RuntimeError, OSError, ValueError) as error:
        if failures:
            raise failures[0] from None
        if not counted[0]:
            raise InputError("`texts` must hold at least one token. Received: none") from None
        raise InputError(
            f"`texts` do not allow for a vocabulary of {options['vocab_size']} pieces. "
            f"SentencePiece says: {error}"
        ) from error
    if failures:
        raise failures[0]
    return proto.getvalue()


def _import_sentencepiece() -> Any:
    """Import the package that trains."""
    try:
        import sentencepiece
    except ImportError as error:
        raise MissingPackageError(
            "Training a SentencePieceTokenizer needs the package sentencepiece: "
            f'pip install "keras-s2s[subword]". Importing it failed with: {error}'
        ) from error
    return sentencepiece
