import math

from hypothesis import given
from hypothesis import strategies as st

from metalog_jax.report import folding


def events(ids, weights=None):
  weights = weights or [None] * len(ids)
  return [
    {'event': e, 'template': f't{e}', 'weight': w, 'line': i + 1}
    for i, (e, w) in enumerate(zip(ids, weights, strict=True))
  ]


sequences = st.lists(
  st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=0, max_size=80
).map(lambda pairs: events([e for e, _ in pairs], [w for _, w in pairs]))


@given(sequences)
def test_folding_and_cutting_lose_no_event_and_no_weight(of):
  rows = folding.fold(of)
  shown = folding.cut(rows, ends=3, heaviest=2)
  unfolded = [row.template for row in rows for _ in range(row.events)]
  assert unfolded == [event['template'] for event in of]
  assert all(a.template != b.template for a, b in zip(rows, rows[1:], strict=False))
  assert sum(row.events for row in shown) == len(of)
  total = math.fsum(event['weight'] for event in of)
  assert math.isclose(math.fsum(row.weight for row in shown), total, abs_tol=1e-9)


@given(sequences)
def test_the_heaviest_rows_and_both_ends_are_always_shown(of):
  rows = folding.fold(of)
  shown = folding.cut(rows, ends=3, heaviest=2)
  heaviest = sorted((row.weight for row in rows), reverse=True)[:2]
  kept = [row for row in shown if row.template]
  assert heaviest == sorted((row.weight for row in kept), reverse=True)[:2]
  assert kept[:3] == rows[:3] and kept[-3:] == rows[-3:]
  assert len(shown) <= 2 * (3 + 3 + 2) + 1


def test_a_row_stands_for_its_run_and_keeps_the_first_line():
  rows = folding.fold(events([7, 7, 7, 2], [0.1, 0.2, 0.3, 0.4]))
  assert [(r.template, r.events, r.line) for r in rows] == [('t7', 3, 1), ('t2', 1, 4)]
  assert math.isclose(rows[0].weight, 0.6)


def test_a_gap_never_stands_for_one_row():
  rows = folding.fold(events([0, 1, 0, 1, 0]))
  assert folding.cut(rows, ends=2, heaviest=0) == rows
  assert not folding.cut(rows, ends=1, heaviest=0)[1].template


def test_shading_is_full_for_the_heaviest_and_none_without_weights():
  shades = lambda of: [row.shade for row in folding.fold(of)]
  assert shades(events([0, 1, 2], [0.2, 0.8, 0.0])) == [0.25, 1.0, 0.0]
  assert shades(events([0, 1])) == [0.0, 0.0]
  assert folding.fold(events([0]))[0].share == ''
