"""Checks for tokens of training and evaluation texts that the vocabulary of a model lacks."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable
from typing import Any

from keras_s2s.cli.streams import warn
from keras_s2s.errors import InputError
from keras_s2s.special_ids import UNK_ID

_CHUNK = 4096  # texts that are tokenized at once
_MOST = 0.5  # share of unknown tokens above which a model does not suit the texts
_SHOWN = 5  # unknown tokens in a message


class UnknownTokens:
    """Number of tokens in texts that a vocabulary lacks.

    Args:
        tokenizer: The `Tokenizer`.
        texts: Iterable of texts. Defaults to none.

    Attributes:
        total: Number of tokens.
        unknown: Number of tokens that are unknown.
    """

    def __init__(self, tokenizer: Any, texts: Iterable[str] = ()) -> None:
        self.total = self.unknown = 0
        self._tokenizer = tokenizer
        self._tokens: collections.Counter[str] = collections.Counter()
        self._known = set(tokenizer.vocabulary)
        self.add(texts)

    @property
    def share(self) -> float:
        """Share of the tokens that are unknown, from 0 to 1."""
        return self.unknown / max(1, self.total)

    def add(self, texts: Iterable[str]) -> None:
        """Count the tokens of more texts."""
        waiting, tokenizer = iter(texts), self._tokenizer
        while chunk := list(itertools.islice(waiting, _CHUNK)):
            ids = tokenizer.split(chunk)[0].numpy()
            self.total += ids.size
            found = int((ids == UNK_ID).sum())
            self.unknown += found
            if found and hasattr(tokenizer, "split_text"):  # a `LookupTokenizer`
                tokens = itertools.chain.from_iterable(map(tokenizer.split_text, chunk))
                self._tokens.update(token for token in tokens if token not in self._known)

    def __str__(self) -> str:
        """Describe the share, with the most frequent unknown tokens."""
        share = f"{self.share:.1%}" if self.share >= 0.001 else "less than 0.1%"
        return share + self.examples()

    def examples(self) -> str:
        """Return " (such as ...)" with the most frequent unknown tokens; "" if there are none."""
        shown = ", ".join(repr(token) for token, _ in self._tokens.most_common(_SHOWN))
        return f" (such as {shown})" if shown else ""


def check_known(tokenizers: Iterable[Any], pairs: Any, path: str) -> None:
    """Check that the vocabularies of an initial model or a teacher suit the training pairs.

    Writes a warning to standard error for each side with unknown tokens.

    Args:
        tokenizers: Source and target tokenizer of the model.
        pairs: Function that returns an iterable of the training pairs.
        path: Path of the model.

    Raises:
        ValueError: If most tokens of a side are unknown.
    """
    for place, (side, tokenizer) in enumerate(zip(("source", "target"), tokenizers, strict=True)):
        unknown = UnknownTokens(tokenizer, (pair[place] for pair in pairs()))
        if unknown.share > _MOST:
            raise InputError(
                f"{path}: its {side} vocabulary does not match the training pairs: it lacks "
                f"{unknown} of their {side} tokens. Expected: a model trained on the same "
                "characters or words. To train new vocabularies, omit --init-from and --teacher"
            )
        if unknown.share:
            warn(
                f"the {side} vocabulary of {path} lacks {unknown} of the {side} tokens of the "
                "training pairs; the model cannot distinguish these tokens"
            )


def report_unknown(translator: Any, pairs: Iterable[tuple[str, str]]) -> None:
    """Warn on standard error if the vocabularies of a model lack most tokens of evaluation pairs.

    Args:
        translator: The `Translator`.
        pairs: Iterable of pairs.
    """
    for side, texts in zip(("source", "target"), zip(*pairs, strict=True), strict=True):
        warn_if_most(UnknownTokens(getattr(translator, side), texts), side, "pairs")


def warn_if_most(unknown: UnknownTokens, side: str, kind: str) -> None:
    """Warn on standard error if most tokens are unknown.

    Args:
        unknown: The `UnknownTokens` of all texts.
        side: "source" or "target".
        kind: What the texts are: "pairs" or "sources".
    """
    if unknown.share > _MOST:
        warn(
            f"the {side} vocabulary of the model lacks {unknown} of the {side} tokens: check that "
            f"the model was trained on such {kind}"
        )
