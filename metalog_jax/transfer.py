"""From System folders and label budgets to what a detector sees and is tested on."""

import dataclasses
import pathlib
from typing import Any, Literal, NamedTuple

import numpy as np

from metalog_jax import types
from metalog_jax.detectors import base
from metalog_jax.embeddings import sources, tables
from metalog_jax.logs import splits, store


@dataclasses.dataclass(frozen=True)
class Options:
  """Which systems, which labels, which test sessions."""

  source: tuple[str, ...] = ()
  target: str = ''  # '' : zero-shot
  test: tuple[str, ...] = ('rest',)
  target_normals: str = '30%'
  target_anomalies: str = '1%'
  split: Literal['chronological', 'tail', 'random'] = 'chronological'
  fit: Literal['all', 'train'] = 'train'
  validation: float = 0.2  # share of the labelled sessions held out
  seed: int = 0


class Problem(NamedTuple):
  """Everything between logs and a detector."""

  train: types.Transfer  # labels as budgeted, validation taken out
  valid: tuple[types.Dataset, ...]  # labelled sessions held out, the target last
  labelled: types.Transfer  # train and validation together: the floors' view
  tests: dict[str, types.Dataset]
  audit: dict[str, Any]
  coverage: dict[str, Any]
  simulated: list[str]
  fit: dict[str, Any]
  prepare_seconds: float


def make(options: Options, embedding: sources.Config, needs: frozenset[str]) -> Problem:
  """Loads, splits, embeds and blinds.

  Raises:
    ValueError: a folder is no System, or a budget asks for more than there is.
  """
  systems = {folder: store.load(folder) for folder in _folders(options)}
  split = None
  if options.target:
    split = splits.split(
      systems[options.target],
      options.split,
      options.target_normals,
      options.target_anomalies,
      options.seed,
    )
  events = _tables(options, systems, embedding, split)

  def dataset(folder: str, sessions: types.Sessions, name: str = '') -> types.Dataset:
    vectors = events[folder].vectors
    return types.Dataset(name or pathlib.Path(folder).name, sessions, vectors)

  target, rest = None, None
  if split is not None:
    sessions = systems[options.target].sessions
    target = dataset(options.target, _labelled(sessions, split))
    rest = dataset(options.target, sessions.take(split.test), 'rest')
  sources = tuple(dataset(f, systems[f].sessions) for f in options.source)
  tests = [
    rest if name == 'rest' else dataset(name, systems[name].sessions)
    for name in options.test
  ]
  labelled = base.blind(types.Transfer(sources, target), needs)
  train, valid = hold_out(labelled, options.validation, options.seed)
  by_name = lambda read: {pathlib.Path(f).name: read(f) for f in systems}
  manifest = lambda folder: systems[folder].manifest
  bad_lines = by_name(lambda f: manifest(f).get('bad_lines', 0))
  seconds = by_name(lambda f: manifest(f).get('seconds', {}).get('prepare', 0.0))
  return Problem(
    train,
    valid,
    labelled,
    {data.name: data for data in tests},
    audit=(dict(split.audit) if split else {}) | {'bad_lines': bad_lines},
    coverage=by_name(lambda f: events[f].coverage._asdict()),
    simulated=[n for n, x in by_name(manifest).items() if x.get('simulated')],
    fit={
      'idf': options.fit,
      'templates': by_name(lambda f: manifest(f).get('fit', 'all')),
    },
    prepare_seconds=sum(seconds.values()),
  )


def _folders(options: Options) -> list[str]:
  """Every System folder that is named, once."""
  if not options.target and options.test == ('rest',):
    raise ValueError(
      '--test=rest is the rest of the target, and there is no --target: '
      'give System folders to --test'
    )
  target = [options.target] if options.target else []
  tests = [name for name in options.test if name != 'rest']
  return list(dict.fromkeys([*options.source, *target, *tests]))


def hold_out(
  transfer: types.Transfer, share: float, seed: int
) -> tuple[types.Transfer, tuple[types.Dataset, ...]]:
  """Takes a share of each class's labelled sessions out for validation.

  A class of fewer than 1 / share sessions is too small to give any away: it is
  validated on the sessions it is trained on.
  """

  def part(data: types.Dataset, number: int) -> tuple[types.Dataset, types.Dataset]:
    labels = data.sessions.labels
    rng = np.random.default_rng([seed, 5, number])
    held, shown = [], []
    for label in (0, 1):
      members = np.flatnonzero(labels == label)
      count = int(len(members) * share)
      chosen = np.sort(rng.choice(members, count, replace=False))
      held.append(chosen)
      shown.append(chosen if count else members if share else chosen)
    trained = labels.copy()
    trained[np.concatenate(held)] = -1
    return (
      data._replace(sessions=data.sessions._replace(labels=trained)),
      data._replace(sessions=data.sessions.take(np.concatenate(shown))),
    )

  pairs = [part(data, i) for i, data in enumerate(transfer.sources)]
  sources = tuple(pair[0] for pair in pairs)
  valid = [pair[1] for pair in pairs]
  target = transfer.target
  if target is not None:
    target, held = part(target, len(pairs))
    valid.append(held)
  return types.Transfer(sources, target), tuple(v for v in valid if v.sessions.num)


def _labelled(sessions: types.Sessions, split: Any) -> types.Sessions:
  """The training pool: chosen sessions keep their label, dropped ones lose it."""
  shown = np.concatenate([split.train_normals, split.train_anomalies])
  index = np.sort(np.concatenate([shown, split.dropped]))
  pool = sessions.take(index)
  return pool._replace(
    labels=np.where(np.isin(index, shown), pool.labels, -1).astype(np.int8)
  )


def _tables(
  options: Options,
  systems: dict[str, types.System],
  embedding: sources.Config,
  split: Any,
) -> dict[str, tables.Table]:
  """Event vectors of every system; what the IDF counts is training data alone,
  unless fit='all'."""
  fit = []
  for folder, system in systems.items():
    if options.fit == 'all':
      mask = None
    elif folder in options.source:
      mask = system.counts > 0
    else:
      seen = np.zeros(len(system.templates), bool)
      if folder == options.target:
        train = np.concatenate([split.train_normals, split.train_anomalies])
        seen[system.sessions.take(train).events] = True
      mask = seen
    fit.append(mask)
  found = sources.embed([s.templates for s in systems.values()], embedding, fit)
  return dict(zip(systems, found))
