"""A token for each character."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_s2s.tokenizers import strings
from keras_s2s.tokenizers.lookup_tokenizer import LookupTokenizer


@keras.saving.register_keras_serializable(package="keras_s2s")
class CharTokenizer(LookupTokenizer):
    """Turns each character (Unicode code point) of a text into an id.

    Nothing is normalised: an accent that is a character of its own is a token of its own. Each
    character that is not in the vocabulary becomes one unk. `detokenize` joins with nothing.

    Args:
        vocabulary: the token of each id, beginning with the special tokens "[PAD]", "[UNK]",
            "[BOS]", "[EOS]"; all others are single characters. May only be left out if
            `load_assets` is called next.
        **kwargs: the arguments of `keras.layers.Layer`.

    Raises:
        TypeError: if `vocabulary` is not a list of `str`.
        ValueError: if `vocabulary` does not begin with the special tokens or has nothing else; if
            a token stands twice or is not one character.

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
        """Cut a text into characters in Python."""
        return list(text)

    @staticmethod
    def borders(flat: strings.FlatBytes) -> tuple[tf.Tensor, tf.Tensor]:
        """Mark the first and the last byte of each character: two bool tensors `(bytes,)`."""
        return strings.character_borders(flat)
