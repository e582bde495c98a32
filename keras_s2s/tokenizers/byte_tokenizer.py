"""Byte-level tokenizer."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.special_ids import SPECIAL_TOKENS
from keras_s2s.tokenizers import strings
from keras_s2s.tokenizers.tokenizer import SPECIAL_PIECES, Tokenizer, check_texts


@keras.saving.register_keras_serializable(package="keras_s2s")
class ByteTokenizer(Tokenizer):
    """Byte-level tokenizer: each byte of a text in UTF-8 is a token.

    The id of a byte is its value plus 4. There are no unknown tokens in any script, and
    `detokenize` restores the text exactly. A character outside ASCII has two to four tokens. A
    model may output bytes that are not valid UTF-8.

    Example:
        >>> tokenizer = ByteTokenizer()
        >>> tokenizer.tokenize(["hi", "é"]).numpy().tolist()
        [[108, 109, 3], [199, 173, 3]]
        >>> tokenizer.detokenize([[108, 109, 3, 0]]).numpy().tolist()
        [b'hi']

    References:
        - [Xue et al., 2022: ByT5](https://arxiv.org/abs/2105.13626)
    """

    @classmethod
    def train(cls, texts: Iterable[str]) -> ByteTokenizer:
        """Create a tokenizer. The texts are only checked, because the vocabulary is fixed.

        Args:
            texts: The texts.

        Returns:
            A tokenizer.

        Raises:
            TypeError: If `texts` is not an iterable of `str`.
            ValueError: If there are no texts, or one cannot be encoded in UTF-8.
        """
        if sum(1 for _ in check_texts(texts)) == 0:
            raise InputError("`texts` must contain at least one text. Received: none")
        return cls()

    @property
    def vocabulary(self) -> list[str]:
        """The special tokens, then `<0x00>` to `<0xFF>`."""
        return [*SPECIAL_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256))]

    def _split(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Shift the bytes of texts to the ids after the special tokens."""
        flat = strings.to_bytes(texts)
        return flat.values + len(SPECIAL_TOKENS), flat.lengths

    def __repr__(self) -> str:
        return "ByteTokenizer()"

    def pieces(self) -> tuple[list[bytes], list[bytes]]:
        """The byte of each id, at any place in a text; see `Tokenizer.pieces`."""
        pieces = [piece.encode() for piece in SPECIAL_PIECES]
        pieces += [bytes([byte]) for byte in range(256)]
        return pieces, pieces
