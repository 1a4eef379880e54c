"""Scores of sessions: beside each other, beside a baseline, the alarming first."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from metalog_jax.evidence.against import against
from metalog_jax.scanning import scan, session_scores, sessions, windows

WIDTH = 12  # events: 0-3 usual, 4-7 of times, 8-11 odd


def draw(rng, number, odd=None):
  """Bags of usual sessions; with `odd`, that event in place of two usual ones."""
  bags = np.zeros((number, WIDTH))
  bags[:, :4] = 1 + rng.integers(0, 2, (number, 4))
  bags[:, 4:8] = rng.random((number, 4)) < 0.03
  if odd is not None:
    bags[:, :2], bags[:, odd] = 0, 2
  return sparse.csr_matrix(bags)


def stacked(*parts):
  return sparse.vstack(parts).tocsr()


def test_rare_alarming_sessions_come_first_and_verdicts_stay():
  rng = np.random.default_rng(0)
  bags = stacked(draw(rng, 400), draw(rng, 4, 8), draw(rng, 4, 9))
  alarm = np.zeros(WIDTH)
  plain = session_scores.score(bags, alarm=alarm)
  alarm[[0, 9]] = 3.0  # 0 is a habit of all
  loud = session_scores.score(bags, alarm=alarm)
  np.testing.assert_array_equal(loud.odd, plain.odd)
  assert loud.odd[-8:].all() and loud.odd[:-8].sum() < 12
  assert loud.scores[-4:].min() > loud.scores[:-4].max()
  assert plain.scores[-4:].min() <= plain.scores[:-4].max()
  np.testing.assert_allclose(loud.scores[~loud.odd], plain.scores[~loud.odd])


def test_a_baseline_decides_where_many_are_unlike_it():
  """A third of today's sessions fails: beside each other, that is usual."""
  rng = np.random.default_rng(1)
  good, today = draw(rng, 120), stacked(draw(rng, 60), draw(rng, 30, 8))
  alone, beside = session_scores.score(today), session_scores.score(today, good)
  assert alone.odd[60:].sum() < 15
  assert beside.odd[60:].all() and beside.odd[:60].sum() <= 2
  assert beside.scores[60:].min() > beside.scores[:60][~beside.odd[:60]].max()


@pytest.mark.parametrize('alpha', [0.01, 0.05])
def test_the_rate_of_false_alarms_holds(alpha):
  rng = np.random.default_rng(2)
  alerts = 0
  for _ in range(10):
    good, new = draw(rng, 120), draw(rng, 200)
    bags = stacked(good, new)
    first, back, _ = session_scores._distinct(bags)
    result = against(bags[first], back[:120], np.zeros(WIDTH))
    limit = np.sort(result.calibration)[::-1][int(alpha * 121) - 1]
    alerts += (result.scores[back[120:]] > limit).sum()
  assert 0 < alerts <= 2000 * alpha + 3 * (2000 * alpha) ** 0.5


def test_a_baseline_with_anomalies_hides_none():
  rng = np.random.default_rng(3)
  good, today = stacked(draw(rng, 300), draw(rng, 9, 8)), draw(rng, 600)
  today = stacked(today, draw(rng, 12, 8))
  assert session_scores.score(today, good).odd[600:].all()


def test_many_sessions_are_halved_by_their_ids(tmp_path, monkeypatch):
  steps = ('opened', 'charged', 'shipped', 'closed')
  lines = [f'order {number} {step}' for number in range(5000, 5600) for step in steps]
  path = tmp_path / 'x.log'
  path.write_text('\n'.join(lines) + '\n')
  whole = scan.scan([str(path)], scan.Options())
  monkeypatch.setattr(sessions, 'MOST', 200)
  monkeypatch.setattr(scan.records, 'CHUNK', 1 << 12)
  half = scan.scan([str(path)], scan.Options())
  assert any('one session in' in text for text in half.warnings)
  assert 50 < half.summary['sessions'] <= 200 < whole.summary['sessions'] == 600
  rows = {row['id']: row for row in whole.windows}
  for row in half.session_rows():
    assert (row['first'], row['last'], row['records'], row['templates']) == tuple(
      rows[row['id']][name] for name in ('first', 'last', 'records', 'templates')
    )


def test_times_of_many_are_written_as_one():
  times = [None, 0, 1_500_000, -1, 1 << 60, -(1 << 60), 253_402_300_799_999_999]
  assert windows.iso_all(pl.Series(times)) == [windows.iso(time) for time in times]


@pytest.mark.parametrize('number,odd,words', [
  (0, 0.3, []), (100, 0.01, ['may be 3.0%']), (2000, 0.01, []),
  (2000, 0.2, ['20% of the sessions', 'stale']),
  (100, 0.2, ['may be 3.0%; 20% of the sessions', 'baseline add']),
])  # fmt: skip
def test_how_far_the_stated_rate_can_be_trusted_is_said(number, odd, words):
  verdicts = np.arange(1000) < 1000 * odd
  scored = session_scores.Scored(
    verdicts * 1.0, 1 - verdicts * 1.0, verdicts, sparse.csr_matrix((1000, 1)), number
  )
  said = session_scores.rate_warning(scored, 0.01)
  assert all(word in said for word in words) and bool(said) == bool(words)


@pytest.mark.parametrize('number', [60, 100, 200])
def test_the_rate_that_may_be_is_that_of_19_baselines_in_20(number):
  scores = np.sort(np.random.default_rng(3).random((20_000, number)), axis=1)
  rates = 1 - scores[:, -max(1, int(0.01 * (number + 1)))]  # of p <= 0.01, or the least
  scored = session_scores.Scored(*[np.zeros(1)] * 4, number)
  said = session_scores.rate_warning(scored, 0.01).split('may be ')[1]
  most = np.quantile(rates, 0.95)
  assert float(said.removesuffix('%')) == pytest.approx(100 * most, abs=0.2)


def test_a_scan_beside_few_good_sessions_says_so(tmp_path):
  lines = lambda odd, count: [
    f'2026-03-01 08:{i // 60:02}:{i % 60:02} INFO job {1000 + i} {step}'
    for i in range(count)
    for step in (('begins', 'fails') if odd(i) else ('begins', 'works', 'ends'))
  ]
  good, log = tmp_path / 'good.log', tmp_path / 'x.log'
  good.write_text('\n'.join(lines(lambda i: False, 110)) + '\n')
  log.write_text('\n'.join(lines(lambda i: i % 3 == 0, 300)) + '\n')
  found = scan.scan([str(log)], scan.Options(baseline=(str(good),)))
  assert 90 <= found.summary['odd_sessions'] <= 110
  assert any('is stale' in text for text in found.warnings)
