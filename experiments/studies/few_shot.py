"""Leave one system out, adapt to it with few labels, and compare with what is simpler.

Enters: System folders and settings. Leaves: one record for each (target, labels, seed,
arm, kind of sessions). What is compared is where adaptation starts (meta-learned,
pooled, random) and how it goes on (the method's few steps, or many of Adam), so that
neither is mistaken for the other.
"""

import collections
import json
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from metalog_jax import atomic, errors, flags, types
from metalog_jax.detectors import logmeta
from metalog_jax.evaluation import floors, metrics, scoring
from metalog_jax.meta import rules
from metalog_jax.runs import model
from metalog_jax.runs import problem as problems
from metalog_jax.runs import run as runs
from metalog_jax.training import base

META, POOLED, RANDOM = 'meta-learned', 'pooled', 'random'
NONE, STEPS, PSEUDO, TUNE = 'no adaptation', 'few steps', 'pseudo-labels', 'fine-tuned'
ARMS = {  # name -> where adaptation starts, how it goes on
  'meta-learned, adapted': (META, STEPS),
  'the same, with pseudo-labels': (META, PSEUDO),
  'meta-learned, fine-tuned': (META, TUNE),
  'meta-learned, not adapted': (META, NONE),
  'pooled, not adapted': (POOLED, NONE),
  'pooled, same steps': (POOLED, STEPS),
  'pooled, fine-tuned': (POOLED, TUNE),
  'from scratch': (RANDOM, TUNE),
}
FLOOR, FIXED, LINEAR = 'best floor', 'fixed floor', 'linear on vectors'
METHODS = (*ARMS, LINEAR, FIXED, FLOOR)
MEASURES = ('f1', 'precision', 'recall', 'auroc', 'auprc')
PLAIN: dict[str, Any] = dict(
  inner_steps=0, rates='fixed', anneal=0, adapted='all', gradient='mixed'
)

Record = dict[str, Any]


class Plan(NamedTuple):
  """What to compare."""

  systems: tuple[str, ...]
  targets: tuple[str, ...]
  twins: dict[str, str]  # name of a target: system that is left out with it
  labels: tuple[str, ...]  # of each class: counts or shares
  method: logmeta.Config
  preset: str
  unlabelled: str
  most_sources: int  # 0: all
  seeds: int


class Scored(NamedTuple):
  """A detector and its compiled scores, used for all cells."""

  detector: base.Detector
  scorer: scoring.Scorer


def run(
  plan: Plan, out: pathlib.Path, say: Callable[[str], Any] = print
) -> list[Record]:
  """Trains and adapts, or takes up what `out` has of it; one record a figure.

  Raises:
    UserError: training was stopped by a signal, the data are unfit, a system is
      given twice, or `out` has cells of other settings.
  """
  _check_systems(plan.systems)
  _check_cells(plan, out)
  detectors, records = _detectors(plan.method), []
  for seed in range(plan.seeds):
    for target in plan.targets:
      left_out = {target, plan.twins.get(name(target), '')}
      sources = tuple(s for s in plan.systems if s not in left_out)
      sources = sources[: plan.most_sources or None]
      if not sources:
        raise errors.UserError(f'--systems has none to learn from but {name(target)}')
      trained = _train(plan, sources, target, seed, out, say)
      for labels in plan.labels:
        path = out / 'cells' / f'{name(target)}-{slug(labels)}-{seed}.json'
        if not path.exists():
          begin = time.perf_counter()
          cell = _cell(plan, detectors, trained, _options(plan, target, labels, seed))
          atomic.write_json(path, cell)
          seconds = time.perf_counter() - begin
          say(f'{name(target)}: {labels} a class, seed {seed}: {seconds:.0f} s')
        place = {'target': name(target), 'labels': labels, 'seed': seed}
        records += [place | record for record in json.loads(path.read_text())]
  return records


def _check_systems(systems: Sequence[str]) -> None:
  """Refuses folders that are one, of which a part would be learned from, or look it."""
  for what, key in (
    ('is', lambda s: str(pathlib.Path(s).resolve())),
    ('is named', name),
  ):
    groups = collections.Counter(map(key, systems))
    if twice := [value for value, count in groups.items() if count > 1]:
      raise errors.UserError(f'--systems: more than one {what} {twice[0]}')


def _check_cells(plan: Plan, out: pathlib.Path) -> None:
  """Trainings are checked as runs are; this is for what cells depend on besides."""
  path, settings = out / 'cells' / 'settings.json', {'unlabelled': plan.unlabelled}
  if not path.exists():
    atomic.write_json(path, settings)
  elif (before := json.loads(path.read_text())) != settings:
    raise errors.UserError(
      f'{out} has cells of {before}, not of {settings}: give another --out'
    )


def name(folder: str) -> str:
  """What a System folder is called in tables."""
  return pathlib.Path(folder).name


def slug(text: str) -> str:
  """`text` as a part of a file's name."""
  return ''.join(c if c.isalnum() or c == '.' else '_' for c in text)


def _detectors(method: logmeta.Config) -> dict[str, Scored]:
  """The method; the same with plain steps; and with many steps of Adam."""
  plain = flags.replace(method, **PLAIN)
  configs = {
    META: method,
    STEPS: plain,
    TUNE: flags.replace(plain, **logmeta.FINE_TUNE),
  }
  detectors = {key: logmeta.make_detector(config) for key, config in configs.items()}
  return {key: Scored(one, scoring.Scorer(one)) for key, one in detectors.items()}


def _train(plan, sources, target, seed, out, say) -> dict[str, pathlib.Path]:
  """One training on the sources for each start that has one."""
  folders = {}
  configs = {META: plan.method, POOLED: flags.replace(plan.method, **PLAIN)}
  for start, method in configs.items():
    folders[start] = out / 'runs' / f'{name(target)}-{slug(start)}-{seed}'
    data = problems.Options(source=sources, test=(), validation=0.0, seed=seed)
    say(f'{name(target)} left out: {start}, seed {seed}')
    job = runs.Job('logmeta', plan.preset, method, data)
    if runs.start(job, folders[start], say=lambda _: None) is None:
      raise errors.UserError(
        'training was stopped by a signal; the same command goes on'
      )
  return folders


def _options(plan: Plan, target: str, labels: str, seed: int) -> problems.Options:
  return problems.Options(
    target=target,
    target_normals=labels,
    target_anomalies=labels,
    split='random',
    validation=0.0,
    seed=seed,
    unlabelled=plan.unlabelled,
  )


def _cell(plan: Plan, detectors, trained, options: problems.Options) -> list[Record]:
  """All arms and floors on the same labels of a target."""
  known = model.known(trained[META])
  problem = problems.make_problem(
    options, plan.method.embedding, logmeta.needs(plan.method), known
  )
  states = _starts(detectors, trained, problem, options.seed)
  records = []
  for arm, (start, how) in ARMS.items():
    key = TUNE if how == TUNE else META if start == META else STEPS
    scored, state, report = detectors[key], states[start, key], {}
    if how != NONE:
      rounds = plan.method.adapt.rounds if how == PSEUDO else 0
      state, report = scored.detector.adapt(
        state, problem.train, options.seed, rounds=rounds
      )
    scores = scored.scorer.scores(state, problem.tests[types.REST])
    records += _measure(arm, problem, scores, 0.5)
    if how == PSEUDO:
      records[-1]['pseudo'] = [_count_right(x, problem.truth) for x in report['pseudo']]
    if arm == next(iter(ARMS)):
      records[-1]['seconds'] = report['seconds']
  return records + _floors(problem)


def _starts(detectors, trained, problem, seed: int) -> dict[tuple[str, str], Any]:
  """Each start as each detector wants it: (start, key of `detectors`) -> state."""
  vectors, states = problem.train.target.vectors, {}
  for start, key in ((META, META), (POOLED, STEPS)):
    state = model.trained_state(trained[start], detectors[key].detector, vectors)
    has_rates = isinstance(state.params, rules.Learned)
    params = state.params.params if has_rates else state.params
    states[start, key], states[start, TUNE] = state, state._replace(params=params)
  init = detectors[TUNE].detector.init
  states[RANDOM, TUNE] = init(jax.random.key(seed), problem.train)
  return states


def _measure(arm: str, problem, scores, threshold: float) -> list[Record]:
  """One record a kind of sessions."""
  test = problem.tests[types.REST]
  learned = problem.seen_in_training(test)
  measured = metrics.by_kind(test.sessions, scores, threshold, learned)
  return [
    {'method': arm, 'kind': kind} | {key: measured[kind][key] for key in MEASURES}
    for kind in metrics.KINDS
  ]


def _count_right(labels, truth) -> dict[str, int]:
  """How many pseudo-labels a round gave, and how many of them are true."""
  known = (labels >= 0) & (truth >= 0)
  return {'given': int(known.sum()), 'right': int((known & (labels == truth)).sum())}


def _floors(problem) -> list[Record]:
  """The best over all sessions, picked afterwards, the one picked beforehand, and the
  linear one on vectors."""
  scored = floors.scores(problem.labelled.target, problem.tests[types.REST])
  measured = {floor: _measure(FLOOR, problem, *pair) for floor, pair in scored.items()}
  best = max(measured, key=lambda floor: measured[floor][0]['f1'] or 0.0)
  records = measured[best]
  records[-1]['floor'] = best
  fixed = next(name for name in floors.PICKED if name in scored)
  for method, name in ((FIXED, fixed), (LINEAR, 'lr_vectors')):
    if name in scored:
      records = records + _measure(method, problem, *scored[name])
  return records
