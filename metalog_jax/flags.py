"""Frozen dataclasses <-> dotted absl flags.

`define('metalog', Config())` makes one flag a field (`--metalog.inner_lr`),
nested dataclasses included; where a field may hold one of several (`A | B`), all of
them have flags. `read('metalog', base)` returns `base` with the fields that were
given on the command line or in a flagfile. A preset is just another `base`, so
explicit flags win over it wherever they stand.
"""

import dataclasses
import typing
from typing import Any

from absl import flags

from metalog_jax import errors


def field(default: Any, help: str) -> Any:
  """A dataclass field whose help text becomes that of its flag."""
  return dataclasses.field(default=default, metadata={'help': help})


def define(prefix: str, config: Any, flag_values=flags.FLAGS) -> None:
  """Defines one flag for each field of the frozen dataclass `config`."""
  hints = typing.get_type_hints(type(config))
  for f in dataclasses.fields(config):
    name, default = f'{prefix}.{f.name}', getattr(config, f.name)
    text, kind = f.metadata.get('help', ''), hints[f.name]
    if dataclasses.is_dataclass(default):
      for member in _members(kind, default):
        define(name, member, flag_values)
    elif typing.get_origin(kind) is typing.Literal:
      choices = list(typing.get_args(kind))
      flags.DEFINE_enum(name, default, choices, text, flag_values)
    elif kind is bool:
      flags.DEFINE_bool(name, default, text, flag_values)
    elif kind is int:
      flags.DEFINE_integer(name, default, text, flag_values=flag_values)
    elif kind is float:
      flags.DEFINE_float(name, default, text, flag_values=flag_values)
    elif kind is str:
      flags.DEFINE_string(name, default, text, flag_values)
    else:
      raise TypeError(f'{name}: no flag can hold a {kind}')


def read(prefix: str, base: Any, flag_values=flags.FLAGS) -> Any:
  """Returns `base` with every field replaced whose flag was given.

  Raises:
    UserError: a flag was given of what a field may hold and does not in `base`.
  """
  hints, changes = typing.get_type_hints(type(base)), {}
  for f in dataclasses.fields(base):
    name, value = f'{prefix}.{f.name}', getattr(base, f.name)
    if dataclasses.is_dataclass(value):
      for other in _members(hints[f.name], value)[1:]:
        _refuse(name, other, value, flag_values)
      changes[f.name] = read(name, value, flag_values)
    elif flag_values[name].present:
      changes[f.name] = flag_values[name].value
  return dataclasses.replace(base, **changes)


def with_settings(prefix: str, base: Any, settings: dict[str, Any]) -> Any:
  """Returns `base` with settings by their flags' names, checked as flags are.

  Raises:
    UserError: there is no such setting, or the value does not fit.
  """
  values = flags.FlagValues()
  define(prefix, base, values)
  try:
    values(['', *(f'--{prefix}.{name}={value}' for name, value in settings.items())])
  except flags.Error as error:
    raise errors.UserError(str(error)) from None
  return read(prefix, base, values)


def restore(base: Any, saved: dict[str, Any]) -> Any:
  """Rebuilds a config from its `dataclasses.asdict` (a run's config.json).

  Raises:
    UserError: `saved` has a field that `base` has not.
  """
  names = {f.name for f in dataclasses.fields(base)}
  if surplus := sorted(set(saved) - names):
    raise errors.UserError(
      f'config.json has unknown settings {surplus} for '
      f'{type(base).__module__}; was it written by another version?'
    )
  hints, changes = typing.get_type_hints(type(base)), dict(saved)
  for name, value in saved.items():
    if isinstance(value, dict):
      members = _members(hints[name], getattr(base, name))
      changes[name] = restore(_like(members, value), value)
  return dataclasses.replace(base, **changes)


def _members(kind: Any, default: Any) -> list[Any]:
  """`default`, then an instance of each other dataclass that the field may hold."""
  others = [member for member in typing.get_args(kind) if member is not type(default)]
  return [default, *(member() for member in others)]


def _refuse(name: str, other: Any, chosen: Any, flag_values) -> None:
  """Raises ValueError if a flag of `other` was given, which is not what is chosen."""
  for f in dataclasses.fields(other):
    if flag_values[f'{name}.{f.name}'].present:
      raise errors.UserError(
        f'--{name}.{f.name} is a setting of {type(other).__name__}, and here '
        f'{name} is {type(chosen).__name__}'
      )


def _like(members: list[Any], saved: dict[str, Any]) -> Any:
  """The first of `members` that has the fields of `saved`, else the first."""
  names = [{f.name for f in dataclasses.fields(member)} for member in members]
  return next((m for m, own in zip(members, names) if set(saved) <= own), members[0])
