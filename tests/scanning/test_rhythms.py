"""What comes at regular times and for once does not."""

import datetime
import random
import re

import numpy as np
import pytest

from metalog_jax.scanning import rhythms, scan
from metalog_jax.scanning.rhythms import _duration

START = datetime.datetime(2026, 3, 2)  # a Monday


def lines(runs, days=15, jitter=30.0, seed=1, gap=600):
  """Requests at random over so many days, and a job at these hours of the log."""
  rng, now, rows = random.Random(seed), START, []
  while now < START + datetime.timedelta(days=days):
    now += datetime.timedelta(seconds=rng.expovariate(1 / gap))
    rows.append((now, f'INFO served request {rng.randint(1, 9999)}'))
  for hour in runs:
    late = datetime.timedelta(hours=hour, seconds=rng.uniform(0, jitter))
    rows.append((START + late, 'INFO nightly backup done'))
  return [f'{time:%Y-%m-%dT%H:%M:%SZ} {text}' for time, text in sorted(rows)]


def findings(path, text, **options):
  path.write_text('\n'.join(text) + '\n')
  return scan.scan([str(path)], scan.Options(**options))


@pytest.mark.parametrize('day,said', [(7, 'T02:00'), (14, 'T02:00')])
def test_a_nightly_job_did_not_run(tmp_path, day, said):
  log = lines(24 * d + 2 for d in range(15) if d != day)
  [item] = findings(tmp_path / 'x.log', log)
  assert (item.kind, item.count, item.expected) == ('missing', 0, 1)
  assert item.template == 'nightly backup done' and item.p_value < 1e-3
  assert f'comes every 1 d, but not at 2026-03-{2 + day:02}{said}' in item.why
  assert item.first.time[:10] == f'2026-03-{2 + day:02}'


@pytest.mark.parametrize('step,days', [(1, 8), (0.5, 8), (6, 21)])
@pytest.mark.parametrize('late,said', [
  (None, 'but not at'), (0.002, 'but once more at'), (0.4, 'but once more at'),
])  # fmt: skip
def test_a_run_of_an_hourly_job_in_a_log_of_weeks(tmp_path, step, days, late, said):
  """Windows are as wide as the job's steps, or wider: its own times tell."""
  runs = [step * i for i in range(1, int(24 * days / step))]
  odd = runs[int(0.6 * len(runs))]
  runs = runs + [odd + late * step] if late else [x for x in runs if x != odd]
  log = [x.replace('nightly backup', 'hourly sync') for x in lines(runs, days, 5.0)]
  [item] = findings(tmp_path / 'x.log', log)
  assert item.kind == ('burst' if late else 'missing') and item.p_value < 1e-3
  time = START + datetime.timedelta(hours=odd + (late or 0) * step)
  assert f'{said} {time:%Y-%m-%dT%H:%M}' in item.why


def test_windows_in_which_it_came_are_no_part_of_a_silence(tmp_path):
  runs = [x / 12 for x in range(12 * 30) if not 200 <= x < 230]
  [item] = findings(tmp_path / 'x.log', lines(runs, 1.25, 1.0))
  assert 'every 5 min' in item.why and item.kind == 'missing'
  assert (
    item.first.time[:16] >= f'{START + datetime.timedelta(hours=16.7):%Y-%m-%dT%H:%M}'
  )


@pytest.mark.parametrize('limit', ['_ALL', '_TICKS'])
def test_times_of_frequent_messages_are_forgotten(monkeypatch, limit):
  """In bounded memory, those of seldom ones stay."""
  monkeypatch.setattr(rhythms, limit, 100)
  ticks = rhythms.Ticks()
  for hour in range(30):
    time = np.datetime64('2026-03-02', 'us') + np.timedelta64(hour, 'h')
    ticks.add(np.array([0] * 20 + [1]), np.full(21, time))
    assert ticks._size <= 130
  times = ticks.of(np.arange(2))
  assert [*times] == [1] and np.diff(times[1]).tolist() == [3600 * 10**6] * 29


def test_several_runs_are_missed(tmp_path):
  log = lines((h for h in range(0, 72, 3) if h not in (30, 33, 36)), days=3)
  [item] = findings(tmp_path / 'x.log', log)
  assert 'every 3 h' in item.why and 'and 2 more times' in item.why
  assert item.expected == 3


@pytest.mark.parametrize('days,said', [
  ((7, 11), '2026-03-09T02:00:0{}Z, nor at 2026-03-13T02:00:0{}Z'),
  ((6, 7, 11), '2026-03-08T02:00:0{}Z and 1 more time, nor at 2026-03-13T02:00:0{}Z'),
  ((5, 8, 11, 15), 'at 2026-03-13T02:00:0{}Z, nor 1 more time'),
])  # fmt: skip
def test_each_time_that_it_rests_is_told(tmp_path, days, said):
  log = lines((24 * d + 2 for d in range(31) if d not in days), 31, jitter=1.0)
  [item] = findings(tmp_path / 'x.log', log)
  assert re.search(said.format('.', '.'), item.why) and item.expected == len(days)
  assert item.first.time[:10] == f'{START + datetime.timedelta(days[0]):%Y-%m-%d}'


@pytest.mark.parametrize('step,window', [(24, 'auto'), (1 / 30, '30s')])
def test_a_time_that_is_not_believed_hides_no_other(tmp_path, step, window):
  """By times of records and by windows; where it stands, nothing is missed."""
  runs = [step * i for i in range(1, 40) if i != 21]
  log = lines(runs, step * 40 / 24, jitter=0.1, gap=100 * step)
  jobs = [i for i, x in enumerate(log) if 'backup' in x]
  log[jobs[9]] = log[jobs[9]].replace('2026', '2099')
  found = findings(tmp_path / 'x.log', log, window=window)
  [item] = [item for item in found if 'backup' in item.template]
  time = START + datetime.timedelta(hours=21 * step)
  assert re.search(f'but not at {time:%Y-%m-%dT%H:%M}:..Z .p [=<]', item.why)


@pytest.mark.parametrize('hours', [(11,), (17,), (16, 17)])
def test_a_job_of_the_working_day_is_awaited_then(tmp_path, hours):
  """Nights and weekends are longer than what lacks, and are said to lack nothing."""
  runs = [24 * d + h for d in range(15) for h in range(9, 18) if d % 7 < 5]
  log = lines((x for x in runs if (x // 24, x % 24) not in {(8, h) for h in hours}), 15)
  [item] = findings(tmp_path / 'x.log', log)
  assert f'but not at 2026-03-10T{hours[0]}:00' in item.why
  assert item.expected == len(hours)


def test_an_error_that_does_not_come_is_not_missed(tmp_path):
  log = lines(24 * d + 2 for d in range(15) if d != 7)
  log = [line.replace('INFO nightly backup done', 'ERROR no backup') for line in log]
  assert not len(findings(tmp_path / 'x.log', log))


@pytest.mark.parametrize('runs', [
  [24 * d + 2 for d in range(15)],  # all
  [24 * d + 2 for d in range(15) if d % 7 < 5],  # not at weekends
  [24 * d + 2 for d in range(7, 15) if d % 7 < 5],  # nor at the only one
  [24 * d + 2 + 7 * (d % 3) for d in range(15) if d != 7],  # at no fixed hour
  [24 * d + 2 + d * 5 % 6 for d in range(15) if d != 7],  # within six hours
  [24 * d + 2 for d in range(5)],  # seldom
  [24 * d + h for d in range(15) for h in range(9, 18)],  # by day
  [24 * d + h for d in range(15) for h in range(9, 18) if d % 7 < 5],  # at work
])  # fmt: skip
def test_what_keeps_its_rhythm_or_has_none(tmp_path, runs):
  assert not len(findings(tmp_path / 'x.log', lines(runs)))


def test_beside_a_baseline(tmp_path):
  good, gaps = tmp_path / 'good.log', tmp_path / 'gaps.log'
  good.write_text('\n'.join(lines(24 * d + 2 for d in range(15))) + '\n')
  log = lines((24 * d + 2 for d in range(15) if d != 7), seed=2)
  gaps.write_text('\n'.join(log) + '\n')
  [item] = findings(tmp_path / 'x.log', log, baseline=(str(good),))
  assert item.kind == 'missing' and 'but not at' in item.why
  assert not len(findings(tmp_path / 'x.log', log, baseline=(str(gaps),)))


@pytest.mark.parametrize('gaps', [(), (50, 90, 130)])
@pytest.mark.parametrize('saved', [False, True])
def test_an_hourly_job_beside_a_baseline(tmp_path, gaps, saved):
  """Windows are of hours: its times tell, and that it rests in the baseline too."""
  good, hours = tmp_path / '0.log', range(1, 24 * 8)
  for number, missing in enumerate((gaps, ())):  # where more is added, it rests still
    text = lines([h for h in hours if h not in missing], 8, 5.0, number, gap=200)
    path = tmp_path / f'{number}.log'
    path.write_text('\n'.join(text) + '\n')
    scan.add_to_baseline(str(tmp_path / 'saved'), [str(path)], scan.Options())
  text = lines([h for h in hours if h != 77], 8, 5.0, seed=3, gap=200)
  name = str(tmp_path / 'saved' if saved else good)
  found = findings(tmp_path / 'x.log', text, baseline=(name,))
  assert [item.kind for item in found] == ['missing'] * (not gaps)


@pytest.mark.parametrize(
  'seconds,said', [(86390, '1 d'), (5400, '1.5 h'), (300, '5 min'), (20, '20 s')]
)
def test_durations(seconds, said):
  assert _duration(seconds) == said
