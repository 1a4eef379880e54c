"""Amounts as users write them: counts ('24'), percentages ('30%'), rates (0.01)."""

import contextlib
import decimal
import fractions
import math
from collections.abc import Callable

from metalog_jax import errors


def parse(text: str | int, flag: str = '') -> int | fractions.Fraction:
  """An int for a count, an exact Fraction in [0, 1] for a percentage, or UserError.

  Args:
    flag: whose value it is, for the message.
  """
  text = str(text).strip()
  amount: int | fractions.Fraction = -1
  with contextlib.suppress(ValueError, decimal.InvalidOperation, OverflowError):
    is_share = text.endswith('%')
    amount = (
      fractions.Fraction(decimal.Decimal(text[:-1])) / 100 if is_share else int(text)
    )
  if amount < 0 or is_share and amount > 1:
    whose = f'--{flag}: ' if flag else ''
    raise errors.UserError(f"{whose}'{text}' is neither a count (24) nor a share (30%)")
  return amount


def rate(text: str | float, flag: str) -> float:
  """`1%` or 0.01 as a number in [0, 1); UserError, with the flag's name, otherwise."""
  text, value = str(text).strip(), -1.0
  with contextlib.suppress(ValueError):
    value = float(text.removesuffix('%')) / (100 if text.endswith('%') else 1)
  if not 0 <= value < 1:
    raise errors.UserError(f'--{flag}={text}: give a share such as 1% or 0.01')
  return value


def resolve(
  text: str | int, total: int, rounding: Callable[..., int] = math.ceil
) -> int:
  """The amount of `total`; a share is rounded, by default up."""
  amount = parse(text)
  return amount if isinstance(amount, int) else rounding(amount * total)
