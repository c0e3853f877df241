"""Indexes, queries and filters that cannot be used, each with the line that its user must read."""

from __future__ import annotations

from pathlib import Path

from tests.bad_inputs.case import Case, Spoil, file, nothing
from tests.bad_inputs.runs import edit

SEARCH = "search idx"
INDEX = "index runs/simple table.csv -o idx"


def change_manifest(**fields: object) -> Spoil:
    """Changes what the index says of itself."""

    def spoil(folder: Path) -> None:
        import lance

        from sensorium.index.storage import open_storage

        manifest = open_storage(str(folder / "idx")).manifest.model_copy(update=fields)
        dataset = lance.dataset(str(folder / "idx" / "rows.lance"))
        dataset.update_schema_metadata({"sensorium": manifest.model_dump_json()})

    return spoil


INDEXES: tuple[Case, ...] = (
    Case(
        "an index that is not there",
        nothing,
        "search nowhere cat",
        "nowhere: there is no such folder; `sensorium index` makes an index",
    ),
    Case(
        "a folder that is no index",
        nothing,
        "search runs cat",
        "runs is not an index of sensorium: it holds no rows.lance; `sensorium index` makes one",
    ),
    Case(
        "an index from a newer version",
        change_manifest(format=2),
        f"{SEARCH} cat",
        "idx: the index is of format 2; this sensorium (…) reads format 1: pip install -U sensorium",
    ),
    Case(
        "an index of another model",
        change_manifest(model="0" * 64),
        f"{SEARCH} cat",
        "idx is an index of another model (000000000000, from …/model) than this one (…): "
        "give that model, or index the table anew with this one",
    ),
    Case(
        "an index whose model was changed",
        edit("idx/model/columns.json", lambda content: {**content, "more": 1}),
        f"{SEARCH} cat",
        "idx is an index of another model (…) than this one (…): "
        "give that model, or index the table anew with this one",
    ),
    Case(
        "a filter with a typo",
        nothing,
        f"{SEARCH} cat --where \"shp = 'north'\"",
        "the condition \"shp = 'north'\": there is no column 'shp': did you mean 'shop'?",
    ),
    Case(
        "a filter that is no SQL",
        nothing,
        f"{SEARCH} cat --where 'size >'",
        "the condition 'size >' cannot be understood: Expected: an expression, found: EOF; "
        "write SQL, such as category = 'animals' AND price > 10",
    ),
    Case(
        "a query of a type that the model does not read",
        file("a.wav", b"RIFF"),
        f"{SEARCH} --audio a.wav",
        "the index has no input of type audio, to ask with; it has words (text)",
    ),
    Case(
        "a query for no rows",
        nothing,
        f"{SEARCH} cat -k 0",
        "k is 0: ask for 1 row at least",
    ),
    Case(
        "a query of nothing",
        nothing,
        SEARCH,
        "there is nothing to look for: give a text, --image, --audio, --video or --row",
    ),
    Case(
        "a query of an empty text",
        nothing,
        f"{SEARCH} ''",
        "the text that is looked for is empty",
    ),
    Case(
        "a row that the index does not have",
        nothing,
        f"{SEARCH} --row row-999",
        "idx has no row of the key 'row-999' (id)",
    ),
    Case(
        "an input that the index does not have",
        nothing,
        f"{SEARCH} cat --in word",
        "idx has no input 'word': did you mean 'words'?",
    ),
    Case(
        "an index made twice",
        nothing,
        INDEX,
        "idx is an index already: --update adds rows and replaces those of the same key",
    ),
    Case(
        "an index in a folder of something else",
        nothing,
        "index runs/simple table.csv -o runs",
        "runs is not empty; --update changes an index, and a new one needs a new folder",
    ),
    Case(
        "rows that lack a column of the index",
        file("other.csv", "id,words,Shop\nx,cat,north\n"),
        "index runs/simple other.csv -o idx --update",
        "other.csv has no column 'size': …",
    ),
    Case(
        "rows whose cells are of another type",
        file("other.csv", "id,words,size,shop,label,amount\nx,cat,big,north,cat,1\n"),
        "index runs/simple other.csv -o idx --update",
        "other.csv, column 'size': holds string, and the index double: give such cells",
    ),
    Case(
        "rows that share a key",
        file("other.csv", "id,words,size,shop,label,amount\nx,a,1,b,cat,1\nx,a,1,b,cat,1\n"),
        "index runs/simple other.csv -o idx --update",
        "other.csv, row 1: the key 'x' (id) is that of row 0 too; keys name one row each",
    ),
    Case(
        "a row to delete that is not there",
        nothing,
        "index -o idx --delete row-999",
        "idx has no row of the key 'row-999' (id)",
    ),
    Case(
        "an index of no table",
        nothing,
        "index runs/simple -o other",
        "give a model and a table: sensorium index runs/NAME table.csv -o index",
    ),
    Case(
        "a page into a folder that cannot be made",
        file("page", "mine"),
        f"{SEARCH} cat --html page/out.html",
        "page/out.html: cannot be written (…)",
    ),
    Case(
        "copies of duplicates above 1",
        nothing,
        f"{SEARCH} --duplicates 1.5",
        "rows are duplicates above a cosine between 0 and 1, not 1.5",
    ),
)
