"""Whether `train` takes a row's flags, without running it."""

from collections.abc import Sequence

from absl import flags

from experiments.sweeps import table_files
from metalog_jax import errors
from metalog_jax.cli import options, train


def check_rows(every: Sequence[table_files.Row]) -> None:
  """Parses every row's flags as `train` does.

  Raises:
    UserError: a flag or its value is unknown; it says of which row.
  """
  for row in every:
    try:
      options.parse(train, 'train', options.expand([*row.flags, '--workdir=x']))
    except (flags.Error, errors.UserError) as error:
      raise errors.UserError(f'row {row.key}: {error}') from error
