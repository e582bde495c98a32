"""Error rates, BLEU and chrF of outputs against their references."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_s2s.checks import check_choice, count_of, one_line, short_repr
from keras_s2s.errors import InputError, MissingPackageError, missing_package

if TYPE_CHECKING:
    from keras_s2s.tokenizers import Tokenizer

# The names that users import. The reference lists them.
__all__ = ["CorpusScore", "ErrorRates", "bleu", "chrf", "error_rates", "group_references"]

METRICS = ("wer", "ter", "bleu", "chrf")
HIGHER_IS_BETTER = ("bleu", "chrf")

SPLITS: dict[str, Callable[[str], list[str]]] = {
    "words": str.split,
    "phones": str.split,
    "characters": lambda text: list("".join(text.split())),
}

# BLEU counts n-grams of up to four words. A small vocabulary, of phones or digits, is no language.
_MIN_SENTENCE_LENGTH = 4
_MIN_VOCABULARY = 100


class ErrorRates(NamedTuple):
    """Error rates of outputs against their references."""

    sequences: int  # number of outputs compared
    sequence_error_rate: float  # share of outputs that equal none of their references: WER
    token_error_rate: float  # edits to the nearest reference, per reference token (PER, TER)


class Comparison(NamedTuple):
    """Comparison of an output with its nearest reference."""

    right: bool  # whether the output equals one of its references
    edits: int  # insertions, deletions and substitutions to get the nearest reference
    nearest: list[str]  # the tokens of that reference
    found: list[str]  # the tokens of the output


class CorpusScore(NamedTuple):
    """Corpus-level score of all outputs."""

    score: float  # 0 to 100, higher is better
    signature: str  # settings and version of sacrebleu, which make scores comparable


class CorpusStatistics(NamedTuple):
    """Counts from which a corpus-level score is computed."""

    rows: list[list[int]]  # counts of n-grams, one row per source
    score_of: Callable[[list[int]], float]  # of the sums of the columns
    signature: str  # as in `CorpusScore`

    @property
    def score(self) -> float:
        """Score of all sources."""
        return self.score_of([sum(column) for column in zip(*self.rows, strict=True)])


def group_references(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group the targets of each source.

    Args:
        pairs: (source, target) pairs. A source with several correct targets occurs in several
            pairs.

    Returns:
        The distinct targets of each source, in the order of the pairs.

    Example:
        >>> group_references([("a", "AH"), ("b", "B IY"), ("a", "EY")])
        {'a': ['AH', 'EY'], 'b': ['B IY']}
    """
    groups: dict[str, dict[str, None]] = {}
    for source, target in pairs:
        groups.setdefault(source, {})[target] = None
    return {source: list(targets) for source, targets in groups.items()}


def error_rates(
    outputs: Sequence[str], references: Sequence[Collection[str]], *, tokens: str = "words"
) -> ErrorRates:
    """Compare outputs with their references.

    The sequence error rate is the share of wrong outputs. An output is correct if it has the same
    words as a reference. The kind and amount of white space between words are ignored.

    The token error rate is the sum of the edit distances (insertions, deletions, substitutions,
    each 1) from each output to its nearest reference, divided by the total length of these
    references. Of equally near references, the shortest counts, so the order of the references
    does not matter.

    Args:
        outputs: One text for each source.
        references: The correct texts for each source, at least one.
        tokens: Unit of the token error rate: "words" or "phones" (separated by white space) or
            "characters" (all except white space). Defaults to "words".

    Returns:
        The `ErrorRates`, as shares: 0.25 is 25%.

    Raises:
        ValueError: If the lists differ in length, are empty, or an output has no reference.
        TypeError: If the references of an output are a single text.
        ImportError: If rapidfuzz is not installed.

    Example:
        >>> error_rates(["a b", "a c"], [["a b"], ["a b", "d a b"]])
        ErrorRates(sequences=2, sequence_error_rate=0.5, token_error_rate=0.25)

    References:
        - Levenshtein, 1966, "Binary codes capable of correcting deletions, insertions, and
          reversals"; the distance is computed by rapidfuzz.
    """
    return rates_of(compare(outputs, references, tokens=tokens))


def rates_of(compared: Sequence[Comparison]) -> ErrorRates:
    """Compute the error rates of outputs that have been compared with their references.

    Args:
        compared: The result of `compare`, not empty.

    Returns:
        The `ErrorRates`.
    """
    wrong = sum(not it.right for it in compared)
    edits, length = sum(it.edits for it in compared), sum(len(it.nearest) for it in compared)
    return ErrorRates(len(compared), wrong / len(compared), edits / max(length, 1))


def compare(
    outputs: Sequence[str], references: Sequence[Collection[str]], *, tokens: str = "words"
) -> list[Comparison]:
    """Compare each output with its nearest reference.

    Args:
        outputs: One text for each source.
        references: The correct texts for each source, at least one.
        tokens: "words" or "characters", as in `error_rates`. Defaults to "words".

    Returns:
        The `Comparison` of each output.

    Raises:
        ValueError: If the lists differ in length, are empty, or an output has no reference.
        TypeError: If the references of an output are a single text.
        ImportError: If rapidfuzz is not installed.
    """
    split = SPLITS[check_choice("tokens", tokens, SPLITS)]
    _check_references(outputs, references)
    distance = _levenshtein().distance
    compared = []
    for output, accepted in zip(outputs, references, strict=True):
        found = split(output)
        edits, _, nearest = min(
            (distance(found, reference), len(reference), reference)
            for reference in map(split, accepted)
        )
        compared.append(Comparison(is_right(output, accepted), edits, nearest, found))
    return compared


def is_right(output: str, references: Collection[str]) -> bool:
    """Return whether an output has the same words as one of its references.

    Args:
        output: The output text.
        references: The correct texts.

    Returns:
        `True` if the words of the output are those of a reference.

    Example:
        >>> is_right("new  york ", ["new york"]), is_right("newyork", ["new york"])
        (True, False)
    """
    return output.split() in [reference.split() for reference in references]


def meaningful_metrics(references: Sequence[Collection[str]]) -> tuple[str, ...]:
    """Return the names of the metrics that are meaningful for these references.

    BLEU and chrF measure sentences. They are meaningless for single words, phones, digits or dates,
    so they require references of at least four words on average, and at least a hundred different
    words.

    Args:
        references: The correct texts for each source.

    Returns:
        "wer" and "ter", and for sentences also "bleu" and "chrf".
    """
    texts = [reference.split() for accepted in references for reference in accepted]
    words = {word for text in texts for word in text}
    are_sentences = sum(map(len, texts)) >= _MIN_SENTENCE_LENGTH * len(texts)
    if are_sentences and len(words) >= _MIN_VOCABULARY:
        return METRICS
    return METRICS[:2]


def unit_of(kind: type[Tokenizer]) -> str:
    """Return the unit of the token error rate that suits a target tokenizer.

    Args:
        kind: Class of the tokenizer of the targets.

    Returns:
        "characters" if its tokens are characters or bytes, otherwise "words".
    """
    # Imported here, because error rates do not need TensorFlow.
    from keras_s2s.tokenizers import ByteTokenizer, CharTokenizer

    return "characters" if issubclass(kind, CharTokenizer | ByteTokenizer) else "words"


def bleu(
    outputs: Sequence[str], references: Sequence[Collection[str]], *, tokenize: str = "13a"
) -> CorpusScore:
    """Compute BLEU of outputs with sacrebleu.

    Args:
        outputs: One text for each source.
        references: The correct texts for each source, at least one.
        tokenize: Tokenizer of sacrebleu: "13a" for plain text, "none" for text that is already
            split by spaces, "intl", "char", "zh" and others. Defaults to "13a".

    Returns:
        The score and its signature.

    Raises:
        ValueError: If the lists differ in length, are empty, or an output has no reference, or if
            sacrebleu has no such tokenizer.
        TypeError: If the references of an output are a single text.
        ImportError: If sacrebleu, or a package that its tokenizer needs, is not installed.

    References:
        - [BLEU (Papineni et al., 2002)](https://aclanthology.org/P02-1040/)
        - [A call for clarity in reporting BLEU scores (Post, 2018)](
          https://aclanthology.org/W18-6319/)
    """
    return _corpus_score("bleu", outputs, references, tokenize=tokenize)


def chrf(outputs: Sequence[str], references: Sequence[Collection[str]]) -> CorpusScore:
    """Compute chrF of outputs with sacrebleu.

    Args:
        outputs: One text for each source.
        references: The correct texts for each source, at least one.

    Returns:
        The score and its signature.

    Raises:
        ValueError: If the lists differ in length, are empty, or an output has no reference.
        TypeError: If the references of an output are a single text.
        ImportError: If sacrebleu is not installed.

    References:
        - [chrF (Popović, 2015)](https://aclanthology.org/W15-3049/)
    """
    return _corpus_score("chrf", outputs, references)


def corpus_statistics(
    name: str, outputs: Sequence[str], references: Sequence[Collection[str]], **settings: str
) -> CorpusStatistics:
    """Count what BLEU or chrF is computed from, to resample the sources.

    The bootstrap of sacrebleu fails if a sample shares no n-gram with its references.

    Args:
        name: "bleu" or "chrf".
        outputs: One text for each source.
        references: The correct texts for each source, at least one.
        **settings: `tokenize` of `bleu`.

    Returns:
        The `CorpusStatistics`.

    Raises:
        ValueError: If the lists differ in length, are empty, or an output has no reference, or if
            sacrebleu has no such tokenizer.
        TypeError: If the references of an output are a single text.
        ImportError: If sacrebleu, or a package that its tokenizer needs, is not installed.
    """
    _check_references(outputs, references)
    metric = _sacrebleu().CHRF() if name == "chrf" else _make_bleu(**settings)
    rows = metric._extract_corpus_statistics(list(outputs), _reference_streams(references))
    signature = str(metric.get_signature())  # depends on the references
    return CorpusStatistics(
        rows, lambda total: float(metric._compute_score_from_stats(total).score), signature
    )


def check_metrics(
    metrics: Iterable[str], *, bleu_tokenize: str = "13a", name: str = "`bleu_tokenize`"
) -> None:
    """Check that metrics can be computed, before training starts.

    Args:
        metrics: Names of metrics: "wer", "ter", "bleu", "chrf".
        bleu_tokenize: Tokenizer of sacrebleu for BLEU. Defaults to "13a".
        name: Name of `bleu_tokenize` for error messages.

    Raises:
        ValueError: If sacrebleu has no such tokenizer.
        ImportError: If a package is missing.
    """
    metrics = set(metrics)
    if metrics & {"wer", "ter"}:
        _levenshtein()
    if "bleu" in metrics:
        _make_bleu(bleu_tokenize, name)
    if "chrf" in metrics:
        _sacrebleu()


def _corpus_score(
    name: str, outputs: Sequence[str], references: Sequence[Collection[str]], **settings: str
) -> CorpusScore:
    """Compute one of sacrebleu's metrics, with all references of each source."""
    found = corpus_statistics(name, outputs, references, **settings)
    return CorpusScore(found.score, found.signature)


def _reference_streams(references: Sequence[Collection[str]]) -> list[list[str | None]]:
    """Return the first references of all sources, then the second ones, as sacrebleu expects."""
    most = max(len(accepted) for accepted in references)
    padded = [[*accepted, *[None] * (most - len(accepted))] for accepted in references]
    return [list(stream) for stream in zip(*padded, strict=True)]


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ImportError as error:
        raise missing_package("sacrebleu", error) from error
    return sacrebleu


def _make_bleu(tokenize: str, name: str = "`tokenize`") -> Any:
    """Return sacrebleu's metric for a tokenizer."""
    sacrebleu = _sacrebleu()
    if tokenize not in sacrebleu.BLEU.TOKENIZERS:
        raise InputError(
            f"{name} must be a tokenizer of sacrebleu: {', '.join(sacrebleu.BLEU.TOKENIZERS)}. "
            f"Received: {short_repr(tokenize)}"
        )
    try:
        return sacrebleu.BLEU(tokenize=tokenize)
    except RuntimeError as error:  # a tokenizer of Japanese or Korean without its package
        raise MissingPackageError(
            f"{name} {tokenize!r} cannot be used: {one_line(error)}"
        ) from error


def _levenshtein() -> Any:
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError as error:
        raise missing_package("rapidfuzz", error) from error
    return Levenshtein


def _check_references(outputs: Sequence[str], references: Sequence[Collection[str]]) -> None:
    """Check that each output has a list of references, not a single text."""
    if len(outputs) != len(references) or not outputs:
        raise InputError(
            "`references` must have one entry for each of `outputs`, and at least one. Received: "
            f"{count_of(len(outputs), 'output')}, {count_of(len(references), 'reference')}"
        )
    for number, accepted in enumerate(references):
        if isinstance(accepted, str):
            raise TypeError(
                "`references` must contain a list of texts for each output. Received: "
                f"{short_repr(accepted)} at position {number}"
            )
        if not accepted:
            raise InputError(
                "`references` must contain at least one text for each output. Received: none at "
                f"position {number}"
            )
