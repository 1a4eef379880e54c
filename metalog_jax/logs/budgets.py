"""Amounts as users write them: a count ('24') or a percentage ('30%')."""

import contextlib
import decimal
import fractions
import math
from collections.abc import Callable

from metalog_jax import errors


def parse(text: str | int) -> int | fractions.Fraction:
  """An int for a count, an exact Fraction in [0, 1] for a percentage, or UserError."""
  text = str(text).strip()
  amount: int | fractions.Fraction = -1
  with contextlib.suppress(ValueError, decimal.InvalidOperation, OverflowError):
    is_share = text.endswith('%')
    amount = (
      fractions.Fraction(decimal.Decimal(text[:-1])) / 100 if is_share else int(text)
    )
  if amount < 0 or is_share and amount > 1:
    raise errors.UserError(f"'{text}' is neither a count (24) nor a share (30%)")
  return amount


def resolve(
  text: str | int, total: int, rounding: Callable[..., int] = math.ceil
) -> int:
  """The amount of `total`; a share is rounded, by default up."""
  amount = parse(text)
  return amount if isinstance(amount, int) else rounding(amount * total)
