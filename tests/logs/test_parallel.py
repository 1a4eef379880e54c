"""Order, laziness and failures of the pool."""

import itertools
import os
import time

import pytest

from metalog_jax.logs import parallel


def square(x):
  return x * x


def fail(x):
  raise ValueError(f'no {x}')


def die(x):
  os._exit(3)


@pytest.fixture
def pool(monkeypatch):
  monkeypatch.setattr(parallel, 'FEW', 2)
  with parallel.Pool(2) as pool:
    yield pool


def test_order(pool):
  assert list(pool.map(square, range(30))) == [x * x for x in range(30)]
  assert list(pool.map(square, range(3), few=9)) == [0, 1, 4]  # goes on with processes


def test_one_worker_starts_nothing(monkeypatch):
  monkeypatch.setattr(parallel, '_make_executor', fail)
  with parallel.Pool(1) as pool:
    assert list(pool.map(square, range(40))) == [x * x for x in range(40)]


def test_little_to_do_starts_nothing(monkeypatch):
  monkeypatch.setattr(parallel, '_make_executor', fail)
  with parallel.Pool(4) as pool:
    assert list(pool.map(square, range(parallel.FEW))) == [
      x * x for x in range(parallel.FEW)
    ]


def test_inputs_are_drawn_as_they_are_needed(pool):
  drawn = itertools.count()
  results = pool.map(square, drawn)
  assert [next(results) for _ in range(10)] == [x * x for x in range(10)]
  results.close()
  assert next(drawn) < 20


def test_errors_come_through(pool):
  with pytest.raises(ValueError, match='no 1'):
    list(itertools.islice(pool.map(square, range(9)), 5))
    list(pool.map(fail, [1]))


def test_a_process_that_dies(pool):
  list(pool.map(square, range(5)))
  with pytest.raises(OSError, match='a worker process died'):
    list(pool.map(die, range(5)))


def test_ahead_gives_all_in_order_and_errors_where_they_are_waited_for():
  def items():
    yield from range(5)
    raise OSError('no more')

  waiting = parallel.ahead(items())
  assert [next(waiting) for _ in range(5)] == list(range(5))
  with pytest.raises(OSError, match='no more'):
    next(waiting)
  assert list(parallel.ahead(range(100))) == list(range(100))


def test_ahead_stops_when_nobody_waits():
  made = []
  waiting = parallel.ahead(made.append(i) or i for i in range(10**9))
  assert next(waiting) == 0
  waiting.close()
  before = len(made)
  time.sleep(0.3)
  assert before <= len(made) <= before + 2 < 9
