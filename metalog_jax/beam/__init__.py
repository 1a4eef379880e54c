"""The same functions as `logs/` and `runs/`, as Apache Beam pipelines.

The only room that imports apache_beam, which lives in an environment of its own
(`make beam`). `sessions` is the pipeline from files to sessions, `prepare` the engine
of `metalog prepare --runner`, `detect` scores sessions with a trained model.
"""
