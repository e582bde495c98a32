"""Files to run a model server with: its configuration, containers, Kubernetes, monitoring."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
from collections.abc import Iterable

from keras_s2s.checks import check_positive_int
from keras_s2s.errors import InputError
from keras_s2s.export.templates import fill_template
from keras_s2s.export.versions import find_versions
from keras_s2s.files import written_beside

# The names in a cluster and in a container file.
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
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
    """Write what it takes to run TF Serving on an export: "deploy/" beside "serving/g2p".

    The model server's own settings are "models.config" (which versions of which model),
    "batching.config" (threads of its batches) and "monitoring.config" (metrics for Prometheus).
    "compose.yaml" runs it in a container, with Prometheus where asked for; "kustomization.yaml"
    and "kubernetes.yaml" in a cluster, with a readiness probe, a service and autoscaling:

        docker compose --file deploy/compose.yaml up
        kubectl apply --kustomize deploy

    The server listens on port 8500 for gRPC and 8501 for REST and metrics.

    Args:
        base_path: The folder of the versions, "serving/g2p", that `saved_model` wrote to.
        folder: Where to write the files; made where it does not exist.
        name: What clients call the model; the name of `base_path` by default.
        versions: The versions to serve, all at once; by default the newest one, and a newer one
            as soon as it is there.
        image: The container image of the server; TensorFlow Serving's own, of the TensorFlow
            version that is installed, by default.
        cpus: How many cores one server has, and how many batches it works on at once.
        memory: What one server may use, as in "1Gi".
        replicas: The fewest and the most servers in a cluster.
        overwrite: Whether to write over the files of an earlier call.

    Returns:
        The paths of the files.

    Raises:
        FileNotFoundError: If there is no version in `base_path`, or not one that `versions` names.
        FileExistsError: If a file is there already, and `overwrite` is not set.
        ValueError: If a name or a number cannot be.
        OSError: If a file cannot be written.
    """
    base_path, folder = os.path.abspath(base_path), os.path.abspath(folder)
    name = os.path.basename(base_path) if name is None else name
    version = importlib.metadata.version("tensorflow")
    image = image or f"tensorflow/serving:{'.'.join(version.split('.')[:2])}.0"
    _check(name, cpus, memory, replicas)
    minimum, maximum = replicas
    relative_path = os.path.join(os.curdir, os.path.relpath(base_path, folder))
    contents = {
        file: fill_template(
            file,
            name=name,
            base_path=_quoted(relative_path.replace("$", "$$")),  # a compose file fills in $name
            version_policy=_version_policy(base_path, versions),
            image=_quoted(image),
            cpus=cpus,
            memory=memory,
            min_replicas=minimum,
            max_replicas=maximum,
        ).encode()
        for file in _FILES
    }
    os.makedirs(folder, exist_ok=True)
    for file in contents:
        if not overwrite and os.path.lexists(os.path.join(folder, file)):
            raise FileExistsError(
                f"{file!r} is there already, and may have been changed by hand; "
                "`overwrite=True` writes it anew. "
                f"Received: folder={folder!r}"
            )
    return _write(folder, contents)


def _check(name: str, cpus: int, memory: str, replicas: tuple[int, int]) -> None:
    """Refuse names and numbers that a container or a cluster would refuse."""
    if not _NAME.fullmatch(name):
        raise InputError(
            "`name` must be lower-case letters, digits and hyphens, with a letter in front, as in "
            f"'g2p', because containers are called so. Received: name={name!r}"
        )
    check_positive_int("cpus", cpus)
    if not _MEMORY.fullmatch(memory):
        raise InputError(f"`memory` must be as in '512Mi' or '1Gi'. Received: memory={memory!r}")
    for number in replicas:
        check_positive_int("replicas", number)
    if len(replicas) != 2 or replicas[0] > replicas[1]:
        raise InputError(
            f"`replicas` must be the fewest and the most servers. Received: replicas={replicas!r}"
        )


def _version_policy(base_path: str, versions: Iterable[int]) -> str:
    """Give the policy of the versions to serve, as `models.config` spells it."""
    found, wanted = find_versions(base_path), sorted(set(versions))
    missing = [version for version in wanted if version not in found]
    if not found or missing:
        raise FileNotFoundError(
            f"{base_path!r} must be a folder with versions, 'serving/g2p' for 'serving/g2p/1'. "
            f"Received: the versions {sorted(found)}, and versions={wanted}"
        )
    if not wanted:
        return "latest { num_versions: 1 }"
    return "specific { " + " ".join(f"versions: {version}" for version in wanted) + " }"


def _quoted(text: str) -> str:
    """Write a text as YAML."""
    return json.dumps(text, ensure_ascii=False)


def _write(folder: str, contents: dict[str, bytes]) -> list[str]:
    """Write files beside those that a server may be reading, and put them in place at the end."""
    paths = {os.path.join(folder, name): content for name, content in contents.items()}
    with contextlib.ExitStack() as unfinished:
        for path, content in paths.items():
            name = unfinished.enter_context(written_beside(path))
            with open(name, "wb") as file:
                file.write(content)
    return list(paths)
