"""Character-level tokenizer."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_s2s.tokenizers import strings
from keras_s2s.tokenizers.lookup_tokenizer import LookupTokenizer


@keras.saving.register_keras_serializable(package="keras_s2s")
class CharTokenizer(LookupTokenizer):
    """Character-level tokenizer: each character (Unicode code point) of a text is a token.

    Texts are not normalized: a combining accent is a separate token. Each character that is not in
    the vocabulary becomes one unk. `detokenize` joins characters without a separator.

    Args:
        vocabulary: The token of each id, beginning with the special tokens "[PAD]", "[UNK]",
            "[BOS]", "[EOS]". All other tokens are single characters. May be omitted only if
            `load_assets` is called next.
        **kwargs: The arguments of `keras.layers.Layer`.

    Raises:
        TypeError: If `vocabulary` is not a list of `str`.
        ValueError: If `vocabulary` does not begin with the special tokens or has no other tokens,
            or if a token is repeated or is not a single character.

    Example:
        >>> tokenizer = CharTokenizer.train(["abba"])
        >>> tokenizer.vocabulary
        ['[PAD]', '[UNK]', '[BOS]', '[EOS]', 'a', 'b']
        >>> tokenizer.tokenize(["ab", "b€bb"]).numpy().tolist()
        [[4, 5, 3, 0, 0], [5, 1, 5, 5, 3]]
        >>> tokenizer.detokenize([[4, 5, 3, 0, 0]]).numpy().tolist()
        [b'ab']
    """

    @staticmethod
    def split_text(text: str) -> list[str]:
        """Split a text into characters in Python."""
        return list(text)

    @staticmethod
    def borders(flat: strings.FlatBytes) -> tuple[tf.Tensor, tf.Tensor]:
        """Mark where characters begin and end: two bool `(bytes,)`; see `LookupTokenizer`."""
        return strings.character_borders(flat)
