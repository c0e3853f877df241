"""The stamps example: run `python -m examples.stamps.build` to build its data anew."""
