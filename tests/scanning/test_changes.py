"""Rates that change for good are found, with the right sense; busy hours are not."""

import numpy as np
import pytest

from metalog_jax.scanning import changes, scan
from tests.scanning import logs

LAG = ('WARNING', 'db', 'replica lag {n} s')


def log_with(share, seed=0, records=3000, usual=logs.USUAL, gap=2.0, rows=(LAG,)):
  """A log in which a row is one of `rows` with a chance that depends on the row."""
  log = logs.Log(seed, records, usual, gap)
  for row in range(records):
    if log.random.random() < share(row / records):
      log.put(row, *rows[row % len(rows)])
  return log


@pytest.mark.parametrize('form', logs.FORMS)
@pytest.mark.parametrize(
  'share, kind, where',
  [
    (lambda at: 0.1 * (at > 0.5), 'new', 0.5),
    (lambda at: 0.1 * (at > 0.7), 'new', 0.7),
    (lambda at: 0.1 if at > 0.5 else 0.01, 'burst', 0.5),
    (lambda at: 0.02 + max(0, at - 0.5), 'burst', 0.6),
    (lambda at: 0.02 if at > 0.5 else 0.2, 'drop', 0.5),
  ],
)
def test_a_rate_that_changes_for_good(tmp_path, form, share, kind, where):
  path = log_with(share).write(tmp_path / 'x', form)
  found = scan.scan([str(path)], scan.Options())
  assert [item.kind for item in found] == [kind]
  assert 'replica lag' in found[0].template
  assert found[0].why.startswith('from ') and ' on: ' in found[0].why
  assert abs(found[0].first.line / 3000 - where) < 0.08
  assert found[0].p_value < 1e-3


def test_a_value_that_comes_more_often(tmp_path):
  lines = logs.access(0, 3000, (0, 0))
  for row in range(1500, 3000, 9):
    lines[row] = lines[row].replace('" 200 ', '" 503 ').replace('" 304 ', '" 503 ')
  for row in range(30, 1500, 150):
    lines[row] = lines[row].replace('" 200 ', '" 503 ').replace('" 304 ', '" 503 ')
  (tmp_path / 'x').write_text('\n'.join(lines))
  found = scan.scan([str(tmp_path / 'x')], scan.Options())
  assert [item.kind for item in found] == ['value']
  assert '503' in found[0].template and found[0].why.startswith('from ')


def test_a_flood_lowers_no_other_message():
  rng = np.random.default_rng(0)
  x = rng.poisson(20, (5, 100))
  x[0, 60:] = rng.poisson(400, 40)
  found = list(changes.lasting(range(5), lambda i: x[i], x.sum(0), 0.01, False))
  assert [(item.template, item.kind) for item in found] == [(0, 'burst')]
  untimed = np.round(x * 100 / x.sum(0)).astype(int)  # windows of equally many
  total = untimed.sum(0)
  found = list(changes.lasting(range(5), lambda i: untimed[i], total, 0.01, False))
  assert [(item.template, item.kind) for item in found] == [(0, 'burst')]


@pytest.mark.parametrize(
  'what', ['usual', 'uneven', 'clumps', 'traffic', 'days', 'day']
)
def test_busy_hours_are_no_change(what):
  rng = np.random.default_rng(1)
  logs_with_findings = 0
  time = np.arange(120) / 120
  for _ in range(50):
    rate = np.outer(rng.dirichlet(np.full(8, 2.0)) * 80, np.ones(120))
    if what == 'uneven':
      rate *= rng.gamma(2, 0.5, rate.shape)
    elif what == 'clumps':
      rate *= 6 * (rng.random(rate.shape) < 0.15)
    elif what == 'traffic':  # of most messages, not of those that a clock writes
      rate[:6] *= np.where(time > rng.uniform(0.3, 0.8), 5, 1)
    elif what in ('days', 'day'):
      cycles = 1 if what == 'day' else rng.choice([2, 3, 7])
      rate[:2] *= 1 + 0.9 * np.sin(2 * np.pi * (cycles * time + rng.random()))
    x = rng.poisson(rate)
    series = lambda template, x=x: x[template]
    found = changes.lasting(range(8), series, x.sum(0), 0.01, what == 'day')
    logs_with_findings += bool(list(found))
  assert logs_with_findings <= (3 if what == 'day' else 0)


@pytest.mark.parametrize('share, factor', [
  (0.062, 3.1), (0.2, 10), (0.004, 0.2), (0.024, None),
])  # fmt: skip
@pytest.mark.parametrize('records', [3000, 600])
def test_a_rate_of_the_whole_log_beside_a_baseline(tmp_path, share, factor, records):
  """It is told as such, not by some of its windows."""
  good = log_with(lambda at: 0.02, seed=2).write(tmp_path / 'good')
  path = log_with(lambda at: share, 1, records).write(tmp_path / 'x')
  found = scan.scan([str(path)], scan.Options(baseline=(str(good),)))
  if factor is None or (factor < 1 and records < 1000):
    assert not len(found)
    return
  [item] = found
  assert item.kind == ('burst' if factor > 1 else 'drop')
  assert ' times as often as in the baseline, over the whole log' in item.why
  assert float(item.why.split()[0]) == pytest.approx(factor, rel=0.6)


def test_fewer_errors_than_in_the_baseline_are_good(tmp_path):
  rows = [('ERROR', *LAG[1:])]
  good = log_with(lambda at: 0.2, 2, rows=rows).write(tmp_path / 'good')
  path = log_with(lambda at: 0.02, 1, rows=rows).write(tmp_path / 'x')
  assert not len(scan.scan([str(path)], scan.Options(baseline=(str(good),))))


def test_rates_of_the_whole_log_are_one_finding(tmp_path):
  """They have one cause, perhaps, and no place in time."""
  rows = [LAG, ('WARNING', 'cache', 'evicted {n} keys')]
  good = log_with(lambda at: 0.04, 2, rows=rows).write(tmp_path / 'good')
  path = log_with(lambda at: 0.25, 1, rows=rows).write(tmp_path / 'x')
  [item] = scan.scan([str(path)], scan.Options(baseline=(str(good),)))
  assert len(item.templates) == 2 and '1 more template' in item.why


def test_a_part_of_a_log_is_not_the_whole_beside_a_baseline(tmp_path):
  good = log_with(lambda at: 0.02, seed=2).write(tmp_path / 'good')
  path = log_with(lambda at: 0.4 if 0.4 < at < 0.5 else 0.02, 1).write(tmp_path / 'x')
  [item] = scan.scan([str(path)], scan.Options(baseline=(str(good),)))
  assert item.kind == 'burst' and 'whole log' not in item.why


def test_a_value_of_the_whole_log_beside_a_baseline(tmp_path):
  lines = logs.access(0, 3000, (0, 0))
  for at in range(7, 3000, 20):
    lines[at] = lines[at].replace('" 200 ', '" 503 ').replace('" 304 ', '" 503 ')
  (tmp_path / 'x').write_text('\n'.join(lines))
  for at in range(7, 3000, 20):
    few = '503' if at % 160 == 7 else '200'
    lines[at] = lines[at].replace('" 503 ', f'" {few} ')
  (tmp_path / 'good').write_text('\n'.join(lines))
  options = scan.Options(baseline=(str(tmp_path / 'good'),))
  found = scan.scan([str(tmp_path / 'x')], options)
  assert found[0].kind == 'value' and '503' in found[0].template
  assert 'over the whole log' in found[0].why
