"""Masks what should not leave a machine: addresses, secrets, numbers of cards."""

import re
from typing import Any

_SECRET = (
  r'pass(?:word|wd|phrase)?|pwd|secret|(?:access|auth|refresh|id|csrf|bearer)?[_-]?token'
  r'|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?secret|credential[s]?'
  r'|authorization|cookie|set-cookie|session[_-]?id|sessid|jsessionid'
)
_RULES = tuple(
  (re.compile(pattern, re.S), replacement)
  for pattern, replacement in (
    (r'-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)', '<SECRET>'),
    (r'\beyJ[\w-]+\.[\w-]+\.[\w-]*', '<TOKEN>'),
    (r'(?i)\b(bearer|basic|digest)\s+[\w.~+/=-]{6,}', r'\1 <TOKEN>'),
    (r'\b(?:AKIA|ASIA)[A-Z0-9]{16}\b', '<TOKEN>'),
    (r'\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|sk_live_|sk_test_)[\w-]{8,}',
     '<TOKEN>'),
    (r'(\w[\w+.-]*://)[^\s/@:]+:[^\s/@]+@', r'\1<SECRET>@'),
    (rf'(?i)((?:[\w-]*[_.-])?(?:{_SECRET})["\']?\s*[:=]\s*)'
     r'("[^"]*"|\'[^\']*\'|(?:bearer |basic )?[^\s,;&}\]]+)', r'\1<SECRET>'),
    (r'[\w.+%-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}', '<EMAIL>'),
    (r'(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)', '<IP>'),
    (r'(?i)(?<![\w:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:])', '<IP>'),
    (r'(?i)(?<![\w:])(?=[0-9a-f:]*::)(?=[0-9a-f:]*[0-9a-f])'
     r'(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])', '<IP>'),
    (r'(?<![\d-])(?:\d[ -]?){13,18}\d(?![\d-])', '<NUMBER>'),
    (r'\b[0-9a-fA-F]{32,}\b', '<TOKEN>'),
    (r'(?<![\w/+])(?=[\w/+-]*\d)(?=[\w/+-]*[a-z])(?=[\w/+-]*[A-Z])[\w+-]{32,}={0,2}',
     '<TOKEN>'),
  )
)  # fmt: skip
_LEAVE = ('file', 'finding_id', 'id', 'kind', 'state', 'time', 'path', 'windows')


def text(value: str) -> str:
  """The text with every address and secret that is recognised masked."""
  for pattern, replacement in _RULES:
    value = pattern.sub(replacement, value)
  return value


def everything(value: Any, name: str = '') -> Any:
  """As `text`, for all strings in dicts and lists, but those that name a place."""
  if isinstance(value, dict):
    return {key: everything(item, key) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [everything(item, name) for item in value]
  return text(value) if isinstance(value, str) and name not in _LEAVE else value
