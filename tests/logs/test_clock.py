"""Times of another century neither move a log's clock nor widen its windows."""

import numpy as np
import polars as pl
import pytest

from metalog_jax.logs import clock, open_sessions, sessions, times

SECOND, YEAR = 1_000_000, 365 * clock.DAY
BASE = 1_777_885_200 * SECOND


def seconds(*values):
  return BASE + np.array(values) * SECOND


@pytest.mark.parametrize('piece', [1, 3, 100])
def test_the_clock_goes_by_lines_alone(piece):
  """In pieces of any size; one far time waits for four more like it."""
  rng = np.random.default_rng(0)
  time = seconds(*range(60)) + rng.integers(-3, 3, 60) * SECOND
  time[[7, 20, 21, 22, 23]] += 70 * YEAR
  time[[9, 24]] = times.NAT
  time[40:] += 3 * clock.DAY  # a weekend without lines
  one, many = clock.Clock(), clock.Clock()
  whole, believed = one.read(time)
  parts = [many.read(time[i : i + piece]) for i in range(0, 60, piece)]
  np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), whole)
  np.testing.assert_array_equal(np.concatenate([x for _, x in parts]), believed)
  assert np.flatnonzero(~believed).tolist() == [7, 20, 21, 22, 23, 40, 41, 42, 43]
  assert whole[39] < BASE + clock.DAY and whole[44] == time[40:45].max()


def test_far_times_that_alternate_with_near_ones_take_linear_time(monkeypatch):
  read, accumulate = [], np.maximum.accumulate

  class Maximum:
    @staticmethod
    def accumulate(values):
      read.append(len(values))
      return accumulate(values)

  monkeypatch.setattr(clock.np, 'maximum', Maximum)
  count = 4000
  time = seconds(*range(count))
  time[::2] += 70 * YEAR
  log = clock.Clock(int(time[1]))
  _, believed = log.read(time)
  assert believed.tolist() == [False, True] * (count // 2)
  assert sum(read) < 100 * count


def test_a_clock_does_not_begin_in_another_century():
  for first in (0, BASE + 70 * YEAR):
    log = clock.Clock()
    log.start(np.array([first, *seconds(1, 2, 3, 4)]))
    assert log.now == BASE + SECOND


def test_strays_of_a_block():
  time = seconds(*range(1000)).astype('datetime64[us]')
  time[[0, 500, 501]] = np.datetime64('1970-01-01', 'us')
  time[700] = np.datetime64('2099-01-01', 'us')
  time[5] = np.datetime64('NaT')
  read = clock.without_strays(time)
  assert np.flatnonzero(np.isnat(read)).tolist() == [0, 5, 500, 501, 700]
  months = (BASE + np.arange(50) * 30 * clock.DAY).astype('datetime64[us]')
  months[20:] += np.timedelta64(400, 'D')
  assert clock.without_strays(months) is months


def test_a_line_of_another_century_ends_no_session():
  cut = sessions.Cut(max_events=100)
  state = open_sessions.OpenSessions(cut, '10m')
  time = [0.0, 1.0, 9e9, 3.0, 700.0]
  frame = pl.DataFrame(
    {'entity': ['a', 'b', 'b', 'a', 'c'], 'number': range(5), 'code': 0, 'time': time}
  )
  ended = state.add(frame[:4], 'x', 0, str)
  assert not ended and state.clock == 3.0
  assert [x.name for x in state.add(frame[4:], 'x', 0, str)] == ['b', 'a']
