"""Errors that the user can mend, kept apart from internal faults.

A `UserError` says what is wrong and which flag, field or file to change. Programs print
it in one line; anything else that escapes is an internal fault and keeps its traceback.
"""

import dataclasses
import difflib
import typing
from collections.abc import Iterable
from typing import Any


class UserError(ValueError):
  """Something the user gave does not fit; the message says what to change."""


def unknown_choice(name: str, value: Any, choices: Iterable[str]) -> UserError:
  """The error for a choice that does not exist, with the nearest right word.

  Args:
    name: of the flag, field or argument, as the user writes it.
    value: that was given.
    choices: that exist.
  """
  return UserError(f'{name}={value!r} is not one of {listed(value, choices)}')


def listed(value: Any, choices: Iterable[str]) -> str:
  """The choices, and which of them `value` was probably meant to be."""
  choices = [str(choice) for choice in choices]
  near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.5)
  return ', '.join(choices) + (f'; did you mean {near[0]!r}?' if near else '')


def check_choices(config: Any, prefix: str = '') -> None:
  """Checks every `Literal` field of a dataclass instance.

  Call it from `__post_init__`, so that no instance with a wrong choice can exist.

  Args:
    prefix: of the fields' names in the message, such as '--metalog.'.

  Raises:
    UserError: a field has none of its choices; the nearest one is named.
  """
  for name, choices in _choices(type(config)).items():
    value = getattr(config, name)
    if value not in choices:
      raise unknown_choice(prefix + name, value, choices)


def _choices(kind: Any) -> dict[str, tuple]:
  hints = typing.get_type_hints(kind)
  return {
    field.name: typing.get_args(hints[field.name])
    for field in dataclasses.fields(kind)
    if typing.get_origin(hints[field.name]) is typing.Literal
  }
