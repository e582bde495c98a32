"""Evaluation reports: metrics with confidence intervals, and confusions."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras_s2s.checks import count_of
from keras_s2s.evaluation import (
    METRICS,
    Comparison,
    check_metrics,
    compare,
    corpus_statistics,
    rates_of,
)

_NAMES = {"wer": "WER", "ter": "TER", "bleu": "BLEU", "chrf": "chrF"}
_SHARES = ("wer", "ter")
EXPLANATIONS = {"wer": "share of outputs with at least one error"}
_NOTHING = "∅"  # in a confusion: a deleted or inserted token
_SEED = 12345


class Figure(NamedTuple):
    """A metric with its 95% confidence interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Reference token, the output token in its place, and their count. `None`: no token."""

    reference: str | None
    output: str | None
    count: int


class Report(NamedTuple):
    """Results of an evaluation."""

    sources: int
    figures: dict[str, Figure]  # WER and TER as shares, BLEU and chrF from 0 to 100
    signatures: dict[str, str]  # of sacrebleu
    confusions: list[Confusion]  # most frequent first
    tokens: str = "words"  # the unit of TER

    def to_json(self) -> str:
        """Return the report as a JSON object."""
        content: dict[str, Any] = {"sources": self.sources}
        content |= {name: figure._asdict() for name, figure in self.figures.items()}
        content["signatures"] = self.signatures
        content["confusions"] = [dataclasses.asdict(confusion) for confusion in self.confusions]
        return json.dumps(content, ensure_ascii=False, indent=1)

    def to_text(self) -> str:
        """Return the report as readable text, with error rates in percent."""
        lines = [
            f"{count_of(self.sources, 'source')}; 95% bootstrap confidence intervals in brackets"
        ]
        notes = {**EXPLANATIONS, "ter": explain_ter(self.tokens), **self.signatures}
        for name, figure in self.figures.items():
            value, low, high = (100 * it if name in _SHARES else it for it in figure)
            unit = "%" if name in _SHARES else " "
            lines.append(
                f"{name_of(name, self.tokens):5s}{value:7.2f}{unit}  [{low:.2f}, {high:.2f}]  "
                f"{notes.get(name, '')}".rstrip()
            )
        if self.confusions:
            lines += ["", f"Most frequent confusions, reference → output ({_NOTHING}: no token):"]
        lines += [
            f"{it.count:7d}  {it.reference or _NOTHING} → {it.output or _NOTHING}"
            for it in self.confusions
        ]
        return "\n".join(lines)


def name_of(figure: str, tokens: str) -> str | None:
    """Return the display name of a metric, or `None` if it is not one of the report.

    Args:
        figure: "wer", "ter", "bleu" or "chrf".
        tokens: Unit of TER. With "phones", TER is called PER.
    """
    return "PER" if figure == "ter" and tokens == "phones" else _NAMES.get(figure)


def explain_ter(tokens: str) -> str:
    """Return what the token error rate is.

    Args:
        tokens: Unit of TER.
    """
    return f"wrong, missing and extra {tokens} per reference {tokens.removesuffix('s')}"


def shown(figure: str, value: float) -> str:
    """Return the value of a metric as text, with error rates in percent.

    Args:
        figure: "wer", "ter", "bleu" or "chrf".
        value: Float. Value of the metric. Error rates are shares.
    """
    return f"{100 * value:.2f}%" if figure in _SHARES else f"{value:.2f}"


def make_report(
    outputs: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[str] = METRICS,
    tokens: str = "words",
    bleu_tokenize: str = "13a",
    confusions: int = 10,
    bootstrap: int = 1000,
) -> Report:
    """Compare outputs with their references.

    Args:
        outputs: Sequence of texts, one per source.
        references: Sequence with the correct texts of each source.
        metrics: Metrics to compute, out of "wer", "ter", "bleu" and "chrf". Defaults to all.
        tokens: Unit of comparison: "words", "phones" (split like words) or "characters" (without
            white space). Defaults to "words".
        bleu_tokenize: Tokenization that sacrebleu uses for BLEU. Defaults to "13a".
        confusions: Integer. Number of most frequent confusions to report. Defaults to 10.
        bootstrap: Integer. Number of bootstrap samples for the intervals. Defaults to 1000.

    Returns:
        The `Report`.

    Raises:
        ValueError: If there is nothing to compare, or an argument is out of range.
        ImportError: If a package that a metric needs is not installed.
    """
    check_metrics(["wer", *metrics], bleu_tokenize=bleu_tokenize)
    compared = compare(outputs, references, tokens=tokens)
    figures: dict[str, Figure] = {}
    signatures: dict[str, str] = {}
    rates = rates_of(compared)
    values = {"wer": rates.sequence_error_rate, "ter": rates.token_error_rate}
    for name in metrics:
        if name in _SHARES:
            interval = _interval(*_rates(compared, name), bootstrap)
            figures[name] = Figure(values[name], *interval)
            continue
        options = {"tokenize": bleu_tokenize} if name == "bleu" else {}
        counted = corpus_statistics(name, outputs, references, **options)
        interval = _interval(counted.rows, counted.score_of, bootstrap)
        figures[name] = Figure(counted.score, *interval)
        signatures[name] = counted.signature
    counts = collections.Counter(edit for it in compared for edit in _edits(it))
    commonest = sorted(counts.items(), key=lambda it: (-it[1], str(it[0])))[:confusions]
    found = [Confusion(*edit, count) for edit, count in commonest]
    return Report(len(outputs), figures, signatures, found, tokens)


def _edits(compared: Comparison) -> list[tuple[str | None, str | None]]:
    """Return the edits from the nearest reference to the output as (reference, output) tokens."""
    from rapidfuzz.distance import Levenshtein

    edits: list[tuple[str | None, str | None]] = []
    for edit in Levenshtein.editops(compared.nearest, compared.found):
        reference = None if edit.tag == "insert" else compared.nearest[edit.src_pos]
        edits.append((reference, None if edit.tag == "delete" else compared.found[edit.dest_pos]))
    return edits


def _rates(compared: list[Comparison], name: str) -> tuple[Any, Callable[[Any], float]]:
    """Return counts of shape `(sources, 2)`, and a function from their sum to the error rate."""
    import numpy as np

    if name == "wer":
        rows = np.array([(not it.right, 1) for it in compared])
    else:
        rows = np.array([(it.edits, len(it.nearest)) for it in compared])
    return rows.astype(np.int64), lambda total: total[0] / max(1, total[1])


def _interval(rows: Any, compute: Callable[[Any], float], samples: int) -> tuple[float, float]:
    """Return the bootstrap confidence interval of a metric."""
    import numpy as np

    random = np.random.default_rng(_SEED)
    # Draw how often each distinct row occurs in a sample: many sources have the same counts.
    distinct, counts = np.unique(np.asarray(rows), axis=0, return_counts=True)
    total = int(counts.sum())
    found = [
        compute((random.multinomial(total, counts / total) @ distinct).tolist())
        for _ in range(samples)
    ]
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)
