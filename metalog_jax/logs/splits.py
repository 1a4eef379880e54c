"""Which sessions of a system are trained on, and which are tested.

Every kind gives disjoint parts: training normals, training anomalies, test, and
what neither side may use. Budgets count the system's labelled sessions: '24' is
24 of them, '30%' is that share of ALL normals (or all anomalies), rounded up.
"""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metalog_jax import errors, types
from metalog_jax.logs import budgets
from metalog_jax.logs import sessions as sessions_lib

KINDS = ('chronological', 'tail', 'random')


class Split(NamedTuple):
  """Indices into a system's sessions, each in ascending order."""

  train_normals: np.ndarray  # [.] int64
  train_anomalies: np.ndarray  # [.] int64
  test: np.ndarray  # [.] int64
  dropped: np.ndarray  # [.] int64 left over in the pool, or without a label
  audit: dict[str, Any]  # what JSON can hold


def split(
  system: types.System,
  kind: str,
  normals: str | int,
  anomalies: str | int,
  seed: int,
  tail: str = '60%',
) -> Split:
  """Splits a system's sessions.

  Args:
    kind: 'chronological': sessions in order of time (file order where no time is
      known); the pool is the shortest prefix that holds the normals' budget, the
      anomalies are drawn from the pool's, the test is all that follows.
      'tail': the released MetaLog's cut, with exact budgets: the last `tail`
      share in file order is the test, and training sessions are drawn from what
      precedes it. 'random': both are drawn from everything, the test is the rest.
    normals, anomalies: budgets of training normals and anomalies.
    seed: of everything that is drawn.

  Raises:
    UserError: no such kind, or a budget asks for more than there is; it says how
      many there are.
  """
  if kind not in KINDS:
    raise errors.unknown_choice('--split', kind, KINDS)
  labels = np.asarray(system.sessions.labels)
  num_normals = budgets.resolve(normals, int((labels == 0).sum()))
  num_anomalies = budgets.resolve(anomalies, int((labels == 1).sum()))
  pool, rest = _pool(system, kind, num_normals, tail)
  rng = np.random.default_rng(seed)
  train_normals = _draw(rng, pool, labels, 0, num_normals, system.name, kind)
  train_anomalies = _draw(rng, pool, labels, 1, num_anomalies, system.name, kind)
  train = np.concatenate([train_normals, train_anomalies])
  if kind == 'random':
    rest = np.setdiff1d(pool, train)
  test = np.sort(rest[labels[rest] >= 0])
  dropped = np.setdiff1d(np.arange(labels.size), np.concatenate([train, test]))
  parts = Split(train_normals, train_anomalies, test, dropped, {})
  settings = dict(kind=kind, normals=str(normals), anomalies=str(anomalies), seed=seed)
  if kind == 'tail':
    settings['tail'] = tail
  return parts._replace(audit={**settings, **audit(system, parts)})


def _pool(
  system: types.System, kind: str, num_normals: int, tail: str
) -> tuple[np.ndarray, np.ndarray]:
  """What training sessions are drawn from (`num_normals` at least), and the rest."""
  if kind != 'chronological':
    num = system.sessions.num
    cut = num - (budgets.resolve(tail, num) if kind == 'tail' else 0)
    return np.arange(cut), np.arange(cut, num)
  order = time_order(system.sessions)
  if not num_normals:
    return order[:0], order
  so_far = np.cumsum(np.asarray(system.sessions.labels)[order] == 0)
  available = int(so_far[-1]) if so_far.size else 0
  if available < num_normals:
    raise errors.UserError(
      f'system {system.name} has {available} normal sessions, fewer than the '
      f'{num_normals} asked for: lower --target_normals'
    )
  cut = int(np.searchsorted(so_far, num_normals)) + 1
  return order[:cut], order[cut:]


def time_order(sessions: types.Sessions) -> np.ndarray:
  """Session indices in order of time; a session without one follows its forerunner."""
  times = pl.Series(sessions.times, dtype=pl.Float64).fill_nan(None)
  filled = times.forward_fill().fill_null(-np.inf).to_numpy()
  return np.argsort(filled, kind='stable')


def _draw(rng, pool, labels, label, number, name, kind):
  candidates = np.sort(pool[labels[pool] == label])
  if number > candidates.size:
    noun = 'anomalous' if label else 'normal'
    flag = '--target_anomalies' if label else '--target_normals'
    where = 'the training pool of ' if kind != 'random' else ''
    other = ''
    if label and kind == 'chronological' and number <= np.sum(labels == label):
      other = ', raise --target_normals, or draw from all by --split=random'
    raise errors.UserError(
      f'{where}system {name} has {candidates.size} {noun} sessions, fewer than the '
      f'{number} asked for: lower {flag}{other}'
    )
  if number == candidates.size:
    return candidates
  return np.sort(rng.choice(candidates, number, replace=False))


def audit(system: types.System, parts: Split) -> dict[str, Any]:
  """Counts that show what the split is, and whether anything leaks."""
  sessions = system.sessions
  train = np.sort(np.concatenate([parts.train_normals, parts.train_anomalies]))
  hashes = sessions_lib.hashes(sessions.events, sessions.offsets)
  seen = np.isin(hashes[parts.test], hashes[train])
  report = {
    'train': _part(sessions, hashes, train),
    'test': _part(sessions, hashes, parts.test),
    'dropped': _part(sessions, hashes, parts.dropped),
    'test_sessions_seen_in_training': int(seen.sum()),
    'distinct_test_sequences_unseen': len(np.unique(hashes[parts.test][~seen])),
  }
  starts = sessions.first_lines[parts.test]
  if starts.size and starts.min() > 0:
    after = sessions.last_lines[train] > starts.min()
    report['straddling_train_sessions'] = int(after.sum())
  if 'shared_lines' in system.manifest:
    report['lines_in_several_sessions'] = system.manifest['shared_lines']
  return report


def _part(sessions, hashes, index) -> dict[str, Any]:
  labels, times = sessions.labels[index], sessions.times[index]
  times = times[~np.isnan(times)]
  part: dict[str, Any] = {
    'sessions': len(index),
    'normal': int((labels == 0).sum()),
    'anomalous': int((labels == 1).sum()),
    'unlabelled': int((labels < 0).sum()),
    'distinct_sequences': len(np.unique(hashes[index])),
  }
  if times.size:
    part['first_time'], part['last_time'] = float(times.min()), float(times.max())
  return part
