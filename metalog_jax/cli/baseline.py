"""Adds good logs to a saved baseline, which is made where there is none.

  metalog baseline add base/ monday.log tuesday.log
  metalog baseline show base/

`metalog scan new.log --baseline=base/` compares with it.
"""

from typing import Any

from metalog_jax import atomic, errors, lazy
from metalog_jax.cli import main as programs
from metalog_jax.cli.options import Flag

redact = lazy.module('metalog_jax.scanning.redact')
baselines = lazy.module('metalog_jax.scanning.baseline')
scanning = lazy.module('metalog_jax.scanning.scan')

DO = ('add', 'show')
FLAGS = (
  Flag('format', 'auto', "each file's own, a name of a format, or a named-group regex"),
  Flag('encoding', 'auto', "each file's own, or the name of one"),
  Flag('key', [], 'ROLE=NAME of JSON, logfmt, tables: the time, level or message',
       kind=tuple),
  Flag('window', 'auto', 'of a new baseline: number of records, or a duration'),
  Flag('mask', [], 'of a new baseline: NAME=REGEX of what is a variable', kind=tuple),
  Flag('keep', [], 'of a new baseline: REGEX of what is never one', kind=tuple),
  Flag('redact', False, 'of a new baseline: mask e-mails, addresses, tokens, secrets'),
)  # fmt: skip
TAKES_ARGUMENTS = True


def main(values: Any, rest: list[str]) -> None:
  """Adds, and says what the baseline is made of then."""
  if not rest or rest[0] not in DO:
    raise errors.unknown_choice('metalog baseline', rest[0] if rest else '', DO)
  what, *places = rest
  if len(places) < 2 if what == 'add' else len(places) != 1:
    raise errors.UserError('metalog baseline add DIR LOG..; metalog baseline show DIR')
  folder, *logs = places
  if what == 'show':
    summary = baselines.show(folder)
  else:
    options = scanning.Options(
      format=values.format,
      encoding=values.encoding,
      key=tuple(values.key),
      window=values.window,
      mask=tuple(values.mask),
      keep=tuple(values.keep),
      redact=values.redact,
    )
    with redact.in_errors(values.redact):
      summary = scanning.add_to_baseline(folder, logs, options)
  programs.say(atomic.to_json(summary, indent=1))
