"""Measure the error rates of Yoyodyne on the pairs that `benchmarks.quality` trains on.

    uv venv yoyodyne && uv pip install --python yoyodyne yoyodyne==0.5.27
    python -m benchmarks.quality.yoyodyne yoyodyne/bin/yoyodyne DATA ice --model attentive

The settings are those of the example configurations in its repository (soft_attention_lstm,
pointer_generator_lstm and trainer), in float32 because most CPUs do not compute in bfloat16. Prints
the accuracy of the best model on the validation pairs and the CPU time of training.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
from pathlib import Path
from typing import Any

import yaml

from benchmarks.quality.__main__ import TASKS, write_pairs

MODELS: dict[str, dict[str, Any]] = {
    "attentive": {
        "class": "SoftAttentionLSTMModel",
        "batch_size": 20,
        "optimizer": {"class_path": "torch.optim.Adadelta", "init_args": {"lr": 1.0}},
    },
    "pointer-generator": {
        "class": "PointerGeneratorLSTMModel",
        "batch_size": 32,
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.001}},
    },
}


def main() -> None:
    """Train and test one model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("program", type=Path, help="the command yoyodyne")
    parser.add_argument("data", type=Path, help="folder of the data")
    parser.add_argument("language", help="a folder of WikiPron, such as ice")
    parser.add_argument("--model", choices=MODELS, default="attentive")
    parser.add_argument("--runs", type=Path, default=Path("runs/yoyodyne"))
    arguments = parser.parse_args()
    folder = (arguments.runs / f"{arguments.language}-{arguments.model}").resolve()
    folder.mkdir(parents=True)
    files = {}
    for part in ("train", "valid"):
        files[part] = folder / f"{part}.tsv"
        packed = arguments.data / "wikipron2021" / arguments.language / f"{part}.tsv.gz"
        write_pairs(packed, files[part], TASKS["wikipron-800"], None)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config(MODELS[arguments.model], files, folder)))
    command = [arguments.program, "fit", "--config", path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{(used.ru_utime + used.ru_stime) / 60:.1f} CPU min")
    (best,) = folder.rglob("*.ckpt")
    subprocess.run([arguments.program, "test", *command[2:], "--ckpt_path", best], check=True)


def config(model: dict[str, Any], files: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Return the configuration of a training run.

    Args:
        model: A value of `MODELS`.
        files: Paths of the training and the validation pairs.
        folder: Folder of the run.

    Returns:
        The content of the YAML file.
    """
    encoder = {"dropout": 0.3, "embedding_size": 300, "hidden_size": 100}
    early_stopping = {"monitor": "val_loss", "patience": 10}
    return {
        "seed_everything": 0,
        "trainer": {
            "accelerator": "cpu",
            "devices": 1,
            "max_epochs": 100,
            "gradient_clip_val": 3,
            "callbacks": [
                {
                    "class_path": "lightning.pytorch.callbacks.EarlyStopping",
                    "init_args": early_stopping,
                }
            ],
            "logger": [
                {
                    "class_path": "lightning.pytorch.loggers.CSVLogger",
                    "init_args": {"save_dir": str(folder)},
                }
            ],
        },
        "model": {
            "class_path": f"yoyodyne.models.{model['class']}",
            "init_args": {
                "source_encoder": {
                    "class_path": "yoyodyne.models.modules.LSTMEncoder",
                    "init_args": encoder,
                },
                "decoder_hidden_size": 100,
                "decoder_dropout": 0.3,
                "embedding_size": 300,
                "optimizer": model["optimizer"],
            },
        },
        "data": {
            "model_dir": str(folder),
            "train": str(files["train"]),
            "val": str(files["valid"]),
            "test": str(files["valid"]),
            "predict": str(files["valid"]),
            "source_sep": "",
            "target_sep": " ",
            "batch_size": model["batch_size"],
        },
        "checkpoint": {
            "filename": "model-{epoch:03d}",
            "mode": "max",
            "monitor": "val_accuracy",
        },
    }


if __name__ == "__main__":
    main()
