"""The results of a run: result.json with floors and warnings, and scores.parquet."""

import pathlib
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metalog_jax import atomic, flags, types
from metalog_jax.evaluation import blind_spots, floors, metrics

_BY_RATE = (
  'in place of its own, --alert_rate sets the threshold by the test sessions, without '
  'labels'
)
_BY_TESTS = 'without labels, the test sessions set the threshold'
FEW_STEPS = 100  # in which a network from random weights learns next to nothing


class Tested(NamedTuple):
  """A test set with the scores it got."""

  data: types.Dataset
  scores: np.ndarray  # [S] float64
  threshold: float
  threshold_from: str


def result(ready, fitted, tested: dict[str, Tested], seconds: float) -> dict[str, Any]:
  """The content of result.json, without gradient, adaptation and threshold.

  Args:
    ready: a `run.Ready`; fitted: a `loop.Fitted`.
    tested: by the names of test sets.
    seconds: spent on scoring.
  """
  job, problem, detector = ready.job, ready.problem, ready.detector
  labelled = problem.labelled
  target = [labelled.target] if labelled.target else []
  num = sum(len(test.scores) for test in tested.values())
  return {
    'detector': job.detector,
    'preset': job.preset,
    'order': flags.get(job.method, 'order'),
    'seed': job.data.seed,
    'source': [data.name for data in labelled.sources],
    'target': labelled.target.name if target else None,
    'labels_seen': {'source': _classes(labelled.sources), 'target': _classes(target)},
    'test': {name: _measures(problem, test) for name, test in tested.items()},
    'steps': fitted.steps,
    'best_step': fitted.best_step,
    **problem.facts,
    'seconds': {
      'prepare': problem.prepare_seconds,
      'setup': fitted.setup_seconds,
      'compile': fitted.compile_seconds,
      'train': fitted.seconds,
      'test': seconds,
    },
    'test_ms_per_session': 1e3 * seconds / max(num, 1),
    'warnings': [
      *_of_training(job, fitted.steps),
      *(
        warning
        for name, test in tested.items()
        for warning in _warnings(ready, fitted.state, name, test)
      ),
    ],
    **({'note': '; '.join(notes)} if (notes := _notes(detector, tested)) else {}),
  }


def _notes(detector: Any, tested: dict[str, Tested]) -> list[str]:
  notes = [detector.note] if detector.note else []
  sources = {name: test.threshold_from for name, test in tested.items()}
  if 'alert_rate' in sources.values():
    notes.append(_BY_RATE)
  # `expected_f1` is by the rest of the target, whatever else is tested on.
  if 'likely_gap' in sources.values() or sources.get(types.REST) == 'expected_f1':
    notes.append(_BY_TESTS)
  return notes


def _measures(problem, test: Tested) -> dict[str, Any]:
  seen, labelled = problem.seen_in_training(test.data), problem.labelled
  by_kind = lambda scores, threshold: metrics.by_kind(
    test.data.sessions, scores, threshold, seen
  )
  target = labelled.target if seen is not None else None
  fitted = floors.scores(target, test.data, labelled.sources)
  return by_kind(test.scores, test.threshold) | {
    'threshold_from': test.threshold_from,
    'floors': {name: by_kind(*floor) for name, floor in fitted.items()},
  }


def _classes(datasets) -> dict[str, int]:
  labels = np.concatenate([np.zeros(0), *(data.sessions.labels for data in datasets)])
  return {'normal': int(np.sum(labels == 0)), 'anomalous': int(np.sum(labels == 1))}


def _of_training(job, steps: int) -> list[str]:
  """A warning where passes over few sessions are too few steps."""
  if flags.get(job.method, 'least_steps') is None or steps >= FEW_STEPS:
    return []
  return [
    f'trained by {steps} steps, in which little is learned: raise '
    f'--{job.detector}.least_steps'
  ]


def _warnings(ready, state, name: str, test: Tested) -> list[str]:
  data, scores, threshold, _ = test
  detector, distinct = ready.detector, len(metrics.distinct(data.sessions).first)
  seen = blind_spots.Seen.of(data, scores, threshold, distinct, detector.reads_vectors)
  bound = detector.highest(state, data.vectors) if detector.highest else None
  texts = [*_unmeasured(seen), *blind_spots.warnings(seen, bound)]
  if host := detector.host:
    texts += host.warnings(state, host.tally(state, scores, threshold), threshold)
  return [f'{name}: {text}' for text in texts]


def _unmeasured(seen: blind_spots.Seen) -> list[str]:
  if seen.anomalies + seen.normals:
    return []
  if not seen.sessions:
    return ['no labelled session is left to be tested']
  return [
    'no session has a label, so that nothing is measured; '
    f'{seen.alerts} of {seen.sessions} are above the threshold: see scores.parquet'
  ]


def write_scores(path: pathlib.Path, tested: dict[str, Tested]) -> None:
  """Writes scores.parquet: every tested session with its label and score."""
  tests = tested.values()
  names = [[name] * len(test.scores) for name, test in tested.items()]
  columns = {
    'system': (pa.string(), sum(names, [])),
    'session_id': (pa.string(), [str(i) for t in tests for i in t.data.sessions.ids]),
    'label': (pa.int64(), [int(x) for t in tests for x in t.data.sessions.labels]),
    'score': (pa.float64(), [float(x) for t in tests for x in t.scores]),
  }
  table = pa.table({k: pa.array(values, kind) for k, (kind, values) in columns.items()})
  with atomic.writing(path) as partial:
    pq.write_table(table, partial)
