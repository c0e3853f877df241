"""Run folders, models and outputs that are damaged or taken, each with the line that its user must read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.bad_inputs.case import Case, Spoil, both, file, nothing

MODEL = "runs/simple/model"
LAST = "runs/simple/checkpoints/last.safetensors"


def cut(name: str, size: int = 100) -> Spoil:
    """Keeps the first bytes of a file."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def flip(name: str) -> Spoil:
    """Other bytes at the end of a file, where the values of tensors are."""

    def spoil(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-8] + bytes(255 - byte for byte in content[-8:]))

    return spoil


def remove(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


def edit(name: str, change: Callable[[Any], Any]) -> Spoil:
    """Changes a file of JSON."""

    def spoil(folder: Path) -> None:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps(change(content)), encoding="utf-8")

    return spoil


def unfinished(folder: Path) -> None:
    """The run as if its last moment had not come."""
    edit("runs/simple/manifest.json", lambda content: {**content, "status": "running"})(folder)


def other_columns(content: Any) -> Any:
    """The fitted columns of a model of other inputs."""
    return {"inputs": {"title": content["inputs"]["words"]}, "outputs": content["outputs"]}


def other_words(content: Any) -> Any:
    """The same inputs, of which one was fitted on another table."""
    shop = {**content["inputs"]["shop"], "labels": ["a"], "counts": [1]}
    return {**content, "inputs": {**content["inputs"], "shop": shop}}


def other_weights(folder: Path) -> None:
    """Weights of another model: the right names, and other sizes."""
    path = folder / MODEL / "model.safetensors"
    save_file({name: torch.zeros(3) for name in load_file(path)}, path)


def checkpoint_of_another(folder: Path) -> None:
    """A whole checkpoint, of the right table, that holds another model."""
    from sensorium.training.checkpoint import load_checkpoint, save_checkpoint

    _, about = load_checkpoint(folder / LAST)
    save_checkpoint(folder / LAST, {"learner.weight": torch.zeros(3)}, about)


CHANGED = (
    f"{MODEL}: model.safetensors is not what was saved, so it is damaged; copy the model again, or "
    "train it again"
)


def pipe(folder: Path) -> None:
    shutil.rmtree(folder / "runs/simple")


def in_shards(folder: Path) -> None:
    """The table as two shards in a folder."""
    (folder / "shards").mkdir()
    for name in ("a.csv", "b.csv"):
        shutil.copyfile(folder / "table.csv", folder / "shards" / name)


EVALUATE = "evaluate runs/simple"
PREDICT = "predict runs/simple table.csv -o out.csv"
TRAIN = "train recipe.yaml"
RUNS: tuple[Case, ...] = (
    Case(
        "a corrupt checkpoint",
        both(unfinished, cut(LAST)),
        TRAIN,
        f"{LAST} is damaged (…); start over with --fresh",
    ),
    Case(
        "a checkpoint of no bytes",
        both(unfinished, cut(LAST, 0)),
        TRAIN,
        f"{LAST} is damaged (…); start over with --fresh",
    ),
    Case(
        "a checkpoint of another model",
        both(unfinished, checkpoint_of_another),
        TRAIN,
        f"{LAST} does not belong to this run (…); start over with --fresh",
    ),
    Case(
        "best weights that are corrupt",
        both(unfinished, cut("runs/simple/checkpoints/best.safetensors")),
        TRAIN,
        "runs/simple/checkpoints/best.safetensors is damaged (…); start over with --fresh",
    ),
    Case(
        "a manifest that was cut",
        cut("runs/simple/manifest.json"),
        TRAIN,
        "runs/simple/manifest.json is damaged (…); delete it to go on, or start over with --fresh",
    ),
    Case(
        "a manifest that is a list",
        file("runs/simple/manifest.json", "[]"),
        TRAIN,
        "runs/simple/manifest.json is damaged (it holds no mapping); "
        "delete it to go on, or start over with --fresh",
    ),
    Case(
        "a quarantine that is corrupt",
        both(unfinished, file("runs/simple/quarantine.jsonl", '{"row": 3}\n')),
        TRAIN,
        "runs/simple/quarantine.jsonl is damaged; delete it to go on without the cells that it named, "
        "or start over with --fresh",
    ),
    Case(
        "a run folder's recipe that is corrupt",
        file("runs/simple/recipe.yaml", "inputs: ["),
        TRAIN,
        "runs/simple/recipe.yaml, line 1: not valid YAML: …",
    ),
    Case(
        "a run folder that is a file",
        both(pipe, file("runs/simple", "mine")),
        TRAIN,
        "runs/simple: the run folder cannot be written (File exists)",
    ),
    Case(
        "a manifest that was cut, when evaluating",
        cut("runs/simple/manifest.json"),
        EVALUATE,
        "runs/simple/manifest.json is damaged (…): move it away, and give the table to measure on",
    ),
    Case(
        "a table that is gone",
        edit("runs/simple/manifest.json", lambda content: {**content, "recipe_folder": "/nowhere"}),
        EVALUATE,
        "/nowhere/table.csv does not exist",
    ),
    Case(
        "weights that were cut",
        cut(f"{MODEL}/model.safetensors"),
        PREDICT,
        f"{MODEL}: the saved model is damaged (…)",
    ),
    Case(
        "weights of another model",
        other_weights,
        PREDICT,
        CHANGED,
    ),
    Case(
        "weights of which some bytes have changed",
        flip(f"{MODEL}/model.safetensors"),
        PREDICT,
        CHANGED,
    ),
    Case(
        "a checkpoint of which some bytes have changed",
        both(unfinished, flip(LAST)),
        TRAIN,
        f"{LAST} is damaged (not what was written); start over with --fresh",
    ),
    Case(
        "columns of another model",
        edit(f"{MODEL}/columns.json", other_columns),
        PREDICT,
        f"{MODEL}: the weights do not fit the recipe beside them ('words')",
    ),
    Case(
        "columns fitted on another table",
        edit(f"{MODEL}/columns.json", other_words),
        PREDICT,
        f"{MODEL}: the weights do not fit the recipe beside them (…)",
    ),
    Case(
        "a vocabulary that is corrupt",
        edit(
            f"{MODEL}/columns.json",
            lambda content: {**content, "inputs": {**content["inputs"], "words": {"tokenizer": "{}"}}},
        ),
        PREDICT,
        f"{MODEL}: the weights do not fit the recipe beside them (the tokenizer is damaged: …)",
    ),
    Case(
        "no columns at all",
        file(f"{MODEL}/columns.json", "[]"),
        PREDICT,
        f"{MODEL}: the weights do not fit the recipe beside them (…)",
    ),
    Case(
        "a model whose columns are missing",
        remove(f"{MODEL}/columns.json"),
        PREDICT,
        f"{MODEL} holds no trained model: columns.json is missing",
    ),
    Case(
        "a model whose recipe would run code",
        file(f"{MODEL}/recipe.yaml", "name: !!python/object/apply:os.system ['touch hacked']"),
        PREDICT,
        f"{MODEL}: the saved model is damaged ({MODEL}/recipe.yaml, line 1: not valid YAML: …)",
    ),
    Case(
        "a model from a newer version",
        edit(f"{MODEL}/model.json", lambda content: {**content, "format": 2}),
        PREDICT,
        f"{MODEL}: the model is of format 2; this sensorium (…) reads format 1: pip install -U sensorium",
    ),
    Case(
        "a model whose model.json is a list",
        file(f"{MODEL}/model.json", "[]"),
        PREDICT,
        f"{MODEL}: the saved model is damaged (model.json holds no format)",
    ),
    Case(
        "a model that is not there",
        lambda folder: None,
        "predict runs/elsewhere table.csv -o out.csv",
        "runs/elsewhere: there is no such folder",
    ),
    Case(
        "a report folder that is a file",
        file("report", "mine"),
        "evaluate runs/simple -o report",
        "report: the report cannot be written (File exists)",
    ),
    Case(
        "predictions into a folder that does not exist",
        lambda folder: None,
        "predict runs/simple table.csv -o no/out.csv",
        "no/out.csv: there is no folder no",
    ),
    Case(
        "predictions over the table that is read",
        lambda folder: None,
        "predict runs/simple table.csv -o table.csv",
        "table.csv: the table is read from this file; write to another",
    ),
    Case(
        "predictions over the table by another path",
        lambda folder: (folder / "link.csv").symlink_to("table.csv"),
        "predict runs/simple table.csv -o link.csv",
        "link.csv: the table is read from this file; write to another",
    ),
    Case(
        "predictions over a shard of the table",
        in_shards,
        "predict runs/simple shards -o ./shards/b.csv",
        "shards/b.csv: the table is read from this file; write to another",
    ),
    Case(
        "predictions into an unknown format",
        lambda folder: None,
        "predict runs/simple table.csv -o out.xlsx",
        "out.xlsx: cannot write .xlsx; known: .parquet, .csv, .jsonl",
    ),
    Case(
        "predictions into a name of 300 characters",
        lambda folder: None,
        f"predict runs/simple table.csv -o {'x' * 300}.csv",
        f"{'x' * 300}.csv: File name too long; mend that, then give the command again",
    ),
    Case(
        "a table without any input of the model",
        file("other.csv", "a,b\n1,2\n"),
        "predict runs/simple other.csv -o out.csv",
        "other.csv: has none of the model's input columns (words, size, shop)",
    ),
    Case(
        "a table that lacks an input of the model",
        file("other.csv", "words,size,Shop\ncat,1,north\ndog,2,west\n"),
        "predict runs/simple other.csv -o out.csv",
        "other.csv has no column 'shop' (did you mean 'Shop'?); "
        "the inputs that read it count as missing in every row",
        0,
    ),
    Case(
        "a table to measure on that lacks the target",
        file("other.csv", "words,size,shop\ncat,1,north\ndog,2,west\n"),
        "evaluate runs/simple other.csv",
        "other.csv: has none of the target columns (label), so there is nothing to compare the predictions "
        "with; give a table that has them, or use predict",
    ),
    Case(
        "a table to measure on whose labels are all new",
        file("other.csv", "words,size,shop,label\ncat,1,north,bird\ndog,2,west,fish\n"),
        "evaluate runs/simple other.csv",
        "No row has a known label, so there is nothing to score.",
        0,
    ),
    Case(
        "a row to explain that is not there",
        nothing,
        "explain runs/simple --rows 99",
        "rows: there is no row 99; …/table.csv has 24 rows, 0 to 23",
    ),
    Case(
        "a row to explain of a key that is not there",
        nothing,
        "explain runs/simple --key id=nobody",
        "key: no row of …/table.csv has id=nobody",
    ),
    Case(
        "an output to explain that is not there",
        nothing,
        "explain runs/simple --output labl",
        "output: there is no output 'labl' (did you mean 'label'?)",
    ),
    Case(
        "a class to explain that is not there",
        nothing,
        "explain runs/simple --output label --class bird",
        "class: output 'label' has no class 'bird'…",
    ),
    Case(
        "a way to explain that is not there",
        nothing,
        "explain runs/simple --method oclusion",
        "method: there is no method 'oclusion' (did you mean 'occlusion'?); "
        "one of occlusion, integrated_gradients",
    ),
)
