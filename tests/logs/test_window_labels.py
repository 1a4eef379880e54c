"""Labels of windows: by times, lines and ids, and those that match nothing."""

import pytest

from metalog_jax.logs import store, systems


@pytest.mark.parametrize(
  'text', ['{time}', 'two.log:4-6\n', 'two.log:6-7\n', 'all#3,1\nall#0,0\n']
)
def test_windows_are_labelled_by_ranges_and_ids(tmp_path, text):
  """Windows of 5 lines: the 4th of 4, and of the 2nd file's lines 4 to 6 two."""
  for name, hour in (('one.log', 8), ('two.log', 9)):
    lines = [f'2026-03-01T{hour:02}:00:{i:02} step {i}' for i in range(1, 11)]
    (tmp_path / name).write_text('\n'.join(lines) + '\n')
  text = text.format(time='2026-03-01 09:00:06,2026-03-01 09:00:07,down\n')
  (tmp_path / 'labels.csv').write_text(text)
  options = systems.Options(
    system='custom',
    logs=(str(tmp_path / 'one.log'), str(tmp_path / 'two.log')),
    labels=str(tmp_path / 'labels.csv'),
    format=r'(?P<time>\S+) (?P<content>.*)',
    window='5',
  )
  manifest = systems.prepare(options, tmp_path / 'out')
  sessions = store.load(tmp_path / 'out').sessions
  want = [0, 0, 1, 1] if '4-6' in text else [0, 0, 0, 1]
  want = [0, -1, -1, 1] if '#' in text else want
  assert sessions.labels.tolist() == want
  assert manifest['labels']['unknown_ranges'] == 0


@pytest.mark.parametrize(
  'text', ['all,anomaly\n', 'other.log:1-9\n', '2020-01-01,2020-01-02']
)
def test_labels_that_match_nothing_are_refused(tmp_path, text):
  (tmp_path / 'x.log').write_text('2026-03-01T08:00:00 step\n' * 20)
  (tmp_path / 'labels.csv').write_text(text)
  options = systems.Options(
    system='custom',
    logs=(str(tmp_path / 'x.log'),),
    labels=str(tmp_path / 'labels.csv'),
    format=r'(?P<time>\S+) (?P<content>.*)',
    window='5',
  )
  with pytest.raises(ValueError, match='check --labels'):
    systems.prepare(options, tmp_path / 'out')
