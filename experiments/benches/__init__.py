"""Suites of `experiments.bench`: each offers `run(samples, seed)`."""
