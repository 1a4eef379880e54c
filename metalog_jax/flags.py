"""Frozen dataclasses <-> dotted absl flags, with every value checked.

`define('metalog', Config())` makes one flag a field (`--metalog.batch`), nested
dataclasses included. The fields of a `group` keep their short names: `order` of the
group `meta` is `--metalog.order`. Where a field may hold one of several dataclasses
(`A | B`), all of them have flags. `read('metalog', base)` returns `base` with the
fields that were given on the command line or in a flagfile. A preset is just another
`base`, so explicit flags win over it wherever they stand.
"""

import dataclasses
import functools
import math
import numbers
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

from absl import flags

from metalog_jax import errors

LARGEST = 2**31 - 1  # of whole numbers: what an int32 holds


def field(
  default: Any,
  help: str,
  least: float | None = None,
  most: float | None = None,
  below: float | None = None,
) -> Any:
  """A dataclass field with the help text of its flag.

  Args:
    least: a number may not be below it. None: 0, unless the default is negative.
    most: a number may not be above it; below: nor equal to it.
  """
  if isinstance(default, (int, float)) and default >= 0 and least is None:
    least = 0
  limits = {'help': help, 'least': least, 'most': most, 'below': below}
  return dataclasses.field(default=default, metadata=limits)


def group(default: Any) -> Any:
  """A field that holds a dataclass whose flags have no prefix of their own."""
  return dataclasses.field(default=default, metadata={'inline': True})


class Settings:
  """The base of frozen dataclasses that cannot be made with a wrong value."""

  def __post_init__(self):
    for leaf in _leaves(type(self)).values():
      value = getattr(self, leaf.field)
      if problem := leaf.problem(value):
        raise errors.UserError(f'{leaf.field}={value!r}: {problem}')


class Setting(NamedTuple):
  """A field that a flag can hold."""

  field: str
  kind: type  # bool, int, float or str
  help: str
  choices: tuple[str, ...]  # empty: any value of this kind
  least: float | None
  most: float | None
  below: float | None
  default: Any = None
  flag: str = ''  # 'metalog.order'

  def problem(self, value: Any) -> str:
    """What is wrong with a value; '' if nothing is."""
    if self.choices:
      known = value in self.choices
      return '' if known else f'not one of {errors.listed(value, self.choices)}'
    kinds: dict[type, type] = {int: numbers.Integral, float: numbers.Real}
    kind = kinds.get(self.kind, self.kind)
    if not isinstance(value, kind) or (isinstance(value, bool) != (kind is bool)):
      return f'a value of type {self.kind.__name__} is needed'
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
      return ''
    if not math.isfinite(value):
      return 'a finite number is needed'
    if self.least is not None and value < self.least:
      return f'at least {self.least} is needed'
    if self.below is not None and not value < self.below:
      return f'it must be below {self.below}'
    return f'at most {self.most} is allowed' if _exceeds(value, self.most) else ''


def describe(prefix: str, config: Any) -> list[Setting]:
  """The flags of a config in order, each with its help, default and choices."""
  settings, leaves = [], _leaves(config.__class__)
  for f in dataclasses.fields(config):
    if f.name in leaves:
      default, flag = getattr(config, f.name), f'{prefix}.{f.name}'
      settings.append(leaves[f.name]._replace(default=default, flag=flag))
    else:
      for member in _members(config, f.name):
        settings += describe(_prefix(prefix, f), member)
  return settings


def define(prefix: str, config: Any, flag_values=flags.FLAGS) -> None:
  """Defines one flag for each field of the frozen dataclass `config`."""
  for setting in describe(prefix, config):
    name, default = setting.flag, setting.default
    if setting.kind is bool:
      flags.DEFINE_bool(name, default, setting.help, flag_values)
    else:
      text = '|'.join(setting.choices)
      text = f'<{text}>: {setting.help}' if text else setting.help
      writer: Any = flags.ArgumentSerializer()
      flags.DEFINE(_Parser(setting), name, default, text, flag_values, writer)


def read(prefix: str, base: Any, flag_values=flags.FLAGS) -> Any:
  """Returns `base` with every field replaced whose flag was given.

  Raises:
    UserError: a flag was given of what a field may hold and does not in `base`.
  """
  changes = {}
  for f in dataclasses.fields(base):
    name, value = _prefix(prefix, f), getattr(base, f.name)
    if dataclasses.is_dataclass(value):
      for other in _members(base, f.name)[1:]:
        _refuse(name, other, value, flag_values)
      changes[f.name] = read(name, value, flag_values)
    elif flag_values[f'{prefix}.{f.name}'].present:
      changes[f.name] = flag_values[f'{prefix}.{f.name}'].value
  return dataclasses.replace(base, **changes)


def with_settings(prefix: str, base: Any, settings: Mapping[str, Any]) -> Any:
  """Returns `base` with settings by their flags' names, checked as flags are.

  Raises:
    UserError: there is no such setting, or the value does not fit.
  """
  values = flags.FlagValues()
  define(prefix, base, values)
  try:
    values(['', *(f'--{prefix}.{name}={value}' for name, value in settings.items())])
  except flags.UnrecognizedFlagError as error:
    names = [name.removeprefix(f'{prefix}.') for name in values]
    unknown = error.flagname.removeprefix(f'{prefix}.')
    raise errors.unknown_choice('setting', unknown, names) from None
  except flags.Error as error:
    raise errors.UserError(str(error)) from None
  return read(prefix, base, values)


def replace(config: Any, **changes: Any) -> Any:
  """`dataclasses.replace` that reaches into groups.

  >>> replace(metalog.Config(), hidden=8, order='first', batch=16)

  Raises:
    TypeError: neither the config nor one of its groups has such a field.
  """
  changed: dict[str, Any] = {}
  for f in _groups(config):
    inner = getattr(config, f.name)
    part = {name: changes.pop(name) for name in _names(inner) & set(changes)}
    changed |= {f.name: replace(inner, **part)} if part else {}
  return dataclasses.replace(config, **changed, **changes)


def get(config: Any, name: str, default: Any = None) -> Any:
  """The value of a field of the config or of one of its groups, else `default`."""
  if name in {f.name for f in dataclasses.fields(config)}:
    return getattr(config, name)
  inner = (getattr(config, f.name) for f in _groups(config))
  return next((get(x, name) for x in inner if name in _names(x)), default)


def restore(base: Any, saved: Mapping[str, Any]) -> Any:
  """Rebuilds a config from its `dataclasses.asdict` (a run's config.json).

  Raises:
    UserError: `saved` has a field that this version does not have, or a wrong value.
  """
  changes = {}
  names = {f.name for f in dataclasses.fields(base)}
  for name, value in saved.items():
    nested = isinstance(value, dict)
    if name not in names or nested != dataclasses.is_dataclass(getattr(base, name)):
      raise errors.UserError(
        f'config.json has {name}={value!r}, which {type(base).__module__} does not '
        'know: make the run again, or use the version that wrote it'
      )
    changes[name] = (
      restore(_like(_members(base, name), value), value) if nested else value
    )
  return dataclasses.replace(base, **changes)


class _Parser(flags.ArgumentParser):
  """Parses a setting's text and refuses what its dataclass would refuse."""

  def __init__(self, setting: Setting):
    self._setting = setting
    kinds: Any = {int: flags.IntegerParser, float: flags.FloatParser}
    self._text = kinds.get(setting.kind, flags.ArgumentParser)()

  def parse(self, argument):
    value = self._text.parse(argument)
    if problem := self._setting.problem(value):
      raise ValueError(problem)
    return value

  def flag_type(self) -> str:
    return self._text.flag_type()


@functools.cache
def _leaves(kind: type) -> dict[str, Setting]:
  """The fields of a dataclass that are no dataclasses themselves.

  Raises:
    TypeError: no flag can hold a field's type, or two would have one name.
  """
  hints, leaves, names = typing.get_type_hints(kind), {}, list[str]()
  for f in dataclasses.fields(kind):
    hint, choices = hints[f.name], ()
    members = typing.get_args(hint) or (hint,)
    if all(dataclasses.is_dataclass(member) for member in members):
      inline = f.metadata.get('inline')
      names += sorted(_names(hint)) if inline else [f.name]
      continue
    if typing.get_origin(hint) is typing.Literal:
      choices, hint = typing.get_args(hint), str
    if hint not in (bool, int, float, str):
      raise TypeError(f'{kind.__name__}.{f.name}: no flag can hold a {hint}')
    names.append(f.name)
    least, most, below = (f.metadata.get(x) for x in ('least', 'most', 'below'))
    most = LARGEST if hint is int and most is None else most
    help = f.metadata.get('help', '')
    leaves[f.name] = Setting(f.name, hint, help, choices, least, most, below)
  if twice := sorted({name for name in names if names.count(name) > 1}):
    raise TypeError(f'{kind.__name__}: two fields would have the flag {twice}')
  return leaves


def _exceeds(value: Any, most: float | None) -> bool:
  return most is not None and value > most


def _names(config: Any) -> set[str]:
  """The fields of a dataclass (or of an instance) and of its groups."""
  hints = typing.get_type_hints(config if isinstance(config, type) else type(config))
  names = set()
  for f in dataclasses.fields(config):
    names |= _names(hints[f.name]) if f.metadata.get('inline') else {f.name}
  return names


def _groups(config: Any) -> list[dataclasses.Field]:
  return [f for f in dataclasses.fields(config) if f.metadata.get('inline')]


def _prefix(prefix: str, f: dataclasses.Field) -> str:
  return prefix if f.metadata.get('inline') else f'{prefix}.{f.name}'


def _members(config: Any, name: str) -> list[Any]:
  """A field's value, and an instance of each other dataclass that it may hold."""
  value = getattr(config, name)
  kinds = typing.get_args(typing.get_type_hints(type(config))[name])
  return [value, *(kind() for kind in kinds if kind is not type(value))]


def _refuse(name: str, other: Any, chosen: Any, flag_values) -> None:
  """Raises UserError if a flag of `other` was given, which is not what is chosen."""
  for setting in describe(name, other):
    if flag_values[setting.flag].present:
      raise errors.UserError(
        f'--{setting.flag} is a setting of {type(other).__name__}, and here '
        f'{name} is {type(chosen).__name__}'
      )


def _like(members: list[Any], saved: Mapping[str, Any]) -> Any:
  """The first of `members` that has the fields of `saved`, else the first."""
  fits = (member for member in members if set(saved) <= _names(member))
  return next(fits, members[0])
