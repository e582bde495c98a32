"""Training: check the settings, train or resume, and evaluate the best model."""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
from types import SimpleNamespace
from typing import Any

import click
import keras
import tensorflow as tf

import keras_s2s as s2s
from keras_s2s.callbacks.epoch_metrics import KeepBest, LearningCurve, StopEarly
from keras_s2s.callbacks.pace import Pace
from keras_s2s.checks import count_of
from keras_s2s.cli import run_folder
from keras_s2s.cli.epoch_lines import (
    EpochLines,
    describe_ending,
    describe_limit,
    describe_metrics,
)
from keras_s2s.cli.loading import load_keras_model
from keras_s2s.cli.recommended_settings import fit_to_pairs
from keras_s2s.cli.report import make_report
from keras_s2s.cli.setting import value_as_given
from keras_s2s.cli.streams import StatusLine, warn
from keras_s2s.cli.training_data import Data, make_batches, make_data, predict_training_pairs
from keras_s2s.cli.training_model import build_model, load_initial, load_teacher, take_weights
from keras_s2s.cli.training_pairs import TrainingPairs, read_training_pairs
from keras_s2s.convergence import DivergedError
from keras_s2s.distillation import teach
from keras_s2s.errors import InputError, TrainingDivergedError
from keras_s2s.evaluation import HIGHER_IS_BETTER, group_references, meaningful_metrics
from keras_s2s.files import existing_parent
from keras_s2s.models.batches import count_cores
from keras_s2s.recommended import WARMUP_SHARE
from keras_s2s.tokenizers.copying import has_substrings, ids_to_copy

_ROOM = 64 << 20  # bytes for small files


def train(
    settings: SimpleNamespace,
    pairs: TrainingPairs | None,
    checksums: run_folder.Checksums,
    *,
    resumes: bool,
) -> None:
    """Train, save the best model, and evaluate it.

    Args:
        settings: Namespace of all settings.
        pairs: `TrainingPairs` that the settings are fitted to, or `None` if TensorFlow must read
            them first.
        checksums: The result of `run_folder.checksums_of`.
        resumes: Boolean. Whether to resume the run in the folder.

    Raises:
        ValueError: If the data, vocabularies, settings or initial model are invalid, or the disk is
            too full.
        ArithmeticError: If the loss is no longer finite.
    """
    _set_up(settings, resumes=resumes)
    if pairs is None:
        pairs = read_training_pairs(settings)
        fit_to_pairs(settings, pairs)
    initial = load_initial(settings)
    teacher = load_teacher(settings, initial)
    data = make_data(settings, pairs, initial or teacher)
    data.checksums = checksums
    try:
        if teacher is not None:
            teacher = predict_training_pairs(settings, data, teacher)
        if settings.models > 1:
            _train_ensemble(settings, data, initial, teacher)
        else:
            _train_one(settings, data, initial, teacher)
    except KeyboardInterrupt:
        click.echo("\nInterrupted. Run the same command again to resume", err=True)
        raise


def _train_ensemble(settings: SimpleNamespace, data: Data, initial: Any, teacher: Any) -> None:
    """Train several models, each in a subfolder, and evaluate their ensemble."""
    run_folder.write_beginning(settings, data.checksums, data.source, data.target)
    runs = _members(settings)
    for number, run in enumerate(runs, 1):
        click.echo(f"\nModel {number} of {settings.models}")
        _train_one(run, data, initial, teacher)
    with StatusLine("Loading the models"):
        combined = s2s.ensemble_checkpoints([run_folder.best_path(run) for run in runs])
    combined.save(run_folder.best_path(settings))
    conclude(settings, data)


def _train_one(settings: SimpleNamespace, data: Data, initial: Any, teacher: Any) -> None:
    """Train one model in its own folder with its own seed."""
    search = s2s.BeamSearch(
        beam_width=settings.beam_width,
        length_penalty=settings.length_penalty,
        stopping=settings.stopping,
        max_length=settings.max_length or math.ceil(1.2 * data.longest),
    )
    keras.utils.set_random_seed(settings.seed)
    copied = None
    if settings.copy:
        try:
            copied = ids_to_copy(data.source, data.target)
        except InputError as error:
            text = str(error).replace("`copy`", value_as_given("copy", True))
            raise InputError(text.replace("copy=False (`--no-copy`)", "--no-copy")) from error
    sizes = data.source.vocabulary_size, data.target.vocabulary_size
    model = build_model(settings, *sizes, copy_ids=copied)
    if initial is not None:
        take_weights(model, initial, settings.init_from)
    batches, valid_batches = make_batches(settings, data)
    if teacher is not None:
        batches = teach(batches, teacher)
    _check_disk(settings, model.count_params())
    run_folder.write_beginning(settings, data.checksums, data.source, data.target)
    click.echo(f"Model: {count_of(model.count_params(), 'parameter')}")
    if not run_folder.has_state(settings.output):  # otherwise `Resume` prints where it resumes
        click.echo(
            f"Training in {settings.output}\n{run_folder.BEST} in that folder is always the best "
            "model so far. Ctrl-C interrupts training; the same command resumes it"
        )
    click.echo(describe_metrics(data.tokens))
    limited = describe_limit(settings.evaluation_sources, len(group_references(data.valid)))
    if limited:
        click.echo(limited)
    translator = s2s.Translator(
        model,
        data.source,
        data.target,
        search=search,
        replace_unknown=settings.copy and has_substrings(data.source),
        max_source_length=data.max_source_length,
    )
    fit(settings, translator, data, batches, valid_batches)
    conclude(settings, data)


def fit(
    settings: SimpleNamespace, translator: Any, data: Data, batches: Any, valid_batches: Any
) -> None:
    """Train, or resume training.

    Args:
        settings: Namespace of all settings.
        translator: `Translator` with the model to train.
        data: The `Data` to train with.
        batches: Dataset of training batches.
        valid_batches: Dataset of validation batches.

    Raises:
        ArithmeticError: If the loss is no longer finite.
    """
    callbacks = _make_callbacks(settings, translator, data)
    state = os.path.join(settings.output, run_folder.STATE)
    listed = [it for it in vars(callbacks).values() if it is not None]
    try:
        history = translator.model.fit(
            batches,
            validation_data=valid_batches,
            epochs=settings.epochs,
            callbacks=[*listed, s2s.Resume(state, every=settings.save_every, verbose=True)],
            verbose=0,
        ).history
    except DivergedError as error:
        raise _divergence() from error
    finally:
        callbacks.lines.stop()
    if history.get("loss") and not math.isfinite(history["loss"][-1]):
        raise _divergence()
    click.echo(describe_ending(settings, callbacks))


def _divergence() -> TrainingDivergedError:
    return TrainingDivergedError(
        "training diverged: the loss or the outputs of the model are not finite. The learning rate "
        "may be too high: use a lower --learning-rate and another --output"
    )


def _make_callbacks(settings: SimpleNamespace, translator: Any, data: Data) -> SimpleNamespace:
    """Return a namespace of all callbacks except `Resume`, in the order in which they run."""
    keep = KeepBest(translator, run_folder.best_path(settings), settings.watch)
    rising = settings.watch in HIGHER_IS_BETTER
    return SimpleNamespace(
        finite=keras.callbacks.TerminateOnNaN(),
        search=s2s.SearchEvaluation(
            _limit_sources(data.valid, settings.evaluation_sources),
            data.source,
            data.target,
            search=translator.search,
            replace_unknown=translator.replace_unknown,
            metrics=list(dict.fromkeys(["wer", "ter", settings.watch])),
            tokens=data.tokens,
            bleu_tokenize=settings.bleu_tokenize,
        ),
        keep=keep,
        curve=LearningCurve(os.path.join(settings.output, run_folder.CURVE)),
        pace=Pace(
            settings.learning_rate,
            settings.schedule,
            settings.warmup_steps,
            settings.epochs,
            settings.minutes,
            warmup_share=WARMUP_SHARE,
            steps_per_epoch=math.ceil(data.pairs / settings.batch_size),
        ),
        plateau=keras.callbacks.ReduceLROnPlateau(
            f"val_{settings.watch}", mode="max" if rising else "min", factor=0.5, patience=1
        )
        if settings.schedule == "plateau"
        else None,
        early=StopEarly(settings.patience, settings.warmup_steps, settings.watch)
        if settings.patience
        else None,
        lines=EpochLines(keep, data.tokens),
    )


def conclude(settings: SimpleNamespace, data: Data) -> None:
    """Evaluate the best model on all validation pairs, and write the results to the run folder.

    Args:
        settings: Namespace of all settings.
        data: The `Data` to train with.
    """
    folder = settings.output
    best = load_keras_model(run_folder.best_path(settings))
    references = group_references(data.valid)
    accepted = list(references.values())
    outputs = best.translate(list(references), batch_size=64)
    report = make_report(
        outputs,
        accepted,
        metrics=list(dict.fromkeys([*meaningful_metrics(accepted), settings.watch])),
        tokens=data.tokens,
        bleu_tokenize=settings.bleu_tokenize,
    )
    run_folder.write_text(os.path.join(folder, run_folder.FIGURES), report.to_json() + "\n")
    rows = [
        (source, output, accepted)
        for (source, accepted), output in zip(references.items(), outputs, strict=True)
    ]
    run_folder.write_samples(os.path.join(folder, run_folder.SAMPLES), rows[: settings.samples])
    curve, picture = (os.path.join(folder, it) for it in (run_folder.CURVE, run_folder.PICTURE))
    if os.path.exists(curve) and importlib.util.find_spec("matplotlib") is not None:
        from keras_s2s.plots import learning_curves

        learning_curves(curve, path=picture)
    click.echo(
        f"\nBest model: {run_folder.best_path(settings)}\n"
        f"Results on all validation pairs: {report.to_text()}"
    )
    if settings.confidence:
        calibrate(settings, best.translator, data.valid)
    if report.figures["wer"].value == 1.0:
        warn(
            "no output for the validation pairs is correct. Train for more epochs (--epochs) or on "
            f"more pairs; {os.path.join(folder, run_folder.SAMPLES)} shows what the model outputs"
        )


def calibrate(settings: SimpleNamespace, translator: Any, pairs: list[tuple[str, str]]) -> None:
    """Calibrate the confidences of the best model on validation pairs, and save it.

    Args:
        settings: Namespace of all settings.
        translator: The `Translator` of the best model.
        pairs: List of validation pairs.
    """
    found = translator.calibrate(pairs)
    translator.save(run_folder.best_path(settings))
    click.echo(
        f"Confidences: temperature {found.temperature:.2f}; expected calibration error "
        f"{100 * found.error:.1f}% (before: {100 * found.error_before:.1f}%)"
    )
    if importlib.util.find_spec("matplotlib") is not None:
        from keras_s2s.plots import reliability

        picture = os.path.join(settings.output, run_folder.RELIABILITY)
        reliability(found.confidences, found.right, path=picture)


def _set_up(settings: SimpleNamespace, *, resumes: bool) -> None:
    """Set seeds, precision and threads before anything is built."""
    # A resumed run keeps its number of threads, because the last bits of its weights depend on it.
    cores = count_cores()
    threads = settings.threads = settings.threads or cores
    if resumes and threads != cores:
        click.echo(
            f"Threads: {threads}; this machine has {count_of(cores, 'core')} (a resumed run keeps "
            "its number of threads; --threads changes it)"
        )
    try:
        # Run two independent products in parallel, each on half of the cores.
        tf.config.threading.set_intra_op_parallelism_threads(max(1, threads // 2))
        tf.config.threading.set_inter_op_parallelism_threads(min(2, threads))
    except RuntimeError:
        warn("the number of threads is unchanged, because TensorFlow is already initialized")
    keras.utils.set_random_seed(settings.seed)
    if settings.precision != "float32":
        keras.config.set_dtype_policy(settings.precision)


def _limit_sources(pairs: list[tuple[str, str]], sources: int) -> list[tuple[str, str]]:
    """Return the pairs of the first `sources` sources, or all pairs if it is 0."""
    wanted = list(group_references(pairs))
    kept = set(wanted[:sources] if sources else wanted)
    return [pair for pair in pairs if pair[0] in kept]


def _check_disk(settings: SimpleNamespace, parameters: int) -> None:
    """Check for enough disk space before training starts."""
    # The state is three times the size of the weights. A file is replaced only once it is complete.
    needed = 4 * parameters * (2 * 3 + 2) + _ROOM
    free = shutil.disk_usage(existing_parent(settings.output)).free
    if free < needed:
        raise InputError(
            f"{settings.output}: not enough disk space. Required: {needed >> 20} MB. Available: "
            f"{free >> 20} MB"
        )


def _members(settings: SimpleNamespace) -> list[SimpleNamespace]:
    """Return the settings of each model of an ensemble, with its own seed and subfolder."""
    return [
        SimpleNamespace(
            **{
                **vars(settings),
                "models": 1,
                "seed": settings.seed + number,
                "output": folder,
            }
        )
        for number, folder in enumerate(run_folder.member_folders(settings))
    ]
