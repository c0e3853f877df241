"""From prepared rows to a trained model: the loop, its optimizers, its checkpoints and its run folder."""
