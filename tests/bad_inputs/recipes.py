"""Recipes that cannot be used, each with the line that its user must read."""

from __future__ import annotations

import os
from pathlib import Path

from sensorium.yaml_file import MAX_BYTES
from tests.bad_inputs.case import Case, Spoil, field, fields, file

SECTIONS = "data: table.csv\ninputs: {words: text}\noutputs: {label: category}\n"
FIELDS = "version, name, data, inputs, fusion, outputs, training"


def recipe(text: str | bytes) -> Spoil:
    return file("recipe.yaml", text)


def laughs() -> str:
    """Nine aliases of nine aliases, nine times over: a billion values in 500 bytes."""
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "\n".join(lines)


def pipe(folder: Path) -> None:
    (folder / "recipe.yaml").unlink()
    os.mkfifo(folder / "recipe.yaml")


def directory(folder: Path) -> None:
    (folder / "recipe.yaml").unlink()
    (folder / "recipe.yaml").mkdir()


CHECK = "check recipe.yaml"
RECIPES: tuple[Case, ...] = (
    Case(
        "a typo in a field",
        field("training.epoch", 3),
        CHECK,
        "recipe.yaml: training.epoch: unknown field (did you mean epochs?); known: epochs, batch_size, …",
    ),
    Case(
        "a typo in a section",
        field("trainin", {}),
        CHECK,
        f"recipe.yaml: trainin: unknown field (did you mean training?); known: {FIELDS}",
    ),
    Case(
        "a typo in the kind of an encoder",
        field("inputs.words", {"type": "text", "encoder": "lstmm"}),
        CHECK,
        "recipe.yaml: inputs.words.encoder.kind: 'lstmm' is not known (did you mean lstm?); one of mean, …",
    ),
    Case(
        "a recipe that holds itself",
        recipe("inputs: &a {words: *a}\noutputs: {label: category}\n"),
        CHECK,
        "recipe.yaml, line 1: not valid YAML: an alias holds itself",
    ),
    Case(
        "a list that holds itself",
        recipe("data: &a [*a]\n"),
        CHECK,
        "recipe.yaml, line 1: not valid YAML: an alias holds itself",
    ),
    Case(
        "a billion laughs",
        recipe(laughs()),
        CHECK,
        "recipe.yaml, line 6: not valid YAML: more than 200,000 values once the aliases are written out",
    ),
    Case(
        "brackets 20,000 deep",
        recipe("a: " + "[" * 20_000),
        CHECK,
        "recipe.yaml: not valid YAML: it is nested too deeply",
    ),
    Case(
        "from a newer version",
        recipe("version: 2\ntraining: {horizon: 3}\n" + SECTIONS),
        CHECK,
        "recipe.yaml: the recipe is of version 2; this sensorium (…) reads version 1: "
        "pip install -U sensorium",
    ),
    Case(
        "a version that is none",
        recipe("version: newest\n" + SECTIONS),
        CHECK,
        "recipe.yaml: version: 'newest' is none; write 1, or leave it out",
    ),
    Case(
        "a YAML tag that would run code",
        recipe("inputs: !!python/object/apply:os.system ['touch hacked']\n"),
        CHECK,
        "recipe.yaml, line 1: not valid YAML: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.system'",
    ),
    Case(
        "a key twice in one mapping",
        recipe(SECTIONS + "inputs: {size: number}\n"),
        CHECK,
        "recipe.yaml, line 4: not valid YAML: 'inputs' stands twice in one mapping",
    ),
    Case(
        "a day that never was",
        recipe("name: 2023-02-30\n" + SECTIONS),
        CHECK,
        "recipe.yaml: not valid YAML: day is out of range for month…; write texts that look so in quotes",
    ),
    Case(
        "a name that is a number",
        recipe("name: 2024\n" + SECTIONS),
        CHECK,
        "recipe.yaml: name: 2024 cannot name a run folder; write it in quotes",
    ),
    Case(
        "a name of 1,000 characters",
        recipe(f"name: {'x' * 1000}\n{SECTIONS}"),
        CHECK,
        f"recipe.yaml: name: '{'x' * 79}… cannot name a run folder; use letters, digits, - and _",
    ),
    Case(
        "a name with a null character",
        recipe('name: "a\\0b"\n' + SECTIONS),
        CHECK,
        "recipe.yaml: name: 'a\\x00b' cannot name a run folder; use letters, digits, - and _",
    ),
    Case(
        "a name that leaves the folder",
        recipe("name: ../elsewhere\n" + SECTIONS),
        CHECK,
        "recipe.yaml: name: '../elsewhere' cannot name a run folder; use letters, digits, - and _",
    ),
    Case(
        "a list",
        recipe("- inputs\n- outputs\n"),
        CHECK,
        "recipe.yaml: a recipe is a mapping with at least `inputs` and `outputs`",
    ),
    Case(
        "an empty file",
        recipe(""),
        CHECK,
        "recipe.yaml: a recipe is a mapping with at least `inputs` and `outputs`",
    ),
    Case(
        "a binary file",
        recipe(bytes(range(256)) * 10),
        CHECK,
        "recipe.yaml: cannot be read as UTF-8 text (UnicodeDecodeError)",
    ),
    Case(
        "a file of a gigabyte",
        lambda folder: os.truncate(folder / "recipe.yaml", 10**9),
        CHECK,
        f"recipe.yaml: 1,000,000,000 bytes are more than a recipe may have ({MAX_BYTES:,})",
    ),
    Case("a folder", directory, CHECK, "recipe.yaml is a folder; give the recipe.yaml in it"),
    Case("a pipe (FIFO)", pipe, CHECK, "recipe.yaml is not a regular file"),
    Case(
        "no such file",
        lambda folder: (folder / "recipe.yaml").unlink(),
        CHECK,
        "recipe.yaml: there is no such file; `sensorium init TABLE --target COLUMN` writes one",
    ),
    Case(
        "broken YAML",
        recipe("inputs: {words: ["),
        CHECK,
        "recipe.yaml, line 1: not valid YAML: expected the node content, but found '<stream end>'",
    ),
    Case(
        "no epoch at all",
        field("training.epochs", 0),
        CHECK,
        "recipe.yaml: training.epochs: Input should be greater than or equal to 1 (given: 0)",
    ),
    Case(
        "infinity as a learning rate",
        field("training.optimizer", {"lr": float("inf")}),
        CHECK,
        "recipe.yaml: training.optimizer.lr: Input should be a finite number (given: inf)",
    ),
    Case(
        "no inputs",
        field("inputs", {}),
        CHECK,
        "recipe.yaml: inputs: name at least one, such as inputs: {title: {type: text}}",
    ),
    Case(
        "the target is an input too",
        field("inputs.label", "category"),
        CHECK,
        "recipe.yaml: inputs.label: column 'label' is both an input and an output",
    ),
    Case(
        "the key has the name of a column of the predictions",
        field("data.key", "missing"),
        CHECK,
        "recipe.yaml: data.key: predictions have a column 'missing' of their own; name another key",
    ),
    Case(
        "a table's address (http)",
        field("data.path", "https://example.org/table.csv"),
        CHECK,
        "…https:/example.org/table.csv: URLs are not fetched; bring the file here first, and name its path",
    ),
    Case(
        "a table's path of 5,000 characters",
        field("data.path", "x" * 5000 + ".csv"),
        CHECK,
        "… does not exist",
    ),
    Case(
        "a table's path with a null character",
        field("data.path", "a\0b.csv"),
        CHECK,
        "a\\x00b.csv does not exist",
    ),
    Case(
        "everything held back",
        field("data.split", {"validation": 0.6, "test": 0.5}),
        CHECK,
        "recipe.yaml: data.split: validation and test together leave nothing to train on",
    ),
    Case(
        "an input that the table lacks",
        fields({"inputs.colour": "category"}),
        CHECK,
        "table.csv has no column 'colour': it has 'id', 'words', 'size', 'shop', 'label', 'amount'",
    ),
    Case(
        "a similarity of one input",
        field("outputs", {"match": {"type": "similarity", "between": ["words"]}}),
        CHECK,
        "recipe.yaml: outputs.match.between: name two inputs at least…",
    ),
    Case(
        "a similarity with an input that is not there",
        field("outputs", {"match": {"type": "similarity", "between": ["words", "shp"]}}),
        CHECK,
        "recipe.yaml: outputs.match.between: 'shp' is no input (did you mean shop?)…",
    ),
)
