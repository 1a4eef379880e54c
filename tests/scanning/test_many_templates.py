"""Logs of very many templates take no longer than their number."""

import time

import numpy as np
import polars as pl
import pytest

from metalog_jax.scanning import counted, sides, surprises, windows


def once_each(number, severe=False, named=None):
  """A log of messages that come once, the last tenth of them severe, or none."""
  line = np.arange(number)
  cells = pl.DataFrame(
    {
      'window': line * 200 // number,
      'template': line,
      'count': np.ones(number, np.int64),
      'severity': np.where(severe & (line >= number * 9 // 10), 2, 0),
      **{f'{end}_{name}': line for end in ('first', 'last') for name in
         ('file', 'line', 'time')},
      'text': pl.Series(['x'] * number),
      'value': pl.Series([''] * number),
    }
  )  # fmt: skip
  texts = [f'message {chr(97 + i % 26)}' for i in range(number)]
  width = windows.Width(20, timed=False)
  return counted.count(cells, {}, texts, ['a.log'], width, named)


@pytest.mark.parametrize('severe', [False, True])
def test_messages_that_come_once_take_no_longer_than_their_number(severe):
  counts = once_each(16_000, severe)
  begin = time.process_time()
  found = surprises.surprises(counts, 0.01)
  assert time.process_time() - begin < 2  # each held against all others: 5
  assert len(found) == 1600 * severe


def test_numbers_of_many_messages_beside_a_baseline():
  """Each of them was asked for all others whether it is a source like them."""
  named = {i: sides.Side(i, '5 ms or more', '', 'ms', 9, 9) for i in range(8000)}
  named |= {
    8000 + i: sides.Side(sides.ALL, f'host={i}', 'host', '', 0, 0) for i in (0, 1)
  }
  counts, good = once_each(300, named=named), once_each(300, named=named)
  begin = time.process_time()
  assert not surprises.surprises(counts, 0.01, good)
  assert time.process_time() - begin < 1
