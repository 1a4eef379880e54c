"""Lines that verdicts quote, read again by their numbers."""

import numpy as np
import pytest

from metalog_jax.logs import manifests, quotes, store, systems

RAW = '081109 2035{:02} 1 INFO dfs.X: got blk_77 é {}\n'


def quoted(tmp_path, options):
  """(file, line) -> the text of every line that a session has."""
  systems.prepare(options, tmp_path / 'out')
  manifest = manifests.read(tmp_path / 'out')
  (part,) = store.stream(tmp_path / 'out', 10**6, lines=True)
  numbers = np.unique(part[1])
  with quotes.Quotes(options, manifest, numbers) as texts:
    return {manifests.locate(manifest, n): texts[n] for n in numbers.tolist()}


def test_lines_of_several_files(tmp_path):
  long = 'x' * 5000
  names = [str(tmp_path / name) for name in ('a.log', 'b.log')]
  files = [
    [RAW.format(1, 'a'), '\n', RAW.format(2, long), RAW.format(3, 'c')],
    [RAW.format(4, 'd')[:-1] + '\r\n', RAW.format(5, 'e')],
  ]
  for name, lines in zip(names, files):
    with open(name, 'w', newline='') as file:
      file.write(''.join(lines))
  texts = quoted(tmp_path, systems.Options('hdfs', tuple(names), keep_lines=True))
  assert len(texts) == 5
  for (name, line), text in texts.items():
    whole = files[names.index(name)][line - 1].rstrip('\r\n')
    assert text == whole[: quotes.LONGEST]


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-16'])
def test_records_of_any_log(tmp_path, encoding):
  time = '2026-03-01 08:00:{:02},000 ERROR app: '
  lines = [
    time.format(1) + 'one',
    time.format(2) + 'unhandled',
    'Traceback (most recent call last):',
    '  File "x.py", line 1, in y',
    'KeyError: 1',
    time.format(3) + 'three',
  ]
  (tmp_path / 'a.log').write_text('\n'.join(lines) + '\n', encoding)
  log = str(tmp_path / 'a.log')
  texts = quoted(tmp_path, systems.Options('auto', (log,), window='9', keep_lines=True))
  trace = '\n'.join(lines[1:5])
  assert texts == {(log, 1): lines[0], (log, 2): trace, (log, 6): lines[5]}


def test_a_log_that_is_gone_is_not_quoted(tmp_path):
  log = tmp_path / 'a.log'
  log.write_text(RAW.format(1, 'a'))
  options = systems.Options('hdfs', (str(log),), keep_lines=True)
  manifest = systems.prepare(options, tmp_path / 'out')
  log.unlink()
  with quotes.Quotes(options, manifest, np.array([1])) as texts:
    assert texts[1] is None
