"""Fields of small vocabularies, such as a status, as values of a message.

A field is one by its name and by what it holds: a word, or a number where the name is
that of a code. What turns out to have many values is dropped by `messages.Templates`.
"""

import re
from collections.abc import Mapping

import numpy as np
import polars as pl

SEPARATOR = '\x1f'  # before values
_BEFORE = r'(?i)(?:.*[._-])?'
# The likeliest to say how something went first; of a record three are looked at.
_NUMBERS = re.compile(
  _BEFORE
  + r'(?:(?:http|response|resp|reply|grpc|rpc|exit|return|error|err|status|result'
  r'|sc)[._-]?(?:status|code)|status|statuscode|sc-status|code|errno|retcode|rc)'
)
_OTHER_CODES = re.compile(
  _BEFORE + r'(?:country|currency|zip|postal|post|product|promo|area|lang|language'
  r'|discount|coupon|item|source|file|line)[._-]?code'
)
_WORDS = re.compile(
  _BEFORE + r'(?:outcome|result|state|success|succeeded|ok|verdict|decision|action'
  r'|phase|method|verb)'
)
_MOST = 3  # fields
_NUMBER = r'^-?[0-9]{1,5}$'
_WORD = r'^[A-Za-z][A-Za-z_ -]{0,31}[0-9]{0,2}$'


def field_values(fields: Mapping[str, pl.Series]) -> pl.Series | None:
  """What records say in such fields, as `status=503 method=GET`, [n].

  Args:
    fields: name -> [n] str; null where a record has none.

  Returns:
    None where no field is one; '' for records without.
  """
  codes = [n for n in fields if _NUMBERS.fullmatch(n) and not _OTHER_CODES.fullmatch(n)]
  others = [n for n in fields if _WORDS.fullmatch(n) and n not in codes]
  parts = []
  for name in [*codes, *others][:_MOST]:
    column = fields[name].fill_null('')
    small = column.str.contains(_WORD)
    if name in codes:
      small |= column.str.contains(_NUMBER)
    said = f'{name.replace("=", "-")}=' + column
    parts.append(pl.select(pl.when(small).then(said).otherwise(None)).to_series())
  if not parts:
    return None
  both = pl.concat_str(*parts, separator=' ', ignore_nulls=True)
  return pl.select(both.alias('value')).to_series()


class Vocabularies:
  """Which values each form has had, up to so many."""

  def __init__(self, most: int):
    self._most = most
    self._known: dict[int, set[str]] = {}

  def add(self, forms: np.ndarray, values: pl.Series) -> pl.Series:
    """The values behind a separator, '' where the form has had too many of them.

    Args:
      forms: [n] int.
      values: [n]; '' for none.
    """
    pairs = pl.DataFrame({'form': forms, 'value': values}).unique()
    for form, value in pairs.sort('form', 'value').iter_rows():
      known = self._known.setdefault(form, set())
      if len(known) <= self._most:
        known.add(value)
    full = [f for f in pairs['form'].unique() if len(self._known[f]) > self._most]
    keep = pl.Series(~np.isin(forms, full)) & (values != '')
    said = pl.when(keep).then(SEPARATOR + values).otherwise(pl.lit(''))
    return pl.select(said).to_series()
