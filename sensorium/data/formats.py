"""One reader for each file format of a table. All give an Arrow table; none opens what a cell names."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from sensorium.data.delimited import DELIMITERS, infer_types, read_delimited, read_delimited_in_parts
from sensorium.data.scratch import BATCH_BYTES, IN_MEMORY, Batches, Scratch
from sensorium.errors import TableError, require

_MEMBER_BYTES = 2 * 1024**3  # the largest member of a tar that is read, like the limit on media files
_TEXT_BYTES = 64 * 1024**2  # the largest text or JSON member of a tar
_ROWS_OF_A_PART = 65_536  # at most
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_TEXT_ENDINGS = frozenset({"txt", "text", "cls", "transcript"})


def read_files(files: Sequence[Path], scratch: Scratch) -> tuple[pa.Table, bool]:
    """Reads one file or several shards of one format.

    Args:
        files: in the order of their rows.
        scratch: takes the large ones.

    Returns:
        The rows, shard after shard, and whether media are inside the files (tars) and not beside them.
    """
    endings = {_ending(file) for file in files}
    if len(endings) > 1:
        raise TableError(
            f"the shards are of different formats: {', '.join(sorted(endings))}; give one format"
        )
    ending = endings.pop()
    if ending not in READERS:
        raise TableError(f"{files[0]} ends in {ending or 'nothing'}: {_known()}")
    tables = [_read_file(file, scratch) for file in files]
    table = tables[0] if len(tables) == 1 else _concatenate(tables, files)
    table = infer_types(table, scratch) if ending in DELIMITERS else table
    scratch.touch(table.num_rows)
    return table, ending == ".tar"


def _read_file(file: Path, scratch: Scratch) -> pa.Table:
    ending = _ending(file)
    try:
        batches = IN_PARTS[ending](file) if ending in IN_PARTS else None
        kept = None if batches is None else scratch.keep(batches)
        return READERS[ending](file) if kept is None else kept
    except OSError as error:
        raise TableError(f"{file} cannot be read: {error.strerror or _first_line(error)}") from error


def files_of_folder(folder: Path) -> list[Path]:
    """The files that make up a table in a folder: its metadata file, else its shards sorted by name."""
    for name in _METADATA:
        if (folder / name).is_file():
            return [folder / name]
    files = sorted(file for file in folder.iterdir() if _ending(file) in READERS and file.is_file())
    if not files:
        wanted = f"{', '.join(_METADATA[:-1])} or {_METADATA[-1]}"
        raise TableError(f"the folder {folder} holds no {wanted} and no file of a known format: {_known()}")
    endings = {_ending(file) for file in files}
    if len(endings) > 1:
        raise TableError(
            f"the folder {folder} holds files of several formats ({', '.join(sorted(endings))}): "
            f"name one file, or a pattern such as '{folder}/*{min(endings)}'"
        )
    return files


def read_lance(path: Path) -> pa.Table:
    """Reads a Lance dataset (a folder ending in .lance)."""
    lance = require("lance", "lance")
    try:
        return lance.dataset(str(path)).to_table()
    except (OSError, ValueError) as error:
        raise TableError(f"{path} cannot be read as a Lance dataset: {_first_line(error)}") from error


def read_dataframe(source: Any) -> pa.Table:
    """Reads a pyarrow Table, a dict of lists, a list of dicts, or a dataframe with `__arrow_c_stream__`.

    Raises:
        TableError: when the source is none of these, or a column mixes types that do not go together.
    """
    if isinstance(source, pa.Table):
        return source
    module = type(source).__module__
    if isinstance(source, Mapping) and module != "datasets.dataset_dict":
        return _from_columns({str(name): cells for name, cells in source.items()})
    if isinstance(source, list) and source and all(isinstance(row, Mapping) for row in source):
        columns: dict[str, list[Any]] = {}
        for index, row in enumerate(source):
            _add_row(columns, row, index)
        return _from_columns(_filled(columns, len(source)))
    if module.split(".")[0] == "pandas" and hasattr(source, "columns"):
        return _from_pandas(source)
    if module == "datasets.arrow_dataset":  # has no stream, and may be a selection of rows
        return source.with_format("arrow")[:]
    if not hasattr(source, "__arrow_c_stream__"):
        raise TableError(
            f"a {type(source).__name__} cannot be read as a table: give a path, a dict of lists, "
            "a list of dicts, a pyarrow Table or a dataframe (pandas, Polars, DuckDB, Datasets)"
        )
    try:
        return pa.table(source)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise TableError(f"the dataframe cannot be read: {_first_line(error)}") from error


def _from_pandas(frame: Any) -> pa.Table:
    """Column by column, so that a wrong one can be named; the index is no column."""
    names = [str(name) for name in frame.columns]
    arrays = [_to_arrow(name, frame.iloc[:, index], "", ()) for index, name in enumerate(names)]
    return pa.table(arrays, names=names)


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pyarrow.parquet.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path} cannot be read as Parquet: {_first_line(error)}") from error


def _read_parquet_in_parts(path: Path) -> Batches | None:
    """A large file in parts; None for a small one."""
    try:
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16)
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        size = sum(group.total_byte_size for group in groups)
        if size <= IN_MEMORY:
            return None
        rows = max(1, min(_ROWS_OF_A_PART, file.metadata.num_rows * BATCH_BYTES // size))
        return Batches(file.schema_arrow, _parquet_parts(path, file, rows))
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path} cannot be read as Parquet: {_first_line(error)}") from error


def _parquet_parts(path: Path, file: Any, rows: int) -> Iterator[pa.RecordBatch]:
    try:
        yield from file.iter_batches(batch_size=rows, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path} cannot be read as Parquet: {_first_line(error)}") from error


def _read_json_lines(path: Path) -> pa.Table:
    columns: dict[str, list[Any]] = {}
    lines_of_rows: list[int] = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if text.strip():
                _add_row(columns, _json_object(text, f"{path}, line {number}"), len(lines_of_rows))
                lines_of_rows.append(number)
    if not lines_of_rows:
        raise TableError(f"{path} is empty: give one JSON object a line")
    return _from_columns(_filled(columns, len(lines_of_rows)), f"{path}, ", lines_of_rows)


def _json_object(text: bytes, place: str) -> dict[str, Any]:
    try:
        row = json.loads(text.decode())
    except UnicodeDecodeError as error:
        raise TableError(f"{place}: the text is not UTF-8; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise TableError(f"{place}: not JSON ({error.msg}, character {error.pos + 1})") from error
    except RecursionError as error:
        raise TableError(f"{place}: the JSON is nested too deeply") from error
    if not isinstance(row, dict):
        raise TableError(f'{place}: a JSON {type(row).__name__} where an object like {{"name": …}} is wanted')
    return row


def _add_row(columns: dict[str, list[Any]], row: Mapping[str, Any], index: int) -> None:
    for name, value in row.items():
        cells = columns.setdefault(name, [])
        cells.extend([None] * (index - len(cells)))
        cells.append(value)


def _filled(columns: dict[str, list[Any]], rows: int) -> dict[str, list[Any]]:
    return {name: cells + [None] * (rows - len(cells)) for name, cells in columns.items()}


def _from_columns(columns: Mapping[str, Any], place: str = "", lines: Sequence[int] = ()) -> pa.Table:
    for name, cells in columns.items():
        if isinstance(cells, str | bytes) or not hasattr(cells, "__len__"):
            raise TableError(f"{place}column {name!r} is one value: give a list of values, one a row")
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        raise TableError(f"the columns have different lengths: {lengths}")
    arrays = {name: _to_arrow(name, cells, place, lines) for name, cells in columns.items()}
    return pa.table(arrays)


def _to_arrow(name: str, cells: Any, place: str, lines: Sequence[int]) -> pa.Array | pa.ChunkedArray:
    if isinstance(cells, pa.Array | pa.ChunkedArray):
        return cells
    try:
        array = pa.array(list(cells) if getattr(cells, "ndim", 1) > 1 else cells, from_pandas=True)
        return array.cast(pa.large_binary()) if pa.types.is_binary(array.type) else array
    except OverflowError as error:
        raise TableError(
            f"{place}column {name!r} holds a whole number of more than 64 bits: write such numbers as text"
        ) from error
    except (pa.ArrowException, TypeError, ValueError) as error:
        row = _first_of_another_type(cells)
        where = "" if row is None else f" (first at {f'line {lines[row]}' if lines else f'row {row}'})"
        raise TableError(
            f"{place}column {name!r} mixes values of several types{where}: make them all text, or all numbers"
        ) from error


def _first_of_another_type(cells: Iterable[Any]) -> int | None:
    kinds = [float if type(cell) is int else type(cell) for cell in cells]
    present = [kind for kind in kinds if kind is not type(None)]
    others = (row for row, kind in enumerate(kinds) if kind not in (type(None), present[0]))
    return next(others, None)


def _read_tar(path: Path) -> pa.Table:
    """A WebDataset shard: files whose names agree up to the first dot are one row.

    The part up to that dot is the column `__key__`; each ending is a column. Media stay bytes, .txt and
    .cls are text, and the keys of .json objects become columns of their own (`json.<key>` where an
    ending has that name). Members are read in memory: their names never become paths.
    """
    columns: dict[str, list[Any]] = {"__key__": []}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if not member.isdir():
                    _add_member(columns, archive, member, f"{path}, {member.name}")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise TableError(f"{path} cannot be read as a tar: {_first_line(error)}") from error
    if not columns["__key__"]:
        raise TableError(f"{path} holds no file")
    columns = _filled(columns, len(columns["__key__"]))
    return _from_columns(_spread_json(columns), f"{path}, ")


def _add_member(
    columns: dict[str, list[Any]], archive: tarfile.TarFile, member: tarfile.TarInfo, place: str
) -> None:
    folder, slash, name = member.name.rpartition("/")
    stem, dot, ending = name.partition(".")
    if not dot or not stem:  # hidden files, and files without an ending, belong to no row
        return
    if not member.isreg() or member.issparse():
        raise TableError(
            f"{place}: not a plain file; pack the tar with --hard-dereference and without sparse files"
        )
    ending = ending.lower()
    if member.size > (_TEXT_BYTES if _is_text(ending) else _MEMBER_BYTES):
        raise TableError(f"{place}: {member.size} bytes is more than is read")
    keys, key = columns["__key__"], f"{folder}{slash}{stem}"
    if not keys or keys[-1] != key:
        keys.append(key)
    cells = columns.setdefault(ending, [])
    if len(cells) == len(keys):
        raise TableError(f"{place}: the row has two files with this ending")
    cells.extend([None] * (len(keys) - 1 - len(cells)))
    stream = archive.extractfile(member)
    content = stream.read() if stream else b""
    if len(content) != member.size:
        raise TableError(f"{place}: the tar ends inside this file")
    cells.append(_member_value(content, ending, place))


def _is_text(ending: str) -> bool:
    return _is_json(ending) or ending.rpartition(".")[2] in _TEXT_ENDINGS


def _is_json(ending: str) -> bool:
    return ending.rpartition(".")[2] == "json"


def _member_value(content: bytes, ending: str, place: str) -> Any:
    if not _is_text(ending):
        return content
    if _is_json(ending):
        return _json_object(content, place)
    try:
        return content.decode().removeprefix("\ufeff").strip()
    except UnicodeDecodeError as error:
        raise TableError(f"{place}: the text is not UTF-8") from error


def _spread_json(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    spread = {name: cells for name, cells in columns.items() if not _is_json(name)}
    for name, rows in columns.items():
        if _is_json(name):
            members: dict[str, list[Any]] = {}
            for index, row in enumerate(rows):
                _add_row(members, row or {}, index)
            for key, cells in _filled(members, len(rows)).items():
                spread[f"{name}.{key}" if key in columns or key in spread else key] = cells
    return spread


def _concatenate(tables: Sequence[pa.Table], files: Sequence[Path]) -> pa.Table:
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowException, TypeError) as error:
        first = tables[0].schema
        for table, file in zip(tables, files, strict=True):
            for field in table.schema:
                if field.name in first.names and first.field(field.name).type != field.type:
                    raise TableError(
                        f"{file}: column {field.name!r} is {field.type}, in {files[0].name} it is "
                        f"{first.field(field.name).type}; give it one type in all shards"
                    ) from error
        raise TableError(f"the shards do not fit together: {_first_line(error)}") from error


def _ending(file: Path) -> str:
    return file.suffix.lower()


def _known() -> str:
    return f"known are {', '.join(READERS)}, .lance, and folders of these"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".parquet": _read_parquet,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".tar": _read_tar,
}

IN_PARTS: dict[str, Callable[[Path], Batches | None]] = {
    ".csv": read_delimited_in_parts,
    ".tsv": read_delimited_in_parts,
    ".parquet": _read_parquet_in_parts,
}
"""Readers of large files, which give None for a small one."""
