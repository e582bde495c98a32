"""Subword tokenizer of SentencePiece unigram models."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_choice, check_int, check_number, short_repr
from keras_s2s.errors import InputError, missing_package
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

DEFAULT_SIZE = 8000  # ids
_MODEL_FILE = "sentencepiece.model"
_CHECKSUM_FILE = "sentencepiece.model.sha256"
_NORMALIZATIONS = ("nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity")
# White space that LiteRT's tokenizer treats as spaces, whatever the model's rule is.
_TO_SPACES = str.maketrans("\t\n\r", "   ")
# The trainer silently skips longer texts; its own limit is 4192 bytes.
_LONGEST_TEXT = 2**30


@keras.saving.register_keras_serializable(package="keras_s2s")
class SentencePieceTokenizer(Tokenizer):
    """Subword tokenizer that splits a text into its most probable pieces, by a unigram model.

    Frequent words become one token and rare words several, so a vocabulary of a few thousand pieces
    can cover a whole language. Texts are normalized by the model's own rule, runs of spaces become
    one space, and spaces at both ends are removed; `detokenize` returns texts in that form. A run
    of characters that no piece covers becomes one unk.

    Training needs the sentencepiece package (`pip install "keras-s2s[subword]"`). Loading, using
    and serving a tokenizer do not.

    Args:
        proto: Content or path of a model file of the sentencepiece package. The model must be of
            type unigram, trained with `pad_id=0, unk_id=1, bos_id=2, eos_id=3`, without byte
            fallback and without user-defined symbols. May be omitted only if `load_assets` is
            called next.
        **kwargs: The arguments of `keras.layers.Layer`.

    Raises:
        TypeError: If `proto` is neither bytes nor a path.
        FileNotFoundError: If the file does not exist.
        ValueError: If the model is damaged, or is another kind of model.

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
        vocabulary_size: int | None = DEFAULT_SIZE,
        character_coverage: float = 0.9995,
        normalization: str = "nmt_nfkc",
    ) -> SentencePieceTokenizer:
        """Train a unigram model on texts.

        The same texts in the same order always result in the same pieces. All texts are held in
        memory during training. For a very large corpus, a sample is sufficient.

        Args:
            texts: The texts; iterated over once.
            vocabulary_size: Number of ids, including the four special ones. `None` selects 8000, or
                fewer if the texts contain fewer pieces. Defaults to 8000.
            character_coverage: Fraction of the characters in the texts that pieces must cover. The
                rarest characters become unk. Use 1.0 if targets must contain every character.
                Defaults to 0.9995.
            normalization: "nmt_nfkc" (compatibility composition, all white space to spaces, no
                control characters), "nfkc", both with "_cf" (upper case folded to lower) or
                "identity". Defaults to "nmt_nfkc".

        Returns:
            The tokenizer.

        Raises:
            ImportError: If the sentencepiece package is not installed.
            TypeError: If `texts` is not an iterable of `str`.
            ValueError: If the texts do not allow for this number of pieces, or an argument is out
                of range.
        """
        if vocabulary_size is not None:
            check_int("vocabulary_size", vocabulary_size, minimum=len(SPECIAL_TOKENS) + 1)
        check_number("character_coverage", character_coverage, minimum=0.98, maximum=1.0)
        check_choice("normalization", normalization, _NORMALIZATIONS)
        proto = _train(
            texts,
            vocab_size=vocabulary_size or DEFAULT_SIZE,
            hard_vocab_limit=vocabulary_size is not None,
            character_coverage=character_coverage,
            normalization_rule_name=normalization,
        )
        return cls(proto)

    @property
    def proto(self) -> bytes:
        """The model, in the file format of the sentencepiece package."""
        return self._known_model().proto

    @property
    def vocabulary(self) -> list[str]:
        """The piece of each id, "▁" for a space; the first four are the special tokens."""
        return list(self._known_model().pieces)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, including the four special ones."""
        return len(self._known_model().pieces)

    def text_rules(self) -> dict[str, Any]:
        """Return the class, the scores of the pieces and the normalization rules.

        See `Tokenizer.text_rules`.
        """
        return {**super().text_rules(), **read_rules(self._known_model())}

    def pieces(self) -> tuple[list[str], list[str]]:
        """The piece of each id, with a space for "▁"; see `Tokenizer.pieces`."""
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
        """Write the model to a folder; called by Keras when it saves a `.keras` file."""
        proto = self.proto
        with open(os.path.join(dir_path, _MODEL_FILE), "wb") as file:
            file.write(proto)
        with open(os.path.join(dir_path, _CHECKSUM_FILE), "w", encoding="ascii") as file:
            file.write(_checksum(proto))

    def load_assets(self, dir_path: str) -> None:
        """Read the model that `save_assets` wrote.

        Args:
            dir_path: The folder.

        Raises:
            FileNotFoundError: If a file does not exist.
            ValueError: If the model differs from the one that was written, or cannot be used.
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
                f"{paths[0]}: its SHA-256 differs from the one in {_CHECKSUM_FILE}: it was "
                "damaged or changed after it was saved. Copy or download the file again"
            )
        self._set_model(parse_model(proto))

    def __repr__(self) -> str:
        size = len(self._model.pieces) if self._model else 0
        return f"SentencePieceTokenizer(vocabulary_size={size})"

    def _set_model(self, model: SentencePieceModel) -> None:
        """Set a checked model."""
        self._model = model
        self._runnable = None
        self._compiled = None

    def _known_model(self) -> SentencePieceModel:
        """The model. Raises an error if it is not set yet."""
        if self._model is None:
            raise InputError(
                "SentencePieceTokenizer has no model. Pass `proto`, or create it with "
                "`SentencePieceTokenizer.train(texts)`. A config contains no model: copy a "
                "tokenizer or a translator with `copy.deepcopy`, not with `clone_model`"
            )
        return self._model

    def _converted_model(self) -> tf.Tensor:
        """The model in the form that the operation reads, uint8. All graphs share the tensor."""
        model = self._known_model()
        if self._runnable is None:
            converted = strings.import_text_ops().converter.convert_sentencepiece_model(
                model.runnable
            )
            with tf.init_scope(), tf.device("CPU:0"):
                self._runnable = tf.constant(np.frombuffer(converted, np.uint8))
        return self._runnable


def _read(proto: Any) -> bytes:
    """Return the content of a model file, or read it from a path."""
    if isinstance(proto, bytes):
        return proto
    if not isinstance(proto, str | os.PathLike):
        raise TypeError(f"`proto` must be bytes or a path. Received: {short_repr(proto)}")
    path = os.fspath(proto)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: there is no such file. Expected: a SentencePiece model")
    with open(path, "rb") as file:
        return file.read()


def _checksum(proto: bytes) -> str:
    """Return the line that `sha256sum --check` reads."""
    return f"{hashlib.sha256(proto).hexdigest()}  {_MODEL_FILE}\n"


def _train(texts: Iterable[str], **options: Any) -> bytes:
    """Train a model with the sentencepiece package."""
    trainer = _import_sentencepiece().SentencePieceTrainer
    failures: list[Exception] = []
    counted = [0]

    def sentences() -> Iterator[str]:
        # An exception in an iterator that C++ calls would be lost.
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
            raise InputError(
                "`texts` must contain at least one text that is not empty. Received: none"
            ) from None
        size = options["vocab_size"]
        most = re.search(r"Vocabulary size too high.* value <= (\d+)", str(error))
        if most:
            raise InputError(
                f"`vocabulary_size` must be at most {most[1]} for these texts, which do not "
                f"contain more pieces. Received: vocabulary_size={size}"
            ) from error
        raise InputError(
            "`vocabulary_size` must be a size that SentencePiece can train on these texts, larger "
            f"than their number of different characters. Received: vocabulary_size={size}. "
            f"SentencePiece reports: {error}"
        ) from error
    if failures:
        raise failures[0]
    return proto.getvalue()


def _import_sentencepiece() -> Any:
    """Import the sentencepiece package."""
    try:
        import sentencepiece
    except ImportError as error:
        raise missing_package("sentencepiece", error) from error
    return sentencepiece
