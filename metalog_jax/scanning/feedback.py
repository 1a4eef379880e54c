"""What people said of findings: normal, anomaly, or suppressed until a date.

`feedback.jsonl` stands in the folder of a scan or of a baseline; the last line about a
finding counts.
"""

import datetime
import json
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from metalog_jax import atomic, errors

FILE = 'feedback.jsonl'
VERDICTS = ('normal', 'anomaly', 'suppress')
_PART = ('template', 'kind')  # of a finding, that is kept with what is said of it
_STATES = {'normal': 'known', 'anomaly': 'active', 'suppress': 'suppressed'}


def add(
  folder: str, finding: str, verdict: str, until: str = '', reason: str = ''
) -> dict[str, Any]:
  """Keeps what is said of a finding; returns the line.

  Args:
    folder: of a scan (`--out`), or a baseline.
    finding: the id of one in its findings.jsonl; the beginning is enough.
    until: ISO date after which `suppress` has no effect; '': for ever.

  Raises:
    UserError: no such folder, finding or verdict, or a date in no such form.
  """
  if verdict not in VERDICTS:
    raise errors.unknown_choice('VERDICT', verdict, VERDICTS)
  if until and verdict != 'suppress':
    raise errors.UserError(f'--until belongs to suppress, not to {verdict}')
  if until:
    _day(until, '--until')
  place, known = pathlib.Path(folder), dict[str, dict[str, Any]]()
  listed = place / 'findings.jsonl'
  if listed.is_file():
    known = {row['finding_id']: row for _, row in _rows(listed, 'finding')}
    matching = [name for name in known if name.startswith(finding)]
    if len(matching) != 1 and finding not in known:
      wrong = 'several findings begin' if matching else 'no finding begins'
      there = errors.listed(finding, known) if known else 'none'
      raise errors.UserError(f'{listed}: {wrong} with {finding!r}; there are: {there}')
    finding = finding if finding in known else matching[0]
  elif not place.is_dir():
    raise errors.UserError(f'{folder} is no folder of a scan: scan with --out={folder}')
  now = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
  line: dict[str, Any] = {
    'finding_id': finding,
    'verdict': verdict,
    'until': until or None,
  }
  line |= {'reason': reason, 'time': now}
  parts = known.get(finding, {}).get('templates') or ()
  line['templates'] = [{name: p[name] for name in _PART} for p in parts]
  path = place / FILE
  with atomic.holding(path):  # who says something at the same time waits
    read([folder])  # a damaged file is refused
    before = path.read_text('utf-8')
    before += '\n' * bool(before and not before.endswith('\n'))  # an editor's
    atomic.write_text(path, before + atomic.to_json(line) + '\n')
  return line


def read(folders: Iterable[str]) -> dict[str, dict[str, Any]]:
  """The last line about each finding.

  Raises UserError for a line that is no feedback, with file and number.
  """
  said = {}
  for folder in folders:
    path = pathlib.Path(folder) / FILE if folder else None
    if path is None or not path.is_file():
      continue
    for number, line in _rows(path, 'feedback'):
      if line.get('verdict') not in VERDICTS:
        known = errors.listed(line.get('verdict'), VERDICTS)
        raise errors.UserError(
          f'{path}:{number} is no feedback: its verdict is {known}'
        )
      if line.get('until'):
        _day(line['until'], f'{path}:{number}')
      if not _are_parts(line.get('templates', [])):
        raise errors.UserError(
          f'{path}:{number} is no feedback: its templates are no list of objects with '
          f'{" and ".join(_PART)}'
        )
      said[line['finding_id']] = line
  return said


def current(folders: Iterable[str]) -> dict[str, dict[str, Any]]:
  """What `read` gives and has not ended."""
  today = datetime.datetime.now(datetime.UTC).date()
  is_over = lambda line: line.get('until') and _day(line['until'], FILE) < today
  return {name: line for name, line in read(folders).items() if not is_over(line)}


def apply(items: Iterable[Any], folders: Iterable[str]) -> None:
  """Gives findings the state that feedback in these folders has for them."""
  said = current(folders)
  for item in items:
    line = said.get(item.finding_id)
    if line is None:
      continue
    item.state = _STATES[line['verdict']]
    item.reason = str(line.get('reason') or '')


def _rows(path: pathlib.Path, what: str) -> Iterator[tuple[int, dict[str, Any]]]:
  """Numbers of lines and the objects there, each with a `finding_id`; or UserError."""
  for number, text in enumerate(path.read_bytes().splitlines(), 1):
    try:
      row = json.loads(text)
      if not isinstance(row['finding_id'], str):
        raise ValueError('its finding_id is no text')
    except (ValueError, KeyError, TypeError, RecursionError) as error:
      raise errors.UserError(f'{path}:{number} is no {what}: {error!r}') from None
    yield number, row


def _are_parts(parts: Any) -> bool:
  return isinstance(parts, list) and all(
    isinstance(part, dict) and all(isinstance(part.get(name), str) for name in _PART)
    for part in parts
  )


def _day(text: Any, where: str) -> datetime.date:
  try:
    return datetime.date.fromisoformat(str(text)[:10])
  except ValueError:
    raise errors.UserError(f'{where}: {text!r} is no date such as 2026-12-31') from None
