"""What logs have that good ones do not, and the other way round.

  metalog diff good/ -- bad/
  metalog diff good-1.log good-2.log -- bad.log --out=findings --fail-on-findings

The same as `metalog scan BAD.. --baseline=GOOD,..`.
"""

from typing import Any

from metalog_jax import errors, lazy
from metalog_jax.cli import scan as program

redact = lazy.module('metalog_jax.scanning.redact')
scanning = lazy.module('metalog_jax.scanning.scan')

_OF_SCAN = ('baseline', 'follow', *program.LIVE)  # alone
FLAGS = tuple(flag for flag in program.FLAGS if flag.name not in _OF_SCAN)
TAKES_ARGUMENTS = KEEPS_DASHES = True
check = program.check_rate


def main(values: Any, rest: list[str]) -> int:
  """Compares, prints and writes; the exit code."""
  middle = rest.index('--') if '--' in rest else len(rest)
  good, bad = rest[:middle], rest[middle + 1 :]
  if not good or not bad:
    raise errors.UserError('metalog diff GOOD.. -- BAD..: two sets of logs are needed')
  with redact.in_errors(values.redact):
    return program.show(scanning.scan(bad, program.options(values, good)), values)
