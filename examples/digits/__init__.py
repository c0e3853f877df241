"""The digits example: run `python -m examples.digits.build` to build its data anew."""
