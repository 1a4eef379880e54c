"""Masks what should not leave a machine: addresses, secrets, numbers of cards.

Records are masked as they are read, before anything is counted, so that no template,
sample, baseline or state has what is masked. Expressions run on an engine without
back-tracking: their time is linear in the text.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import polars as pl

_SECRET = (
  r'pass(?:word|wd|phrase)?|pwd|secret|(?:access|auth|refresh|id|csrf|bearer)?[_-]?token'
  r'|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?secret|credentials?'
  r'|authorization|session[_-]?id|sessid|jsessionid'
)
_SCHEME = '(?:bearer|basic|digest|token|negotiate|apikey) +'
_HEX = '[0-9a-f]{1,4}'
_RULES = (
  (r'(?s)-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\z)', '<SECRET>'),
  (r'\beyJ[\w-]+\.[\w-]+\.[\w-]*', '<TOKEN>'),
  (r'\b(?:AKIA|ASIA)[A-Z0-9]{16}\b', '<TOKEN>'),
  (r'\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|sk_live_|sk_test_)[\w-]{8,}',
   '<TOKEN>'),
  (r'(\w[\w+.-]*://)[^\s/@:]*:[^\s/@]+@', '${1}<SECRET>@'),
  (r'(?i)((?:set-)?cookie["\']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|[^\n"]+)', '${1}<SECRET>'),
  (rf'(?i)((?:[\w-]*[_.-])?(?:{_SECRET})["\']?\s*[:=]\s*)'
   rf'("(?:[^"\\]|\\.)*"|\'[^\']*\'|(?:{_SCHEME})?[^\s,;&}}\]]+)', '${1}<SECRET>'),
  (rf'(?i)(-(?:{_SECRET}) +)[^\s-]\S*', '${1}<SECRET>'),  # --password x
  (r'(?i)\b(bearer|basic|digest)\s+[\w.~+/=-]{6,}', '${1} <TOKEN>'),
  (r'[\w.+%-]+(?:@|%40)[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}', '<EMAIL>'),
  (r'(?:\d{1,3}\.){3}\d{1,3}', '<IP>'),
  (rf'(?i)\b{{start-half}}(?:(?:{_HEX}:){{7}}{_HEX}|(?:{_HEX}:){{1,6}}(?::{_HEX}){{1,6}}'
   rf'|(?:{_HEX}:){{1,7}}:|:(?::{_HEX}){{1,7}})\b{{end-half}}', '<IP>'),
  (r'(^|[^\w-])(?:\d[ -]?){13,18}\d\b', '${1}<NUMBER>'),
  (r'\b[0-9a-fA-F]{32,}\b', '<TOKEN>'),
)  # fmt: skip
_LONG = r'[\w+-]{32,}={0,2}'  # random letters and digits, where it has all kinds
_LONG_WORD = re.compile(rf'(?<![\w/+-]){_LONG}')
_SECRET_FIELD = re.compile(rf'(?i)(?:.*[_.-])?(?:{_SECRET}|(?:set-)?cookies?)')
_LEAVE = ('finding_id', 'kind', 'state', 'time')


def texts(column: pl.Series) -> pl.Series:
  """Texts [n] with every address and secret that is recognised masked."""
  for pattern, replacement in _RULES:
    column = column.str.replace_all(pattern, replacement)
  rows = column.str.contains(_LONG).fill_null(False).arg_true()
  if len(rows):
    masked = [_LONG_WORD.sub(_random, value) for value in column.gather(rows)]
    column = column.scatter(rows, masked)
  return column


def _random(match: re.Match) -> str:
  word = match[0]
  tests = (str.isdigit, str.islower, str.isupper)
  return '<TOKEN>' if all(any(map(test, word)) for test in tests) else word


def text(value: str) -> str:
  """One text, as `texts`."""
  value = value.encode('utf-8', 'backslashreplace').decode()
  return texts(pl.Series([value], dtype=pl.String))[0]


def everything(value: Any, name: str = '') -> Any:
  """As `text`, for all strings in dicts and lists."""
  if isinstance(value, dict):
    return {key: everything(item, key) for key, item in value.items()}
  if isinstance(value, list | tuple):
    items = [everything(item, name) for item in value]
    return tuple(items) if isinstance(value, tuple) else items
  return text(value) if isinstance(value, str) and name not in _LEAVE else value


def block(read: Any) -> Any:
  """A `records.Records` masked; of a field that is called a secret, nothing stays."""
  fields: dict[str, pl.Series] = {}
  for name, column in read.fields.items():
    if _SECRET_FIELD.fullmatch(name):
      fields[name] = column.str.replace('(?s)^.+$', '<SECRET>')
    else:
      fields[text(name)] = texts(column)
  columns = {name: texts(getattr(read, name)) for name in ('level', 'message', 'text')}
  return dataclasses.replace(read, fields=fields, **columns)


@contextlib.contextmanager
def in_errors(is_on: bool) -> Iterator[None]:
  """Masks the messages of errors that go through, which may quote lines and paths."""
  try:
    yield
  except Exception as error:
    cause: BaseException | None = error if is_on else None
    while cause is not None:
      cause.args = everything(cause.args)
      if isinstance(cause, OSError) and isinstance(cause.filename, str):
        cause.filename = text(cause.filename)
      cause = cause.__cause__ or cause.__context__
    raise
