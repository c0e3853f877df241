"""Search: rows in Lance with the vectors of a model, found by what is like them.

`build` makes an index, `open_index` opens one.
"""

from sensorium.index.index import Index, build, open_index

__all__ = ["Index", "build", "open_index"]
