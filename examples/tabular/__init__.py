"""The tabular example: run `python -m examples.tabular.build` to build its data anew."""
