"""Run a LiteRT file without TensorFlow.

This module needs only NumPy and ai-edge-litert. An app can copy it, or import it as
`keras_s2s.export.litert_runner`. It is also a command:

    python litert_runner.py g2p.tflite hello world
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import importlib.util
import json
import os
import sys
import threading
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# A copy of this file outside the package raises the built-in types.
_errors = importlib.import_module("keras_s2s.errors") if __package__ == "keras_s2s.export" else None
InputError: type[ValueError] = _errors.InputError if _errors else ValueError
MissingPackageError: type[ImportError] = _errors.MissingPackageError if _errors else ImportError

_PAD_ID, _UNK_ID, _BOS_ID, _EOS_ID = 0, 1, 2, 3
_NUM_SPECIAL = 4
_UNKNOWN_TEXT = "⁇"
# The score of a slot without a hypothesis.
_NO_SCORE = -1e9
# Name of the metadata with the checksum of the file, and its size: a CRC-32 in hexadecimal digits.
CHECKSUM, CHECKSUM_SIZE = "checksum", 8
# Tokenizers that plain Python can replace, with their separators; others need tensorflow-text.
_SEPARATORS = {
    "ByteTokenizer": "",
    "CharTokenizer": "",
    "DecomposedCharTokenizer": "",
    "WordTokenizer": " ",
}
_SOURCES = {*_SEPARATORS, "FeatureTokenizer"}


class Hypothesis(NamedTuple):
    """Target text with its score, its log probability and its confidence.

    The fields are those of `keras_s2s.Hypothesis`, which a copy of this file cannot import.
    """

    text: str
    score: float
    log_prob: float
    confidence: float | None = None


class LiteRTRunner:
    """Runner for a LiteRT file written by `keras_s2s.export.litert`: text in, text out.

    With tokenizers of characters, words or bytes, or a `FeatureTokenizer` or
    `DecomposedCharTokenizer` for sources, `translate` and `search` run the "ids" signature with
    built-in operations and the vocabularies in the file. A file without "ids", a
    `SentencePieceTokenizer` and `replace_unknown` need the signature "serving_default", and `score`
    needs "score". These two need the operations of tensorflow-text, which are loaded from that
    package's library without importing TensorFlow. A runner is thread-safe, but LiteRT's
    interpreter processes one call at a time. LiteRT prints INFO lines to standard error when it
    first runs, and has no switch to turn them off. In a process that also uses TensorFlow, import
    TensorFlow before the first runner: otherwise the process crashes when it ends.

    Args:
        path: Path of the file.
        num_threads: Number of threads that LiteRT uses. Defaults to `None`: LiteRT decides.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is damaged, is not a LiteRT file, or was not written by
            `keras_s2s.export.litert`, or `num_threads` is not positive.

    Example:
        runner = LiteRTRunner("g2p.tflite")
        runner.translate(["hello"])  # ["HH AH L OW"]
        runner.search(["hello"])  # for each text its hypotheses, best first
        runner.score(["hello"], ["HH AH L OW"])  # [Hypothesis("HH AH L OW", -0.004, -0.01)]
    """

    def __init__(self, path: str | os.PathLike[str], *, num_threads: int | None = None) -> None:
        self._path = os.fspath(path)
        self._num_threads = num_threads
        if num_threads is not None and (type(num_threads) is not int or num_threads < 1):
            raise InputError(
                "`num_threads` must be None or a positive integer. "
                f"Received: num_threads={num_threads!r}"
            )
        if not os.path.isfile(self._path):
            folder = ", but a folder" if os.path.isdir(self._path) else ""
            raise FileNotFoundError(f"There is no file {self._path!r}{folder}.")
        interpreter = import_litert("interpreter")
        try:  # loading verifies the file, so it comes first
            self._interpreter = interpreter.Interpreter(self._path, num_threads=num_threads)
        except ValueError as error:
            raise InputError(
                f"{self._path!r} is not a LiteRT file, or is damaged: {error}"
            ) from error
        card, source, target = _read_metadata(self._path)
        self._card = card
        kinds = [card["source"]["class"], card["target"]["class"]]
        readable = kinds[0] in _SOURCES and kinds[1] in _SEPARATORS
        self._plain = readable and "ids" in card["signatures"] and not card["replace_unknown"]
        self._source, self._target = (kinds[0], source), (kinds[1], target)
        self._ids = {token: number for number, token in enumerate(source) if number >= _NUM_SPECIAL}
        self._text_interpreter: Any = None
        self._lock = threading.Lock()

    @property
    def card(self) -> dict[str, Any]:
        """Model card: the content of the file, and how it was checked."""
        return self._card

    def translate(self, texts: Iterable[str], *, batch_size: int = 64) -> list[str]:
        """Translate each text to the best target found.

        Args:
            texts: A list of str.
            batch_size: Number of texts to search together. Defaults to 64.

        Returns:
            One target for each text.

        Raises:
            TypeError: If `texts` is a single text, or one of them is not a str.
            ValueError: If a text is empty, not valid Unicode or longer than the translator's
                `max_source_length` or the file's `source_length`, `batch_size` is not positive, the
                file lacks the signature, or the model has diverged.
            ImportError: If the operations of tensorflow-text are needed but not installed.
        """
        given = _check_texts("texts", texts, may_be_empty=False)
        answers = self.search(given, batch_size=batch_size)
        found = enumerate(zip(given, answers, strict=True))
        return [self._best(answer, number, text).text for number, (text, answer) in found]

    def _best(self, answer: list[Hypothesis], number: int, text: str) -> Hypothesis:
        """Return the first hypothesis of an output; raise if it has none."""
        if not answer:
            limits = (self._card.get("max_source_length"), self._card.get("source_length"))
            limit = min((limit for limit in limits if limit is not None), default=None)
            limited = "" if limit is None else f"a source of at most {limit} tokens, and "
            counted = self._source[0] in _SOURCES and limit is not None
            length = f" ({len(self._tokenize(text))} tokens, including eos)" if counted else ""
            raise InputError(
                f"No target was found for the text at position {number}{length}. Expected: "
                f"{limited}a target that satisfies the rules of the search"
            )
        return answer[0]

    def search(self, texts: Iterable[str], *, batch_size: int = 64) -> list[list[Hypothesis]]:
        """Search for the `num_hypotheses` best targets of each text, as the translator does.

        Args:
            texts: A list of str.
            batch_size: Number of texts to search together. Defaults to 64.

        Returns:
            The hypotheses of each text, best first. A text that is too long has none.

        Raises:
            TypeError, ValueError, ImportError: As for `translate`.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(
                f"`batch_size` must be a positive integer. Received: batch_size={batch_size!r}"
            )
        given = _check_texts("texts", texts, may_be_empty=False)
        answers: list[list[Hypothesis]] = [[] for _ in given]
        search = self._search_ids if self._plain else self._search_texts
        by_length = sorted(range(len(given)), key=lambda number: len(given[number]))
        for start in range(0, len(given), batch_size):
            numbers = by_length[start : start + batch_size]
            found = search([given[number] for number in numbers])
            for number, row in zip(numbers, found, strict=True):
                answers[number] = [each for each in row if each.score > _NO_SCORE]
        return answers

    def score(self, texts: Iterable[str], targets: Iterable[str]) -> list[Hypothesis]:
        """Score given targets. Needs the operations of tensorflow-text.

        Args:
            texts: A list of str. The sources.
            targets: A list of str. One target per source.

        Returns:
            Each target with its score and its log probability.

        Raises:
            TypeError: If an argument is a single text, or contains anything other than str.
            ValueError: If the numbers of texts and targets differ, a source is empty, a text is
                not valid Unicode, the file lacks the "score" signature, or the model has diverged.
            ImportError: If the operations of tensorflow-text are not installed.
        """
        sources = _check_texts("texts", texts, may_be_empty=False)
        wanted = _check_texts("targets", targets, may_be_empty=True)
        if len(sources) != len(wanted):
            raise InputError(
                f"`targets` must contain one target per text. Received: {len(sources)} texts "
                f"and {len(wanted)} targets"
            )
        if not sources:
            return []
        found = self._ask_text("score", source=_strings(sources), target=_strings(wanted))
        _check_converged(found)
        rows = zip(wanted, found["scores"], found["log_probs"], strict=True)
        return [Hypothesis(text, float(score), float(log_prob)) for text, score, log_prob in rows]

    def _search_ids(self, texts: list[str]) -> list[list[Hypothesis]]:
        """Search with "ids", tokenizing in Python."""
        rows = [self._tokenize(text) for text in texts]
        length = self._card.get("source_length")
        if length is None:
            return self._search_rows(rows, max(map(len, rows)))
        # The file takes one row of this length.
        return [self._search_rows([row], length)[0] if len(row) <= length else [] for row in rows]

    def _search_rows(self, rows: list[list[int]], length: int) -> list[list[Hypothesis]]:
        """Search with "ids" for the targets of rows of ids, padded to a length."""
        source_ids = np.full((len(rows), length), _PAD_ID, np.int32)
        for number, ids in enumerate(rows):
            source_ids[number, : len(ids)] = ids
        with self._lock:
            found = self._interpreter.get_signature_runner("ids")(source_ids=source_ids)
        targets = [
            [self._detokenize(ids) for ids in hypotheses]
            for hypotheses in found["target_ids"].tolist()
        ]
        return _hypotheses(targets, found)

    def _search_texts(self, texts: list[str]) -> list[list[Hypothesis]]:
        """Search with "serving_default", tokenizing in the graph."""
        found = self._ask_text("serving_default", source=_strings(texts))
        targets = [[text.decode("utf-8", "replace") for text in row] for row in found["target"]]
        return _hypotheses(targets, found)

    def _tokenize(self, text: str) -> list[int]:
        """Convert a text to ids that end with eos."""
        kind, _ = self._source
        if kind == "ByteTokenizer":
            return [*(byte + _NUM_SPECIAL for byte in text.encode()), _EOS_ID]
        parts: Sequence[str] = text.split() if kind == "WordTokenizer" else text
        if kind == "DecomposedCharTokenizer":
            parts = [part for character in text for part in self._decompose(character)]
        if kind == "FeatureTokenizer":
            word, *last = text.strip().rsplit(maxsplit=1) or [""]
            features = [f";{feature}" for part in last for feature in part.split(";") if feature]
            parts = [*word, *features]
        return [*(self._ids.get(part, _UNK_ID) for part in parts), _EOS_ID]

    def _decompose(self, character: str) -> str:
        """Return the parts of a character, or the character if none of its parts is known."""
        parts = unicodedata.normalize("NFD", character)
        return parts if any(part in self._ids for part in parts) else character

    def _detokenize(self, ids: list[int]) -> str:
        """Convert ids to a text, up to the first eos."""
        kind, tokens = self._target
        if _EOS_ID in ids:
            ids = ids[: ids.index(_EOS_ID)]
        ids = [number for number in ids if number not in (_PAD_ID, _BOS_ID)]
        if kind == "ByteTokenizer":
            pieces = (
                _UNKNOWN_TEXT.encode() if number == _UNK_ID else bytes([number - _NUM_SPECIAL])
                for number in ids
            )
            return b"".join(pieces).decode("utf-8", "replace")
        return _SEPARATORS[kind].join(
            _UNKNOWN_TEXT if number == _UNK_ID else tokens[number] for number in ids
        )

    def _ask_text(self, signature: str, **inputs: Any) -> dict[str, Any]:
        """Call a signature that takes text."""
        if signature not in self._card["signatures"]:
            raise InputError(
                f"{self._path!r} must have the signature {signature!r} for this call. Received: a "
                f"file with {', '.join(map(repr, self._card['signatures']))}"
            )
        with self._lock:
            if self._text_interpreter is None:
                interpreter = import_litert("interpreter")
                self._text_interpreter = interpreter.InterpreterWithCustomOps(
                    custom_op_registerers=load_text_operations(),
                    model_path=self._path,
                    num_threads=self._num_threads,
                )
            run = self._text_interpreter.get_signature_runner(signature)
            found: dict[str, Any] = run(**inputs)
            return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each text, its best target and the score, separated by tabs. Empty lines stay empty.

    Args:
        arguments: The arguments. Defaults to `None`: the command line's.

    Returns:
        The exit code: 0, or 2 after a user error, which is reported in one line.
    """
    parser = argparse.ArgumentParser(
        description="Translate texts with a LiteRT file written by keras_s2s. For each text, print "
        "a line of three columns, separated by tabs: the text, its best target, and the score."
    )
    parser.add_argument("path", help="the .tflite file")
    parser.add_argument(
        "texts", nargs="*", help="texts to translate; default: the lines of standard input"
    )
    options = parser.parse_args(arguments)
    try:
        lines = options.texts or _split_lines(sys.stdin.read())
        runner = LiteRTRunner(options.path)
        answers = iter(runner.search([line for line in lines if options.texts or line.strip()]))
        for number, line in enumerate(lines):
            if not (options.texts or line.strip()):
                sys.stdout.write("\n")
                continue
            best = runner._best(next(answers), number, line)
            sys.stdout.write(f"{line}\t{best.text}\t{best.score:.4f}\n")
    except (ImportError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _split_lines(text: str) -> list[str]:
    """Split a text at LF and CR LF. Other separators, such as U+2028, do not end a line."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _check_texts(name: str, texts: Any, *, may_be_empty: bool) -> list[str]:
    """Return the texts as a list, or raise with the position of an invalid text."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise TypeError(f"`{name}` must be a list of str. Received: {name}={texts!r}")
    found = list(texts)
    for number, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(
                f"`{name}` must be a list of str. Received: {text!r} (of type "
                f"{type(text).__name__}) at position {number}"
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"`{name}` must be valid Unicode. Received: {text!r} at position {number}: {error}"
            ) from None
        if not may_be_empty and not text.strip():
            raise InputError(f"`{name}` must not be empty. Received: {text!r} at position {number}")
    return found


def _read_metadata(path: str) -> tuple[dict[str, Any], list[str], list[str]]:
    """Read the model card and both vocabularies of a file that the runtime has verified."""
    schema = import_litert("schema_py_generated")
    content = Path(path).read_bytes()
    if not is_intact(content):
        raise InputError(f"{path!r} is damaged: it does not match its checksum.")
    model = schema.Model.GetRootAs(content)
    entries = [model.Metadata(number) for number in range(model.MetadataLength())]
    places = {entry.Name().decode(): entry.Buffer() for entry in entries}
    found: list[Any] = []
    for name in ("model_card.json", "source_vocabulary.json", "target_vocabulary.json"):
        if name not in places:
            raise InputError(
                f"There is no {name!r} in {path!r}: the file was not written by "
                "`keras_s2s.export.litert`."
            )
        try:
            found.append(json.loads(bytes(model.Buffers(places[name]).DataAsNumpy())))
        except ValueError as error:
            raise InputError(f"The {name!r} in {path!r} is damaged: {error}") from error
    card, source, target = found
    return card, source, target


def import_litert(module: str) -> Any:
    """Import a module of ai-edge-litert.

    Args:
        module: Name of the module, such as "interpreter".

    Returns:
        The module.

    Raises:
        ImportError: If ai-edge-litert is not installed; the message names the package to install.
    """
    try:
        return importlib.import_module(f"ai_edge_litert.{module}")
    except ImportError as error:
        if _errors:
            raise _errors.missing_package("ai_edge_litert", error) from error
        raise ImportError(f"LiteRT files need ai-edge-litert ({error})") from error


def checksum(content: bytes) -> tuple[int, bytes] | None:
    """Compute the checksum of a LiteRT file.

    Args:
        content: The content of the file.

    Returns:
        The position of the checksum in the file, and the checksum of all other bytes. `None` if
        the file does not store a checksum.
    """
    model = import_litert("schema_py_generated").Model.GetRootAs(content)
    for number in range(model.MetadataLength()):
        if model.Metadata(number).Name() == CHECKSUM.encode():
            table = model.Buffers(model.Metadata(number).Buffer())._tab
            start = table.Vector(table.Offset(4))
            rest = memoryview(content)[start + CHECKSUM_SIZE :]
            found = zlib.crc32(rest, zlib.crc32(memoryview(content)[:start]))
            return start, f"{found:0{CHECKSUM_SIZE}x}".encode()
    return None


def is_intact(content: bytes) -> bool:
    """Return whether the content of a LiteRT file matches its checksum, if it has one."""
    found = checksum(content)
    return found is None or content[found[0] : found[0] + CHECKSUM_SIZE] == found[1]


def load_text_operations() -> list[Any]:
    """Load the operations of tensorflow-text, without importing TensorFlow.

    Returns:
        Functions that register the operations, for `InterpreterWithCustomOps`.

    Raises:
        ImportError: If tensorflow-text is not installed.
    """
    found = [importlib.util.find_spec(name) for name in ("tensorflow", "tensorflow_text")]
    folders = [Path(spec.origin).parent for spec in found if spec is not None and spec.origin]
    if len(folders) < len(found):
        raise MissingPackageError(
            "This file needs the operations of tensorflow-text, which is not installed: pip "
            "install tensorflow-text (Linux, and macOS on arm64). A file exported with "
            "signatures=('ids',) does not need it: `keras-s2s translate` runs any such file, and "
            "`LiteRTRunner` those without SentencePiece and `replace_unknown`"
        )
    if "tensorflow" in sys.modules:  # loading a second copy of the library is unsafe
        registrar: Any = importlib.import_module("tensorflow_text").tflite_registrar
    else:
        ctypes.CDLL(str(next(folders[0].glob("libtensorflow_framework.*"))))
        library = folders[1] / "core" / "pybinds" / "tflite_registrar.so"
        spec = importlib.util.spec_from_file_location("tflite_registrar", library)
        if spec is None or spec.loader is None:
            raise MissingPackageError(f"{str(library)!r} cannot be loaded as a module.")
        registrar = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(registrar)
    return [register for name, register in vars(registrar).items() if name.startswith("Add")]


def _strings(texts: list[str]) -> np.ndarray[Any, Any]:
    """Encode texts as LiteRT expects them: an array of bytes objects."""
    return np.array([text.encode() for text in texts], dtype=object)


def _hypotheses(targets: list[list[str]], found: dict[str, Any]) -> list[list[Hypothesis]]:
    """Group targets and their scores by text and by hypothesis."""
    _check_converged(found)
    names = [name for name in ("scores", "log_probs", "confidences") if name in found]
    rows = zip(targets, *(found[name].tolist() for name in names), strict=True)
    return [[Hypothesis(*each) for each in zip(*row, strict=True)] for row in rows]


def _check_converged(found: dict[str, Any]) -> None:
    if np.isnan(found["scores"]).any():
        raise InputError("The model has diverged: its scores are NaN. Export another model.")


if __name__ == "__main__":
    sys.exit(main())
