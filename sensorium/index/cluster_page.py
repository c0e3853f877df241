"""Clusters as one HTML page that needs nothing else: a map, and what lies in the middle of each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sensorium.data.column import Array
from sensorium.errors import SensoriumError, require
from sensorium.evaluation.previews import Preview
from sensorium.evaluation.report import page_environment
from sensorium.index.cluster_names import NamedCluster
from sensorium.index.clusters import Clusters
from sensorium.index.index import Index
from sensorium.index.page import seen
from sensorium.index.results import Hit, shown
from sensorium.index.rows import key_text
from sensorium.index.search import Ranking, hits
from sensorium.inference import sample
from sensorium.training.run import write_atomically

MOST_DOTS = 2_000
"""Rows on the map; a larger page would be slow, and no clearer."""
CENTRAL = 6
"""Rows of a cluster that are shown, the most central ones."""
WIDTH, HEIGHT, MARGIN = 800, 560, 26
_PERPLEXITY = 30.0  # about how many neighbours a row keeps close to it on the map
_GOLDEN_ANGLE = 137.5  # degrees: hues of clusters that follow one another differ most


class Dot(NamedTuple):
    """A row on the map: where it is, its cluster, and what it says."""

    x: float
    y: float
    number: int
    title: str


class Card(NamedTuple):
    """A cluster on the page.

    Attributes:
        cluster: its number, name and rows.
        x: of its number on the map.
        y: likewise.
        hue: degrees.
        rows: the most central ones.
        previews: of these what is seen or heard, the first medium of each row.
    """

    cluster: NamedCluster
    x: float
    y: float
    hue: float
    rows: list[Hit]
    previews: list[Preview]


def write_cluster_page(
    index: Index, clusters: Clusters, named: Sequence[NamedCluster], title: str, path: Path
) -> None:
    """Writes a page that loads nothing from anywhere.

    Args:
        index: that was clustered.
        clusters: of its rows.
        named: the same with names.
        title: of the page.
        path: of the page.

    Raises:
        SensoriumError: when it cannot be written.
    """
    try:
        write_atomically(path, as_html(index, clusters, named, title))
    except OSError as error:
        raise SensoriumError(f"{path}: cannot be written ({error.strerror})") from None


def as_html(index: Index, clusters: Clusters, named: Sequence[NamedCluster], title: str) -> str:
    """The page. Whatever comes from the user's data is escaped."""
    drawn = sample(np.arange(len(clusters.positions)), MOST_DOTS)
    places = on_page(project(clusters.vectors[drawn]))
    page: str = (
        page_environment(_part)
        .get_template("clusters.html.jinja")
        .render(
            title=title,
            size=(WIDTH, HEIGHT),
            dots=_dots(index, clusters, drawn, places),
            cards=[_card(index, one, places[clusters.groups[drawn] == one.number - 1]) for one in named],
            rows=len(clusters.positions),
        )
    )
    return page


def project(vectors: Array) -> Array:
    """Vectors `(n, E)` on a plane, `(n, 2)`, so that near ones stay near: t-SNE from the main directions.

    Main directions alone (PCA) heap most clusters of examples/stamps on one another. Source: van der Maaten &
    Hinton (2008). Below 4 rows they lie in a line.
    """
    if len(vectors) < 4:
        return np.stack([np.arange(len(vectors)), np.zeros(len(vectors))], axis=1).astype(np.float32)
    manifold = require("sklearn.manifold", "train")
    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    start = "pca" if vectors.shape[1] > 1 else "random"
    model = manifold.TSNE(2, perplexity=perplexity, metric="cosine", init=start, random_state=0)
    return np.asarray(model.fit_transform(vectors))


def on_page(places: Array) -> Array:
    """`(n, 2)` moved and stretched so that the map is filled, up to its margin."""
    lowest, highest = places.min(axis=0), places.max(axis=0)
    spread = np.where(highest > lowest, highest - lowest, 1)
    room = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN])
    return np.asarray(MARGIN + (places - lowest) / spread * room)


def _dots(index: Index, clusters: Clusters, drawn: Array, places: Array) -> list[Dot]:
    view = index.view
    positions = clusters.positions[drawn]
    columns = view.storage.text_columns()[:1]
    taken = view.storage.take(positions, columns)
    texts = taken[columns[0]] if columns else [None] * len(positions)
    return [
        Dot(
            float(x), float(y), int(group) + 1, f"{key_text(view.keys[position])}: {shown(text)}".rstrip(": ")
        )
        for (x, y), group, position, text in zip(
            places, clusters.groups[drawn], positions.tolist(), texts, strict=True
        )
    ]


def _card(index: Index, cluster: NamedCluster, places: Array) -> Card:
    """The number stands at the row nearest to the middle: the middle itself may lie in another cluster."""
    x, y = WIDTH / 2, HEIGHT / 2
    if len(places):
        middle = np.median(places, axis=0)
        x, y = places[np.square(places - middle).sum(axis=1).argmin()].tolist()
    central = cluster.positions[:CENTRAL]
    rows = hits(Ranking(central, [0.0] * len(central), [[] for _ in central]), index.view, index.folder)
    previews = [_preview(hit, index.manifest.media) for hit in rows]
    return Card(cluster, x, y, (cluster.number - 1) * _GOLDEN_ANGLE % 360, rows, previews)


def _preview(hit: Hit, kinds: dict[str, str]) -> Preview:
    """Of the first medium that a row has; of its first text where it has none."""
    for name, path in hit.media.items():
        if path is not None:
            return seen(kinds[name], Path(path))
    texts = [value for name, value in hit.fields.items() if isinstance(value, str) and name not in hit.key]
    return Preview("text", shown(texts[0] if texts else key_text(list(hit.key.values())), 60))


def _part(name: str) -> str:
    home = "sensorium.evaluation" if name == "report.css" else "sensorium.index"
    return files(home).joinpath(name).read_text(encoding="utf-8")
