"""From System folders and label budgets to what a detector sees and is tested on."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from metalog_jax import errors, types
from metalog_jax.embeddings import event_tables, gcse, sources
from metalog_jax.logs import budgets, splits
from metalog_jax.runs import inputs as input_lib
from metalog_jax.runs.hold_out import hold_out
from metalog_jax.training import base

MAX_SEED = 2**32 - 1


@dataclasses.dataclass(frozen=True)
class Options:
  """Which systems, which labels, which test sessions."""

  source: tuple[str, ...] = ()
  target: str = ''  # '' : zero-shot
  test: tuple[str, ...] = (types.REST,)
  target_normals: str = '30%'
  target_anomalies: str = '1%'
  split: Literal['chronological', 'tail', 'random'] = 'chronological'
  fit: Literal['all', 'train'] = 'train'
  validation: float = 0.2  # share of the labelled sessions held out
  seed: int = 0
  unlabelled: str = '0'  # of a random split's test: given to training without labels

  def __post_init__(self):
    """Raises UserError for what is wrong whatever the data are."""
    errors.check_choices(self, '--')
    if not 0 <= self.validation < 1:
      raise errors.UserError(
        f'--validation={self.validation}: give a share from 0 up to below 1'
      )
    if not 0 <= self.seed <= MAX_SEED:
      raise errors.UserError(f'--seed={self.seed}: give a number from 0 to {MAX_SEED}')
    if budgets.parse(self.unlabelled, 'unlabelled'):
      if not self.target:
        raise errors.UserError(
          '--unlabelled is of the target, and there is no --target'
        )
      if self.split != 'random':
        raise errors.UserError(
          f'--unlabelled needs --split=random: with --split={self.split} it would show '
          'training sessions that are later than those it is tested on'
        )
    if not self.target and types.REST in self.test:
      raise errors.UserError(
        f'--test={types.REST} is the rest of the target, and there is no --target: '
        'give System folders to --test'
      )


class Problem(NamedTuple):
  """Everything between logs and a detector."""

  train: types.Transfer  # labels as budgeted, validation taken out
  valid: tuple[types.Dataset, ...]  # labelled sessions held out, the target last
  labelled: types.Transfer  # train and validation together: the floors' view
  tests: dict[str, types.Dataset]  # by name
  truth: np.ndarray | None  # [S] true labels of the target's sessions in `train`
  known: list[list[str]]  # templates of the sources that the IDF counted
  facts: dict[str, Any]  # what result.json says of the data
  fingerprints: dict[str, str]  # of every System folder
  prepare_seconds: float

  def seen_in_training(self, test: types.Dataset) -> types.Sessions | None:
    """The target's labelled sessions, for a test set of the target; else None."""
    target = self.labelled.target
    if target is None or test.folder != target.folder:
      return None
    return target.sessions.take(np.flatnonzero(target.sessions.labels >= 0))

  def with_rest(self) -> 'Problem':
    """The rest of the target stands in training too, without labels."""
    target, rest = self.train.target, self.tests.get(types.REST)
    if target is None or rest is None:
      return self
    bare = rest.sessions._replace(labels=np.full(rest.sessions.num, -1, np.int8))
    target = target._replace(sessions=target.sessions.joined(bare))
    return self._replace(train=self.train._replace(target=target))


def make_problem(
  options: Options,
  embedding: sources.Config,
  needs: frozenset[str],
  known: Sequence[list[str]] = (),
  reads_vectors: bool = True,
) -> Problem:
  """Loads, splits, embeds and blinds.

  Args:
    known: templates of systems that are not at hand, for the IDF to count: what a
      trained model keeps of its sources.
    reads_vectors: see `Detector.reads_vectors`.

  Raises:
    UserError: a folder is no System or leaks labels (`inputs.load`), a budget asks
      for more than there is, or no word has a vector and they are read.
  """
  given = input_lib.load(options.source, options.target, options.test)
  target = next((item.system for item in given if item.flag == '--target'), None)
  split = None if target is None else _split(target, options)
  masks = [_counted(item, split, options) for item in given]
  texts = [item.system.templates for item in given]
  tables = sources.embed([*texts, *known], embedding, [*masks, *[None] * len(known)])
  if reads_vectors and isinstance(embedding, gcse.Embedding):
    _check_words(embedding.vectors, [table.coverage for table in tables])
  data = {
    item.folder: types.Dataset(
      item.name, item.system.sessions, table.vectors, item.system.templates, item.folder
    )
    for item, table in zip(given, tables)
  }
  transfer, rest, truth = _transfer(data, options, split)
  tests = [rest if t == types.REST else data[t] for t in options.test]
  labelled = base.blind(transfer, needs)
  train, valid = hold_out(labelled, options.validation, options.seed)
  manifests = {item.name: item.system.manifest for item in given}
  return Problem(
    train,
    valid,
    labelled,
    {test.name: test for test in tests if test is not None},
    truth,
    [*known, *_counted_texts(given, masks)],
    _facts(options, split, manifests)
    | {'coverage': {i.name: t.coverage._asdict() for i, t in zip(given, tables)}},
    {item.folder: item.system.manifest['fingerprint'] for item in given},
    sum(m.get('seconds', {}).get('prepare', 0.0) for m in manifests.values()),
  )


def _check_words(name: str, systems: Sequence[event_tables.Coverage]) -> None:
  """Refuses word vectors of a language that is none of the templates'."""
  words = sum(coverage.words for coverage in systems)
  if words and not any(coverage.known for coverage in systems):
    raise errors.UserError(
      f'{name}: none of the {words} words of the templates has a vector there '
      '(--vectors)'
    )


def _facts(options, split, manifests: dict[str, dict]) -> dict[str, Any]:
  """What result.json says of the data, by the systems' names."""
  bad_lines = {name: m.get('bad_lines', 0) for name, m in manifests.items()}
  return {
    'split': options.split,
    'simulated': [name for name, m in manifests.items() if m.get('simulated')],
    'audit': (dict(split.audit) if split else {}) | {'bad_lines': bad_lines},
    'fit': {
      'idf': options.fit,
      'templates': {name: m.get('fit', 'all') for name, m in manifests.items()},
    },
  }


def _split(system: types.System, options: Options) -> splits.Split:
  """Which sessions of the target are learned from, and which are tested on."""
  split = splits.split(
    system,
    options.split,
    options.target_normals,
    options.target_anomalies,
    options.seed,
  )
  num = budgets.resolve(options.unlabelled, len(split.test))
  if not num:
    return split
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


def _transfer(
  data: dict[str, types.Dataset], options: Options, split: splits.Split | None
) -> tuple[types.Transfer, types.Dataset | None, np.ndarray | None]:
  """Training data with every label in the budget, the rest of the target, and the
  true labels of the target's training pool, which no detector is to see."""
  systems = tuple(data[folder] for folder in options.source)
  if split is None:
    return types.Transfer(systems, None), None, None
  target = data[options.target]
  labelled = np.concatenate([split.train_normals, split.train_anomalies])
  index = np.sort(np.concatenate([labelled, split.dropped]))
  pool = target.sessions.take(index)
  labels = np.where(np.isin(index, labelled), pool.labels, -1).astype(np.int8)
  rest = target._replace(name=types.REST, sessions=target.sessions.take(split.test))
  target = target._replace(sessions=pool._replace(labels=labels))
  return types.Transfer(systems, target), rest, pool.labels


def _counted(item: input_lib.Input, split, options: Options) -> np.ndarray | None:
  """[V] bool: the templates of a system that the IDF counts; None: all.

  What it counts is training data alone, unless fit='all'.
  """
  if options.fit == 'all':
    return None
  system = item.system
  if item.flag == '--source':
    return system.counts > 0
  seen = np.zeros(len(system.templates), bool)
  if item.flag == '--target':
    labelled = np.concatenate([split.train_normals, split.train_anomalies])
    seen[system.sessions.take(labelled).events] = True
  return seen


def _counted_texts(given, masks) -> list[list[str]]:
  """The counted templates of each source, the unknown event first."""
  return [
    [
      text
      for i, text in enumerate(item.system.templates)
      if mask is None or mask[i] or i == types.UNKNOWN
    ]
    for item, mask in zip(given, masks)
    if item.flag == '--source'
  ]
