"""The target id that each source id is copied as."""

from __future__ import annotations

from keras_s2s.special_ids import BOS_ID, PAD_ID, SPECIAL_TOKENS, UNK_ID
from keras_s2s.tokenizers.feature_tokenizer import FeatureTokenizer, is_feature
from keras_s2s.tokenizers.lookup_tokenizer import LookupTokenizer
from keras_s2s.tokenizers.tokenizer import Tokenizer


def copy_ids(source: Tokenizer, target: Tokenizer) -> list[int]:
    """Map the source vocabulary to the target vocabulary, for a decoder with `copy=True`.

    A source token is copied as the target token with the same spelling. A token that the target
    vocabulary lacks is copied as unk; `Translator(..., replace_unknown=True)` then writes the
    source token as spelled in the source. A model sees all unknown tokens as unk and cannot
    distinguish them. To copy names as words, use one tokenizer for both sides, with a vocabulary
    that lacks only names. Features of a `FeatureTokenizer`, pad and bos are never copied, nor are
    pieces of a `SentencePieceTokenizer` that the target lacks.

    Args:
        source: Tokenizer of the sources.
        target: Tokenizer of the targets.

    Returns:
        The target id for each source id, or -1 if the source id cannot be copied.

    Raises:
        TypeError: If `source` or `target` is not a tokenizer.

    Example:
        >>> source, target = CharTokenizer.train(["abc"]), CharTokenizer.train(["bcd"])
        >>> source.vocabulary[4:], target.vocabulary[4:]
        (['a', 'b', 'c'], ['b', 'c', 'd'])
        >>> copy_ids(source, target)
        [-1, 1, -1, 3, 1, 4, 5]
    """
    for name, tokenizer in (("source", source), ("target", target)):
        if not isinstance(tokenizer, Tokenizer):
            raise TypeError(f"`{name}` must be a Tokenizer. Received: {name}={tokenizer!r}")
    found = {token: token_id for token_id, token in enumerate(target.vocabulary)}
    lacking = UNK_ID if isinstance(source, LookupTokenizer) else -1
    ids = []
    for token_id, token in enumerate(source.vocabulary):
        if token_id < len(SPECIAL_TOKENS):
            ids.append(-1 if token_id in (PAD_ID, BOS_ID) else token_id)
        elif isinstance(source, FeatureTokenizer) and is_feature(token):
            ids.append(-1)
        else:
            ids.append(found.get(token, lacking))
    return ids
