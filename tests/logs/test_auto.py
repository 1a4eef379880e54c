"""`prepare --system=auto`: Systems of any log, through `logs.records`."""

import polars as pl
import pytest

from metalog_jax import errors
from metalog_jax.logs import manifests, store, systems

LINE = '2026-01-02 15:{:02}:00 INFO shop: order {} paid\n'


def prepare(tmp_path, **options):
  out = tmp_path / 'system'
  logs = (str(tmp_path / 'logs'),)
  options = systems.Options('auto', logs=logs, **options)
  return systems.prepare(options, out), pl.read_parquet(out / store.SESSIONS), options


@pytest.fixture
def logs(tmp_path):
  folder = tmp_path / 'logs'
  folder.mkdir()
  (folder / 'app.log.1').write_text(''.join(LINE.format(n, n) for n in range(10)))
  trace = 'Traceback (most recent call last):\n  File "x"\nValueError: y\n'
  new = ''.join(LINE.format(n, n) for n in range(10, 20)) + trace
  (folder / 'app.log').write_text(new)
  (folder / 'empty').write_text('')
  return folder


def test_files_in_time_order_with_traces_in_windows(tmp_path, logs):
  manifest, sessions, _ = prepare(tmp_path, window='5m')
  assert sessions['events'].list.len().to_list() == [5, 5, 5, 5]
  assert sessions['first_line'].to_list() == [1, 6, 11, 16]
  assert manifests.locate(manifest, 12) == (str(logs / 'app.log'), 2)
  assert (manifest['lines'], manifest['bad_lines']) == (23, 0)
  assert manifest['skipped_lines'] == {'continuation': 3}
  assert manifest['templates'] == 3  # unknown, paid, paid and a ValueError


def test_files_of_one_time_are_one_log(tmp_path, logs):
  (logs / 'app.log').write_text(''.join(LINE.format(n, n) for n in range(5, 15)))
  manifest, sessions, _ = prepare(tmp_path, window='5m')
  assert sessions['events'].list.len().to_list() == [5, 10, 5]
  assert manifests.locate(manifest, 12) == (
    f'{logs / "app.log.1"}, {logs / "app.log"} (merged by time)',
    12,
  )


def test_lines_are_the_default_window(tmp_path, logs):
  _, sessions, _ = prepare(tmp_path)
  assert sessions['session_id'].to_list() == ['all#0']


def test_it_is_up_to_date_until_a_file_comes(tmp_path, logs):
  _, _, options = prepare(tmp_path)
  assert systems.up_to_date(options, tmp_path / 'system')
  (logs / 'app.log.2').write_text(LINE.format(1, 1))
  assert systems.up_to_date(options, tmp_path / 'system') is None


@pytest.mark.parametrize('system', ['auto', 'openstack'])
def test_a_duration_needs_times(tmp_path, system):
  (tmp_path / 'a.log').write_text('INFO nova.api [-] x\n' * 9)
  options = systems.Options(
    system, logs=(str(tmp_path / 'a.log'),), group='none', window='5m'
  )
  with pytest.raises(errors.UserError, match='--window=5m needs times'):
    systems.prepare(options, tmp_path / 'system')
