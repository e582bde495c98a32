"""Read, check and write the folder of a run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from keras_s2s.checks import count_of
from keras_s2s.cli.setting import name_as_given
from keras_s2s.cli.settings_file import read_config, same_training, take_from_run, to_yaml
from keras_s2s.errors import InputError
from keras_s2s.evaluation import is_right
from keras_s2s.files import (
    created_folder,
    existing_parent,
    locked,
    remove_unfinished,
    write_file,
    written_beside,
)

BEST = "best.keras"
SETTINGS_FILE = "settings.yaml"
DATA_FILE = "data.json"
CURVE = "learning_curve.csv"
PICTURE = "learning_curve.png"
FIGURES = "figures.json"
SAMPLES = "samples.txt"
RELIABILITY = "reliability.png"
STATE = "state"
_README = "README.txt"
_LOCK = ".lock"

Checksums = dict[str, list[dict[str, str | None]]]

_EXPLANATION = """\
A run of `keras-s2s train`. To resume it after an interruption, run the same command again. To
train longer, run it with a larger --epochs, or a larger --minutes or --patience if that ended it.

best.keras               the best model with its tokenizers and search settings
settings.yaml            all settings with explanations: keras-s2s train --config settings.yaml
data.json                paths and checksums of the data files and of other models used
source_vocabulary.json   the source tokens, in the order of their ids
target_vocabulary.json   the target tokens, in the order of their ids
learning_curve.csv       loss and metrics of each epoch, counted from 0 (.png: the same as a plot,
                         counted from 1); the error rates are for the first `evaluation_sources`
                         validation sources
figures.json             metrics of best.keras on all validation pairs, with its search
samples.txt              outputs of best.keras for some validation sources
reliability.png          with --confidence: the share of correct outputs for each confidence
state/                   the state to resume from. Delete it only if the run needs no more epochs
model-1/, model-2/, ...  with --models: the run of each model, with its learning curve and state;
                         best.keras is their ensemble

    keras-s2s translate {folder} < sources.txt
    keras-s2s evaluate {folder} test.tsv
    keras-s2s export {folder} serving/model
"""


@contextlib.contextmanager
def claimed(folder: str) -> Iterator[None]:
    """Lock a run folder for one training run, and remove unfinished files in it.

    Creates the folder if it does not exist, and removes it at the end if nothing was written.

    Args:
        folder: Path of the run folder.

    Raises:
        BlockingIOError: If another training run uses the folder.
        NotADirectoryError: If the path, or a parent of it, is a file.
        OSError: If the folder cannot be created or written.
    """
    above = existing_parent(folder)
    if not os.path.isdir(above):
        raise _error_of_file(above)
    with contextlib.ExitStack() as undo:
        undo.enter_context(created_folder(folder))
        try:
            undo.enter_context(locked(os.path.join(folder, _LOCK)))
        except BlockingIOError as error:
            raise BlockingIOError(
                f"{folder}: another training run uses this folder ({error.strerror}). Wait for it "
                "to end, or choose another --output"
            ) from None
        remove_unfinished(folder)
        yield


def _error_of_file(path: str) -> NotADirectoryError:
    """Return the error for a file in place of the run folder or one of its parents."""
    name = name_as_given("output")
    return NotADirectoryError(f"{name} {path}: a file. Expected: a folder for the run")


def check_folder(settings: SimpleNamespace) -> bool:
    """Check that training can start or resume in its folder.

    Settings that are missing are filled in from the run being resumed. A run that ended before it
    saved a state is started again.

    Args:
        settings: Namespace of the training settings.

    Returns:
        Whether training resumes a run in the folder.

    Raises:
        ValueError: If the folder contains other files, or a run with other settings.
        NotADirectoryError: If the path is a file.
    """
    folder = settings.output
    if not os.path.lexists(folder):
        return False
    if not os.path.isdir(folder):
        raise _error_of_file(folder)
    found = [name for name in os.listdir(folder) if not name.startswith(".")]
    if not found:
        return False
    path = os.path.join(folder, SETTINGS_FILE)
    if not os.path.exists(path):
        raise InputError(
            f"{folder}: not a run folder, and not empty: it contains {sorted(found)[0]!r}. Choose "
            "another --output"
        )
    run = read_config(path)
    members = member_folders(SimpleNamespace(output=folder, models=run.get("models", 1)))
    for member in members:
        _check_parts(member)
    if not any(map(has_state, members)):  # nothing has been trained: settings and data may change
        for begun in {folder, *members}:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(begun, DATA_FILE))
        return False
    take_from_run(settings, run)
    settings.threads = settings.threads or run.get("threads")
    differences = list(same_training(vars(settings), run))
    if differences:
        raise InputError(
            f"{folder}: the run in this folder has different settings ({'; '.join(differences)}). "
            "Use the same settings, or choose another --output"
        )
    return True


def _check_parts(folder: str) -> None:
    """Check that a run with several epochs has its best model and the state to resume from."""
    curve = os.path.join(folder, CURVE)
    if not os.path.exists(curve):
        return
    with open(curve, encoding="utf-8") as file:
        epochs = sum(1 for _ in file) - 1
    # After the first epoch of a killed run, both may be missing: it starts again.
    if epochs < 2 and not os.path.exists(os.path.join(folder, FIGURES)):
        return
    if not has_state(folder):
        missing = f"its folder {STATE}/ is missing"
    elif not os.path.exists(os.path.join(folder, BEST)):
        missing = f"its {BEST} is missing"
    else:
        return
    raise InputError(
        f"{folder}: this run of {count_of(epochs, 'epoch')} cannot be resumed: {missing}. Restore "
        "it, or choose another --output"
    )


def checksums_of(settings: SimpleNamespace) -> Checksums:
    """Compute the checksums of the files of a run: the pairs, and other models that it uses.

    Args:
        settings: Namespace of the training settings.

    Returns:
        A dictionary with the paths and the checksums of the files of each setting.
    """
    paths = {"train": settings.train, "valid": [settings.valid]}
    for name in ("init_from", "teacher"):
        model = getattr(settings, name)
        if model is not None:
            paths[name] = [os.path.join(model, BEST) if os.path.isdir(model) else model]
    return {
        name: [{"path": path, "sha256": _checksum(path)} for path in listed]
        for name, listed in paths.items()
    }


def check_data(folder: str, checksums: Checksums) -> None:
    """Record the checksums of the files of a run, or compare them with those recorded before.

    Args:
        folder: Path of the run folder, which must exist.
        checksums: The result of `checksums_of`.

    Raises:
        ValueError: If a file has changed since the run started.
    """
    path = os.path.join(folder, DATA_FILE)
    if not os.path.exists(path):
        write_json(path, checksums)
        return
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            recorded = json.load(file)
        before = {name: [it["sha256"] for it in recorded[name]] for name in checksums}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: damaged, so the run cannot be resumed. Choose another --output"
        ) from error
    for name, listed in checksums.items():
        if [it["sha256"] for it in listed] != before[name]:
            raise InputError(
                f"{folder}: the files given by {name_as_given(name)} differ from those of "
                "the run in this folder. Use the same files, or choose another --output"
            )


def write_beginning(
    settings: SimpleNamespace, checksums: Checksums, source: Any, target: Any
) -> None:
    """Write the files that are known before training starts: settings, vocabularies, README.

    Args:
        settings: Namespace of the training settings.
        checksums: The result of `checksums_of`.
        source: Source tokenizer.
        target: Target tokenizer.
    """
    os.makedirs(settings.output, exist_ok=True)
    write_text(os.path.join(settings.output, SETTINGS_FILE), to_yaml(vars(settings)))
    check_data(settings.output, checksums)
    for side, tokenizer in (("source", source), ("target", target)):
        write_json(
            os.path.join(settings.output, f"{side}_vocabulary.json"),
            [str(token) for token in tokenizer.vocabulary],
        )
    write_text(
        os.path.join(settings.output, _README),
        _EXPLANATION.replace("{folder}", shlex.quote(settings.output)),
    )


def write_samples(path: str, rows: list[tuple[str, str, list[str]]]) -> None:
    """Write sample outputs for people to read.

    Args:
        path: Path of the file.
        rows: List of `(source, output, references)`.
    """
    lines = []
    for source, output, references in rows:
        lines += [f"source     {source}", f"output     {output}"]
        right = "right" if is_right(output, references) else "wrong"
        lines += [f"reference  {' | '.join(references)}", f"           {right}", ""]
    write_text(path, "\n".join(lines))


def write_json(path: str, value: Any) -> None:
    """Write a value as a JSON file atomically."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def has_state(folder: str) -> bool:
    """Return whether a run folder contains a state to resume from."""
    state = os.path.join(folder, STATE)
    return os.path.isdir(state) and any(name.endswith(".npz") for name in os.listdir(state))


def member_folders(settings: SimpleNamespace) -> list[str]:
    """Return the folder of each model that is trained: subfolders of a run with several."""
    if settings.models == 1:
        return [settings.output]
    return [os.path.join(settings.output, f"model-{it}") for it in range(1, settings.models + 1)]


def best_path(settings: SimpleNamespace) -> str:
    """Return the path of the best model."""
    return os.path.join(settings.output, BEST)


def write_text(path: str, text: str) -> None:
    """Write a text file atomically."""
    # A path in the text may have bytes that are not UTF-8.
    content = text.encode("utf-8", errors="surrogateescape")
    with written_beside(path) as unfinished:
        write_file(unfinished, content)


def _checksum(path: str) -> str | None:
    """Return the SHA-256 of a file; `None` for a pipe, whose content can be read only once."""
    if not os.path.isfile(path):
        return None
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
