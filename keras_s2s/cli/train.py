"""`keras-s2s train`: train a model on files of pairs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from keras_s2s.cli.initial_settings import follow_models
from keras_s2s.cli.options import check_modules, import_modules, refuse_extra_arguments
from keras_s2s.cli.report import METRICS
from keras_s2s.cli.run_folder import check_data, check_folder, claimed, write_text
from keras_s2s.cli.setting import Setting
from keras_s2s.cli.setting_table import SECTIONS, SETTINGS
from keras_s2s.cli.settings import complete, missing_files, read_config, to_yaml
from keras_s2s.cli.streams import import_package
from keras_s2s.cli.training_pairs import holds_records, read_training_pairs
from keras_s2s.evaluation import check_installed

_METAVARS = {
    "train": "FILE",
    "valid": "FILE",
    "output": "FOLDER",
    "import": "MODULE",
    "init_from": "MODEL",
    "teacher": "MODEL",
    "context": "NAME",
}


class _TrainCommand(click.Command):
    """Command whose help lists the options in the sections of a settings file."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {
            option.name: record
            for option in self.get_params(ctx)
            if (record := option.get_help_record(ctx)) is not None
        }
        sections = {title: [it.name for it in listed] for title, listed in SECTIONS.items()}
        sections = {"Options": [name for name in records if name not in SETTINGS]} | sections
        for title, names in sections.items():
            with formatter.section(title):
                formatter.write_dl([records[name] for name in names])


def _setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each setting to a command."""
    for setting in reversed(SETTINGS.values()):
        command = _option(setting)(command)
    return command


def _option(setting: Setting) -> Callable[..., Any]:
    name = "--" + setting.name.replace("_", "-")
    text, _, unset = setting.help.partition("; null: ")  # null is for settings files
    default = unset if setting.default is None else str(setting.default).lower()
    if unset and setting.default is not None:
        text += f" (null in a settings file: {unset})"
    extra = "; ".join(filter(None, [default and f"default: {default}", setting.bounds()]))
    settings: dict[str, Any] = {
        "help": f"{text}." + (f"  [{extra}]" if extra else ""),
        "default": None,
        "metavar": _METAVARS.get(setting.name),
    }
    if setting.kind is bool:
        return click.option(f"{name}/--no-{name[2:]}", setting.name, **settings)
    if setting.several:
        return click.option(name, setting.name, multiple=True, **settings)
    choices = setting.choices if not setting.registered else ()
    kind: Any = click.Choice(choices) if choices else setting.kind
    return click.option(name, setting.name, type=kind, **settings)


@click.command(
    cls=_TrainCommand,
    short_help="Train a model on files of pairs.",
    context_settings={"allow_extra_args": True},
)
@click.option(
    "--config", type=click.Path(exists=True, dir_okay=False), help="YAML file with settings."
)
@click.option(
    "--write-config",
    type=click.Path(dir_okay=False),
    help="Write a settings file with an explanation on each line, and exit.",
)
@_setting_options
def train(config: str | None, write_config: str | None, **flags: Any) -> None:
    """Train on source<TAB>target lines and write a run folder with the best model.

    Settings come from options or from a file (--config); options override the file. All settings
    are checked before training starts. Run the same command again to resume an interrupted
    run. The final weights are the same as without the interruption, unless --minutes ended the
    run.
    """
    refuse_extra_arguments("Give each file its own option: --train FILE --train FILE.")
    given = read_config(config) if config is not None else {}
    for name, value in flags.items():
        if value is not None and value != ():
            given[name] = SETTINGS[name].check(value)
    if write_config is not None:
        _write_config(write_config, given)
        return
    settings = complete(given)
    missing_files([*settings.train, settings.valid])
    modules = getattr(settings, "import") or ()
    check_modules(modules)
    settings = complete(follow_models(given))
    with claimed(settings.output):
        resumes = check_folder(settings)
        if resumes:
            check_data(settings)
        # TensorFlow reads TFRecords, and only after it is configured.
        pairs = None if holds_records(settings) else read_training_pairs(settings)
        check_installed(METRICS)
        import_package()
        import_modules(modules)
        from keras_s2s.cli import training

        training.train(settings, pairs, resumes=resumes)


def _write_config(path: str, given: dict[str, Any]) -> None:
    if os.path.exists(path):
        raise FileExistsError(f"{path}: the file already exists")
    write_text(path, to_yaml(given))
