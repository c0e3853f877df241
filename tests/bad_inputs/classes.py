"""Classes that cannot be told, each with the line that its user must read."""

from __future__ import annotations

from tests.bad_inputs.case import Case, file, nothing

CLASSIFY = "classify runs/simple table.csv -o out.csv"
SHOWN = f"{CLASSIFY} --examples table.csv --label"

CLASSES: tuple[Case, ...] = (
    Case(
        "no classes",
        nothing,
        CLASSIFY,
        'give the classes: --labels "cat,dog", --labels-from FILE, or --examples TABLE',
    ),
    Case(
        "labels of nothing",
        nothing,
        f"{CLASSIFY} --labels ''",
        'there are no labels: name two at least, as in --labels "cat,dog"',
    ),
    Case(
        "one label",
        nothing,
        f"{CLASSIFY} --labels cat",
        "'cat' is the only label: name two at least, to choose between them",
    ),
    Case(
        "a label named twice",
        nothing,
        f"{CLASSIFY} --labels cat,dog,cat",
        "the label 'cat' stands twice: name each once",
    ),
    Case(
        "a comma too many",
        nothing,
        f"{CLASSIFY} --labels cat,,dog",
        "one of the labels is empty: take away the comma or the line too many",
    ),
    Case(
        "a file of labels that is not there",
        nothing,
        f"{CLASSIFY} --labels-from labels.txt",
        "labels.txt: cannot be read (No such file or directory)",
    ),
    Case(
        "a file of labels in another encoding",
        file("labels.txt", b"chat\nch\xe8vre\n"),
        f"{CLASSIFY} --labels-from labels.txt",
        "labels.txt: the text is not UTF-8; save the file as UTF-8",
    ),
    Case(
        "a template without a place for the label",
        nothing,
        f"{CLASSIFY} --labels cat,dog --template 'a picture'",
        "the template 'a picture' has no {} in the place of the label",
    ),
    Case(
        "labels for an input that is not there",
        nothing,
        f"{CLASSIFY} --labels cat,dog --input word",
        "the model has no input 'word' (did you mean 'words'?); it has words, size, shop",
    ),
    Case(
        "labels for an input that shares no space with a text",
        nothing,
        f"{CLASSIFY} --labels cat,dog --input size",
        "the input 'size' shares no space with a text: an output of type similarity between it and a text "
        "makes words comparable with it; or give --examples in place of --labels",
    ),
    Case(
        "labels for two inputs",
        nothing,
        f"{CLASSIFY} --labels cat,dog --input words --input shop",
        "labels are compared with one input: give --input once",
    ),
    Case(
        "labels and examples",
        nothing,
        f"{CLASSIFY} --labels cat,dog --examples table.csv --label label",
        "classes come from labels or from examples: give --labels or --examples, not both",
    ),
    Case(
        "examples whose class is not named",
        nothing,
        f"{CLASSIFY} --examples table.csv",
        "name the column of the examples that holds the class: --label COLUMN",
    ),
    Case(
        "a typo in the column of the class",
        nothing,
        f"{SHOWN} labl",
        "table.csv has no column 'labl': did you mean 'label'?",
    ),
    Case(
        "examples of one class",
        file("one.csv", "words,class\na red cat,cat\na cat,cat\n"),
        f"{CLASSIFY} --examples one.csv --label class",
        "one.csv, column 'class': 1 classes have examples with words…; two at least are needed",
    ),
    Case(
        "too few examples",
        nothing,
        f"{SHOWN} label --shots 13",
        "table.csv: the class 'cat' has 12 usable examples, fewer than 13 shots, and 1 more class has too "
        "few; take fewer, or leave the class out",
    ),
    Case(
        "a way to learn from examples that is not there",
        nothing,
        f"{SHOWN} label --by logistics",
        "classifying by 'logistics' is not known: one of prototype, logistic",
    ),
    Case(
        "a truth of other classes",
        nothing,
        f"{CLASSIFY} --labels red,blue --truth label",
        "no row can be scored: column 'label' holds none of the labels in a row that has the input; "
        "labels are compared letter by letter",
    ),
    Case(
        "rows without any input of the model",
        file("other.csv", "a,b\n1,2\n"),
        "classify runs/simple other.csv -o out.csv --labels cat,dog",
        "other.csv: has none of the model's input columns (words, size, shop)",
    ),
    Case(
        "rows that lack what is classified",
        file("other.csv", "size,shop\n1,north\n2,west\n"),
        "classify runs/simple other.csv -o out.csv --labels cat,dog",
        "wrote 2 rows to out.csv; 2 rows without the input have no label",
        0,
    ),
    Case(
        "classes over the table that is read",
        nothing,
        "classify runs/simple table.csv -o table.csv --labels cat,dog",
        "table.csv: the table is read from this file; write to another",
    ),
)
