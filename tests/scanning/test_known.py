"""Severe records that the baseline has too are listed, and alarm nobody."""

import pytest

from metalog_jax.scanning import output, scan
from tests.cli.conftest import fixture_metalog  # noqa: F401
from tests.scanning import logs


def pair(tmp_path, before, now, level='CRITICAL'):
  """A good log and a later one, with so many severe records at random places."""
  paths = []
  for seed, number in enumerate((before, now)):
    log = logs.Log(seed, 2000)
    for row in log.random.sample(range(50, 1950), number):
      log.put(row, level, 'disk', 'raid of shelf {m} is degraded')
    paths.append(log.write(tmp_path / f'{seed}.log'))
  return paths


@pytest.mark.parametrize('level', ['CRITICAL', 'ERROR'])
def test_what_is_severe_and_known_is_listed_last_and_alarms_nobody(
  tmp_path, metalog, level
):
  good, log = pair(tmp_path, 5, 9, level)
  lines = log.read_text().splitlines()
  lines[900] = lines[900].split(' [')[0] + ' [main] app.new: licence server is gone'
  log.write_text('\n'.join(lines) + '\n')
  new, known = scan.scan([str(log)], scan.Options(baseline=(str(good),)))
  assert (new.kind, new.state) == ('new', 'active')
  assert (known.kind, known.state, known.count) == ('alarm', 'known', 9)
  assert known.expected == 5 and known.reason == 'also in the baseline'
  assert '9 times, where by its rate in the baseline 5.0 are expected' in known.why
  done = metalog('scan', str(log), f'--baseline={good}', '--fail-on-findings')
  assert done.code == 3 and '1 finding (1 known)' in done.out
  rest = done.out.split('known and severe, also in the baseline:')[1]
  assert '9 (5 expected)' in rest and 'raid of shelf' in rest


def test_known_records_alone_are_nothing_found(tmp_path, metalog):
  good, log = pair(tmp_path, 5, 6)
  done = metalog('scan', str(log), f'--baseline={good}', '--fail-on-findings')
  assert done.code == 0 and 'nothing found' in done.out
  [item] = scan.scan([str(log)], scan.Options(baseline=(str(good),)))
  labels = tmp_path / 'labels.csv'
  labels.write_text(f'{item.finding_id},anomaly\n')
  asked = metalog(
    'scan', log, f'--baseline={good}', f'--labels={labels}', '--fail-on-findings'
  )
  assert asked.code == 3  # as it was asked for


@pytest.mark.parametrize('before,now,level', [(9, 4, 'CRITICAL'), (5, 9, 'WARNING')])
def test_what_gets_rarer_or_is_no_error_is_not_listed(tmp_path, before, now, level):
  good, log = pair(tmp_path, before, now, level)
  assert not len(scan.scan([str(log)], scan.Options(baseline=(str(good),))))


def test_the_list_is_short(tmp_path):
  paths = []
  for seed in (0, 1):
    log = logs.Log(seed, 2000)
    rows = log.random.sample(range(50, 1950), 24)
    for row, name in zip(rows, 'abcdefghijkl' * 2):
      log.put(row, 'ERROR', name, f'{name * 5} {name * 7} of {name * 6} fails')
    paths.append(str(log.write(tmp_path / f'{seed}.log')))
  found = scan.scan(paths[1:], scan.Options(baseline=(paths[0],)))
  states = [item.state for item in found]
  assert states == ['known'] * 10
  text = output.terminal(found, 20, colour=False, width=100)
  assert text.split('also in the baseline:')[1].count('expected') == 5
