"""Models that the commands ask: search, scores, and warnings about texts without an output."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from keras_s2s.checks import count_of
from keras_s2s.cli.streams import progress, warn
from keras_s2s.hypothesis import Hypothesis, hypotheses_of_rows
from keras_s2s.texts import batches_by_length, is_empty

_GROUP = 8  # batches between updates of the progress bar

if TYPE_CHECKING:
    import numpy as np

    Answer = dict[str, np.ndarray[Any, Any]]


class Model(abc.ABC):
    """A model that translates and scores texts: a `KerasModel` or an `ExportedModel`.

    Attributes:
        limit: The model's `max_source_length`, or `None` if there is no limit or it is unknown.
        truncates: Whether longer sources are truncated, and `hypotheses` and `scores` report it.
    """

    limit: int | None
    truncates = False

    @abc.abstractmethod
    def search(self, texts: list[bytes]) -> Answer:
        """Search for the targets of source texts in UTF-8.

        Returns:
            A dictionary of "target", "scores", "log_probs" and, if the model has them,
            "confidences", each of shape `(batch, num_hypotheses)`.
        """

    @abc.abstractmethod
    def score(self, texts: list[bytes], targets: list[bytes]) -> Answer:
        """Return the "log_probs" and "scores" of given targets, each of shape `(batch,)`."""

    @abc.abstractmethod
    def columns(self) -> str | None:
        """Return how to read a line with tabs: "features", or `None` if it is an error."""

    @abc.abstractmethod
    def target_unit(self) -> str:
        """Return the unit of the token error rate that suits the target tokenizer."""

    def excess(self, texts: list[bytes]) -> dict[int, int]:
        """Return the number of tokens of each source that is too long, by position, if known."""
        return {}

    def hypotheses(self, texts: list[str], batch_size: int) -> list[list[Hypothesis]]:
        """Search for the targets of texts, in batches of similar length.

        Args:
            texts: List of source texts. An empty text has no hypotheses.
            batch_size: Integer. Number of texts in a batch.

        Returns:
            A list with the hypotheses of each text, best first. A text that is longer than the
            model's `max_source_length` has none, or is truncated if the model truncates sources.

        Raises:
            ValueError: If the model has diverged.
        """
        found: list[list[Hypothesis]] = [[] for _ in texts]
        encoded = [text.encode("utf-8") for text in texts]
        self._report_truncated(encoded)
        for numbers, answer in _answers(self.search, batch_size, encoded):
            for number, row in zip(numbers, hypotheses_of_rows(answer), strict=True):
                found[number] = row
        return found

    def translate(self, texts: list[str], batch_size: int) -> list[str]:
        """Return the best target of each text, and show a progress bar.

        A warning gives the number of texts without a target, with the reason for the first.

        Args:
            texts: List of source texts.
            batch_size: Integer. Number of texts in a batch.

        Returns:
            A list of targets, with an empty string for each text that has no hypotheses.
        """
        found = self.best(texts, batch_size, ", counted as wrong")
        return ["" if hypothesis is None else hypothesis.text for hypothesis in found]

    def best(self, texts: list[str], batch_size: int, consequence: str) -> list[Hypothesis | None]:
        """Return the best hypothesis of each text, and show a progress bar.

        Args:
            texts: List of source texts.
            batch_size: Integer. Number of texts in a batch.
            consequence: End of the first sentence of the warning about texts without an output.

        Returns:
            A list of hypotheses, `None` for each text that has none.
        """
        found: list[Hypothesis | None] = []
        unanswered: list[str] = []
        with progress("Translating", len(texts)) as advance:
            for start in range(0, len(texts), _GROUP * batch_size):
                asked = texts[start : start + _GROUP * batch_size]
                group = self.hypotheses(asked, batch_size)
                unanswered += [
                    text
                    for text, hypotheses in zip(asked, group, strict=True)
                    if not hypotheses and not is_empty(text)
                ]
                found += [hypotheses[0] if hypotheses else None for hypotheses in group]
                advance(len(group))
        if unanswered:
            warn(
                f"no output for {len(unanswered):,} of {count_of(len(texts), 'source')}"
                f"{consequence}. The first: {self.why_unanswered(unanswered[0])}"
            )
        return found

    def why_unanswered(self, text: str) -> str:
        """Explain why the model returns no target, or no score, for a source.

        Args:
            text: The source text.

        Returns:
            The reason, with the length of the source and the limit if they are known.
        """
        length = self.excess([text.encode("utf-8")]).get(0)
        if length is not None:
            return (
                f"the source has {length} tokens, including eos. Expected: at most {self.limit}, "
                "the model's `max_source_length`"
            )
        return (
            f"the model found no output. Expected: {self._source_limit()}an output that its search "
            "allows"
        )

    def why_unscored(self, source: str) -> str:
        """Explain why the model returns no score for a pair.

        Args:
            source: The source text of the pair.

        Returns:
            The reason, with the limits as far as they are known.
        """
        if self.excess([source.encode("utf-8")]):
            return self.why_unanswered(source)
        return (
            "the source or the target is too long for this export. Expected: "
            f"{self._source_limit()}a target of at most 1,000 tokens, or the `max_length` of the "
            "search if that is larger"
        )

    def _source_limit(self) -> str:
        """Return the beginning of what is expected: the limit of a source, if it is known."""
        if self.limit is None:
            return ""
        return f"a source of at most {count_of(self.limit, 'token')}, and "

    def _report_truncated(self, encoded: list[bytes]) -> None:
        """Warn of the number of sources that are truncated."""
        excess = self.excess(encoded) if self.truncates else {}
        if excess:
            warn(
                f"truncated {count_of(len(excess), 'source')} to the model's `max_source_length`, "
                f"{self.limit} tokens; the longest has {max(excess.values())}"
            )

    def scores(self, pairs: list[tuple[str, str]], batch_size: int) -> list[tuple[float, float]]:
        """Score pairs of source and target.

        Args:
            pairs: List of `(source, target)` texts.
            batch_size: Integer. Number of pairs in a batch.

        Returns:
            A list with `(log_prob, score)` for each pair; -1e9 if the source is longer than the
            model's `max_source_length`.

        Raises:
            ValueError: If the model has diverged.
        """
        found = [(0.0, 0.0)] * len(pairs)
        sources = [source.encode("utf-8") for source, _ in pairs]
        targets = [target.encode("utf-8") for _, target in pairs]
        self._report_truncated(sources)
        for numbers, answer in _answers(self.score, batch_size, sources, targets):
            for row, number in enumerate(numbers):
                found[number] = float(answer["log_probs"][row]), float(answer["scores"][row])
        return found


def _answers(
    ask: Callable[..., Answer], batch_size: int, sources: list[bytes], *others: list[bytes]
) -> Iterator[tuple[list[int], Answer]]:
    """Ask for the nonempty sources in batches of similar length.

    Yields:
        The positions of the sources of a batch, and the answer for them.
    """
    from keras_s2s.convergence import check_converged, renumber_rows

    for numbers in batches_by_length(sources, batch_size):
        with renumber_rows(numbers):
            answer = ask(*([texts[number] for number in numbers] for texts in (sources, *others)))
            check_converged(answer["scores"].reshape(len(numbers), -1))
        yield numbers, answer
