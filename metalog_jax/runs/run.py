"""One run: from System folders to a run folder. What `metalog train` does."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax

from metalog_jax import atomic, errors, flags, types
from metalog_jax.detectors import registry
from metalog_jax.embeddings import tables
from metalog_jax.evaluation import metrics, scoring, thresholds
from metalog_jax.logs import manifests
from metalog_jax.meta import costs
from metalog_jax.runs import environment, folder, model, results
from metalog_jax.runs import problem as problems
from metalog_jax.training import base, checkpoints
from metalog_jax.training import loop as training


@dataclasses.dataclass(frozen=True)
class Job:
  """All settings of a run; config.json is this, and the systems' fingerprints."""

  detector: str
  preset: str
  method: Any  # the detector's Config
  data: problems.Options
  loop: training.Options = training.Options()
  alert_rate: float = 0.0  # > 0: the threshold that alerts on this share of sessions
  kind: Literal['run'] = 'run'
  model: str = ''  # a trained run folder to adapt to the target, in place of training

  def __post_init__(self):
    if not 0 <= self.alert_rate <= 1:
      raise errors.UserError(
        f'--alert_rate={self.alert_rate}: give a share from 0 to 1'
      )

  @property
  def folders(self) -> list[str]:
    """Every System folder that the run reads."""
    data = self.data
    tests = [test for test in data.test if test != types.REST]
    return [*data.source, *([data.target] if data.target else []), *tests]


class Ready(NamedTuple):
  """A job with all that it computes with."""

  job: Job
  detector: base.Detector
  problem: problems.Problem
  scorer: scoring.Scorer


def start(
  job: Job,
  workdir: str | os.PathLike,
  mirror: Callable[[int, dict], Any] | None = None,
  say: Callable[[str], Any] = print,
) -> dict[str, Any] | None:
  """Runs `job` in `workdir`, or goes on with it there.

  Args:
    mirror: gets (step, metrics) of every line of metrics.jsonl, e.g. TensorBoard.
    say: gets what a user is to know.

  Returns:
    The result (result.json), or None if a signal stopped the training.

  Raises:
    UserError: the folder holds a run with other settings or data, or is in use; or the
      data are unfit.
  """
  shared = mine = folder.place(workdir)
  if any(os.path.realpath(path) == os.path.realpath(shared) for path in job.folders):
    raise errors.UserError(f'--workdir={shared} is a System folder: give another one')
  if jax.process_index():  # one process writes the run folder, the others beside it
    mine = shared / f'process_{jax.process_index()}'
  mine.mkdir(parents=True, exist_ok=True)
  with atomic.locked(mine):
    if (shared / folder.RESULT).exists():
      _check_settings(shared, job)
      return _finished(shared, job, say)
    _check_settings(mine, job)
    ready = _prepare(job, say)
    _claim(mine, job, ready.problem.fingerprints)
    atomic.write_json(mine / folder.ENVIRONMENT, environment.describe())
    if job.model:
      gradient, fitted = None, _trained(ready)
    else:
      gradient = _gradient(ready, say)
      validate = scoring.validator(ready.scorer, ready.problem.valid)
      fitted = training.fit(
        ready.detector,
        ready.problem.train,
        validate,
        job.data.seed,
        mine,
        job.loop,
        mirror,
        shared,
      )
    if not fitted.finished:
      say(f'stopped by a signal after step {fitted.steps}; the same command goes on')
      return None
    return _finish(ready, fitted, mine, gradient, say)


def explain(job: Job) -> str:
  """What a step of `job` costs, and how its gradient is taken; trains nothing.

  Raises:
    UserError: the method takes no steps, or the data are unfit.
  """
  ready = _prepare(job, say=lambda _: None)
  if ready.detector.step is None:
    raise errors.UserError(
      f'--explain: {job.detector} is fitted at once, without steps'
    )
  state, batch = _first(ready)
  lines = [costs.describe(costs.explain(ready.detector.step, state, batch))]
  if ready.detector.way:
    lines.insert(
      0, 'meta-gradient       {} ({})'.format(*ready.detector.way(state, batch))
    )
  return '\n'.join(lines)


def restore(workdir: str | os.PathLike) -> Job:
  """The job of a run folder (its config.json), of this version or an earlier one.

  Raises:
    UserError: `workdir` is no run folder, or its settings are not known here.
  """
  path = pathlib.Path(workdir) / folder.CONFIG
  if not path.exists():
    raise errors.UserError(
      f'{workdir} is no run folder (it has no {folder.CONFIG}): give one that '
      'metalog train has written'
    )
  config = folder.read_json(path)
  try:
    data = {
      k: tuple(v) if isinstance(v, list) else v for k, v in config['data'].items()
    }
    return Job(
      config['detector'],
      config['preset'],
      flags.restore(registry.get(config['detector']).Config(), config['method']),
      flags.restore(problems.Options(test=()), data),
      flags.restore(training.Options(), config['loop']),
      config.get('alert_rate', 0.0),
      model=config.get('model', ''),
    )
  except (KeyError, TypeError, AttributeError) as error:
    raise folder.damaged(path, f'{type(error).__name__}: {error}') from error


def _check_settings(workdir: pathlib.Path, job: Job) -> None:
  """Refuses a folder of a run with other settings.

  Fields that are newer than the run count as their defaults.
  """
  if not (workdir / folder.CONFIG).exists():
    return
  before, now = (_flat(dataclasses.asdict(j)) for j in (restore(workdir), job))
  changed = sorted(k for k in {**before, **now} if before.get(k) != now.get(k))
  if changed:
    raise errors.UserError(
      f'{workdir} holds a run with other settings ({", ".join(changed)}): give another '
      '--workdir, or --overwrite'
    )


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
  flat = {}
  for name, value in settings.items():
    inner = _flat(value) if isinstance(value, dict) else {}
    flat |= {f'{name}.{key}': item for key, item in inner.items()} or {name: value}
  return flat


def _check_systems(workdir: pathlib.Path, fingerprints: dict[str, str]) -> None:
  """Refuses a folder of a run whose System folders had other content."""
  path = workdir / folder.CONFIG
  recorded = folder.read_json(path).get('systems', {}) if path.exists() else {}
  for name, value in fingerprints.items():
    if recorded.get(name, value) != value:
      raise errors.UserError(
        f'{name} has other content than when {workdir} was trained on it: give another '
        '--workdir, or --overwrite'
      )


def _claim(workdir: pathlib.Path, job: Job, fingerprints: dict[str, str]) -> None:
  """Writes config.json, or checks that the System folders are those it names."""
  _check_systems(workdir, fingerprints)
  if not (workdir / folder.CONFIG).exists():
    config = dataclasses.asdict(job) | {'systems': fingerprints}
    atomic.write_json(workdir / folder.CONFIG, config)


def _finished(workdir: pathlib.Path, job: Job, say: Callable) -> dict[str, Any]:
  folder.verify(workdir)
  present = [path for path in job.folders if os.path.exists(path)]
  _check_systems(
    workdir, {path: manifests.read(path)['fingerprint'] for path in present}
  )
  say(f'{workdir} is finished already')
  return folder.read_json(workdir / folder.RESULT)


def _prepare(job: Job, say: Callable) -> Ready:
  module = registry.get(job.detector)
  detector, needs = module.make(job.method), registry.needs(module, job.method)
  known, data = (), job.data
  if job.model:
    known = model.known(pathlib.Path(job.model))
  if job.model or detector.few_shot or not detector.selects:  # all labels are learned
    data = dataclasses.replace(data, validation=0.0)
  problem = problems.make(data, job.method.embedding, needs, known)
  if job.model:
    problem.fingerprints[job.model] = folder.fingerprint(job.model)
  for name, coverage in problem.facts['coverage'].items():
    say(f'words of {name}: {coverage["known"]} of {coverage["words"]} known')
    if warning := tables.Coverage(**coverage).warning(name):
      say(f'warning: {warning}')
  return Ready(job, detector, problem, scoring.Scorer(detector))


def _trained(ready: Ready) -> training.Fitted:
  """What the training of `job.model` left, as if it had been here.

  Raises:
    UserError: the method cannot adapt, or there is no target.
  """
  job, target = ready.job, ready.problem.train.target
  if ready.detector.adapt is None or target is None:
    raise errors.UserError(f'{job.detector} cannot be adapted, or there is no --target')
  state = model.trained_state(pathlib.Path(job.model), ready.detector, target.vectors)
  return training.Fitted(state, state, 0, 0, True, 0.0, 0.0)


def _gradient(ready: Ready, say: Callable) -> str | None:
  """How the meta-gradient is taken; says so where that was left open."""
  method = ready.job.method
  if getattr(method, 'order', None) == 'first':
    return 'first'
  gradient = getattr(method, 'gradient', None)
  if gradient == 'auto':
    gradient, why = ready.detector.way(*_first(ready))
    say(f'meta-gradient: {gradient} ({why})')
  return gradient


def _first(ready: Ready) -> tuple[Any, Any]:
  """The state and the batch that training begins with."""
  seed, train = ready.job.data.seed, ready.problem.train
  state = ready.detector.init(jax.random.key(seed), train)
  return state, ready.detector.put(ready.detector.batches(train, seed).draw(0))


def _adapt(ready: Ready, fitted: training.Fitted, workdir: pathlib.Path):
  """(the state adapted to the target, the adaptation report)."""
  problem = ready.problem
  state, report = ready.detector.adapt(fitted.state, problem.train, ready.job.data.seed)
  saved = checkpoints.Checkpoints(workdir / folder.ADAPTED)
  saved.save(max(fitted.steps, 1), checkpoints.start(state))
  saved.close()
  rounds = [_pseudo_counts(labels, problem.truth) for labels in report.pop('pseudo')]
  before = {}
  for name, data in problem.tests.items():
    scores, seen = (
      ready.scorer.scores(fitted.state, data),
      problem.seen_in_training(data),
    )
    before[name] = metrics.by_kind(data.sessions, scores, 0.5, seen)
  return state, report | {'pseudo_labels': rounds, 'before': before}


def _pseudo_counts(labels, truth) -> dict[str, int]:
  """How many sessions got each pseudo-label, and how many of them are right."""
  known = (labels >= 0) & (truth >= 0)
  counts = {'normal': labels == 0, 'anomalous': labels == 1, 'known': known}
  counts['right'] = known & (labels == truth)
  return {name: int(mask.sum()) for name, mask in counts.items()}


def _finish(
  ready: Ready, fitted: training.Fitted, workdir, gradient, say
) -> dict[str, Any]:
  """Adapts where that is due, tests, and writes what a finished run holds."""
  job, problem, scorer = ready.job, ready.problem, ready.scorer
  adaptation = None
  if problem.train.target is not None and (job.model or ready.detector.few_shot):
    state, adaptation = _adapt(ready, fitted, workdir)
    fitted = fitted._replace(state=state)
  begin = time.perf_counter()
  scores = {
    name: scorer.scores(fitted.state, data) for name, data in problem.tests.items()
  }
  seconds = time.perf_counter() - begin
  own = _own_threshold(ready, fitted.state)
  tested = {
    name: results.Tested(data, scores[name], *_threshold(job, scores[name], own))
    for name, data in problem.tests.items()
  }
  result = results.result(ready, fitted, tested, seconds)
  result |= {'gradient': gradient, 'adaptation': adaptation}
  result['threshold'] = _target_threshold(job, tested, own)
  for warning in result['warnings']:
    say(f'warning: {warning}')
  results.write_scores(workdir / folder.SCORES, tested)
  explained = {
    name: scoring.explain(scorer, fitted.state, test.data, test.scores, test.threshold)
    for name, test in tested.items()
  }
  atomic.write_json(workdir / folder.EXPLAINED, explained)
  model.save(workdir, problem.known, problem.labelled.target)
  return folder.seal(workdir, result)


def _own_threshold(ready: Ready, state: Any) -> tuple[float, str]:
  """The detector's (threshold, where it comes from), which no test session decides."""
  if not ready.detector.threshold:
    return 0.5, 'fixed'
  score = lambda data: ready.scorer.scores(state, data)
  return ready.detector.threshold(state, ready.problem.train, score)


def _threshold(job: Job, scores, own: tuple[float, str]) -> tuple[float, str]:
  """(threshold, where it comes from) of a test set; no test label is looked at."""
  if job.alert_rate:
    return thresholds.alert_rate(scores, job.alert_rate), 'alert_rate'
  return own


def _target_threshold(job: Job, tested, own: tuple[float, str]) -> dict[str, Any]:
  """The threshold for new sessions of the target: what `detect` takes."""
  if types.REST in tested:
    test = tested[types.REST]
    return {'value': test.threshold, 'from': test.threshold_from}
  if job.alert_rate:  # those of the test sets are other systems'
    return {'value': None, 'from': 'alert_rate'}
  return {'value': own[0], 'from': own[1]}
