"""A token for each word between white space."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_s2s.tokenizers import strings
from keras_s2s.tokenizers.lookup_tokenizer import LookupTokenizer


@keras.saving.register_keras_serializable(package="keras_s2s")
class WordTokenizer(LookupTokenizer):
    """Turns each word of a text into an id; words are what `str.split()` gives.

    So any white space of Unicode parts words (U+00A0 and U+3000 too), and nothing else does: "Go."
    is one word. Good for symbols that are written apart, as phones are. `detokenize` joins with
    one space.

    Args:
        vocabulary: the token of each id, beginning with the special tokens "[PAD]", "[UNK]",
            "[BOS]", "[EOS]"; no token has white space in it. May only be left out if
            `load_assets` is called next.
        **kwargs: the arguments of `keras.layers.Layer`.

    Raises:
        TypeError: if `vocabulary` is not a list of `str`.
        ValueError: if `vocabulary` does not begin with the special tokens or has nothing else; if
            a token is empty, stands twice or has white space in it.

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
        """Cut a text into words in Python."""
        return text.split()

    @staticmethod
    def borders(flat: strings.FlatBytes) -> tuple[tf.Tensor, tf.Tensor]:
        """Mark the first and the last byte of each word: two bool tensors `(bytes,)`."""
        return strings.word_borders(flat)
