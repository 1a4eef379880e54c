"""Amounts as users write them: a count ('24') or a percentage ('30%')."""

import decimal
import fractions
import math
from collections.abc import Callable

from metalog_jax import errors


def parse(text: str | int) -> int | fractions.Fraction:
  """An int for a count, an exact Fraction in [0, 1] for a percentage.

  Raises:
    UserError: neither of them.
  """
  text = str(text).strip()
  amount: int | fractions.Fraction = 0
  try:
    if text.endswith('%'):
      amount = fractions.Fraction(decimal.Decimal(text[:-1])) / 100
      bad = not 0 <= amount <= 1
    else:
      amount = int(text)
      bad = amount < 0
  except (ValueError, decimal.InvalidOperation, OverflowError):
    bad = True
  if bad:
    raise errors.UserError(f"'{text}' is neither a count (24) nor a share (30%)")
  return amount


def resolve(
  text: str | int, total: int, rounding: Callable[..., int] = math.ceil
) -> int:
  """The amount of `total`; a share is rounded, by default up."""
  amount = parse(text)
  return amount if isinstance(amount, int) else rounding(amount * total)
