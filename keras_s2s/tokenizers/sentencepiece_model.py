"""Reads SentencePiece model files without the sentencepiece package."""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from keras_s2s.errors import InputError
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID, SPECIAL_TOKENS, UNK_ID

# The character for a space in a piece: U+2581.
SPACE_SIGN = "▁"

_UNIGRAM = 1
_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3
_SPECIAL_TYPES = (_CONTROL, _UNKNOWN, _CONTROL, _CONTROL)
_TYPE_NAMES = {4: "user-defined symbol", 5: "unused piece", 6: "byte"}
_EXPECTED_IDS = {"pad_id": PAD_ID, "unk_id": UNK_ID, "bos_id": BOS_ID, "eos_id": EOS_ID}
# An empty character map: a trie of 0 bytes, and no replacements.
_EMPTY_MAP = bytes(4)

# The fields of sentencepiece_model.proto that are read here: number, type, default. They are
# written out because `sentencepiece_model_pb2` is part of the sentencepiece package, which is not
# needed to load, use or serve a tokenizer.
_FieldProto = descriptor_pb2.FieldDescriptorProto
_INT, _BOOL = _FieldProto.TYPE_INT32, _FieldProto.TYPE_BOOL
_FIELDS: dict[str, dict[str, tuple[int, Any, str | None]]] = {
    "Piece": {
        "piece": (1, _FieldProto.TYPE_BYTES, None),
        "score": (2, _FieldProto.TYPE_FLOAT, None),
        "type": (3, _INT, "1"),
    },
    "TrainerSpec": {
        "model_type": (3, _INT, "1"),
        "treat_whitespace_as_suffix": (24, _BOOL, "false"),
        "unk_id": (40, _INT, "0"),
        "bos_id": (41, _INT, "1"),
        "eos_id": (42, _INT, "2"),
        "pad_id": (43, _INT, "-1"),
    },
    "NormalizerSpec": {
        "name": (1, _FieldProto.TYPE_STRING, None),
        "precompiled_charsmap": (2, _FieldProto.TYPE_BYTES, None),
        "add_dummy_prefix": (3, _BOOL, "true"),
        "remove_extra_whitespaces": (4, _BOOL, "true"),
        "escape_whitespaces": (5, _BOOL, "true"),
    },
    "Model": {
        "pieces": (1, "Piece", None),
        "trainer_spec": (2, "TrainerSpec", None),
        "normalizer_spec": (3, "NormalizerSpec", None),
    },
}


class SentencePieceModel(NamedTuple):
    """A unigram model that the operations of tensorflow-text can run.

    Attributes:
        proto: The model as read, in the format of the sentencepiece package.
        runnable: The model to pass to the converter of tensorflow-text.
        pieces: The piece of each id, the special ones as `SPECIAL_TOKENS`.
        normalization: Name of the normalization rule.
        strips_space: Whether the model adds the space before a text itself.
    """

    proto: bytes
    runnable: bytes
    pieces: tuple[str, ...]
    normalization: str
    strips_space: bool


def parse_model(proto: bytes) -> SentencePieceModel:
    """Parse a model, and check it before it is passed to C++ code that checks nothing.

    Args:
        proto: Content of a model file.

    Returns:
        The model.

    Raises:
        ValueError: If the content is damaged or not a SentencePiece model, or if the model would
            not return the same ids everywhere: it is not of type unigram, has other special ids,
            or has pieces of types that LiteRT's tokenizer does not support.
    """
    parsed = _message_class()()
    try:
        parsed.ParseFromString(proto)
    except message.DecodeError as error:
        raise _refused("it is damaged, truncated, or another kind of file") from error
    # These fields come after the pieces: a file that was cut off between two pieces has none.
    if not (
        parsed.pieces and parsed.HasField("trainer_spec") and parsed.HasField("normalizer_spec")
    ):
        raise _refused("it is truncated, or another kind of file: it lacks pieces or settings")
    _check_settings(parsed.trainer_spec, parsed.normalizer_spec)
    pieces = _check_pieces(parsed.pieces)
    settings = parsed.normalizer_spec
    if settings.precompiled_charsmap:
        _check_map(settings.precompiled_charsmap)
    else:
        settings.precompiled_charsmap = _EMPTY_MAP
    return SentencePieceModel(
        proto=bytes(proto),
        runnable=parsed.SerializeToString(),
        pieces=pieces,
        normalization=settings.name,
        strips_space=settings.add_dummy_prefix or settings.remove_extra_whitespaces,
    )


def read_rules(model: SentencePieceModel) -> dict[str, Any]:
    """Return the settings that a client needs besides the pieces, as JSON-compatible values.

    Args:
        model: The model.

    Returns:
        A dict: "scores" (a log probability for each piece), "character_map" (SentencePiece's
        precompiled map in base64), "add_dummy_prefix" and "remove_extra_whitespaces".
    """
    parsed = _message_class()()
    parsed.ParseFromString(model.runnable)
    settings = parsed.normalizer_spec
    return {
        "scores": [piece.score for piece in parsed.pieces],
        "character_map": base64.b64encode(settings.precompiled_charsmap).decode("ascii"),
        "add_dummy_prefix": settings.add_dummy_prefix,
        "remove_extra_whitespaces": settings.remove_extra_whitespaces,
    }


def _refused(reason: str) -> InputError:
    """Return the error for a model that cannot be used."""
    return InputError(
        "`proto` must be a SentencePiece model of type unigram, with pad_id=0, unk_id=1, bos_id=2 "
        f"and eos_id=3. Received: a model that cannot be used, because {reason}"
    )


def _check_settings(trainer: Any, normalizer: Any) -> None:
    """Raise for settings that LiteRT's tokenizer does not support."""
    if trainer.model_type != _UNIGRAM:
        raise _refused(f"its type is {trainer.model_type} (1 is unigram)")
    for name, expected in _EXPECTED_IDS.items():
        if getattr(trainer, name) != expected:
            raise _refused(f"it has {name}={getattr(trainer, name)}")
    if trainer.treat_whitespace_as_suffix or not normalizer.escape_whitespaces:
        raise _refused("its pieces do not mark a space at their beginning")


def _check_pieces(pieces: Sequence[Any]) -> tuple[str, ...]:
    """Check the pieces, and return their texts."""
    texts: list[str] = []
    for number, piece in enumerate(pieces):
        special = number < len(SPECIAL_TOKENS)
        expected = _SPECIAL_TYPES[number] if special else _NORMAL
        if piece.type != expected:
            kind = _TYPE_NAMES.get(piece.type, f"piece of type {piece.type}")
            raise _refused(
                f"its piece {number} is a {kind}, which LiteRT's tokenizer does not have"
            )
        try:
            text = piece.piece.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _refused(f"it is damaged: its piece {number} is not UTF-8") from error
        if not text or "\0" in text or not np.isfinite(piece.score):
            raise _refused(f"it is damaged: its piece {number} is {text!r}, score {piece.score}")
        texts.append(SPECIAL_TOKENS[number] if special else text)
    if len(texts) <= len(SPECIAL_TOKENS):
        raise _refused("it has only special pieces")
    if len(set(texts[len(SPECIAL_TOKENS) :])) < len(texts) - len(SPECIAL_TOKENS):
        raise _refused("it is damaged: it contains a piece twice")
    return tuple(texts)


def _check_map(content: bytes) -> None:
    """Check the character map: the size of a trie, the trie, and texts that end in NUL."""
    size = int.from_bytes(content[:4], "little")
    texts = content[4 + size :]
    if size % 4 or not texts.endswith(b"\0"):
        raise _refused("it is damaged: its character map is incomplete")
    nodes = np.frombuffer(content, "<u4", size // 4, offset=4)
    # If bit 8 of an inner node is set, an entry ends there, and the first child has the position of
    # its replacement. The highest bit of an inner node is clear.
    (ends,) = np.nonzero((nodes < 1 << 31) & (nodes & 0x100 > 0))
    children = ends ^ ((nodes[ends] >> 10) << ((nodes[ends] & 0x200) >> 6))
    if np.any(children >= len(nodes)) or np.any(nodes[children] & 0x7FFFFFFF >= len(texts)):
        raise _refused("it is damaged: its character map points outside itself")


@functools.cache
def _message_class() -> Any:
    """Return the message class of a model file; messages preserve unknown fields."""
    package = "keras_s2s.sentencepiece"
    file = descriptor_pb2.FileDescriptorProto(
        name="keras_s2s/sentencepiece_model.proto", package=package, syntax="proto2"
    )
    for kind, fields in _FIELDS.items():
        described = file.message_type.add(name=kind)
        for name, (number, field_type, default) in fields.items():
            field = described.field.add(name=name, number=number, label=_FieldProto.LABEL_OPTIONAL)
            if isinstance(field_type, str):
                field.type, field.type_name = _FieldProto.TYPE_MESSAGE, f".{package}.{field_type}"
            else:
                field.type = field_type
            if name == "pieces":
                field.label = _FieldProto.LABEL_REPEATED
            if default is not None:
                field.default_value = default
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Model"))
