"""The System folders of a run: each loaded once, with a name, in one role alone.

Enters: the folders of --source, --target and --test. Leaves: an `Input` for each. A
folder in two roles is refused, for its labels would be trained on and tested.
"""

import collections
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from metalog_jax import errors, types
from metalog_jax.logs import store


class Input(NamedTuple):
  """A System folder in its role."""

  folder: str  # as the user wrote it
  flag: str  # --source, --target or --test
  name: str  # unique among the inputs of a run
  system: types.System


def load(source: Sequence[str], target: str, test: Sequence[str]) -> list[Input]:
  """Loads every folder of a run once.

  Args:
    source, target, test: as in `problem.Options`; 'rest' in `test` is no folder.

  Returns:
    The inputs in that order.

  Raises:
    UserError: a folder is no System, is given twice, or shares sessions or log files
      with another one in a way that would leak labels.
  """
  roles = [(folder, '--source') for folder in source]
  roles += [(target, '--target')] if target else []
  roles += [(folder, '--test') for folder in test if folder != types.REST]
  places: dict[str, tuple[str, str]] = {}
  for folder, flag in roles:
    if not folder:
      raise errors.UserError(f'{flag} names no folder: give System folders')
    place = os.path.realpath(folder)
    if place in places:
      _refuse(places[place], (folder, flag), 'are one folder')
    places[place] = (folder, flag)
  names = unique_names([folder for folder, _ in roles])
  inputs = [
    Input(folder, flag, name, store.load(folder))
    for (folder, flag), name in zip(roles, names)
  ]
  for i, second in enumerate(inputs):
    for first in inputs[:i]:
      if first.flag != second.flag and (why := _shared(first.system, second.system)):
        _refuse(first[:2], second[:2], why)
  return inputs


def _refuse(first: tuple[str, str], second: tuple[str, str], why: str) -> None:
  (one, flag), (other, other_flag) = first, second
  hint = 'give each folder once'
  if flag != other_flag:
    hint = 'labels that are trained on may not be tested; give another folder'
    if (flag, other_flag) == ('--target', '--test'):
      hint += f', or --test={types.REST} for the rest of the target'
  raise errors.UserError(f'{flag}={one} and {other_flag}={other} {why}: {hint}')


def _shared(one: types.System, other: types.System) -> str:
  """What two systems have in common that would leak labels; '' if nothing."""
  first, second = one.sessions, other.sessions
  if one.templates == other.templates and all(
    np.array_equal(a, b)
    for a, b in ((first.offsets, second.offsets), (first.events, second.events))
  ):
    return 'hold the same sessions'
  logs = _logs(one.manifest)
  if both := sorted(logs.keys() & _logs(other.manifest)):
    return f'are made of the same log file ({logs[both[0]]})'
  return ''


def _logs(manifest: dict) -> dict[str, str]:
  """hash -> path of the files whose lines are sessions; labels may be shared."""
  options = manifest.get('options', {})
  aside = (options.get('labels'), options.get('templates'))
  return {
    item['sha256']: item['path']
    for item in manifest.get('inputs', [])
    if item.get('bytes') and item['path'] not in aside
  }


def unique_names(folders: Iterable[str]) -> list[str]:
  """What folders are called in results: their last part, with that above it if needed.

  >>> unique_names(['v1/hdfs', 'v2/hdfs', 'bgl', 'rest'])
  ['v1_hdfs', 'v2_hdfs', 'bgl', 'rest-2']
  """
  paths = [pathlib.Path(os.path.abspath(folder)) for folder in folders]
  times = collections.Counter(path.name for path in paths)
  names: list[str] = []
  for path in paths:
    name = base = path.name if times[path.name] == 1 else '_'.join(path.parts[-2:])
    number = 1
    while name in (types.REST, *names):
      number += 1
      name = f'{base}-{number}'
    names.append(name)
  return names
