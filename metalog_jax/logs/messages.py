"""Messages of an unknown system in, templates out, a block at a time.

A message becomes a *form* (`general_masks`); equal forms of equal values have one
*code*, which `add` returns. `group` gives every code its *template* (`grouping`), from
all forms together: it does not matter how messages were cut into blocks, or in which
order they came.

    templates = Templates()
    codes = [templates.add(block.message, block.level) for block in reader]
    ids = templates.group()  # [number of codes]: the template of each code
    texts = [templates.texts[i] for i in ids[codes[0]]]
"""

import collections
from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from metalog_jax.logs import general_masks, grouping, masking
from metalog_jax.logs.templates import encode

_ZERO = bytes.maketrans(b'0123456789', b'0' * 10)
_VALUES = 64  # different values of one form; beyond, its vocabulary is open
_CACHE = 200_000
_SEPARATOR = '\x1f'


class Templates:
  """Templates of messages, without knowledge of their system.

  Args:
    masks: `NAME=REGEX`, applied before the general masks; UserError if wrong.
    keep: regexes of what is never masked; UserError if wrong.
    similarity: the least share of equal words at which two forms are one template
      whatever the words that differ.
  """

  def __init__(
    self,
    masks: Sequence[str] = (),
    keep: Sequence[str] = (),
    similarity: float = 0.87,
  ):
    self.masks, self.keep, self.similarity = tuple(masks), tuple(keep), similarity
    self._rules = general_masks.user_masks(self.masks)
    for pattern in self.keep:
      general_masks.check_regex(f'--keep={pattern}', pattern)
    self._forms: dict[str, int] = {}  # form -> its number
    self._cache: dict[str, int] = {}  # message with digits zeroed -> its form
    self._codes: dict[tuple[int, str], int] = {}  # (form, level and values) -> code
    self._vocabularies: dict[int, set[str]] = {}  # of a form: its values
    self._counts = np.zeros(0, np.int64)  # [codes]
    self._groups: np.ndarray | None = None
    self.texts: list[str] = []

  def add(
    self, messages: Sequence[str] | pl.Series, levels: Sequence[str] | None = None
  ) -> np.ndarray:
    """Counts messages.

    Args:
      messages: [n].
      levels: [n], kept apart as a value is; None for none.

    Returns:
      The code of each, [n] int32: equal for equal forms, values and levels.
    """
    texts = pl.Series('message', messages, dtype=pl.String).fill_null('')
    if not len(texts):
      return np.zeros(0, np.int32)
    forms, values = self._form(texts)
    extras = pl.Series('level', levels, dtype=pl.String) if levels is not None else None
    if extras is None:
      extras = pl.repeat('', len(texts), eager=True)
    if values is not None:
      extras = extras + values
    words, index = encode(extras)
    key = forms.astype(np.int64) * len(words) + index
    keys, first, back = np.unique(key, return_index=True, return_inverse=True)
    codes = [
      self._codes.setdefault((form, words[extra]), len(self._codes))
      for form, extra in zip(forms[first].tolist(), index[first].tolist())
    ]
    codes = np.array(codes, np.int32)
    grown = len(self._codes) - len(self._counts)
    self._counts = np.pad(self._counts, (0, grown))
    self._counts[codes] += np.bincount(back, minlength=len(keys))
    if grown:
      self._groups = None
    return codes[back]

  def _form(self, texts: pl.Series) -> tuple[np.ndarray, pl.Series | None]:
    """The number of each text's form [n], and its values, joined, where one has any."""
    kept = None
    if self.keep:
      pattern = '|'.join(f'(?:{pattern})' for pattern in self.keep)
      kept = texts.str.extract_all(pattern)
      texts = texts.str.replace_all(pattern, general_masks.KEPT)
    for pattern, name in self._rules:
      texts = texts.str.replace_all(pattern, f'<{name}>')
    distinct, index = encode(zero_digits(texts))
    forms = self._number(distinct)[index]
    if kept is not None:
      forms = self._fill(forms, kept)
    has = np.fromiter(self._has_value(), bool, len(self._forms))[forms]
    if not has.any():
      return forms, None
    where = np.flatnonzero(has)
    found = texts.gather(where).str.extract_all(general_masks.VALUES)
    last = pl.element().str.extract(r'(-?[0-9]+(?:\.[0-9]+)?)$')
    joined = _SEPARATOR + found.list.eval(last).list.join(_SEPARATOR)
    joined = self._close(forms[where], joined)
    values = pl.repeat('', len(texts), eager=True).scatter(where, joined)
    return forms, values

  def _has_value(self):
    return (general_masks.VALUE in form for form in self._forms)

  def _number(self, flat: list[str]) -> np.ndarray:
    """The numbers of the forms of distinct messages with digits zeroed."""
    new = [text for text in flat if text not in self._cache]
    if len(self._cache) + len(new) > _CACHE:
      self._cache.clear()
      new = flat
    if new:
      texts = pl.Series('message', new, dtype=pl.String)
      texts = texts.str.replace_all(
        general_masks.VALUES, f'${{1}}{general_masks.VALUE}'
      )
      masked = masking.mask(texts, general_masks.MASKS)
      for text, form in zip(new, masked.to_list()):
        self._cache[text] = self._forms.setdefault(form, len(self._forms))
    return np.array([self._cache[text] for text in flat], np.int32)

  def _fill(self, forms: np.ndarray, kept: pl.Series) -> np.ndarray:
    """Puts what is kept back into the forms."""
    where = np.flatnonzero(kept.list.len().to_numpy())
    names = list(self._forms)
    filled = forms.copy()
    for i, values in zip(where.tolist(), kept.gather(where).to_list()):
      parts = names[forms[i]].split(general_masks.KEPT)
      values = [*values, *[''] * len(parts)]
      form = ''.join(x for pair in zip(parts, values) for x in pair)
      filled[i] = self._forms.setdefault(form, len(self._forms))
    return filled

  def _close(self, forms: np.ndarray, values: pl.Series) -> pl.Series:
    """The values, but none of forms that have had too many different ones."""
    pairs = pl.DataFrame({'form': forms, 'value': values}).unique()
    for form, value in pairs.sort('form', 'value').iter_rows():
      known = self._vocabularies.setdefault(form, set())
      if len(known) <= _VALUES:
        known.add(value)
    full = [f for f, known in self._vocabularies.items() if len(known) > _VALUES]
    open_ = pl.Series(np.isin(forms, full))
    return pl.select(pl.when(open_).then(pl.lit('')).otherwise(values)).to_series()

  def extras(self) -> list[str]:
    """The level and values of each code so far, joined by a unit separator."""
    return [extra for _, extra in self._codes]

  def group(self) -> np.ndarray:
    """The template of each code so far, [codes] int32, an index of `texts`.

    The most frequent template is 0. Numbers hold until a new code appears.
    """
    if self._groups is None:
      names = list(self._forms)
      form_of = np.array([form for form, _ in self._codes], np.int32)
      sizes = np.zeros(len(names), np.int64)
      np.add.at(sizes, form_of, self._counts)
      named = {_named(name): 0 for name in names}
      for name, size in zip(names, sizes.tolist()):
        named[_named(name)] += size
      template_of = grouping.group(
        {n: c for n, c in named.items() if c}, self.similarity
      )
      totals = collections.Counter()
      for name, text in template_of.items():
        totals[text] += named[name]
      self.texts = sorted(totals, key=lambda text: (-totals[text], text))
      number = {text: i for i, text in enumerate(self.texts)}
      of_form = [number.get(template_of.get(_named(name))) for name in names]
      of_form = np.array([-1 if n is None else n for n in of_form], np.int32)
      self._groups = of_form[form_of]
    return self._groups


def _named(form: str) -> str:
  return form.replace(general_masks.VALUE, general_masks.VALUE_NAME)


def zero_digits(texts: pl.Series) -> pl.Series:
  """The texts with every ASCII digit as 0."""
  array = texts.rechunk().to_arrow().cast(pa.large_string())
  _, offsets, data = array.buffers()
  flat = (data.to_pybytes() if data else b'').translate(_ZERO)
  zeroed = pa.LargeStringArray.from_buffers(
    len(array), offsets, pa.py_buffer(flat), offset=array.offset
  )
  return pl.Series(texts.name, zeroed)
