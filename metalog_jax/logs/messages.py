"""Messages of an unknown system in, templates out, a block at a time.

A message becomes a *form* (`general_masks`); messages of one form, one level and
equal small values, such as `status 502`, have one *code*, which `add` returns.
`group` gives every code its *template* (`grouping`), from all forms together: it does
not matter how messages were cut into blocks, or in which order they came.

    templates = Templates()
    codes = [templates.add(block.message, block.level) for block in reader]
    ids = templates.group()  # [number of codes]: the template of each code
    texts = [templates.texts[i] for i in ids[codes[0]]]
"""

import collections
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from metalog_jax import errors
from metalog_jax.logs import general_masks, grouping, masking, repeats
from metalog_jax.logs.field_values import SEPARATOR as _SEPARATOR
from metalog_jax.logs.field_values import Vocabularies

LIMIT = 50_000  # forms and templates that are remembered
_FORMAT = 1  # of `to_json`
_VALUES = 64  # different values of one form; beyond, its vocabulary is open
_CACHE = 200_000  # messages
_FORGOTTEN = '<forgotten>'
_WORDS = re.compile(r'[^\s=,;:()\[\]{}"\'|]+')


class Templates:
  """Templates of messages, without knowledge of their system.

  Memory is bounded: where there are more than `limit` forms, the templates so far are
  frozen and forms forgotten; where there are more than half as many templates, the
  rarest are forgotten too, and count as new if they come again. Until then, nothing
  depends on the order of messages. Codes stay valid all along.

  Args:
    masks: `NAME=REGEX`, applied before the general masks.
    keep: regexes of what is never masked; such texts stay apart.
    similarity: the least share of equal words at which two forms are one template
      although names in them differ; 1 leaves this to the vocabularies alone.
    limit: of forms.

  Raises:
    UserError: a pattern cannot be used, or the similarity is no share.
  """

  def __init__(
    self,
    masks: Sequence[str] = (),
    keep: Sequence[str] = (),
    similarity: float = 0.87,
    limit: int = LIMIT,
  ):
    if not 0 <= similarity <= 1:
      raise errors.UserError(f'--similarity={similarity}: give a share from 0 to 1')
    self.masks, self.keep, self.similarity = tuple(masks), tuple(keep), similarity
    self._rules = general_masks.user_masks(self.masks)
    self._keep = general_masks.any_of('--keep', self.keep)
    self._limit = limit
    self.texts: list[str] = []  # of templates, as `group` last left them
    self._patterns: list[str] = []  # the same, with KEPT before words that are kept
    self.frozen = 0  # so many templates keep their numbers for ever
    self._matcher: grouping.Matcher | None = None  # of frozen templates
    self._matched: dict[int, int] = {}  # frozen template -> form standing for it
    # Frozen template -> codes it had: the more, the more open its vocabulary.
    self._varied: collections.Counter[int] = collections.Counter()
    self._joined: collections.Counter[int] = collections.Counter()  # forms since
    self._forms: dict[str, int] = {}  # form -> its number
    self._form_text: dict[int, str] = {}  # the other way
    self._template: list[int] = []  # of every form; -1 where not frozen
    self._has_value = bytearray()  # of every form
    self._pending: set[int] = set()  # forms with a code that are not frozen
    self._cache: dict[str, int] = {}  # message with digits zeroed -> form
    self._numbers_said = Vocabularies(_VALUES)  # by form
    self._of_fields = Vocabularies(_VALUES)
    self._codes: dict[tuple[int, str], int] = {}  # (form, level and values) -> code
    self._code_form: list[int] = []
    self._code_extra: list[str] = []
    self._counts = np.zeros(0, np.int64)  # [codes]
    self._before = np.zeros(0, np.int64)  # messages of templates that were loaded
    self._values_before: list[Mapping[str, int]] = []
    self._ids: np.ndarray | None = None

  def add(
    self,
    messages: Sequence[str] | pl.Series,
    levels: Sequence[str] | None = None,
    values: pl.Series | None = None,
  ) -> np.ndarray:
    """Counts messages.

    Args:
      messages: [n].
      levels: [n], such as 'ERROR'; None for none.
      values: [n], of `field_values`: for messages that hold no small value themselves.

    Returns:
      The code of each, [n] int32.
    """
    texts = pl.Series('message', messages, dtype=pl.String).fill_null('')
    if not len(texts):
      return np.zeros(0, np.int32)
    if len(self._forms) > self._limit:
      self._forget()
    forms, numbers = self._form(texts)
    levels = [''] * len(texts) if levels is None else levels
    extras = pl.Series('level', levels, dtype=pl.String).fill_null('')
    if values is not None:
      bare = np.frombuffer(self._has_value, np.uint8)[forms] == 0
      values = self._of_fields.add(forms[bare], values.filter(bare))
      empty = pl.repeat('', len(texts), eager=True)
      extras = extras + empty.scatter(np.flatnonzero(bare), values)
    names, index = repeats.encode(extras if numbers is None else extras + numbers)
    keys, back = repeats.numbers(forms * len(names) + index)
    known = len(self._code_form)
    codes = np.array(
      [
        self._code(int(key) // len(names), names[int(key) % len(names)]) for key in keys
      ],
      np.int32,
    )
    self._counts = np.pad(self._counts, (0, len(self._code_form) - known))
    self._counts[codes] += np.bincount(back, minlength=len(keys))
    if len(self._code_form) > known:
      self._ids = None
    return codes[back]

  def _code(self, form: int, extra: str) -> int:
    code = self._codes.get((form, extra))
    if code is None:
      code = self._codes[form, extra] = len(self._code_form)
      self._code_form.append(form)
      self._code_extra.append(extra)
      if self._template[form] < 0:
        self._pending.add(form)
    return code

  def _form(self, texts: pl.Series) -> tuple[np.ndarray, pl.Series | None]:
    """Each text's form [n] int64, and its values, joined, where any form has some."""
    kept = None
    if self._keep or self._rules:  # see `general_masks.check_regex`
      texts = texts.str.head(masking.MAX_MESSAGE)
    if self._keep:
      texts = general_masks.without_marks(texts)
      kept = texts.str.extract_all(self._keep).list.join(_SEPARATOR)
      texts = texts.str.replace_all(self._keep, general_masks.KEPT)
    for pattern, name in self._rules:
      texts = texts.str.replace_all(pattern, f'<{name}>')
    zeroed, index = repeats.encode(general_masks.zero_digits(texts))
    forms = self._numbers(zeroed)[index]
    if kept is not None:
      forms = self._fill(forms, kept)
    where = np.flatnonzero(np.frombuffer(self._has_value, np.uint8)[forms])
    if not len(where):
      return forms, None
    found = general_masks.values(texts.gather(where))
    joined = self._numbers_said.add(forms[where], found.list.join(_SEPARATOR))
    return forms, pl.repeat('', len(texts), eager=True).scatter(where, joined)

  def _numbers(self, messages: list[str]) -> np.ndarray:
    """The numbers of the forms of distinct messages with digits zeroed, int64."""
    cache = self._cache
    new = [text for text in messages if text not in cache]
    if len(cache) + len(new) > _CACHE:
      cache.clear()
      new = messages
    alike: dict[str, str] = {}  # message -> the same with ids all equal
    if new:
      texts = pl.Series('message', new, dtype=pl.String)
      if not self._keep:
        texts = general_masks.without_marks(texts)
      alike = dict(zip(new, general_masks.equal_ids(texts).to_list()))
      fresh = [text for text in dict.fromkeys(alike.values()) if text not in cache]
      for text, form in zip(fresh, general_masks.forms(fresh)):
        cache[text] = self._number(form)
    return np.array([cache[alike.get(text, text)] for text in messages], np.int64)

  def _fill(self, forms: np.ndarray, kept: pl.Series) -> np.ndarray:
    """The forms with what is kept put back."""
    names, index = repeats.encode(kept)
    keys, back = np.unique(forms * len(names) + index, return_inverse=True)
    filled = keys // len(names)
    for i, key in enumerate(keys.tolist()):
      form, texts = self._form_text[key // len(names)], names[key % len(names)]
      if general_masks.KEPT in form:
        parts = form.split(general_masks.KEPT)
        words = [
          _WORDS.sub(rf'{general_masks.KEPT}\g<0>', text)
          for text in texts.split(_SEPARATOR)
        ]
        between = [*words, ''][: len(parts)]
        filled[i] = self._number(''.join(map(''.join, zip(parts, between))))
    return filled[back]

  def _number(self, form: str) -> int:
    number = self._forms.get(form)
    if number is not None:
      return number
    template = self._matcher.match(form) if self._matcher else None
    if template is not None and template in self._matched:
      return self._matched[template]
    number = len(self._template)
    self._template.append(-1 if template is None else template)
    self._has_value.append(general_masks.VALUE_NAME in form)
    self._form_text[number] = form
    if template is None or general_masks.KEPT in form:
      self._forms[form] = number
    elif max(self._varied[template], self._joined[template]) > _VALUES:
      self._matched[template] = number
    else:  # few words: which one it is matters
      self._forms[form] = number
      self._joined[template] += 1
    return number

  def code_levels(self) -> list[str]:
    """The level of the messages of each code [codes]; '' for none."""
    return [extra.split(_SEPARATOR)[0] for extra in self._code_extra]

  def group(self) -> np.ndarray:
    """The template of each code so far, [codes] int32, an index of `texts`.

    Without frozen templates the most frequent is 0. Numbers of templates that are not
    frozen hold until a new code appears.
    """
    if self._ids is None:
      code_form = np.array(self._code_form, np.int64)
      template = np.array(self._template, np.int32)
      pending = {self._form_text[n]: n for n in self._pending}
      patterns = self._patterns
      del patterns[self.frozen :]
      known = {text: i for i, text in reversed([*enumerate(patterns)])}
      known.pop(_FORGOTTEN, None)
      template_of = grouping.group(pending, self.similarity, known)
      number: dict[str, int] = {}  # text -> template
      for text, frozen in known.items():
        number[template_of[text]] = min(frozen, number.get(template_of[text], frozen))
      sizes = np.bincount(code_form, self._counts, minlength=len(template))
      totals: collections.Counter[str] = collections.Counter()
      for form, n in pending.items():
        totals[template_of[form]] += int(sizes[n])
      for text in sorted(totals, key=lambda text: (-totals[text], text)):
        if text not in number:
          number[text] = len(patterns)
          patterns.append(text)
        patterns[number[text]] = text  # a frozen one may have become wider
      self.texts = [text.replace(general_masks.KEPT, '') for text in patterns]
      for form, n in pending.items():
        template[n] = number[template_of[form]]
      self._ids = template[code_form]
    return self._ids

  def counts(self) -> np.ndarray:
    """The messages of each template so far, [templates] int64."""
    ids = self.group()
    counts = np.bincount(ids, self._counts, minlength=len(self.texts)).astype(np.int64)
    counts[: len(self._before)] += self._before
    return counts

  def open(self, codes: int = _VALUES) -> list[int]:
    """Templates with wildcards that have had more codes than this."""
    counts = collections.Counter(self.group().tolist())
    return [
      i
      for i, text in enumerate(self._patterns)
      if grouping.WILDCARD in text and max(counts[i], self._varied[i]) > codes
    ]

  def nameless(self) -> list[int]:
    """Templates whose words for `<*>` are too many to be small values."""
    return [i for i in self.open() if general_masks.VALUE_NAME not in self.texts[i]]

  def code_values(self) -> list[str]:
    """What tells the codes of a template from each other [codes]: its small values.

    These are the numbers that stand for `<VAL>`; where there are none, the words that
    stand for `<*>`, if they have few different values. '' for none.
    """
    ids = self.group()
    texts = [' '.join(extra.split(_SEPARATOR)[1:]) for extra in self._code_extra]
    closed = set(range(len(self.texts))).difference(self.open())
    for template in closed.intersection(ids.tolist()):
      if grouping.WILDCARD in self._patterns[template]:
        for code in np.flatnonzero(ids == template).tolist():
          form = self._form_text.get(self._code_form[code], '')
          words = grouping.varying(self._patterns[template], form)
          texts[code] = texts[code] or ' '.join(words)
    return texts

  def values(self) -> list[dict[str, int]]:
    """Of each template, how often each of its small values occurred."""
    counters: list[dict[str, int]] = [
      dict(self._values_before[i]) if i < len(self._values_before) else {}
      for i in range(len(self.texts) if self.group() is not None else 0)
    ]
    for template, value, count in zip(
      self.group().tolist(), self.code_values(), self._counts.tolist()
    ):
      if value:
        counters[template][value] = counters[template].get(value, 0) + count
    return counters

  def freeze(self) -> None:
    """Lets the templates so far keep their numbers.

    Later messages join one that matches them; others are grouped among themselves and
    numbered from `frozen`. A frozen text may still become wider.
    """
    ids = self.group()
    if self._matcher and not self._pending:
      return
    for code, form in enumerate(self._code_form):
      if form in self._pending:
        self._template[form] = int(ids[code])
    self._pending.clear()
    self.frozen = len(self.texts)
    for template, count in collections.Counter(ids.tolist()).items():
      self._varied[template] = max(count, self._varied[template])
    self._match_frozen()

  def _match_frozen(self) -> None:
    known = ((i, text) for i, text in enumerate(self._patterns) if text != _FORGOTTEN)
    self._matcher = grouping.Matcher(known, {*self.open(grouping.MANY - 1)})
    self._matched.clear()

  def _forget(self) -> None:
    """Drops forms, and the rarest templates beyond half the limit."""
    self.freeze()
    order = np.argsort(-self.counts(), kind='stable')
    for template in order[self._limit // 2 :].tolist():
      self.texts[template] = self._patterns[template] = _FORGOTTEN
    self._match_frozen()
    for known in (self._forms, self._form_text, self._codes):
      known.clear()
    self._numbers_said, self._of_fields = Vocabularies(_VALUES), Vocabularies(_VALUES)
    self._cache.clear()

  def to_json(self) -> dict[str, Any]:
    """The templates so far, their counts and values; freezes them."""
    self.freeze()
    rows = zip(self._patterns, self.counts().tolist(), self.values(), strict=True)
    return {
      'format': _FORMAT,
      'masks': list(self.masks),
      'keep': list(self.keep),
      'similarity': self.similarity,
      'templates': [
        dict(text=text, count=count, values=values, codes=self._varied[i])
        for i, (text, count, values) in enumerate(rows)
      ],
    }

  @classmethod
  def from_json(cls, content: Any, source: str) -> 'Templates':
    """Frozen templates from what `to_json` gave.

    Args:
      content: parsed JSON.
      source: the file, for messages of errors.

    Raises:
      UserError: it is something else.
    """
    try:
      if content['format'] != _FORMAT:
        raise ValueError(f'format {content["format"]!r}')
      settings = {name: content[name] for name in ('masks', 'keep', 'similarity')}
      rows = [
        (row['text'], row['count'], row['values'], row.get('codes'))
        for row in content['templates']
      ]
      is_count = lambda n: type(n) is int and 0 <= n < 1 << 53
      for text, count, values, codes in rows:
        counts = [count, *dict.values(values), 0 if codes is None else codes]
        if type(text) is not str or not all(map(is_count, counts)):
          raise ValueError(f'template {text!r}')
      for name in ('masks', 'keep'):
        if not all(type(pattern) is str for pattern in list.copy(settings[name])):
          raise ValueError(name)
      templates = cls(**settings)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
      raise errors.UserError(f'{source}: no templates of messages: {error}') from None
    templates._patterns = [row[0] for row in rows]
    templates.texts = [row[0].replace(general_masks.KEPT, '') for row in rows]
    templates._before = np.array([row[1] for row in rows], np.int64)
    templates._values_before = [row[2] for row in rows]
    for i, (_, _, values, codes) in enumerate(rows):
      # Of an older file; values that were not written down were many.
      unknown = _VALUES + 1 if not values else len(values)
      templates._varied[i] = unknown if codes is None else codes
    templates._ids = np.zeros(0, np.int32)
    templates.freeze()
    return templates
