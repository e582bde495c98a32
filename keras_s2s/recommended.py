"""Recommended settings of a model and its training, computed from the training pairs.

TensorFlow is imported inside functions only: `keras-s2s train --help` reads the constants here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from keras_s2s.checks import check_choice, check_int, check_number
from keras_s2s.errors import InputError
from keras_s2s.pair_statistics import LONG_TEXT, PairStatistics, measure_pairs

if TYPE_CHECKING:
    from keras_s2s.models import Seq2Seq
    from keras_s2s.tokenizers import Tokenizer

# Names of `layers.decoder_features.ATTENTION`, which imports TensorFlow.
ATTENTION_KINDS = ("luong", "luong_dot", "luong_concat", "bahdanau", "monotonic")

# The same for every number of pairs. The command line takes its defaults from here.
BIDIRECTIONAL = True
GRADIENT_CLIP = 5.0
LABEL_SMOOTHING = 0.1
REDUCTION = "token"
WARMUP_SHARE = 0.1

_BATCH_SIZES = (16, 32, 64, 128)
_LARGE_BATCH = 64  # with monotonic attention and a large number of pairs
_BATCH_CHARACTERS = 8192  # on the longer side, on average
# Training steps for one pair; they grow with `pairs**_STEPS_POWER`.
_STEPS = 170
_FEW_STEPS = 100  # with monotonic attention and few pairs
_LARGE_STEPS = 340  # with monotonic attention and a large number of pairs, whose batches are small
_STEPS_POWER = 0.4
_EPOCHS = (10, 200)

_FEW_PAIRS = 2_000  # with fewer pairs, a small model
_MANY_PAIRS = 20_000  # with this many or more pairs, two layers
_LARGE_PAIRS = 50_000  # with this many or more pairs and monotonic attention, a fast model
_CROSSING = 0.12  # largest share of crossing links of an order that is kept
_SHARED = 0.5  # smallest share of target characters in their sources that is worth copying
_COMPOSED = 2  # characters for each part of them, from which on sources are decomposed
_TOKENIZERS = ("char", "decomposed", "byte", "word", "subword", "features")


@dataclasses.dataclass(frozen=True)
class RecommendedSettings:
    """Settings for training a model on given pairs, with a reason for each.

    Computed by `recommended_settings`. `print` shows a table of names, values and reasons.

    Attributes:
        batch_size: Pairs in a batch, for `make_dataset`.
        epochs: Passes over the training pairs, for `fit`.
        warmup_steps: Steps during which the learning rate rises from 0.
        patience: Epochs without improvement, not counting warm-up, before training may stop.
        learning_rate: Peak learning rate of Adam.
        dropout: Dropout rate of the encoder and the decoder.
        label_smoothing: Probability mass that the loss spreads over the vocabulary.
        units: Size of the recurrent states of the decoder and of each encoder direction.
        encoder_layers: Layers of the encoder.
        decoder_layers: Layers of the decoder.
        attention: Attention of the decoder.
        copy: Whether the decoder copies source tokens.
        source_tokenizer: "features" for a `FeatureTokenizer` of the sources, "decomposed" for a
            `DecomposedCharTokenizer`, "char" for a `CharTokenizer`.
        steps: Total number of training steps.
        reasons: The reason for the value of each setting, by name.
    """

    batch_size: int
    epochs: int
    warmup_steps: int
    patience: int
    learning_rate: float
    dropout: float
    label_smoothing: float
    units: int
    encoder_layers: int
    decoder_layers: int
    attention: str | None
    copy: bool
    source_tokenizer: str
    steps: int
    reasons: dict[str, str] = dataclasses.field(compare=False)

    def __str__(self) -> str:
        """Format a table of the settings and their reasons."""
        width = max(map(len, self.reasons))
        return "\n".join(
            f"{name:{width}s} {getattr(self, name)!s:>9s}  {reason}"
            for name, reason in self.reasons.items()
        )

    def build_model(self, source: Tokenizer, target: Tokenizer) -> Seq2Seq:
        """Build and compile a model with these settings, as `keras-s2s train` does by default.

        Args:
            source: Tokenizer of the sources.
            target: Tokenizer of the targets.

        Returns:
            A compiled `Seq2Seq` with a bidirectional LSTM encoder and attention. Its learning rate
            follows a cosine to nearly zero at the end of `epochs`, after a linear warm-up.

        Raises:
            ValueError: If `copy` is true and the tokenizers have no token in common.
        """
        from keras_s2s.layers import LSTMDecoder, LSTMEncoder
        from keras_s2s.losses import SequenceLoss
        from keras_s2s.metrics import Perplexity, TokenAccuracy
        from keras_s2s.models import Seq2Seq
        from keras_s2s.optimizers import FusedAdam, WarmupCosine
        from keras_s2s.tokenizers.copying import ids_to_copy

        encoder = LSTMEncoder(
            source.vocabulary_size,
            self.units,
            num_layers=self.encoder_layers,
            bidirectional=BIDIRECTIONAL,
            dropout=self.dropout,
        )
        decoder = LSTMDecoder(
            target.vocabulary_size,
            self.units,
            num_layers=self.decoder_layers,
            attention=self.attention,
            copy=self.copy,
            dropout=self.dropout,
        )
        copied = ids_to_copy(source, target) if self.copy else None
        model = Seq2Seq(encoder, decoder, copy_ids=copied)
        rate = WarmupCosine(self.learning_rate, self.warmup_steps, self.steps)
        model.compile(
            FusedAdam(rate, global_clipnorm=GRADIENT_CLIP),
            loss=SequenceLoss(REDUCTION, label_smoothing=self.label_smoothing),
            metrics=[TokenAccuracy(), Perplexity()],
        )
        return model


# The settings that depend on the pairs.
FITTED = tuple(
    field.name
    for field in dataclasses.fields(RecommendedSettings)
    if field.name not in ("steps", "reasons")
)


def recommended_settings(pairs: Iterable[tuple[str, str]], **overrides: Any) -> RecommendedSettings:
    """Compute settings for training a model on given pairs.

    Each setting is computed by one rule from the number of pairs, the length of their longer side
    in characters, and whether targets follow the order of their sources. `keras-s2s train` uses the
    same rules for every option that is not set. For measured error rates, see
    https://github.com/keras-s2s/keras_s2s/blob/main/docs/explanation/measurements.md.

    Attention is chosen for characters and phones. For a task with a large target vocabulary, use
    `attention="luong"`.

    Args:
        pairs: The (source, target) pairs to train on, such as those of `read_pairs`.
        **overrides: Values for some of the settings, by the names of `RecommendedSettings`. The
            other settings are adjusted: with another `batch_size`, `epochs` changes as well.

    Returns:
        The settings.

    Raises:
        TypeError: If a setting in `overrides` is unknown, or `pairs` does not contain pairs.
        ValueError: If there are no pairs, or a setting is out of range.

    Example:
        >>> pairs = [("ab", "A B"), ("b", "B")] * 400
        >>> settings = recommended_settings(pairs)
        >>> settings.batch_size
        16
        >>> recommended_settings(pairs, batch_size=32).batch_size
        32
    """
    from keras_s2s.data.pairs import check_pairs

    measured = measure_pairs(check_pairs(pairs))
    if not measured.number:
        raise InputError("`pairs` must contain at least one pair. Received: none")
    return fit_settings(measured, **overrides)


def fit_settings(measured: PairStatistics, **overrides: Any) -> RecommendedSettings:
    """Compute settings from statistics of the pairs.

    Args:
        measured: The `PairStatistics`.
        **overrides: Settings that are already chosen.

    Returns:
        The settings.

    Raises:
        TypeError: If a setting in `overrides` is unknown.
        ValueError: If a setting in `overrides` is out of range.
    """
    for name, value in overrides.items():
        _check(name, value)
    found: dict[str, Any] = {}
    reasons: dict[str, str] = {}

    def settle(name: str, value: Any, reason: str) -> Any:
        found[name] = overrides.get(name, value)
        reasons[name] = "chosen by you" if name in overrides else reason
        return found[name]

    pairs = measured.number
    settle("source_tokenizer", *_source_tokenizer(measured))
    attention = settle("attention", *_attention(measured))
    settle("copy", *_copy(measured, attention))
    large = attention == "monotonic" and pairs >= _LARGE_PAIRS
    batch = settle("batch_size", *_batch_size(pairs, measured.mean_length, large=large))
    steps_of_epoch = math.ceil(pairs / batch)
    wanted = round(_steps_factor(pairs, attention, large=large) * pairs**_STEPS_POWER)
    epochs = min(max(math.ceil(wanted / steps_of_epoch), _EPOCHS[0]), _EPOCHS[1])
    epochs = settle(
        "epochs", epochs, f"about {wanted:,} training steps in all, {steps_of_epoch:,} per epoch"
    )
    steps = epochs * steps_of_epoch
    warmup = math.ceil(WARMUP_SHARE * steps)
    settle("warmup_steps", warmup, f"the first {WARMUP_SHARE:.0%} of {steps:,} training steps")
    settle("patience", max(5, math.ceil(epochs / 4)), "a quarter of the epochs, at least 5")
    for name, (value, reason) in _fit_model(pairs, large=large).items():
        settle(name, value, reason)
    settle("label_smoothing", LABEL_SMOOTHING, "suits all measured tasks")
    return RecommendedSettings(steps=steps, reasons=reasons, **found)


def _fit_model(pairs: int, *, large: bool) -> dict[str, tuple[Any, str]]:
    """Return learning rate, sizes and dropout, each with its reason."""
    dropout: tuple[Any, str] = (0.3, "default for most tasks")
    if pairs < _FEW_PAIRS:
        rate = 0.004, "small models train well at a high rate"
        units = 128, f"fewer than {_FEW_PAIRS:,} pairs: larger models overfit"
    elif large:
        reason = f"at least {_LARGE_PAIRS:,} pairs with monotonic attention"
        rate = 0.003, f"{reason}: a high rate needs fewer epochs"
        units = 192, f"{reason}: an epoch takes less time than with 256"
        dropout = 0.2, f"{reason}: small models overfit little"
    else:
        rate = 0.002, "large models need a lower rate"
        units = 256, f"at least {_FEW_PAIRS:,} pairs: enough for a larger model"
    if pairs < _MANY_PAIRS:
        layers = 1, f"fewer than {_MANY_PAIRS:,} pairs: one layer is enough"
    else:
        layers = 2, f"at least {_MANY_PAIRS:,} pairs: enough for two layers"
    return {
        "learning_rate": rate,
        "units": units,
        "encoder_layers": layers,
        "decoder_layers": layers,
        "dropout": dropout,
    }


def _source_tokenizer(measured: PairStatistics) -> tuple[str, str]:
    """Return the kind of the source tokenizer: for features, for scripts like Hangul, or "char"."""
    if measured.features:
        return "features", "sources end with morphological features, such as V;PST"
    if measured.characters >= _COMPOSED * measured.parts > 0:
        reason = (
            f"{measured.parts:,} letters and accents form {measured.characters:,} source characters"
        )
        return "decomposed", reason
    return "char", "source characters rarely have accents"


def _steps_factor(pairs: int, attention: str | None, *, large: bool) -> int:
    """Return the number of steps, relative to a power of the number of pairs."""
    if large:
        return _LARGE_STEPS
    return _FEW_STEPS if attention == "monotonic" and pairs < _FEW_PAIRS else _STEPS


def _batch_size(pairs: int, mean_length: float, *, large: bool) -> tuple[int, str]:
    """Return the power of two nearest to half the square root of the number of pairs."""
    wanted = math.sqrt(pairs) / 2
    size = min(_BATCH_SIZES, key=lambda it: abs(math.log2(it / wanted)))
    if size * mean_length > _BATCH_CHARACTERS:
        fitting = [it for it in _BATCH_SIZES if it * mean_length <= _BATCH_CHARACTERS]
        size = max(fitting, default=_BATCH_SIZES[0])
        return (
            size,
            f"texts of {mean_length:,.0f} characters on average: larger batches need much memory",
        )
    if large and size > _LARGE_BATCH:
        return _LARGE_BATCH, "many pairs with monotonic attention: small batches give more steps"
    if size == _BATCH_SIZES[0]:
        return size, "few pairs: small batches give more steps"
    if size == _BATCH_SIZES[-1]:
        return size, "many pairs: large batches are faster"
    return size, f"a compromise between speed and accuracy for {pairs:,} pairs"


def _attention(measured: PairStatistics) -> tuple[str, str]:
    """Return monotonic attention for short pairs whose targets follow their sources."""
    if measured.features:
        return "luong", "sources end with features, which every part of a target may need"
    if measured.typical_length > LONG_TEXT:
        return "luong", f"long texts: typically more than {LONG_TEXT} characters"
    if math.isnan(measured.crossing):
        return "luong", "the pairs do not show whether targets follow the order of their sources"
    kept = f"order kept {1 - measured.crossing:.0%} of the time"
    if measured.crossing > _CROSSING:
        return "luong", f"targets do not follow the order of their sources ({kept})"
    return "monotonic", f"targets follow the order of their sources ({kept})"


def _copy(measured: PairStatistics, attention: str | None) -> tuple[bool, str]:
    """Return whether to copy: for inflection, if forms consist mostly of letters of their lemma."""
    if attention is None:
        return False, "copying needs attention"
    if not measured.features:
        return False, "no morphological features in the sources; copying helps inflection"
    return measured.shared >= _SHARED, (
        f"morphological features; {measured.shared:.0%} of a target's characters are in its source"
    )


def _check(name: str, value: Any) -> None:
    if name not in FITTED:
        raise TypeError(
            f"`recommended_settings` has no setting {name!r}. Expected: one of {', '.join(FITTED)}"
        )
    if name == "attention":
        check_choice(name, value, (None, *ATTENTION_KINDS))
    elif name == "copy":
        check_choice(name, value, (True, False))
    elif name == "source_tokenizer":
        check_choice(name, value, _TOKENIZERS)
    elif name in ("dropout", "label_smoothing"):
        check_number(name, value, minimum=0, maximum=0.95 if name == "dropout" else 0.9)
    elif name == "learning_rate":
        check_number(name, value, minimum=1e-9, maximum=10)
    else:
        check_int(name, value, minimum=0 if name in ("warmup_steps", "patience") else 1)
