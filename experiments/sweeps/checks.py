"""Whether `train` takes a row's flags, without running it."""

import copy
from collections.abc import Sequence

from absl import flags

from experiments.sweeps import table_files
from metalog_jax import errors
from metalog_jax import flags as config_flags
from metalog_jax.detectors import registry


def check_rows(every: Sequence[table_files.Row]) -> None:
  """Parses every row's flags as `train` does.

  Raises:
    UserError: a flag or its value is unknown; it says of which row.
  """
  known = _flags_of_train()
  for row in every:
    values = copy.deepcopy(known)
    try:
      rest = values(['train', *row.flags, '--workdir=x'])[1:]
    except flags.Error as error:
      raise errors.UserError(f'row {row.key}: {error}') from error
    if rest:
      raise errors.UserError(f'row {row.key}: {rest[0]} is not a flag')
    try:
      registry.preset(values.detector, values.preset)
    except ValueError as error:
      raise errors.UserError(f'row {row.key}: {error}') from error


def _flags_of_train() -> flags.FlagValues:
  """Only when called: the program that imports this room has flags of its own."""
  from experiments import train  # its flags, some of them of one name with sweep's

  values = copy.deepcopy(train.FLAGS)
  for name, module in registry.DETECTORS.items():
    config_flags.define(name, module.Config(), values)
  return values
