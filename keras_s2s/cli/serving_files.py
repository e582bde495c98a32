"""`keras-s2s serving-files`: write the configuration files of a model server."""

from __future__ import annotations

from typing import Any

import click

from keras_s2s.cli.options import OVERWRITE, option
from keras_s2s.cli.paths import ExistingPath, OutputFolder
from keras_s2s.cli.streams import write_line


@click.command(short_help="Write configuration files for TF Serving.")
@click.argument(
    "served",
    type=ExistingPath("a folder of SavedModel versions", file=False, folder=True),
    metavar="SERVED",
)
@click.argument("folder", type=OutputFolder("a folder to write the files to"), metavar="FOLDER")
@option("--name", show_default="the name of SERVED", help="Name of the model in requests.")
@option(
    "--version",
    "versions",
    type=click.IntRange(1),
    multiple=True,
    help="Version to serve. May be given several times.",
    show_default="always the newest version",
)
@option(
    "--image",
    show_default="the official TF Serving image",
    help="Container image of the server.",
)
@option(
    "--cpus", type=click.IntRange(1), default=2, show_default=True, help="CPU cores per server."
)
@option("--memory", default="1Gi", show_default=True, help="Memory per server.")
@option(
    "--replicas",
    type=click.IntRange(1),
    nargs=2,
    default=(2, 8),
    show_default="2 8",
    metavar="MIN MAX",
    help="Minimum and maximum number of servers in a cluster.",
)
@OVERWRITE
def serving_files(served: str, folder: str, **settings: Any) -> None:
    """Write configuration files to FOLDER for serving the models in SERVED with TF Serving.

    SERVED is the folder of SavedModel versions that `export` wrote. The files are the server's
    settings for versions, batching and metrics, a compose file for containers, and manifests for
    Kubernetes. Prints their paths.
    """
    from keras_s2s import export as exports

    try:
        paths = exports.serving_files(served, folder, **settings)
    except FileExistsError:
        raise FileExistsError(
            f"{folder}: the folder contains files of an earlier call, which may have been edited "
            "since; use --overwrite to replace them"
        ) from None
    for path in paths:
        write_line(path)
