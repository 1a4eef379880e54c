"""Says of a finding that it is normal, an anomaly, or not to be shown for a while.

  metalog feedback findings/ 9697dad2e15e normal --reason='nightly backup'
  metalog feedback findings/ 9697 suppress --until=2027-01-31

FOLDER is the --out of a scan, or a baseline; later scans into it, or against it, have
such findings with the state known or suppressed.
"""

from typing import Any

from metalog_jax import atomic, errors, lazy
from metalog_jax.cli import main as programs
from metalog_jax.cli.options import Flag

feedback = lazy.module('metalog_jax.scanning.feedback')

FLAGS = (
  Flag('until', '', 'ISO date up to which suppress holds; none: for ever'),
  Flag('reason', '', 'why'),
)
TAKES_ARGUMENTS = True


def main(values: Any, rest: list[str]) -> None:
  """Keeps the verdict."""
  if len(rest) != 3:
    raise errors.UserError('metalog feedback FOLDER FINDING normal|anomaly|suppress')
  line = feedback.add(*rest, until=values.until, reason=values.reason)
  programs.say(atomic.to_json(line))
