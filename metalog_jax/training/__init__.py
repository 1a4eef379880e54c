"""One loop, its checkpoints, and how steps are taken."""
