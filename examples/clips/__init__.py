"""The clips example: run `python -m examples.clips.build` to build its data anew."""
