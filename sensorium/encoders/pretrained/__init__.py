"""Encoders from pretrained checkpoints: one module a type of column."""
