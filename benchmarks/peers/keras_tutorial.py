"""The tutorial models in Keras on TensorFlow with tf.data, as tutorials write them, in fp32 or mixed bf16.

Run by benchmarks/tutorial_models.py, in the environment of `python -m benchmarks.peers.setup keras`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.common import cost
from benchmarks.peers.table import DEVIATION, MEAN, Part, read
from benchmarks.workers import serve


def main() -> None:
    """A worker; its argument is JSON: recipe, folder, threads, policy."""
    variant = json.loads(sys.argv[1])
    tf.config.threading.set_intra_op_parallelism_threads(variant["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(variant["threads"])
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(variant["policy"])
    table, inputs = read(Path(variant["folder"])), variant["recipe"]["inputs"]
    size, batch_size = inputs["image"]["size"], variant["recipe"]["training"]["batch_size"]
    model = tutorial(inputs, table.vocabulary, table.classes)
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-3, weight_decay=0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    data: list[Any] = []

    def first() -> object:
        rows = dataset(table.train, inputs, size).cache().shuffle(1000)
        data[:] = [rows.batch(batch_size).prefetch(tf.data.AUTOTUNE)]
        return later()

    def later() -> object:
        return model.fit(data[0], epochs=1, verbose=0)

    def describe() -> dict[str, float]:
        loss, accuracy = model.evaluate(dataset(table.test, inputs, size).batch(batch_size), verbose=0)
        return {
            "parameters": model.count_params(),
            "loss": round(float(loss), 3),
            "accuracy": round(float(accuracy), 3),
        }

    serve({"first epoch": lambda: cost(first), "later epoch": lambda: cost(later), "about": describe})


def dataset(part: Part, inputs: dict[str, Any], size: int) -> Any:
    """Rows one by one: pictures read and decoded in parallel, and the inputs that the model has."""

    def decoded(path: Any, words: Any, label: Any) -> Any:
        pixels = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        columns = {"image": tf.ensure_shape(pixels, (size, size, 3)), "text": words}
        return {name: columns[name] for name in inputs}, label

    rows = tf.data.Dataset.from_tensor_slices((part.pictures, part.words, part.labels))
    return rows.map(decoded, num_parallel_calls=tf.data.AUTOTUNE)


def tutorial(inputs: dict[str, Any], vocabulary: int, classes: int) -> Any:
    """A picture, and perhaps a text, each brought to 128 numbers; then a hidden layer."""
    entries = {"image": keras.Input((inputs["image"]["size"],) * 2 + (3,), name="image")}
    encoded = {"image": picture(inputs["image"]["encoder"], entries["image"])}
    if "text" in inputs:
        entries["text"] = keras.Input((None,), dtype="int64", name="text")
        encoded["text"] = text(inputs["text"]["encoder"], entries["text"], vocabulary)
    columns = [layers.Dense(128)(encoded[name]) for name in inputs]
    vector = layers.concatenate(columns) if len(columns) > 1 else columns[0]
    hidden = layers.Dense(128, activation="gelu")(vector)
    return keras.Model(entries, layers.Dense(classes, dtype="float32")(hidden))


def picture(config: dict[str, Any], pixels: Any) -> Any:
    """Convolutions, ReLU and max-pooling, flattened."""
    scale, mean = 1 / (255 * np.array(DEVIATION)), np.array(MEAN)
    values = layers.Rescaling(scale.tolist(), (-mean / np.array(DEVIATION)).tolist())(pixels)
    for channels in config["channels"]:
        values = layers.Conv2D(channels, 3, padding="same", activation="relu")(values)
        values = layers.MaxPooling2D(2)(values)
    values = layers.Flatten()(values)
    if config.get("dense"):
        values = layers.Dropout(config["dropout"])(layers.Dense(config["dense"], activation="relu")(values))
    return values


def text(config: dict[str, Any], words: Any, vocabulary: int) -> Any:
    """Word vectors and the last state of an LSTM."""
    vectors = layers.Embedding(vocabulary, config.get("embedding", 128))(words)
    lstm = layers.LSTM(config["hidden"])
    return layers.Bidirectional(lstm)(vectors) if config.get("bidirectional", True) else lstm(vectors)


if __name__ == "__main__":
    main()
