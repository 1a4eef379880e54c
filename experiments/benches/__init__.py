"""Suites of `experiments.bench`: each offers `run(turns.Options)`."""
