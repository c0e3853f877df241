"""The reviews example: run `python -m examples.reviews.build` to build its data anew."""
