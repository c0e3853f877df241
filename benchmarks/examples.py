"""Trains the examples whole and writes what each reached on its test rows, beside its baseline.

python -m benchmarks.examples                 # all of them
python -m benchmarks.examples stamps digits   # some of them
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, circumstances

RECIPES = {
    "stamps": "examples/stamps/recipe.yaml",
    "digits": "examples/digits/recipe.yaml",
    "clips": "examples/clips/recipe.yaml",
    "diabetes": "examples/tabular/recipe.yaml",
    "diabetes-regression": "examples/tabular/regression.yaml",
    "mnist-cnn": "examples/classic/mnist_cnn.yaml",
    "resnet-concat": "examples/classic/resnet_concat.yaml",
    "resnet-decoupled": "examples/classic/resnet_decoupled.yaml",
    "cnn-lstm": "examples/classic/cnn_lstm.yaml",
    "cnn-embedding-lstm": "examples/classic/cnn_embedding_lstm.yaml",
    "cnn-224": "examples/classic/cnn_224.yaml",
    "reviews-chinese": "examples/reviews/chinese.yaml",
    "reviews-chinese-ngrams": "examples/reviews/chinese-ngrams.yaml",
    "reviews-english": "examples/reviews/english.yaml",
    "reviews-english-ngrams": "examples/reviews/english-ngrams.yaml",
}
COMMAND = [sys.executable, "-m", "sensorium.cli"]


def run_example(name: str, runs: Path) -> dict[str, Any]:
    """Trains and evaluates one example; its scores with intervals and baselines, and the seconds it took."""
    began = time.monotonic()
    subprocess.run([*COMMAND, "train", RECIPES[name], "--runs", str(runs)], check=True)
    trained = time.monotonic()
    subprocess.run([*COMMAND, "evaluate", str(runs / name)], check=True)
    report = json.loads((runs / name / "evaluation" / "report.json").read_text(encoding="utf-8"))
    scores = {}
    for output, part in report["outputs"].items():
        metric = part["metric"]
        scores[output] = {
            "metric": metric,
            **part["metrics"][metric],
            "baseline": part["baseline"]["metrics"].get(metric),
        }
    return {"rows": report["rows"], "part": report["part"], "scores": scores, "seconds": trained - began}


def as_table(results: dict[str, Any]) -> str:
    """The results as a Markdown table."""
    lines = ["| example | output | metric | test value (95 % interval) | baseline |", "|---|---|---|---|---|"]
    for name, result in results.items():
        for output, score in result["scores"].items():
            value = f"{score['value']:.3g} ({score['low']:.3g} to {score['high']:.3g})"
            lines.append(f"| {name} | {output} | {score['metric']} | {value} | {score['baseline']:.3g} |")
    return "\n".join(lines)


def main() -> None:
    """Runs what the command line names, and keeps the earlier results of the others."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[[], *RECIPES], help="examples; default: all")
    names = parser.parse_args().names or list(RECIPES)
    path = RESULTS / "examples.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["results"] if path.exists() else {}
    for name in names:
        with tempfile.TemporaryDirectory() as runs:
            kept[name] = {**run_example(name, Path(runs)), "circumstances": circumstances()}
        content = {"results": {key: kept[key] for key in RECIPES if key in kept}}
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(as_table({key: kept[key] for key in RECIPES if key in kept}))


if __name__ == "__main__":
    main()
