"""One run: from System folders to a run folder. What `experiments.train` does."""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import metalog_jax
from metalog_jax import checkpoints, model, run, transfer, types
from metalog_jax.detectors import base, floors, registry
from metalog_jax.evaluation import metrics, scoring, thresholds
from metalog_jax.logs import store
from metalog_jax.meta import costs


@dataclasses.dataclass(frozen=True)
class Job:
  """All settings of a run; config.json is this."""

  detector: str
  preset: str
  method: Any  # the detector's Config
  data: transfer.Options
  loop: run.Options = run.Options()
  alert_rate: float = 0.0  # > 0: the threshold that alerts on this share of sessions
  kind: Literal['run'] = 'run'
  model: str = ''  # a trained run folder to adapt to the target, in place of training


def start(job: Job, workdir: pathlib.Path, mirror=None, say=print) -> dict | None:
  """Runs `job` in `workdir`, or goes on with it there.

  Returns:
    The result (result.json), or None if a signal stopped the training.

  Raises:
    ValueError: the folder holds a run with other settings, or the data are unfit.
  """
  shared = workdir
  if (shared / 'result.json').exists():
    _claim(shared, job)
    say(f'{shared} is finished already')
    return json.loads((shared / 'result.json').read_text())
  if jax.process_index():  # one process writes the run folder, the others beside it
    workdir = shared / f'process_{jax.process_index()}'
  workdir.mkdir(parents=True, exist_ok=True)
  _claim(workdir, job)
  detector, problem = _prepare(job, say)
  scorer = scoring.Scorer(detector)
  if job.model:
    gradient, fitted = None, _trained(job, detector, problem)
  else:
    gradient = _gradient(job, detector, problem, say)
    fitted = run.fit(
      detector,
      problem.train,
      scoring.validator(scorer, problem.valid),
      job.data.seed,
      workdir,
      job.loop,
      mirror,
      shared,
    )
  if not fitted.finished:
    say(f'stopped by a signal after step {fitted.steps}; the same command goes on')
    return None
  return _finish(job, detector, problem, scorer, fitted, workdir, gradient)


def explain(job: Job) -> str:
  """What a step of `job` costs, and how its gradient is taken; trains nothing.

  Raises:
    ValueError: the method takes no steps, or the data are unfit.
  """
  detector, problem = _prepare(job, say=lambda _: None)
  if detector.step is None:
    raise ValueError(f'--explain: {job.detector} is fitted at once, without steps')
  state, batch = _first(job, detector, problem)
  lines = [costs.describe(costs.explain(detector.step, state, batch))]
  if detector.way:
    lines.insert(0, 'meta-gradient       {} ({})'.format(*detector.way(state, batch)))
  return '\n'.join(lines)


def _prepare(job: Job, say: Callable) -> tuple[base.Detector, transfer.Problem]:
  module = registry.get(job.detector)
  detector, needs = module.make(job.method), registry.needs(module, job.method)
  known, data = (), job.data
  if job.model:
    known = model.known(pathlib.Path(job.model))
  if job.model or detector.few_shot or not detector.selects:  # all labels are learned
    data = dataclasses.replace(data, validation=0.0)
  problem = transfer.make(data, job.method.embedding, needs, known)
  for name, coverage in problem.coverage.items():
    say(f'words of {name}: {coverage["known"]} of {coverage["words"]} known')
  return detector, problem


def _trained(job: Job, detector: base.Detector, problem) -> run.Fitted:
  """What the training of `job.model` left, as if it had been here.

  Raises:
    ValueError: the method cannot adapt, or there is no target.
  """
  if detector.adapt is None or problem.train.target is None:
    raise ValueError(f'{job.detector} cannot be adapted, or there is no --target')
  vectors = problem.train.target.vectors
  state = model.trained_state(pathlib.Path(job.model), detector, vectors)
  return run.Fitted(state, state, 0, 0, True, 0.0, 0.0)


def _adapt(job: Job, detector: base.Detector, problem, fitted, workdir, scorer):
  """(the state adapted to the target, what is to be told of it)."""
  state, report = detector.adapt(fitted.state, problem.train, job.data.seed)
  saved = checkpoints.Checkpoints(workdir / model.ADAPTED)
  saved.save(max(fitted.steps, 1), run.start(state))
  saved.close()
  truth, rounds = problem.truth, []
  for labels in report.pop('pseudo'):
    known = (labels >= 0) & (truth >= 0)
    counts = {'normal': labels == 0, 'anomalous': labels == 1, 'known': known}
    counts['right'] = known & (labels == truth)
    rounds.append({name: int(mask.sum()) for name, mask in counts.items()})
  before = {}
  for name, data in problem.tests.items():
    scores, learned = scorer.scores(fitted.state, data), _learned(job, problem, name)
    before[name] = metrics.by_kind(data.sessions, scores, 0.5, learned)
  return state, report | {'pseudo_labels': rounds, 'before': before}


def _gradient(job: Job, detector, problem, say: Callable) -> str | None:
  """How the meta-gradient is taken; says so where that was left open."""
  if getattr(job.method, 'order', None) == 'first':
    return 'first'
  gradient = getattr(job.method, 'gradient', None)
  if gradient == 'auto':
    gradient, why = detector.way(*_first(job, detector, problem))
    say(f'meta-gradient: {gradient} ({why})')
  return gradient


def _first(job: Job, detector: base.Detector, problem: transfer.Problem) -> tuple:
  """The state and the batch that training begins with."""
  state = detector.init(jax.random.key(job.data.seed), problem.train)
  draw = detector.batches(problem.train, job.data.seed).draw
  return state, detector.put(draw(0))


def _finish(job, detector, problem, scorer, fitted, workdir, gradient) -> dict:
  adaptation = None
  is_due = job.model or detector.few_shot
  if is_due and problem.train.target is not None:
    state, adaptation = _adapt(job, detector, problem, fitted, workdir, scorer)
    fitted = fitted._replace(state=state)
  start_time = time.perf_counter()
  scores = {
    name: scorer.scores(fitted.state, data) for name, data in problem.tests.items()
  }
  seconds = time.perf_counter() - start_time
  found = {
    name: _threshold(job, detector, scorer, fitted.state, problem, scores[name])
    for name in scores
  }
  result = _result(job, problem, fitted, scores, found, seconds)
  result['gradient'] = gradient
  result['adaptation'] = adaptation
  if detector.note:
    result['note'] = detector.note
  _write_scores(workdir / 'scores.parquet', problem.tests, scores)
  explained = {}
  for name, data in problem.tests.items():
    templates = store.load(_folder(job, name)).templates
    explained[name] = scoring.explain(
      scorer, fitted.state, data, templates, scores[name], found[name][0]
    )
  _write_json(workdir / 'explained.json', explained)
  model.save_known(workdir, problem.known)
  if job.data.target:
    texts = store.load(job.data.target).templates
    model.save(
      workdir, pathlib.Path(job.data.target), texts, problem.labelled.target.vectors
    )
  _write_json(workdir / 'environment.json', environment())
  _write_json(workdir / 'result.json', result)
  return result


def _threshold(job: Job, detector, scorer, state, problem, scores) -> tuple[float, str]:
  """(threshold, where it comes from); no test label is ever looked at."""
  if job.alert_rate:
    return thresholds.alert_rate(scores, job.alert_rate), 'alert_rate'
  if detector.threshold:
    score = lambda data: scorer.scores(state, data)
    return detector.threshold(state, problem.train, score)
  return 0.5, 'fixed'


def _result(job, problem, fitted, scores, found, seconds) -> dict:
  labelled, data = problem.labelled, job.data
  num = sum(len(s) for s in scores.values())
  seen = {
    'source': _classes(labelled.sources),
    'target': _classes([labelled.target] if labelled.target else []),
  }
  tests = {}
  for name, test in problem.tests.items():
    mine = _learned(job, problem, name)
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


def _learned(job: Job, problem, name: str) -> types.Sessions | None:
  """The labelled sessions of the system that the test set `name` is of, if a target."""
  target = problem.labelled.target
  if target is None or _folder(job, name) != job.data.target:
    return None
  return target.sessions.take(np.flatnonzero(target.sessions.labels >= 0))


def _classes(datasets) -> dict[str, int]:
  labels = np.concatenate([d.sessions.labels for d in datasets] or [np.zeros(0)])
  return {'normal': int(np.sum(labels == 0)), 'anomalous': int(np.sum(labels == 1))}


def _folder(job: Job, name: str) -> str:
  """The System folder of the test set `name`."""
  if name == 'rest':
    return job.data.target
  return next(t for t in job.data.test if pathlib.Path(t).name == name)


def _claim(workdir: pathlib.Path, job: Job) -> None:
  """Writes config.json, or checks that the one there is this job's."""
  path, mine = workdir / 'config.json', json.loads(json.dumps(dataclasses.asdict(job)))
  if not path.exists():
    _write_json(path, mine)
    return
  theirs = json.loads(path.read_text())
  changed = sorted(k for k in {**mine, **theirs} if mine.get(k) != theirs.get(k))
  if changed:
    raise ValueError(
      f'{workdir} holds a run with other settings ({", ".join(changed)}): give another '
      '--workdir, or --overwrite'
    )


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


def _write_scores(path: pathlib.Path, tests: dict[str, types.Dataset], scores) -> None:
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


def _write_json(path: pathlib.Path, value: Any) -> None:
  temporary = path.with_name(path.name + '.tmp')
  temporary.write_text(json.dumps(value, indent=1) + '\n')
  os.replace(temporary, path)
