"""Files for a model server: batching, configuration, containers, Kubernetes and monitoring.

Their templates are in `export/serving/`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.resources
import json
import operator
import os
import re
import string
from collections.abc import Iterable
from typing import Any

from keras_s2s.checks import check_bool, check_int, check_positive_int, short_repr
from keras_s2s.errors import InputError
from keras_s2s.export.versions import find_versions
from keras_s2s.files import write_file, written_beside

BATCHING_FILE = "batching_params.pbtxt"
_TEMPLATES = importlib.resources.files("keras_s2s.export") / "serving"

# Names that clusters and container files accept.
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
# Batches that a server works on at once, for each core: a long source then delays the others less.
_THREADS_PER_CORE = 4
_MEMORY = re.compile(r"[1-9][0-9]*(Mi|Gi)")

_FILES = (
    "models.config",
    "batching.config",
    "monitoring.config",
    "compose.yaml",
    "prometheus.yaml",
    "kubernetes.yaml",
    "kustomization.yaml",
)


@dataclasses.dataclass(frozen=True)
class Batching:
    """Settings for how a model server merges concurrent requests into one batch.

    The output for a row does not depend on the other rows of its batch. A server merges requests if
    it runs with `--enable_batching`, and reads these settings from the version's folder with
    `--enable_per_model_batching_parameters`.

    Args:
        max_batch_size: Maximum number of rows in a batch and in a request; larger requests are
            rejected.
        batch_timeout_micros: Maximum time that a request waits for others, in microseconds.
        max_enqueued_batches: Maximum number of waiting batches. Beyond it, the server immediately
            returns the error "unavailable".

    Raises:
        ValueError: If a number is out of range.
    """

    max_batch_size: int = 64
    batch_timeout_micros: int = 2000
    max_enqueued_batches: int = 100

    def __post_init__(self) -> None:
        check_positive_int("max_batch_size", self.max_batch_size)
        check_int("batch_timeout_micros", self.batch_timeout_micros, minimum=0)
        check_positive_int("max_enqueued_batches", self.max_enqueued_batches)

    def to_file(self) -> bytes:
        """Return the content of the file: a `BatchingParameters` text message with comments."""
        return fill_template(BATCHING_FILE, **dataclasses.asdict(self)).encode()


def check_batching(batching: Any) -> Batching:
    """Check that `batching` is a `Batching`, and return it.

    Args:
        batching: The value to check.

    Raises:
        TypeError: If it is anything else.
    """
    if not isinstance(batching, Batching):
        raise TypeError(f"`batching` must be a `Batching`. Received: batching={batching!r}")
    return batching


def serving_files(
    base_path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    versions: Iterable[int] = (),
    image: str | None = None,
    cpus: int = 2,
    memory: str = "1Gi",
    replicas: tuple[int, int] = (2, 8),
    overwrite: bool = False,
) -> list[str]:
    """Write the files that run TF Serving on an export, such as "deploy/" for "serving/g2p".

    The settings of the model server are "models.config" (models and versions), "batching.config"
    (batching threads) and "monitoring.config" (metrics for Prometheus). "compose.yaml" runs the
    server in a container, and optionally Prometheus. "kustomization.yaml" and "kubernetes.yaml" run
    it in a cluster, with a readiness probe, a service and autoscaling:

        docker compose --file deploy/compose.yaml up
        kubectl apply --kustomize deploy

    The server listens on port 8500 for gRPC and 8501 for REST and metrics.

    Args:
        base_path: Folder of the versions that `saved_model` wrote, such as "serving/g2p".
        folder: Destination folder; created if it does not exist.
        name: Name of the model for clients. Defaults to the name of `base_path`.
        versions: The versions to serve, all at once. Defaults to the newest version, replaced by
            a newer one as soon as it exists.
        image: Container image of the server. Defaults to TensorFlow Serving's official image for
            the installed version of TensorFlow.
        cpus: Number of cores of one server. The server processes four batches per core
            concurrently, so that a long source does not delay the other requests. Defaults to 2.
        memory: Memory limit of one server, such as "1Gi". Defaults to "1Gi".
        replicas: Minimum and maximum number of servers in a cluster. Defaults to `(2, 8)`.
        overwrite: Whether to replace existing files. Defaults to `False`.

    Returns:
        The paths of the files.

    Raises:
        FileNotFoundError: If `base_path` has no version, or lacks one of `versions`.
        FileExistsError: If a file exists already and `overwrite` is not set.
        TypeError: If `versions` is not a list of integers, or `replicas` not two integers.
        ValueError: If a name or a number is invalid.
        OSError: If a file cannot be written.
    """
    base_path, folder = os.path.abspath(base_path), os.path.abspath(folder)
    name = os.path.basename(base_path) if name is None else name
    version = importlib.metadata.version("tensorflow")
    image = image or f"tensorflow/serving:{'.'.join(version.split('.')[:2])}.0"
    versions = _check_integers("versions", versions, "a list of integers")
    policy = _version_policy(base_path, versions)
    servers = _check_integers("replicas", replicas, "two integers, such as (2, 8)")
    _check(name, cpus, memory, servers)
    check_bool("overwrite", overwrite)
    minimum, maximum = servers
    relative_path = os.path.join(os.curdir, os.path.relpath(base_path, folder))
    contents = {
        file: fill_template(
            file,
            name=name,
            base_path=_quoted(relative_path.replace("$", "$$")),  # a compose file fills in $name
            version_policy=policy,
            image=_quoted(image),
            cpus=cpus,
            threads=_THREADS_PER_CORE * cpus,
            memory=memory,
            compose_memory=memory.replace("i", "").lower(),  # in Docker's units: 1g is 1Gi
            min_replicas=minimum,
            max_replicas=maximum,
        ).encode()
        for file in _FILES
    }
    os.makedirs(folder, exist_ok=True)
    for file in contents:
        if not overwrite and os.path.lexists(os.path.join(folder, file)):
            raise FileExistsError(
                f"{file!r} already exists and may have been edited by hand; `overwrite=True` "
                f"replaces it. Received: folder={folder!r}"
            )
    return _write(folder, contents)


def fill_template(file: str, /, **values: object) -> str:
    """Fill in a template.

    Args:
        file: Name of the template.
        **values: The value of each `${name}` in it.

    Returns:
        The content of the file.
    """
    template = (_TEMPLATES / file).read_text(encoding="utf-8")
    return string.Template(template).substitute(values)


def _check(name: str, cpus: int, memory: str, replicas: tuple[int, ...]) -> None:
    """Raise for names and numbers that a container or a cluster would reject."""
    if not _NAME.fullmatch(name):
        raise InputError(
            "`name` must start with a letter and consist of lower-case letters, digits and "
            "hyphens, as in 'g2p', because it is also the name of the container. Received: "
            f"name={name!r}"
        )
    check_positive_int("cpus", cpus)
    if not _MEMORY.fullmatch(memory):
        raise InputError(f"`memory` must be as in '512Mi' or '1Gi'. Received: memory={memory!r}")
    for number in replicas:
        check_positive_int("replicas", number)
    if len(replicas) != 2 or replicas[0] > replicas[1]:
        raise InputError(
            "`replicas` must be the minimum and the maximum number of servers. Received: "
            f"replicas={replicas!r}"
        )


def _check_integers(name: str, values: Any, expected: str) -> tuple[int, ...]:
    """Return integers as a tuple, or raise `TypeError` with what is expected."""
    try:
        if isinstance(values, str | bytes):
            raise TypeError
        return tuple(operator.index(value) for value in values)
    except TypeError:
        raise TypeError(
            f"`{name}` must be {expected}. Received: {name}={short_repr(values)}"
        ) from None


def _version_policy(base_path: str, versions: Iterable[int]) -> str:
    """Return the policy of the versions to serve, in the format of `models.config`."""
    found, wanted = find_versions(base_path), sorted(set(versions))
    missing = [version for version in wanted if version not in found]
    if not found or missing:
        received = f"a folder with the versions {sorted(found)}, and versions={wanted}"
        raise FileNotFoundError(
            f"{base_path!r} must be a folder that contains versions, such as 'serving/g2p' for "
            f"'serving/g2p/1'. Received: {received if found else _suggestion(base_path)}"
        )
    if not wanted:
        return "latest { num_versions: 1 }"
    return "specific { " + " ".join(f"versions: {version}" for version in wanted) + " }"


def _suggestion(base_path: str) -> str:
    """Describe a folder without versions, and suggest the folder that may be meant."""
    parent = os.path.dirname(base_path)
    names = sorted(os.listdir(base_path)) if os.path.isdir(base_path) else []
    if os.path.isfile(os.path.join(base_path, "saved_model.pb")):
        return f"a version. Did you mean {parent!r}?"
    for folder in (os.path.join(base_path, name) for name in names):
        if find_versions(folder):
            return f"a folder without versions. Did you mean {folder!r}?"
    return f"a folder without versions. `keras-s2s export MODEL {base_path}` writes one"


def _quoted(text: str) -> str:
    """Quote a text for YAML."""
    return json.dumps(text, ensure_ascii=False)


def _write(folder: str, contents: dict[str, bytes]) -> list[str]:
    """Write files under temporary names and rename them last, because a server may read them."""
    paths = {os.path.join(folder, name): content for name, content in contents.items()}
    with contextlib.ExitStack() as unfinished:
        for path, content in paths.items():
            name = unfinished.enter_context(written_beside(path))
            write_file(name, content)
    return list(paths)
