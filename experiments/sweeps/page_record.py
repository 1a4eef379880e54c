"""The figures of a page of results, so that some rows of it can be run anew alone.

Runs take hours, and their folders go: PAGE.jsonl beside PAGE.md keeps a line for every
method and floor in every setting of its tables.
"""

import itertools
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.sweeps import paired
from metalog_jax import atomic, errors

_DIGITS = 6
_SAME = 1e-3  # F1 of a reference, run again, that differs by less is unchanged
_FLOORS = (paired.FIXED, paired.BEST)


def read(path: pathlib.Path) -> dict[str, list[paired.Entry]]:
  """Entries by the name of their table; none where there is no file.

  Raises:
    UserError: a line is none that `write` writes.
  """
  tables: dict[str, list[paired.Entry]] = {}
  lines = path.read_text(encoding='utf-8').splitlines() if path.exists() else []
  for number, line in enumerate(lines, 1):
    try:
      saved = json.loads(line)
      entries = tables.setdefault(saved.pop('table'), [])
      if test := saved.pop('difference'):
        test = paired.Difference(**test, adjusted=math.nan)
      saved['f1'] = [float(f1) for f1 in saved['f1']]
      saved['others'] = [math.nan if v is None else float(v) for v in saved['others']]
      entries.append(paired.Entry(**saved, difference=test))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
      raise errors.UserError(
        f'{path}: line {number} is not of the record of a page: restore the file, or '
        'remove it to begin anew'
      ) from error
  return tables


def write(path: pathlib.Path, tables: Mapping[str, Sequence[paired.Entry]]) -> None:
  """What has been run, a line an entry."""
  lines = [
    json.dumps({'table': name} | _plain(entry))
    for name, entries in tables.items()
    for entry in entries
    if entry.seeds
  ]
  atomic.write_text(path, ''.join(f'{line}\n' for line in lines))


def merge(
  new: Sequence[paired.Entry], kept: Sequence[paired.Entry], reference: str
) -> list[paired.Entry]:
  """`new`, and what was kept of that for which it has fewer seeds.

  A setting or a method that the table no longer has is dropped, and so is a difference
  to a reference that is another one now, or whose F1 has changed since.

  Args:
    reference: the method that the others are held against.
  """
  place = lambda entry: (entry.setting, entry.method)
  found, before = {place(e): e for e in new}, {place(e): e for e in kept}
  settings = dict.fromkeys(entry.setting for entry in new)
  methods = [m for m in dict.fromkeys(e.method for e in new) if m not in _FLOORS]
  for at in itertools.product(settings, (*methods, *_FLOORS)):
    if at in before and (at not in found or found[at].seeds < before[at].seeds):
      found[at] = before[at]
  for entry in (entry for entry in kept if entry.floors):
    now = found.get((entry.setting, reference))
    if now and entry.method == reference and _alike(entry, now):
      continue
    for at, other in found.items():
      if at[0] == entry.setting and before.get(at) is other:
        floors = other.floors if other.method == reference else None
        found[at] = other._replace(difference=None, floors=floors)
  order = itertools.product(settings, (*methods, *_FLOORS))
  return [found[at] for at in order if at in found]


def _alike(first: paired.Entry, second: paired.Entry) -> bool:
  """Whether one method had the same F1 with the seeds of both."""
  pairs = zip(first.f1, second.f1, strict=False)
  return all(math.isclose(a, b, abs_tol=_SAME) for a, b in pairs)


def _plain(entry: paired.Entry) -> dict[str, Any]:
  """Fields as JSON; figures are rounded."""
  fields = entry._asdict()
  if entry.difference:
    fields['difference'] = _rounded(entry.difference._asdict())
    del fields['difference']['adjusted']
  fields['f1'] = [_rounded(f1) for f1 in entry.f1]
  fields['others'] = [_rounded(figure) for figure in entry.others]
  return fields | {'floors': entry.floors and _rounded(entry.floors)}


def _rounded(figure: Any) -> Any:
  if isinstance(figure, dict):
    return {name: _rounded(value) for name, value in figure.items()}
  return None if math.isnan(figure) else round(figure, _DIGITS)
