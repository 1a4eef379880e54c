"""From System folders and label budgets to what a detector sees and is tested on."""

import dataclasses
import pathlib
from typing import Any, Literal, NamedTuple

import numpy as np

from metalog_jax import errors, types
from metalog_jax.embeddings import sources, tables
from metalog_jax.logs import splits, store
from metalog_jax.runs import hold_out as validation
from metalog_jax.training import base


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
) -> Problem:
  """Loads, splits, embeds and blinds.

  Args:
    known: templates of systems that are not at hand, for the IDF to count: what a
      trained model keeps of its sources.

  Raises:
    UserError: a folder is no System, or a budget asks for more than there is.
  """
  systems = {folder: store.load(folder) for folder in _folders(options)}
  split = _split(options, systems)
  events, counted = _tables(options, systems, embedding, split, known)
  full, tests, truth = _datasets(options, systems, split, events)
  labelled = base.blind(full, needs)
  train, valid = validation.hold_out(labelled, options.validation, options.seed)
  of_each = {pathlib.Path(f).name: systems[f].manifest for f in systems}
  seconds = [m.get('seconds', {}).get('prepare', 0.0) for m in of_each.values()]
  bad_lines = {name: m.get('bad_lines', 0) for name, m in of_each.items()}
  return Problem(
    train,
    valid,
    labelled,
    {data.name: data for data in tests},
    truth,
    counted,
    audit=(dict(split.audit) if split else {}) | {'bad_lines': bad_lines},
    coverage={pathlib.Path(f).name: x.coverage._asdict() for f, x in events.items()},
    simulated=[name for name, m in of_each.items() if m.get('simulated')],
    fit={
      'idf': options.fit,
      'templates': {name: m.get('fit', 'all') for name, m in of_each.items()},
    },
    prepare_seconds=sum(seconds),
  )


def _folders(options: Options) -> list[str]:
  """Every System folder that is named, once."""
  if not options.target and 'rest' in options.test:
    raise errors.UserError(
      '--test=rest is the rest of the target, and there is no --target: '
      'give System folders to --test'
    )
  target = [options.target] if options.target else []
  tests = [name for name in options.test if name != 'rest']
  return list(dict.fromkeys([*options.source, *target, *tests]))


def _split(options: Options, systems: dict[str, types.System]) -> splits.Split | None:
  """Which sessions of the target are learned from, and which are tested on."""
  if not options.target:
    return None
  system = systems[options.target]
  split = splits.split(
    system,
    options.split,
    options.target_normals,
    options.target_anomalies,
    options.seed,
  )
  return split if options.unlabelled == '0' else _spare(system, split, options)


def _datasets(
  options: Options,
  systems: dict[str, types.System],
  split: splits.Split | None,
  events: dict[str, tables.Table],
) -> tuple[types.Transfer, list[types.Dataset], np.ndarray | None]:
  """Training data with every label in the budget, test data, and the target's truth."""

  def dataset(folder: str, sessions: types.Sessions, name: str = '') -> types.Dataset:
    return types.Dataset(
      name or pathlib.Path(folder).name, sessions, events[folder].vectors
    )

  target, rest, truth = None, None, None
  if split is not None:
    sessions = systems[options.target].sessions
    pool, truth = _labelled(sessions, split)
    target = dataset(options.target, pool)
    rest = dataset(options.target, sessions.take(split.test), 'rest')
  sources = tuple(dataset(f, systems[f].sessions) for f in options.source)
  tests = [
    rest if name == 'rest' else dataset(name, systems[name].sessions)
    for name in options.test
  ]
  return types.Transfer(sources, target), tests, truth


def _spare(system: types.System, split: splits.Split, options: Options) -> splits.Split:
  """Takes some of the test's sessions out of it, for training without their labels."""
  num = splits.budget(options.unlabelled, len(split.test))
  if num > len(split.test):
    raise errors.UserError(
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
  sessions: types.Sessions, split: splits.Split
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
  split: splits.Split | None,
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
