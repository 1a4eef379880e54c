"""The floors of a finished run, session by session.

A run folder keeps of floors their measures alone. They are fitted again here, on the
labels that the run saw, and kept as SWEEP/floors/RUN.parquet.
"""

import pathlib

import numpy as np
import polars as pl

from experiments.sweeps import significance
from metalog_jax import atomic, errors
from metalog_jax.detectors import registry
from metalog_jax.evaluation import floors
from metalog_jax.report import results
from metalog_jax.runs import job as jobs
from metalog_jax.runs import problem, record


def judged(run: record.Run, test: str) -> dict[str, significance.Judged]:
  """name -> verdicts on the labelled sessions of a test set.

  Raises:
    UserError: the System folders are no longer those of the run.
  """
  path = run.path.parents[1] / 'floors' / f'{run.name}.parquet'
  measured = run.result['test'][test]['floors']
  if not path.is_file():
    _write(path, run, test)
  frame = pl.read_parquet(path, glob=False)
  ids, labels = frame['id'].to_numpy(), frame['label'].to_numpy()
  verdicts = {
    name: significance.Judged(
      ids, labels, frame[name].to_numpy(), measured[name]['all']['threshold']
    )
    for name in measured
    if name in frame.columns
  }
  for name, verdict in verdicts.items():
    says, wrong = verdict.scores > verdict.threshold, verdict.labels != 1
    f1 = 2 * (says & ~wrong).sum() / max(says.sum() + (~wrong).sum(), 1)
    if abs(f1 - (results.measures(run.result, test, 'all', name)['f1'] or 0)) > 1e-6:
      raise errors.UserError(
        f'{path}: {name} has another F1 than in {run.path}: remove the file, or give '
        'the System folders of the run'
      )
  return verdicts


def _write(path: pathlib.Path, run: record.Run, test: str) -> None:
  job = jobs.restore(run.path)
  needs = registry.get(job.detector).needs(job.method)
  given = problem.make_problem(
    job.data, job.method.embedding, needs, reads_vectors=False
  )
  if given.fingerprints != run.config['systems']:
    raise errors.UserError(f'{run.path}: its System folders have changed since')
  labelled, data = given.labelled, given.tests[test]
  target = labelled.target if given.seen_in_training(data) is not None else None
  scored = floors.scores(target, data, labelled.sources)
  known = data.sessions.labels >= 0
  columns = {
    'id': np.array([str(i) for i in data.sessions.ids])[known],
    'label': data.sessions.labels[known],
    **{name: scores[known] for name, (scores, _) in scored.items()},
  }
  path.parent.mkdir(exist_ok=True)
  with atomic.writing(path) as partial:
    pl.DataFrame(columns).write_parquet(partial)
