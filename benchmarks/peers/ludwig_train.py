"""Ludwig on a table of `benchmarks.made_table`; run by the interpreter of Ludwig's environment.

    .peers/ludwig/bin/python -m benchmarks.peers.ludwig_train TABLE FOLDER --epochs 2 --seed 0

Writes FOLDER/result.json: accuracies after each epoch, rows, seconds by stage, bytes of the cache, versions,
and which parts of other libraries were replaced.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.torch_repairs import (
    declare_torchvision_operators,
    replace_decoders,
    replace_filter_loop,
    versions,
)


def main() -> None:
    """Trains, and writes what came of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("table", type=Path)
    options.add_argument("folder", type=Path)
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    folder = chosen.folder.resolve()
    began = time.perf_counter()
    replaced = [declare_torchvision_operators(), *replace_decoders(), replace_filter_loop()]
    from ludwig.api import LudwigModel

    imported = time.perf_counter()
    os.chdir(chosen.table.parent)  # Ludwig takes some of the paths in a table as they are
    model = LudwigModel(recipe(chosen.epochs), logging_level=logging.INFO)
    train, validation, test, about = model.preprocess(
        chosen.table.name, skip_save_processed_input=False, random_seed=chosen.seed
    )
    preprocessed = time.perf_counter()
    statistics = model.train(
        training_set=train,
        validation_set=validation,
        test_set=test,
        training_set_metadata=about,
        output_directory=str(folder),
        random_seed=chosen.seed,
    ).train_stats
    ended = time.perf_counter()
    caches = [*Path().glob("*.hdf5"), *Path().glob("*.meta.json")]
    result: dict[str, Any] = {
        "rows": len(train) + len(validation) + len(test),
        "validation": list(statistics.validation["label"]["accuracy_micro"]),
        "test": list(statistics.test["label"]["accuracy_micro"]),
        "stages": {
            "import": round(imported - began, 1),
            "preprocessing": round(preprocessed - imported, 1),
            "training": round(ended - preprocessed, 1),
        },
        "cache_bytes": sum(path.stat().st_size for path in caches),
        "replaced": replaced,
        "versions": versions(["ludwig", "torch", "torchvision", "torchaudio"]),
    }
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


def recipe(epochs: int) -> dict[str, Any]:
    """Ludwig's configuration: its usual encoders of each type, trained from scratch.

    Sounds are normalised, which is not its default: without, the loss begins at a hundred and stays there.
    """
    fbank = {"type": "fbank", "audio_file_length_limit_in_s": 2.0, "norm": "per_file"}
    return {
        "input_features": [
            {
                "name": "picture",
                "type": "image",
                "encoder": {"type": "stacked_cnn"},
                "preprocessing": {"height": 224, "width": 224, "num_channels": 3},
            },
            {
                "name": "text",
                "type": "text",
                "encoder": {"type": "parallel_cnn"},
                "preprocessing": {"tokenizer": "space_punct", "max_sequence_length": 100},
            },
            {
                "name": "sound",
                "type": "audio",
                "encoder": {"type": "parallel_cnn"},
                "preprocessing": fbank,
            },
        ],
        "output_features": [{"name": "label", "type": "category"}],
        "combiner": {"type": "concat"},
        "preprocessing": {"split": {"type": "fixed", "column": "split"}},
        "trainer": {"epochs": epochs, "batch_size": 32, "early_stop": -1},
        "backend": {"type": "local"},
    }


if __name__ == "__main__":
    main()
