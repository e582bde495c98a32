"""`keras-s2s train`: train a model on files of pairs."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import click

from keras_s2s.cli.options import (
    check_modules,
    import_modules,
    option,
    refuse_extra_arguments,
)
from keras_s2s.cli.paths import PAIRS_FILE, TRANSLATORS, ExistingPath, OutputFile, check_path
from keras_s2s.cli.recommended_settings import fit_to_pairs
from keras_s2s.cli.run_folder import check_data, check_folder, checksums_of, claimed, write_text
from keras_s2s.cli.setting import Setting, describe_range, name_as_given, option_name
from keras_s2s.cli.setting_table import SECTIONS, SETTINGS
from keras_s2s.cli.settings_file import complete, read_config, to_yaml
from keras_s2s.cli.settings_of_models import follow_models
from keras_s2s.cli.streams import import_package
from keras_s2s.cli.training_pairs import holds_records, read_training_pairs
from keras_s2s.errors import check_package
from keras_s2s.evaluation import METRICS, check_metrics

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
    name = option_name(setting.name)
    required = setting.default is None and setting.unset is None
    settings: dict[str, Any] = {
        "help": setting.option_help(),
        "default": None,
        "show_default": setting.option_default(),
        "always": required,
        "allowed": describe_range(setting.minimum, setting.maximum),
        "metavar": _METAVARS.get(setting.name),
    }
    if setting.kind is bool:
        return option(f"{name}/--no-{name[2:]}", setting.name, **settings)
    if setting.several:
        return option(name, setting.name, multiple=True, **settings)
    choices = setting.choices if not setting.registered else ()
    kind: Any = click.Choice(choices) if choices else setting.kind
    return option(name, setting.name, type=kind, **settings)


@click.command(
    cls=_TrainCommand,
    short_help="Train a model on files of pairs.",
    options_metavar="--train FILE --valid FILE [OPTIONS]",
    context_settings={"allow_extra_args": True},
)
@option(
    "--config",
    type=ExistingPath("a YAML file with settings"),
    metavar="FILE",
    help="YAML file with settings.",
)
@option(
    "--write-config",
    type=OutputFile("a new YAML file"),
    metavar="FILE",
    help="Write the settings to a new YAML file, with an explanation of each, and exit.",
)
@_setting_options
def train(config: str | None, write_config: str | None, **options: Any) -> None:
    """Train on source<TAB>target lines and write a run folder with the best model.

    Every setting can be given as an option or in a YAML file (--config); options override the file.
    Settings and files are checked before training starts. To resume an interrupted run, run the
    same command again: the final weights are the same as without the interruption, unless
    --minutes is set, which makes the learning rate depend on the time.
    """
    refuse_extra_arguments("Give each file its own option: --train FILE --train FILE.")
    given = read_config(config) if config is not None else {}
    for name, value in options.items():
        if value is not None and value != ():
            given[name] = SETTINGS[name].check(value, option_name(name))
    if write_config is not None:
        _write_config(write_config, given)
        return
    settings = complete(given)
    _check_paths(settings)
    modules = getattr(settings, "import") or ()
    check_modules(modules)
    settings = complete(follow_models(given))
    with claimed(settings.output):
        resumes = check_folder(settings)
        checksums = checksums_of(settings)
        if resumes:
            check_data(settings.output, checksums)
        check_metrics(
            METRICS,
            bleu_tokenize=settings.bleu_tokenize,
            name=name_as_given("bleu_tokenize"),
        )
        pairs = None
        if not holds_records(settings):  # which TensorFlow reads, after it is configured
            pairs = read_training_pairs(settings)
            fit_to_pairs(settings, pairs)
        if "subword" in (settings.source_tokenizer, settings.target_tokenizer):
            check_package("sentencepiece")
        import_package()
        import_modules(modules)
        from keras_s2s.cli import training

        training.train(settings, pairs, checksums, resumes=resumes)


def _check_paths(settings: SimpleNamespace) -> None:
    """Check that the files and models of the settings exist."""
    for path in settings.train:
        check_path(name_as_given("train"), path, PAIRS_FILE)
    check_path(name_as_given("valid"), settings.valid, PAIRS_FILE)
    for name in ("init_from", "teacher"):
        path = getattr(settings, name)
        if path is not None:
            check_path(name_as_given(name), path, TRANSLATORS, folder=True)


def _write_config(path: str, given: dict[str, Any]) -> None:
    if os.path.lexists(path):
        raise FileExistsError(f"--write-config {path}: the file already exists")
    write_text(path, to_yaml(given))
