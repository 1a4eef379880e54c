"""Suites of `experiments.bench`: each offers `run(interleave.Options)`."""
