"""Tables that cannot be used, or only with a warning, each with the line that its user must read."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests import made
from tests.bad_inputs.case import ROWS, Case, Spoil, both, columns, field, fields, file

ROWS_OF = made.simple_rows(ROWS)
CSV = "id,words,size,shop,label\n" + "".join(
    f"{ROWS_OF['id'][n]},{ROWS_OF['words'][n]},{ROWS_OF['size'][n]},{ROWS_OF['shop'][n]},{ROWS_OF['label'][n]}\n"
    for n in range(ROWS)
)


def table(content: str | bytes, name: str = "table.csv") -> Spoil:
    """Another table, which the recipe names."""
    return both(file(name, content), field("data.path", name))


def parquet(content: Any = None) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table(content or ROWS_OF), target)
    return target.getvalue()


def json_lines(**replaced: dict[int, Any]) -> str:
    """Rows as JSON lines; `replaced` is column → row → value."""
    rows = [{name: cells[n] for name, cells in ROWS_OF.items()} for n in range(ROWS)]
    for name, values in replaced.items():
        for row, value in values.items():
            rows[row][name] = value
    return "".join(json.dumps(row) + "\n" for row in rows)


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.csv")
    field("data.path", "pipe.csv")(folder)


CHECK = "check recipe.yaml"
TRAIN = "train recipe.yaml"
ONE_CLASS = (
    "outputs.label: The target of a category output has only one class ('cat') in the training rows, "
    "and needs two at least: check the table column, lower min_count, or give more rows"
)
SIMILARITY = {"match": {"type": "similarity", "between": ["words", "shop"]}}
TABLES: tuple[Case, ...] = (
    Case(
        "broken UTF-8",
        table(CSV.encode().replace(b"red", b"r\xe9d", 1)),
        CHECK,
        "table.csv, line …: the text is not UTF-8; save the file as UTF-8",
    ),
    Case(
        "UTF-16",
        table(CSV.encode("utf-16")),
        CHECK,
        "table.csv, line 1: the text is not UTF-8; save the file as UTF-8",
    ),
    Case(
        "a ragged row",
        table(CSV.replace(",south,", ",south,south,", 1)),
        CHECK,
        "table.csv, line 3: 6 cells where line 1 names 5 columns; "
        "put cells with separators or line breaks in double quotes",
    ),
    Case(
        "two columns of one name",
        table(CSV.replace("shop", "size", 1)),
        CHECK,
        "table.csv, line 1: two columns are named 'size'; rename one of them",
    ),
    Case(
        "a quote that is never closed",
        table(CSV.replace(",south,", ',"south,', 1)),
        CHECK,
        "table.csv, line 3: a quoted cell is not closed, or holds a quote that is not doubled …",
    ),
    Case(
        "cells separated by semicolons",
        table(CSV.replace(",", ";")),
        CHECK,
        "table.csv has no column 'words': its only column is 'id;words;size;shop;label'; "
        "separate the cells with commas (.csv) or tabs (.tsv)",
    ),
    Case(
        "no line of names",
        table(CSV.partition("\n")[2]),
        CHECK,
        "table.csv has no column 'words': it has 'row-000', …",
    ),
    Case("an empty file", table(""), CHECK, "table.csv is empty: its first line must name the columns"),
    Case(
        "names and no rows",
        table(CSV.partition("\n")[0]),
        CHECK,
        "table.csv has columns ('id', 'words', 'size', 'shop', 'label') but no rows",
    ),
    Case(
        "one row",
        table("\n".join(CSV.split("\n")[:2])),
        CHECK,
        "table.csv: rows to divide 1, too few for training and test and validation: "
        "give more rows, or set data.split.validation or data.split.test to 0",
    ),
    Case(
        "one row, and nothing held back",
        both(table("\n".join(CSV.split("\n")[:2])), field("data.split", {"validation": 0, "test": 0})),
        CHECK,
        ONE_CLASS,
    ),
    Case(
        "a cell of 40 MB",
        table(CSV.replace("red", "red" * 14_000_000, 1)),
        CHECK,
        "table.csv: a row has more than 16 MB; keep large content in files, and name their paths",
    ),
    Case(
        "an Excel file",
        table(b"PK\x03\x04 workbook", "table.xlsx"),
        CHECK,
        "table.xlsx ends in .xlsx: known are .csv, .tsv, .parquet, .jsonl, .ndjson, .tar, .lance, "
        "and folders of these",
    ),
    Case(
        "an Excel file named .csv",
        table(b"PK\x03\x04\x14\x00\x06\x00\xff\xfe workbook"),
        CHECK,
        "table.csv, line 1: the text is not UTF-8; save the file as UTF-8",
    ),
    Case(
        "half a Parquet file",
        table(parquet()[:1000], "table.parquet"),
        CHECK,
        "table.parquet cannot be read as Parquet: Parquet magic bytes not found in footer. …",
    ),
    Case(
        "a Parquet file of nested columns",
        table(parquet({**ROWS_OF, "words": [{"de": "rot"}] * ROWS}), "table.parquet"),
        CHECK,
        "inputs.words: no cell of column words can be read: row …, column words: …",
    ),
    Case(
        "a line that is no JSON",
        table(json_lines().replace('{"id": "row-004"', "{id: row-004", 1), "table.jsonl"),
        CHECK,
        "table.jsonl, line 5: not JSON (Expecting property name enclosed in double quotes, character 2)",
    ),
    Case(
        "numbers and texts in one JSON column",
        table(json_lines(size={7: "large"}), "table.jsonl"),
        CHECK,
        "table.jsonl, column 'size' mixes values of several types (first at line 8): "
        "make them all text, or all numbers",
    ),
    Case(
        "JSON 100,000 brackets deep",
        table('{"id": ' + "[" * 100_000, "table.jsonl"),
        CHECK,
        "table.jsonl, line 1: the JSON is nested too deeply",
    ),
    Case(
        "a folder that is no Lance dataset",
        both(lambda folder: (folder / "table.lance").mkdir(), field("data.path", "table.lance")),
        CHECK,
        "table.lance cannot be read as a Lance dataset: …",
    ),
    Case("a pipe (FIFO) as a table", pipe, CHECK, "pipe.csv is not a file"),
    Case(
        "shards of different formats",
        both(file("table.jsonl", json_lines()), field("data.path", ["table.csv", "table.jsonl"])),
        CHECK,
        "the shards are of different formats: .csv, .jsonl; give one format",
    ),
    Case(
        "one class only",
        columns(label=["cat"] * ROWS),
        CHECK,
        ONE_CLASS,
    ),
    Case(
        "a target that is all missing",
        columns(label=[None] * ROWS),
        CHECK,
        "outputs.label: column label is empty in every training row",
    ),
    Case(
        "no column of the target",
        columns(label=None),
        CHECK,
        "table.csv has no column 'label': it has 'id', 'words', 'size', 'shop', 'amount'",
    ),
    Case(
        "a target of which every row has its own",
        columns(label=[f"person {n}" for n in range(ROWS)]),
        CHECK,
        "warn  outputs.label: each of its 14 labels stands in one training row alone, so none can be "
        "told again; is it a number, or a key?",
        0,
    ),
    Case(
        "a key that names two rows",
        columns(id=["a", "b", "a", *ROWS_OF["id"][3:]]),
        CHECK,
        "warn  data.key: rows 0 and 2 are both id=a; answers cannot be told apart by it",
        0,
    ),
    Case(
        "a key that the table lacks",
        field("data.key", "sku"),
        CHECK,
        "table.csv has no column 'sku': it has 'id', 'words', 'size', 'shop', 'label', 'amount'",
    ),
    Case(
        "numbers that are all infinite",
        columns(size=["inf"] * ROWS),
        CHECK,
        "inputs.size: no cell of column size can be read: row … (id=row-…), column size: "
        "the number is not finite; leave the cell empty if the value is not known",
    ),
    Case(
        "true and false mixed with words, as a number",
        columns(size=["true", "maybe"] * (ROWS // 2)),
        CHECK,
        "inputs.size: no cell of column size can be read: row … (id=row-…), column size: "
        "not a number; give a number, or set another type for the column",
    ),
    Case(
        "a word among numbers, where bad cells stop the run",
        both(columns(size=["1", "maybe"] * (ROWS // 2)), fields({"data.on_error": "raise"})),
        TRAIN,
        "table.csv: row … (id=row-…), column size: not a number; give a number, or set another type for the "
        "column (data.on_error: mark goes on without it)",
    ),
    Case(
        "pictures that are all elsewhere",
        both(
            columns(photo=[f"{n}.png" for n in range(ROWS)]),
            field("inputs.photo", {"type": "image", "size": 8, "encoder": {"kind": "cnn", "channels": [4]}}),
        ),
        TRAIN,
        "inputs.photo: no cell of column photo can be read: row … (id=row-…), column photo, file ….png: "
        "the file does not exist; correct the path or the media root",
    ),
    Case(
        "no such table",
        field("data.path", "tabel.csv"),
        "init tabel.csv --target label -o new.yaml",
        "tabel.csv does not exist",
    ),
    Case(
        "a target that is not there",
        lambda folder: None,
        "init table.csv --target lable -o new.yaml",
        "table.csv has no column 'lable': did you mean 'label'?",
    ),
    Case(
        "a table without an input",
        table("label\n" + "cat\ndog\n" * 10),
        "init table.csv --target label -o new.yaml",
        "table.csv: no column can be used as an input; name them and their types in a recipe",
    ),
    Case(
        "a control character in a column's name",
        table(CSV.replace("shop", "sh\x1b[31mop", 1)),
        CHECK,
        "table.csv has no column 'shop': did you mean 'sh\\x1b[31mop'?",
    ),
    Case(
        "a similarity of one row",
        both(
            fields({"outputs": SIMILARITY, "data.split": {"validation": 0, "test": 0}}),
            file("table.csv", "id,words,size,shop\na,a red cat,1,north\n"),
        ),
        TRAIN,
        "outputs.match: all training rows to compare have the same cell in column 'words', so nothing tells "
        "them apart: check the column, or give more rows",
    ),
    Case(
        "a similarity whose captions are all equal",
        both(field("outputs", SIMILARITY), columns(words=["the same"] * ROWS)),
        TRAIN,
        "outputs.match: all training rows to compare have the same cell in column 'words', so nothing tells "
        "them apart: check the column, or give more rows",
    ),
    Case(
        "a similarity without a pair",
        both(field("outputs", SIMILARITY), columns(shop=[None] * ROWS)),
        TRAIN,
        "outputs.match: no training row has two of the columns words, shop to compare",
    ),
)

ODD: tuple[Case, ...] = (
    Case("a byte order mark", table(b"\xef\xbb\xbf" + CSV.encode()), CHECK, "ok    table: …", 0),
    Case("null characters", table(CSV.replace("red", "r\0d", 1)), CHECK, "ok    table: …", 0),
    Case(
        "line breaks in quotes", table(CSV.replace(",north,", ',"no\nrth",', 1)), CHECK, "ok    table: …", 0
    ),
    Case("windows line ends", table(CSV.replace("\n", "\r\n")), CHECK, "ok    table: …", 0),
)
