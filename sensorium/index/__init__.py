"""Search: rows in Lance with the vectors of a model, found by what is like them.

`build_index` makes an index, `open_index` opens one.
"""

from sensorium.index.build import build_index, open_index
from sensorium.index.index import Index

__all__ = ["Index", "build_index", "open_index"]
