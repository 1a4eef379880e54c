"""Flags of a program and of the detector it uses: definition, parsing, help.

absl reads them. A program lists its own as `Flag`s; those of the chosen detector
(`--metalog.order`) are defined once it is known which one that is.
"""

import importlib.resources
import os
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from absl import flags

from metalog_jax import errors, lazy
from metalog_jax import flags as config_flags

registry = lazy.module('metalog_jax.detectors.registry')

MOST_SEED = 2**32 - 1  # what jax and NumPy both take whole
MOST_COUNT = 2**31 - 1
_DASHES = '\0'  # in place of a `--` that the program is to see
HELP = ('--help', '--helpshort', '--helpfull', '-h', '-help')


class Flag(NamedTuple):
  """A flag; the type of its default is its own."""

  name: str
  default: Any  # None: a text that may be left out, unless `kind` says otherwise
  help: str
  choices: Sequence[str] = ()
  low: float | None = None
  high: float | None = None
  kind: type | None = None
  required: bool = False


DEBUG = Flag('debug', False, 'show the traceback of an error')


def parse(
  program: Any, name: str, arguments: Sequence[str]
) -> tuple[flags.FlagValues, list[str]]:
  """The flags of a program as given, and the arguments that are none.

  Args:
    program: has FLAGS; `detector(arguments)` if it takes a method's settings;
      `check(values)` if there is more to check; and KEEPS_DASHES where a `--` between
      its arguments is one itself.
    arguments: expanded.

  Raises:
    flags.Error, UserError: a flag is wrong, is missing, or is another detector's.
  """
  values, method = _define_all(program, arguments)
  try:
    keeps = getattr(program, 'KEEPS_DASHES', False)
    if keeps:
      arguments = [_DASHES if x == '--' else _underscored(x) for x in arguments]
    rest = ['--' if x == _DASHES else x for x in values([name, *arguments])[1:]]
  except flags.UnrecognizedFlagError as error:
    raise _of_another_detector(error.flagname, method) or error from None
  if rest and not getattr(program, 'TAKES_ARGUMENTS', False):
    raise errors.UserError(f'{rest[0]} is not a flag: every argument starts with --')
  for flag in program.FLAGS:
    _check(flag, values[flag.name].value)
  for flag_name in values:
    if values[flag_name].value != values[flag_name].value:  # as NaN alone does
      raise errors.UserError(f'--{flag_name}=nan is not a number')
  if hasattr(program, 'check'):
    program.check(values)
  return values, rest


def expand(arguments: Sequence[str]) -> list[str]:
  """Arguments with the lines of flagfiles in their place, and --a-b written --a_b.

  A flagfile that is not there is looked for among the presets of the package.
  """
  joined = '\0'.join(arguments).replace('--flagfile\0', '--flagfile=')
  lines = joined.split('\0') if arguments else []
  for i, line in enumerate(lines):
    name = line.removeprefix('--flagfile=')
    packaged = _presets() / f'{name}.flags'
    if name != line and not os.path.exists(name) and packaged.is_file():
      lines[i] = f'--flagfile={packaged}'
  lines = flags.FlagValues().read_flags_from_files(lines)
  end = lines.index('--') if '--' in lines else len(lines)
  return [*map(_underscored, lines[:end]), *lines[end:]]


def _underscored(argument: str) -> str:
  name, equals, value = argument.partition('=')
  if name == '--' or not name.startswith('--'):
    return argument
  return '--' + name[2:].replace('-', '_') + equals + value


def refuse_without(values: flags.FlagValues, other: str, names: Iterable[str]) -> None:
  """Refuses flags that mean nothing without the flag `other`.

  Raises:
    UserError: one of `names` was given, and `other` was not.
  """
  for name in names:
    if values[name].present and not values[other].value:
      raise errors.UserError(f'--{name} goes with --{other} alone')


def given(arguments: Sequence[str], name: str, default: str = '') -> str:
  """The last value of a flag among arguments that are not parsed yet."""
  value = default
  for argument, following in zip(arguments, [*arguments[1:], '']):
    if argument.startswith(f'--{name}='):
      value = argument.partition('=')[2]
    elif argument == f'--{name}':
      value = following
  return value


def settings(values: flags.FlagValues, method: str | None) -> dict[str, Any]:
  """The settings of the detector that were given: {name without its prefix: value}."""
  names = [n for n in values if n.startswith(f'{method}.') and values[n].present]
  return {name.partition('.')[2]: values[name].value for name in names}


def help_text(program: Any, name: str, arguments: Sequence[str]) -> str:
  """What the program does, its flags, and those of the chosen detector."""
  values, method = _define_all(program, arguments)
  names = [flag.name for flag in program.FLAGS]
  lines = [program.__doc__.strip(), '', f'Flags of {name}:']
  for flag_name in (*names, 'debug'):
    lines += _entry(values[flag_name])
  if method:
    lines += ['', f'Settings of {method}, over its --preset:']
    for flag_name in values:
      if flag_name.startswith(f'{method}.') and flag_name not in names:
        lines += _entry(values[flag_name])
  presets = sorted(path.name.removesuffix('.flags') for path in _presets().iterdir())
  return '\n'.join([*lines, '', f'--flagfile=FILE or {"|".join(presets)} reads flags'])


def _define_all(
  program: Any, arguments: Sequence[str]
) -> tuple[flags.FlagValues, str | None]:
  """The program's flags, not parsed yet, and the detector that has some of them."""
  values = flags.FlagValues()
  values.set_gnu_getopt(True)
  for flag in (*program.FLAGS, DEBUG):
    _define(flag, values)
  method = program.detector(arguments) if hasattr(program, 'detector') else None
  if method:
    config_flags.define(method, registry.get(method).Config(), values)
  return values, method


def _define(flag: Flag, values: flags.FlagValues) -> None:
  kind = flag.kind or type(flag.default)
  define: Any = {bool: flags.DEFINE_bool, list: flags.DEFINE_list}
  define |= {tuple: flags.DEFINE_multi_string}  # given once for each value
  define |= {int: flags.DEFINE_integer, float: flags.DEFINE_float}
  bounds = {'lower_bound': flag.low, 'upper_bound': flag.high}
  text = f'<{"|".join(flag.choices)}>: ' if flag.choices else ''
  define.get(kind, flags.DEFINE_string)(
    flag.name,
    flag.default,
    text + flag.help + ' (needed)' * flag.required,
    flag_values=values,
    **(bounds if kind in (int, float) else {}),
  )


def _check(flag: Flag, value: Any) -> None:
  if flag.required and value in (None, '', []):
    raise errors.UserError(f'--{flag.name} is needed: {flag.help}')
  for item in value if isinstance(value, list) else [value]:
    if flag.choices and item not in (*flag.choices, None):
      raise errors.unknown_choice(f'--{flag.name}', item, flag.choices)


def _of_another_detector(name: str, method: str | None) -> errors.UserError | None:
  for full in (name, name.removeprefix('no')):
    prefix = full.partition('.')[0]
    if prefix in registry.DETECTORS and prefix != method:
      chosen = f'the detector is {method}' if method else 'no detector was chosen'
      return errors.UserError(f'--{full} is a setting of {prefix}, and {chosen}')
  return None


def _presets() -> Any:
  return importlib.resources.files('metalog_jax') / 'presets'


def _entry(flag: flags.Flag) -> list[str]:
  """A flag's lines of the help."""
  default = ','.join(flag.default) if isinstance(flag.default, list) else flag.default
  head = f'  --{flag.name}' + (f'={default}' if default not in (None, '') else '')
  text = (flag.help or '').replace('(no help available)', '')
  width = min(max(shutil.get_terminal_size().columns, 60), 110)
  return textwrap.wrap(
    f'{head:30}  {text}', width, subsequent_indent=' ' * 8, break_on_hyphens=False
  )
