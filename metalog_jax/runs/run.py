"""One run: from System folders to a run folder. What `experiments.train` does."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any, Literal

import jax

from metalog_jax import errors
from metalog_jax.detectors import registry
from metalog_jax.evaluation import metrics, scoring, thresholds
from metalog_jax.logs import store
from metalog_jax.meta import costs
from metalog_jax.runs import folder, model
from metalog_jax.runs import problem as transfer
from metalog_jax.training import base, checkpoints
from metalog_jax.training import loop as run


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
    UserError: the folder holds a run with other settings, or the data are unfit.
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
    UserError: the method takes no steps, or the data are unfit.
  """
  detector, problem = _prepare(job, say=lambda _: None)
  if detector.step is None:
    raise errors.UserError(
      f'--explain: {job.detector} is fitted at once, without steps'
    )
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
    UserError: the method cannot adapt, or there is no target.
  """
  if detector.adapt is None or problem.train.target is None:
    raise errors.UserError(f'{job.detector} cannot be adapted, or there is no --target')
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
    scores, learned = (
      scorer.scores(fitted.state, data),
      folder.learned(job, problem, name),
    )
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
  result = folder.result(job, problem, fitted, scores, found, seconds)
  result['gradient'] = gradient
  result['adaptation'] = adaptation
  if detector.note:
    result['note'] = detector.note
  folder.write_scores(workdir / 'scores.parquet', problem.tests, scores)
  explained = {}
  for name, data in problem.tests.items():
    templates = store.load(folder.folder(job, name)).templates
    explained[name] = scoring.explain(
      scorer, fitted.state, data, templates, scores[name], found[name][0]
    )
  folder.write_json(workdir / 'explained.json', explained)
  model.save_known(workdir, problem.known)
  if job.data.target:
    texts = store.load(job.data.target).templates
    model.save(
      workdir, pathlib.Path(job.data.target), texts, problem.labelled.target.vectors
    )
  folder.write_json(workdir / 'environment.json', folder.environment())
  folder.write_json(workdir / 'result.json', result)
  return result


def _threshold(job: Job, detector, scorer, state, problem, scores) -> tuple[float, str]:
  """(threshold, where it comes from); no test label is ever looked at."""
  if job.alert_rate:
    return thresholds.alert_rate(scores, job.alert_rate), 'alert_rate'
  if detector.threshold:
    score = lambda data: scorer.scores(state, data)
    return detector.threshold(state, problem.train, score)
  return 0.5, 'fixed'


def _claim(workdir: pathlib.Path, job: Job) -> None:
  """Writes config.json, or checks that the one there is this job's."""
  path, mine = workdir / 'config.json', json.loads(json.dumps(dataclasses.asdict(job)))
  if not path.exists():
    folder.write_json(path, mine)
    return
  theirs = json.loads(path.read_text())
  changed = sorted(k for k in {**mine, **theirs} if mine.get(k) != theirs.get(k))
  if changed:
    raise errors.UserError(
      f'{workdir} holds a run with other settings ({", ".join(changed)}): give another '
      '--workdir, or --overwrite'
    )
