"""One run: from System folders to a run folder. What `metalog train` does."""

import contextlib
import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from metalog_jax import atomic, errors, flags, types
from metalog_jax.detectors import registry
from metalog_jax.embeddings import event_tables
from metalog_jax.evaluation import metrics, scoring, thresholds
from metalog_jax.logs import manifests
from metalog_jax.meta import costs
from metalog_jax.runs import environment, folder, model, result_json
from metalog_jax.runs import problem as problems
from metalog_jax.runs.job import Job, check_content, check_settings, restore, save
from metalog_jax.training import base, checkpoints
from metalog_jax.training import loop as training

Threshold = tuple[float, str]  # and where it comes from
__all__ = ['Job', 'Ready', 'explain', 'restore', 'start']


class Ready(NamedTuple):
  """A job with all that it computes with."""

  job: Job
  detector: base.Detector
  problem: problems.Problem
  scorer: scoring.Scorer


def start(
  job: Job, workdir: str | os.PathLike, say: Callable[[str], Any] = print
) -> dict[str, Any] | None:
  """Runs `job` in `workdir`, or goes on with it there.

  Args:
    say: called with messages for the user.

  Returns:
    The result (result.json), or None if a signal stopped the training.

  Raises:
    UserError: the folder holds a run with other settings or data, or is in use; or the
      data are unfit.
  """
  shared = mine = workdir_of(job, workdir)
  if jax.process_index():  # one process writes the run folder, the others beside it
    mine = shared / f'process_{jax.process_index()}'
  mine.mkdir(parents=True, exist_ok=True)
  with atomic.locked(mine):
    if (shared / folder.RESULT).exists():
      return finished(shared, job, say)
    ready = prepare(job, mine, say)
    if job.model:
      gradient, fitted = None, _trained(ready)
    else:
      gradient = gradient_of(ready, say)
      validate = scoring.validator(ready.scorer, ready.problem.valid)
      fitted = training.fit(
        ready.detector,
        ready.problem.train,
        validate,
        job.data.seed,
        mine,
        job.loop,
        shared,
      )
    return finish(ready, fitted, mine, gradient, say)


def workdir_of(job: Job, workdir: str | os.PathLike) -> pathlib.Path:
  """The run folder that a flag names.

  Raises:
    UserError: it names none, or one of the job's System folders.
  """
  path = folder.run_folder(workdir)
  if any(os.path.realpath(item) == os.path.realpath(path) for item in job.folders):
    raise errors.UserError(f'--workdir={path} is a System folder: give another one')
  return path


def explain(job: Job) -> str:
  """The cost of a step of `job`, and its gradient mode; trains nothing.

  Raises:
    UserError: the method takes no steps, or the data are unfit.
  """
  ready = _prepare(job, say=lambda _: None)
  if ready.detector.training is None:
    raise errors.UserError(
      f'--explain: {job.detector} is fitted at once, without steps'
    )
  state, batch = _first(ready)
  how = ready.detector.training
  lines = [costs.describe(costs.explain(how.step, state, batch))]
  if how.gradient_mode:
    mode, why = how.gradient_mode(state, batch)
    lines.insert(0, f'meta-gradient       {mode} ({why})')
  return '\n'.join(lines)


def finished(workdir: pathlib.Path, job: Job, say: Callable) -> dict[str, Any]:
  """The result of a run that is finished, checked to be of this job.

  Raises:
    UserError: it is of another job or other data, or is damaged.
  """
  check_settings(workdir, job)
  folder.verify(workdir)
  present = [path for path in job.folders if os.path.exists(path)]
  check_content(
    workdir, {path: manifests.read(path)['fingerprint'] for path in present}
  )
  say(f'{workdir} is finished already')
  return folder.read_json(workdir / folder.RESULT)


def prepare(
  job: Job,
  workdir: pathlib.Path,
  say: Callable,
  like: Ready | None = None,
  seeds: Sequence[int] = (),
) -> Ready:
  """Readies a job, and writes its folder's first files.

  Args:
    like: of a job that differs by its seed alone: what it has compiled is shared.
    seeds: of the runs that train in one program with this one.

  Raises:
    UserError: the folder is of another job or other data, or the data are unfit.
  """
  check_settings(workdir, job)
  ready = _prepare(job, say, like)
  save(workdir, job, ready.problem.fingerprints)
  atomic.write_json(workdir / folder.ENVIRONMENT, environment.describe(seeds))
  return ready


def _prepare(job: Job, say: Callable, like: Ready | None = None) -> Ready:
  module = registry.get(job.detector)
  detector = like.detector if like else module.make_detector(job.method)
  needs = module.needs(job.method)
  known: list[list[str]] = []
  data = job.data
  if data.source and base.SOURCE_LABELS not in needs:
    say(
      f'{job.detector} learns nothing from the labels of --source; '
      'metalog and logmeta do'
    )
  if job.model:
    known = model.known(pathlib.Path(job.model))
  if job.model or not detector.keeps_best:  # all labels are learned from
    data = dataclasses.replace(data, validation=0.0)
  problem = problems.make_problem(
    data, job.method.embedding, needs, known, detector.reads_vectors
  )
  if job.model:
    problem.fingerprints[job.model] = folder.fingerprint(job.model)
  if detector.sees_rest:
    problem = problem.with_rest()
  words = problem.facts['coverage'] if detector.reads_vectors else {}
  for name, coverage in words.items():
    say(f'words of {name}: {coverage["known"]} of {coverage["words"]} known')
    if warning := event_tables.Coverage(**coverage).warning(name):
      say(f'warning: {warning}')
  scorer = like.scorer if like else scoring.Scorer(detector)
  return Ready(job, detector, problem, scorer)


def _trained(ready: Ready) -> training.Fitted:
  """The state that the training of `job.model` ended with.

  Raises:
    UserError: the method cannot adapt, or there is no target.
  """
  job, target = ready.job, ready.problem.train.target
  if ready.detector.adapt is None or target is None:
    raise errors.UserError(f'{job.detector} cannot be adapted, or there is no --target')
  state = model.trained_state(pathlib.Path(job.model), ready.detector, target.vectors)
  return training.Fitted(state, state, 0, 0, True, 0.0, 0.0)


def gradient_of(ready: Ready, say: Callable) -> str | None:
  """The gradient mode; the user is told where it was chosen automatically."""
  method = ready.job.method
  if flags.get(method, 'order') == 'first':
    return 'first'
  gradient, how = flags.get(method, 'gradient'), ready.detector.training
  if gradient == 'auto' and how and how.gradient_mode:
    gradient, why = how.gradient_mode(*_first(ready))
    say(f'meta-gradient: {gradient} ({why})')
  return gradient


def _first(ready: Ready) -> tuple[Any, Any]:
  """The state and the batch of the first step."""
  seed, train = ready.job.data.seed, ready.problem.train
  state = ready.detector.init(jax.random.key(seed), train)
  how = ready.detector.training
  assert how  # the callers refuse closed forms
  return state, how.put(how.batches(train, seed).draw(0))


def _adapt(ready: Ready, fitted: training.Fitted, workdir: pathlib.Path):
  """(the state adapted to the target, the adaptation report)."""
  problem = ready.problem
  assert ready.detector.adapt  # the callers ask
  state, report = ready.detector.adapt(fitted.state, problem.train, ready.job.data.seed)
  with contextlib.closing(checkpoints.Checkpoints(workdir / folder.ADAPTED)) as saved:
    saved.save(max(fitted.steps, 1), checkpoints.first_progress(state))
  rounds = [_pseudo_counts(labels, problem.truth) for labels in report.pop('pseudo')]
  before = {}
  for name, data in problem.tests.items():
    scores = ready.scorer.scores(fitted.state, data)
    seen = problem.seen_in_training(data)
    before[name] = metrics.by_kind(data.sessions, scores, 0.5, seen)
  return state, report | {'pseudo_labels': rounds, 'before': before}


def _pseudo_counts(labels, truth) -> dict[str, int]:
  """How many sessions got each pseudo-label, and how many of them are right."""
  known = (labels >= 0) & (truth >= 0)
  counts = {'normal': labels == 0, 'anomalous': labels == 1, 'known': known}
  counts['right'] = known & (labels == truth)
  return {name: int(mask.sum()) for name, mask in counts.items()}


def finish(
  ready: Ready, fitted: training.Fitted, workdir, gradient, say
) -> dict[str, Any] | None:
  """Adapts if asked for, tests, and writes the files of a finished run.

  Returns:
    The result, or None if a signal stopped the training.
  """
  if not fitted.finished:
    say(f'stopped by a signal after step {fitted.steps}; the same command goes on')
    return None
  job, problem, scorer = ready.job, ready.problem, ready.scorer
  adaptation = None
  if problem.train.target is not None and (job.model or ready.detector.then_adapts):
    state, adaptation = _adapt(ready, fitted, workdir)
    fitted = fitted._replace(state=state)
  begin = time.perf_counter()
  scores = {
    name: scorer.scores(fitted.state, data) for name, data in problem.tests.items()
  }
  seconds = time.perf_counter() - begin
  limits, new = _thresholds(ready, fitted.state, scores)
  tested = {
    name: result_json.Tested(data, scores[name], *limits[name])
    for name, data in problem.tests.items()
  }
  result = result_json.result(ready, fitted, tested, seconds)
  result |= {'gradient': gradient, 'adaptation': adaptation}
  result['threshold'] = {'value': new[0], 'from': new[1]}
  for warning in result['warnings']:
    say(f'warning: {warning}')
  result_json.write_scores(workdir / folder.SCORES, tested)
  explained = {
    name: scoring.explain(scorer, fitted.state, test.data, test.scores, test.threshold)
    for name, test in tested.items()
  }
  atomic.write_json(workdir / folder.EXPLAINED, explained)
  model.save(workdir, problem.known, problem.labelled.target)
  return folder.seal(workdir, result)


def _thresholds(
  ready: Ready, state: Any, scores: dict[str, Any]
) -> tuple[dict[str, Threshold], tuple[float | None, str]]:
  """(threshold, where it comes from) of each test set, and for new sessions of the
  target, which is None where there is none; no test label is looked at."""
  chosen: Threshold = (0.5, 'fixed')
  rate = ready.job.alert_rate
  is_needed = not rate and (scores or ready.problem.train.target is not None)
  if ready.detector.threshold and is_needed:
    score = lambda data: ready.scorer.scores(state, data)
    chosen = ready.detector.threshold(state, ready.problem.train, score)
  elif ready.detector.host and is_needed:
    tests, target = ready.problem.tests, ready.problem.train.target
    threshold = ready.detector.host.threshold
    host = {name: threshold(state, data) for name, data in tests.items()}
    new = host.get(types.REST) or (threshold(state, target) if target else (None, ''))
    return host, new
  limits = {
    name: (thresholds.alert_rate(x, rate), 'alert_rate') if rate else chosen
    for name, x in scores.items()
  }
  # Without `rest`, the thresholds of an alert rate are those of other systems.
  return limits, limits.get(types.REST, (None, 'alert_rate') if rate else chosen)
