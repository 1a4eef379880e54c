"""The lines of a log in the order in which the findings of a scan lead to them."""

from typing import Any

import numpy as np

from metalog_jax.logs import records
from metalog_jax.scanning import scan


def ranked(log: str, baseline: str = '') -> tuple[list[str], list[float], list[bool]]:
  """Line numbers, scores, and whether an active finding is about the line.

  A finding leads to the records of its templates in its windows: the first finding to
  those of its leading template first; within one the order is that of the log.
  """
  options = scan.Options(baseline=(baseline,) * bool(baseline))
  good = scan.read_baseline(options)
  templates, width = scan.templates_and_width(options, good)
  counter = scan.Counter(templates, width)
  codes, times, lines = [], [], []
  add = templates.add
  templates.add = lambda *arguments: codes.append(add(*arguments)) or codes[-1]
  reader = records.read([log])
  for block in reader:
    counter.add(block)
    times.append(block.time)
    lines.append(block.line)
  found = scan.conclude(counter, reader.inputs, options, good)
  template = templates.group()[np.concatenate(codes)]
  window = _windows(np.concatenate(times), counter.windows)
  rank, odd = np.full(len(window), np.inf), np.zeros(len(window), bool)
  for number, item in enumerate(found):
    rows = np.isin(
      window, [int(name[1:]) for name in item.windows if name[1:].isdigit()]
    )
    for place, part in enumerate(item.templates):
      mine = rows & (template == part['template_id'])
      rank[mine] = np.minimum(rank[mine], number + place / 1000)
      odd |= mine & (item.state == 'active')
  scores = np.where(np.isfinite(rank), -rank, -1e9)
  numbers = [str(line) for line in np.concatenate(lines).tolist()]
  return numbers, scores.tolist(), odd.tolist()


def _windows(time: np.ndarray, seen: Any) -> np.ndarray:
  """The window of each record as they are numbered at the end; all have a time."""
  micro = np.asarray(time, 'datetime64[us]').astype(np.int64)
  number = micro // (seen.width.size * 1_000_000)
  return number - seen.numbers[0]
