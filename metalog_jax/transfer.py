"""From System folders and label budgets to what a detector sees and is tested on."""

import dataclasses
import pathlib
from collections.abc import Callable
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
  unlabelled: str = '0'  # of a random split's test: given to training without labels


class Problem(NamedTuple):
  """Everything between logs and a detector."""

  train: types.Transfer  # labels as budgeted, validation taken out
  valid: tuple[types.Dataset, ...]  # labelled sessions held out, the target last
  labelled: types.Transfer  # train and validation together: the floors' view
  tests: dict[str, types.Dataset]
  truth: np.ndarray | None  # [S] true labels of the target's sessions in `train`
  known: list[list[str]]  # templates of the sources that the IDF counted
  audit: dict[str, Any]
  coverage: dict[str, Any]
  simulated: list[str]
  fit: dict[str, Any]
  prepare_seconds: float


def make(
  options: Options,
  embedding: sources.Config,
  needs: frozenset[str],
  known: list[list[str]] = (),
  reader: Callable[[tuple[str, ...], np.ndarray], Any] = lambda texts, vectors: vectors,
) -> Problem:
  """Loads, splits, embeds and blinds.

  Args:
    known: templates of systems that are not at hand, for the IDF to count: what a
      trained model keeps of its sources.
    reader: what the detector reads in the place of vectors: see `registry.reader`.

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
    if options.unlabelled != '0':
      split = _spare(systems[options.target], split, options)
  events, counted = _tables(options, systems, embedding, split, known)
  read = {f: reader(systems[f].templates, events[f].vectors) for f in systems}

  def dataset(folder: str, sessions: types.Sessions, name: str = '') -> types.Dataset:
    return types.Dataset(name or pathlib.Path(folder).name, sessions, read[folder])

  target, rest, truth = None, None, None
  if split is not None:
    sessions = systems[options.target].sessions
    target, truth = _labelled(sessions, split)
    target = dataset(options.target, target)
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
    truth,
    counted,
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
  if not options.target and 'rest' in options.test:
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


def _spare(system: types.System, split: Any, options: Options) -> Any:
  """Takes some of the test's sessions out of it, for training without their labels."""
  num = splits.budget(options.unlabelled, len(split.test))
  if num > len(split.test):
    raise ValueError(
      f'--unlabelled={options.unlabelled}: system {system.name} has {len(split.test)} '
      'test sessions to take them from'
    )
  rng = np.random.default_rng([options.seed, 8])
  taken = np.sort(rng.choice(split.test, num, replace=False))
  parts = split._replace(
    test=np.setdiff1d(split.test, taken), dropped=np.union1d(split.dropped, taken)
  )
  return parts._replace(audit=split.audit | splits.audit(system, parts))


def _labelled(
  sessions: types.Sessions, split: Any
) -> tuple[types.Sessions, np.ndarray]:
  """The training pool: chosen sessions keep their label, dropped ones lose it.

  Returns the true labels of all as well, which no detector is to see.
  """
  shown = np.concatenate([split.train_normals, split.train_anomalies])
  index = np.sort(np.concatenate([shown, split.dropped]))
  pool = sessions.take(index)
  seen = np.where(np.isin(index, shown), pool.labels, -1).astype(np.int8)
  return pool._replace(labels=seen), pool.labels


def _tables(
  options: Options,
  systems: dict[str, types.System],
  embedding: sources.Config,
  split: Any,
  known: list[list[str]],
) -> tuple[dict[str, tables.Table], list[list[str]]]:
  """Event vectors of every system, and the templates of sources that were counted.

  What the IDF counts is training data alone, unless fit='all'.
  """
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
  texts = [s.templates for s in systems.values()]
  found = sources.embed([*texts, *known], embedding, [*fit, *[None] * len(known)])
  counted = [
    [t for i, t in enumerate(own) if mask is None or mask[i] or i == types.UNKNOWN]
    for folder, own, mask in zip(systems, texts, fit)
    if folder in options.source
  ]
  return dict(zip(systems, found)), [*known, *counted]
