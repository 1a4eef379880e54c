"""What a run leaves in its folder: result.json, scores.parquet, environment.json."""

import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import metalog_jax
from metalog_jax import types
from metalog_jax.evaluation import floors, metrics


def result(job: Any, problem, fitted, scores, found, seconds: float) -> dict:
  """What result.json holds, floors included.

  Args:
    job: a `job.Job`; problem: a `transfer.Problem`; fitted: a `run.Fitted`.
    scores: of every test set, by name.
    found: (threshold, where it comes from) of every test set.
    seconds: that scoring took.
  """
  labelled, data = problem.labelled, job.data
  num = sum(len(s) for s in scores.values())
  seen = {
    'source': _classes(labelled.sources),
    'target': _classes([labelled.target] if labelled.target else []),
  }
  tests = {}
  for name, test in problem.tests.items():
    mine = learned(job, problem, name)
    tests[name] = metrics.by_kind(test.sessions, scores[name], found[name][0], mine)
    tests[name]['threshold_from'] = found[name][1]
    target = labelled.target if mine is not None else None
    tests[name]['floors'] = {
      floor: metrics.by_kind(test.sessions, s, threshold, mine)
      for floor, (s, threshold) in floors.scores(target, test, labelled.sources).items()
    }
  return {
    'detector': job.detector,
    'preset': job.preset,
    'order': getattr(job.method, 'order', None),
    'seed': data.seed,
    'source': [pathlib.Path(s).name for s in data.source],
    'target': pathlib.Path(data.target).name or None,
    'labels_seen': seen,
    'test': tests,
    'steps': fitted.steps,
    'best_step': fitted.best_step,
    'split': data.split,
    'simulated': problem.simulated,
    'audit': problem.audit,
    'coverage': problem.coverage,
    'fit': problem.fit,
    'seconds': {
      'prepare': problem.prepare_seconds,
      'setup': fitted.setup_seconds,
      'compile': fitted.compile_seconds,
      'train': fitted.seconds,
      'test': seconds,
    },
    'test_ms_per_session': 1e3 * seconds / max(num, 1),
  }


def learned(job: Any, problem, name: str) -> types.Sessions | None:
  """The labelled sessions of the system that the test set `name` is of, if a target."""
  target = problem.labelled.target
  if target is None or folder(job, name) != job.data.target:
    return None
  return target.sessions.take(np.flatnonzero(target.sessions.labels >= 0))


def _classes(datasets) -> dict[str, int]:
  labels = np.concatenate([d.sessions.labels for d in datasets] or [np.zeros(0)])
  return {'normal': int(np.sum(labels == 0)), 'anomalous': int(np.sum(labels == 1))}


def folder(job: Any, name: str) -> str:
  """The System folder of the test set `name`."""
  if name == 'rest':
    return job.data.target
  return next(t for t in job.data.test if pathlib.Path(t).name == name)


def environment() -> dict[str, Any]:
  """Versions, devices and the commit that a run was made with."""
  names = (
    'jax',
    'jaxlib',
    'flax',
    'optax',
    'numpy',
    'orbax-checkpoint',
    'drain3',
    'gensim',
    'scikit-learn',
  )
  versions = {name: importlib.metadata.version(name) for name in names}
  git = subprocess.run(
    ['git', 'rev-parse', 'HEAD'],
    capture_output=True,
    text=True,
    cwd=pathlib.Path(__file__).parent,
  )
  return {
    'metalog_jax': metalog_jax.__version__,
    'python': platform.python_version(),
    'versions': versions,
    'devices': [str(d) for d in jax.devices()],
    'machine': platform.machine(),
    'commit': git.stdout.strip() or None,
  }


def write_scores(path: pathlib.Path, tests: dict[str, types.Dataset], scores) -> None:
  """Writes scores.parquet: every tested session with its label and score."""
  joined = lambda parts: np.concatenate([*parts, []] if not parts else parts)
  columns = {
    'system': joined([[n] * len(s) for n, s in scores.items()]),
    'session_id': joined([tests[n].sessions.ids for n in scores]).astype(str),
    'label': joined([tests[n].sessions.labels for n in scores]),
    'score': joined(list(scores.values())),
  }
  temporary = path.with_name(path.name + '.tmp')
  pq.write_table(
    pa.table({k: pa.array(v.tolist()) for k, v in columns.items()}), temporary
  )
  os.replace(temporary, path)


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes `value` so that a reader sees all of the file or none."""
  temporary = path.with_name(path.name + '.tmp')
  temporary.write_text(json.dumps(value, indent=1) + '\n')
  os.replace(temporary, path)
