"""What systems are like: how sessions repeat, how anomalies show, how health drifts."""

import pathlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from experiments.studies import markdown
from metalog_jax import types
from metalog_jax.batches import bags
from metalog_jax.evaluation import floors, metrics
from metalog_jax.logs import splits, store

SHOWS = ('new event', 'absence', 'counts', 'order', 'nothing')
_KNOWN = '30%'  # of the normals are known
_USUAL = 0.99  # an event that so many normals have is missed where it is absent
_FLOORS = ('new_event_or_length', 'one_class_knn_995', 'ecvc', 'tree_counts')


def row(name: str, system: types.System, seeds: int) -> dict[str, str]:
  """The statistics of a system, per cent unless the head says otherwise."""
  sessions = system.sessions
  different, num = bags.bags(sessions, len(system.templates)), sessions.num
  sequences = len(metrics.distinct(sessions).first)
  common = np.sort(np.bincount(different.inverse))[::-1][:10].sum()
  lengths = np.quantile(sessions.lengths, [0.5, 0.9, 1.0])
  cells = {
    'system': name,
    'sessions, number': f'{num:,}',
    'anomalous': _percent(np.mean(sessions.labels == 1)),
    'different sequences': _percent(sequences / num),
    'different bags': _percent(different.counts.shape[0] / num),
    'in the 10 most frequent bags': _percent(common / num),
    'length, median / 90 % / most': ' / '.join(f'{n:,.0f}' for n in lengths),
    'new bags in the last third': _percent(_drift(sessions, different.inverse)),
  }
  trials = [_trial(system, different, seed) for seed in range(seeds)]
  heads = dict.fromkeys(head for trial in trials for head in trial)
  mean = lambda head: np.nanmean([trial.get(head, np.nan) for trial in trials])
  return cells | {head: _percent(mean(head)) for head in heads}


def table(folders: Sequence[str], seeds: int) -> str:
  """Statistics, one a line, as a Markdown table with a column a System folder."""
  rows = [row(pathlib.Path(path).name, store.load(path), seeds) for path in folders]
  heads = list(dict.fromkeys(head for cells in rows for head in cells))
  heads.remove('system')
  columns = {'': heads}
  columns |= {cells['system']: [cells.get(h, '–') for h in heads] for cells in rows}
  return markdown.table(pl.DataFrame(columns))


def _percent(share: float) -> str:
  return '–' if np.isnan(share) else f'{100 * share:.1f}'


def _drift(sessions: types.Sessions, which: np.ndarray) -> float:
  """Of the normals of the last third, by time, how many have a bag that none of the
  first third has; NaN where no time is known."""
  if np.isnan(sessions.times).all():
    return np.nan
  order = splits.time_order(sessions)
  normals = which[order[sessions.labels[order] == 0]]
  third = len(normals) // 3
  return 1 - np.isin(normals[-third:], normals[:third]).mean()


def _trial(system, different: bags.Bags, seed: int) -> dict[str, float]:
  """What is found out with 30 % of the normals known, drawn at random."""
  sessions = system.sessions
  split = splits.split(system, 'random', _KNOWN, '10', seed)
  known, test = split.train_normals, split.test
  counts, inverse = different
  has, labels = counts.sign(), sessions.labels[test]
  events = np.asarray(has[inverse[known]].mean(axis=0)).ravel()
  tested = inverse[test]
  new = (has @ (events == 0)).ravel()[tested] > 0
  usual = events >= _USUAL
  shown = [
    new,
    (has @ usual).ravel()[tested] < usual.sum(),
    ~np.isin(tested, inverse[known]),
    _new_pairs(sessions, known, test, len(system.templates)),
    np.ones(len(test), bool),
  ]
  first = np.argmax(np.stack(shown), axis=0)  # the plainest sign
  found = {
    'sessions with a new event': new.mean(),
    'anomalies among these': labels[new].mean() if new.any() else np.nan,
    'new events that are faults': _faults(has[tested][:, events == 0], labels),
  }
  for number, name in enumerate(SHOWS):
    found[f'anomalies shown by {name}'] = (first[labels == 1] == number).mean()
  return found | _floors(system, split)


def _faults(has_new, labels: np.ndarray) -> float:
  """Of the new events [S, E], how many more anomalies than normals have, in share."""
  rates = [has_new[labels == label].mean(axis=0) for label in (1, 0)]
  anomalous, normal = (np.asarray(rate).ravel() for rate in rates)
  occurs = anomalous + normal > 0
  return (anomalous > normal)[occurs].mean() if occurs.any() else np.nan


def _new_pairs(sessions, known, test, num_events: int) -> np.ndarray:
  """[S] bool: two events in a row that no known normal has in a row."""
  owner = np.repeat(np.arange(sessions.num), sessions.lengths)
  inside = owner[:-1] == owner[1:]
  pairs = sessions.events[:-1].astype(np.int64) * num_events + sessions.events[1:]
  pairs, owner = pairs[inside], owner[:-1][inside]
  seen = np.isin(pairs, pairs[np.isin(owner, known)])
  return np.bincount(owner[~seen], minlength=sessions.num)[test] > 0


def _floors(system, split: splits.Split) -> dict[str, float]:
  """F1 of floors, with 10 labelled anomalies where they need them."""
  vectors = np.zeros((len(system.templates), 1), np.float32)
  part = lambda index: types.Dataset('', system.sessions.take(np.sort(index)), vectors)
  test = part(split.test)
  train = part(np.concatenate([split.train_normals, split.train_anomalies]))
  fitted = floors.scores(train, test)
  measured = {
    name: metrics.measure(test.sessions.labels, *fitted[name])['f1'] for name in fitted
  }
  best = max(value or 0.0 for value in measured.values())
  return {f'F1 of {name}': measured[name] for name in _FLOORS if name in measured} | {
    'best floor': best
  }
