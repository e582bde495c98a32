"""Word-level tokenizer."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_s2s.tokenizers import strings
from keras_s2s.tokenizers.lookup_tokenizer import LookupTokenizer


@keras.saving.register_keras_serializable(package="keras_s2s")
class WordTokenizer(LookupTokenizer):
    """Word-level tokenizer: splits a text at white space, as `str.split()` does.

    Any Unicode white space separates words (also U+00A0 and U+3000), and nothing else does: "Go."
    is one word. Suitable for symbols that are separated by spaces, such as phones. `detokenize`
    joins words with one space.

    Args:
        vocabulary: The token of each id, beginning with the special tokens "[PAD]", "[UNK]",
            "[BOS]", "[EOS]". No token contains white space. May be omitted only if
            `load_assets` is called next.
        **kwargs: The arguments of `keras.layers.Layer`.

    Raises:
        TypeError: If `vocabulary` is not a list of `str`.
        ValueError: If `vocabulary` does not begin with the special tokens or has no other tokens,
            or if a token is empty, is repeated or contains white space.

    Example:
        >>> tokenizer = WordTokenizer.train(["HH AH L OW", "L OW"])
        >>> tokenizer.vocabulary
        ['[PAD]', '[UNK]', '[BOS]', '[EOS]', 'L', 'OW', 'AH', 'HH']
        >>> tokenizer.tokenize(["L OW", "ZH AH L"]).numpy().tolist()
        [[4, 5, 3, 0], [1, 6, 4, 3]]
        >>> tokenizer.detokenize([[4, 5, 3, 0]]).numpy().tolist()
        [b'L OW']
    """

    separator = " "

    @staticmethod
    def split_text(text: str) -> list[str]:
        """Split a text into words in Python."""
        return text.split()

    @staticmethod
    def borders(flat: strings.FlatBytes) -> tuple[tf.Tensor, tf.Tensor]:
        """Mark where words begin and end: two bool `(bytes,)`; see `LookupTokenizer`."""
        return strings.word_borders(flat)
