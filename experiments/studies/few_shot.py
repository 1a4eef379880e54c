"""Leave one system out, adapt to it with few labels, and compare with what is simpler.

Enters: System folders and settings. Leaves: one record for each (target, labels, seed,
arm, kind of sessions). What is compared is where adaptation starts (meta-learned,
pooled, random) and how it goes on (the method's own few steps, or many of Adam), so
that neither is mistaken for the other.
"""

import dataclasses
import json
import pathlib
import time
from typing import Any, NamedTuple

import jax

from metalog_jax import atomic, errors
from metalog_jax.detectors import logmeta
from metalog_jax.evaluation import floors, metrics, scoring
from metalog_jax.meta import rules
from metalog_jax.runs import model
from metalog_jax.runs import problem as transfer
from metalog_jax.runs import run as job
from metalog_jax.training import base

META, POOLED, RANDOM = 'meta-learned', 'pooled', 'random'
NONE, OWN, PSEUDO, TUNE = 'no adaptation', 'own steps', 'pseudo-labels', 'fine-tuned'
ARMS = {
  'meta-learned, adapted': (META, OWN),
  'the same, with pseudo-labels': (META, PSEUDO),
  'meta-learned, fine-tuned': (META, TUNE),
  'meta-learned, not adapted': (META, NONE),
  'pooled, not adapted': (POOLED, NONE),
  'pooled, same steps': (POOLED, OWN),
  'pooled, fine-tuned': (POOLED, TUNE),
  'from scratch': (RANDOM, TUNE),
}
FLOOR, LINEAR = 'best floor', 'linear on vectors'
METHODS = (*ARMS, LINEAR, FLOOR)
KINDS = ('all', 'distinct', 'unseen')
PLAIN = dict(inner_steps=0, rates='fixed', anneal=0, adapted='all', gradient='mixed')


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
  curves: bool


class Way(NamedTuple):
  """A detector and its compiled scores, used for all cells."""

  detector: base.Detector
  scorer: scoring.Scorer


def run(plan: Plan, out: pathlib.Path, say=print) -> list[dict[str, Any]]:
  """Trains and adapts, or takes up what `out` has of it; one record a figure.

  Raises:
    UserError: training was stopped by a signal, the data are unfit, or `out` has
      cells of other settings.
  """
  _claim(plan, out)
  ways, records = _ways(plan.method), []
  for seed in range(plan.seeds):
    for target in plan.targets:
      left = {target, plan.twins.get(name(target), '')}
      sources = tuple(s for s in plan.systems if s not in left)
      sources = sources[: plan.most_sources or None]
      if not sources:
        raise errors.UserError(f'--systems has none to learn from but {name(target)}')
      trained = _train(plan, sources, target, seed, out, say)
      for labels in plan.labels:
        path = out / 'cells' / f'{name(target)}-{slug(labels)}-{seed}.json'
        if not path.exists():
          begin = time.perf_counter()
          data = _data(plan, target, labels, seed)
          atomic.write_json(path, _cell(plan, ways, trained, data))
          took = time.perf_counter() - begin
          say(f'{name(target)}: {labels} a class, seed {seed}: {took:.0f} s')
        about = {'target': name(target), 'labels': labels, 'seed': seed}
        records += [about | record for record in json.loads(path.read_text())]
  return records


def _claim(plan: Plan, out: pathlib.Path) -> None:
  """Trainings are checked as runs are; this is for what cells depend on besides."""
  path, mine = out / 'cells' / 'settings.json', {'unlabelled': plan.unlabelled}
  path.parent.mkdir(parents=True, exist_ok=True)
  if not path.exists():
    atomic.write_json(path, mine)
  elif (theirs := json.loads(path.read_text())) != mine:
    raise errors.UserError(
      f'{out} has cells of {theirs}, not of {mine}: give another --out'
    )


def name(folder: str) -> str:
  """What a System folder is called in tables."""
  return pathlib.Path(folder).name


def slug(text: str) -> str:
  """`text` as a part of a file's name."""
  return ''.join(c if c.isalnum() or c == '.' else '_' for c in text)


def _ways(method: logmeta.Config) -> dict[str, Way]:
  """How adaptation goes on: the method's own way, the same without learned rates,
  and many steps of Adam."""
  plain = dataclasses.replace(method, **PLAIN)
  configs = {
    META: method,
    OWN: plain,
    TUNE: dataclasses.replace(plain, **logmeta.FINE_TUNE),
  }
  made = {key: logmeta.make(config) for key, config in configs.items()}
  return {
    key: Way(detector, scoring.Scorer(detector)) for key, detector in made.items()
  }


def _train(plan, sources, target, seed, out, say) -> dict[str, pathlib.Path]:
  """One training on the sources for each start that has one."""
  folders = {}
  configs = {META: plan.method, POOLED: dataclasses.replace(plan.method, **PLAIN)}
  for start, method in configs.items():
    folders[start] = out / 'runs' / f'{name(target)}-{slug(start)}-{seed}'
    data = transfer.Options(source=sources, test=(), validation=0.0, seed=seed)
    say(f'{name(target)} left out: {start}, seed {seed}')
    chosen = job.Job('logmeta', plan.preset, method, data)
    if job.start(chosen, folders[start], say=lambda _: None) is None:
      raise errors.UserError(
        'training was stopped by a signal; the same command goes on'
      )
  return folders


def _data(plan: Plan, target: str, labels: str, seed: int) -> transfer.Options:
  return transfer.Options(
    target=target,
    target_normals=labels,
    target_anomalies=labels,
    split='random',
    validation=0.0,
    seed=seed,
    unlabelled=plan.unlabelled,
  )


def _cell(plan: Plan, ways, trained, data: transfer.Options) -> list[dict[str, Any]]:
  """All arms and floors on the same labels of a target."""
  known = model.known(trained[META])
  problem = transfer.make(data, plan.method.embedding, logmeta.NEEDS, known)
  states = _starts(ways, trained, problem, data.seed)
  records = []
  for arm, (start, how) in ARMS.items():
    key = _way_of(start, how)
    way, state, told = ways[key], states[start, key], {}
    if how != NONE:
      rounds = plan.method.rounds if how == PSEUDO else 0
      state, told = way.detector.adapt(state, problem.train, data.seed, rounds=rounds)
    measured = _judge(problem, way.scorer.scores(state, problem.tests['rest']), 0.5)
    records += _records(arm, measured)
    if how == PSEUDO:
      records[-1]['pseudo'] = [_right(x, problem.truth) for x in told['pseudo']]
    if arm == next(iter(ARMS)):
      records[-1]['seconds'] = told['seconds']
      if plan.curves:
        records[-1]['curve'] = _curve(plan, way, states[start, key], problem)
  return records + _floors(problem)


def _way_of(start: str, how: str) -> str:
  if how == TUNE:
    return TUNE
  return META if start == META else OWN


def _starts(ways, trained, problem, seed: int) -> dict[tuple[str, str], Any]:
  """Each start as each way wants it: (start, way) -> state."""
  vectors, found = problem.train.target.vectors, {}
  for start, way in ((META, META), (POOLED, OWN)):
    state = model.trained_state(trained[start], ways[way].detector, vectors)
    learned = isinstance(state.params, rules.Learned)
    found[start, way] = state
    found[start, TUNE] = (
      state._replace(params=state.params.params) if learned else state
    )
  init = ways[TUNE].detector.init
  found[RANDOM, TUNE] = init(jax.random.key(seed), problem.train)
  return found


def _judge(problem, scores, threshold: float) -> dict[str, dict]:
  own = problem.train.target.sessions
  learned = own.take((own.labels >= 0).nonzero()[0])
  return metrics.by_kind(problem.tests['rest'].sessions, scores, threshold, learned)


def _records(arm: str, measured: dict[str, dict]) -> list[dict[str, Any]]:
  keys = ('f1', 'precision', 'recall', 'auroc', 'auprc')
  return [
    {'method': arm, 'kind': kind} | {key: measured[kind][key] for key in keys}
    for kind in KINDS
  ]


def _right(labels, truth) -> dict[str, int]:
  """How many pseudo-labels a round gave, and how many of them are true."""
  taken = (labels >= 0) & (truth >= 0)
  return {'given': int(taken.sum()), 'right': int((taken & (labels == truth)).sum())}


def _curve(plan: Plan, way: Way, state, problem) -> list[float | None]:
  """F1 over all sessions after 0, 1, .. steps of adaptation, without pseudo-labels."""
  curve = []
  for steps in range(plan.method.adapt_steps + 1):
    adapted, _ = way.detector.adapt(state, problem.train, 0, steps=steps, rounds=0)
    scores = way.scorer.scores(adapted, problem.tests['rest'])
    labels = problem.tests['rest'].sessions.labels
    curve.append(metrics.measure(labels, scores, 0.5)['f1'])
  return curve


def _floors(problem) -> list[dict[str, Any]]:
  """The linear one on event vectors, and the best, which is known afterwards."""
  found = floors.scores(problem.labelled.target, problem.tests['rest'])
  judged = {key: _judge(problem, *scored) for key, scored in found.items()}
  best = max(judged, key=lambda key: judged[key]['all']['f1'] or 0.0)
  records = _records(FLOOR, judged[best])
  records[-1]['floor'] = best
  if 'lr_vectors' in judged:
    records += _records(LINEAR, judged['lr_vectors'])
  return records
