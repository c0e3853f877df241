"""Names for clusters: the words that set their texts apart, or the nearest of some words that are given."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.errors import SensoriumError, require
from sensorium.index.clusters import Clusters
from sensorium.index.index import Index
from sensorium.index.query import Part, query_vectors
from sensorium.index.view import View

WORDS_IN_A_NAME = 3
NAMELESS = "(no word of its own)"
_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
_WORD = re.compile(r"[^\W\d_][^\W_]+")


class NamedCluster(NamedTuple):
    """A cluster as it is shown.

    Attributes:
        number: from 1, the largest cluster first.
        name: words.
        positions: of its rows, the most central first.
    """

    number: int
    name: str
    positions: list[int]


def named(
    index: Index, clusters: Clusters, inputs: Sequence[str], labels: Sequence[str] | None = None
) -> list[NamedCluster]:
    """Clusters with their names.

    Args:
        index: that was clustered.
        clusters: of its rows.
        inputs: by whose vectors.
        labels: words to choose the names from; None: the words that set the clusters' texts apart.

    Raises:
        SensoriumError: when labels cannot be compared with the inputs.
    """
    number = len(clusters.centres)
    if labels is None:
        texts = texts_of(index.view, clusters.positions)
        names = [", ".join(words) or NAMELESS for words in words_apart(texts, clusters.groups, number)]
    else:
        names = nearest_labels(index, clusters, inputs, labels)
    return [
        NamedCluster(group + 1, names[group], clusters.positions[clusters.members(group)].tolist())
        for group in range(number)
    ]


def words_apart(texts: Sequence[str], groups: Array, number: int) -> list[list[str]]:
    """Of each cluster the words that are frequent in it and rare elsewhere, the most telling first.

    The weight of a word is its share of the cluster's words times log(1 + A / f), with A words in a cluster
    on average and f uses of the word in all: c-TF-IDF (Grootendorst 2022, arXiv:2203.05794). A text counts a
    word once. Left out are English words that say little by themselves, and words that are no more frequent
    in the cluster than in all rows.

    Args:
        texts: of N rows.
        groups: `(N,)` each row's cluster.
        number: of clusters.

    Returns:
        Up to `WORDS_IN_A_NAME` words a cluster; none where its texts have no word of their own.
    """
    counts = [Counter[str]() for _ in range(number)]
    for text, group in zip(texts, groups.tolist(), strict=True):
        counts[group].update(terms(text))
    total = sum(counts, Counter[str]())
    average = sum(total.values()) / max(1, number)
    rows = np.bincount(groups, minlength=number)
    chosen = []
    for group, own in enumerate(counts):
        uses = sum(own.values())
        weights = {
            word: count / uses * float(np.log1p(average / total[word]))
            for word, count in own.items()
            if count * len(texts) > total[word] * rows[group] or number == 1
        }
        chosen.append(sorted(weights, key=lambda word: (-weights[word], word))[:WORDS_IN_A_NAME])
    return chosen


def terms(text: str) -> set[str]:
    """The words of a text in small letters; of Chinese, which writes no spaces, pairs of characters."""
    plain = require("sklearn.feature_extraction.text", "train").ENGLISH_STOP_WORDS
    found: set[str] = set(_WORD.findall(_CHINESE.sub(" ", text.lower()))) - plain
    for run in _CHINESE.findall(text):
        found |= {run[place : place + 2] for place in range(max(1, len(run) - 1))}
    return found


def texts_of(view: View, positions: Array) -> list[str]:
    """What the rows at these positions say: the columns of text inputs, or else all fields of text."""
    manifest = view.storage.manifest
    known = view.storage.text_columns()
    columns = [one.column for one in manifest.inputs.values() if one.type == "text" and one.column in known]
    columns = columns or known
    if not columns:
        return [""] * len(positions)
    taken = view.storage.take(positions, columns)
    return [" ".join(cell for cell in cells if cell) for cells in zip(*taken.values(), strict=True)]


def nearest_labels(
    index: Index, clusters: Clusters, inputs: Sequence[str], labels: Sequence[str]
) -> list[str]:
    """Of each cluster the label whose words are most like its rows.

    Args:
        index: whose model reads the labels.
        clusters: of its rows.
        inputs: those whose vectors are compared with the labels'.
        labels: one at least.

    Raises:
        SensoriumError: when the index's model has no text input that shares a space with the inputs.
    """
    if not labels:
        raise SensoriumError('there are no names to choose from: give some, as in --names "cat,dog"')
    view, found = index.view, []
    for label in labels:
        found.append(query_vectors([Part("text", label)], index.embedder, index.manifest, view, inputs))
    scores = np.zeros((len(clusters.centres), len(labels)), np.float32)
    for name in inputs:
        space = index.manifest.inputs[name].space
        if space in found[0]:
            vectors, there = view.vectors(name)
            scores += _means(clusters, vectors, there, len(view)) @ np.stack([one[space] for one in found]).T
    return [labels[place] for place in scores.argmax(axis=1)]


def _means(clusters: Clusters, vectors: Array, there: Array, total: int) -> Array:
    """`(N, E)` float32: the mean vector of one input in each cluster, zero where no row has it."""
    groups = np.full(total, -1, np.int64)
    groups[clusters.positions] = clusters.groups
    own = groups[there]
    return np.stack(
        [
            vectors[own == group].astype(np.float32).sum(axis=0) / max(1, int((own == group).sum()))
            for group in range(len(clusters.centres))
        ]
    )
