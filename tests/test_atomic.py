"""Files and folders are whole or not there, and nobody else's is lost."""

import errno
import json
import math
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from metalog_jax import atomic, errors

ROOT = pathlib.Path(__file__).parents[1]


def names(folder: pathlib.Path) -> list[str]:
  return sorted(path.name for path in folder.iterdir())


def test_text_and_json(tmp_path):
  path = tmp_path / 'new' / 'value.json'
  value = {
    'nan': math.nan,
    'inf': [np.float32(-np.inf), 1.5],
    'array': np.array([1, 2]),
    'path': path,
    'text': 'é\ud800',
  }
  atomic.write_json(path, value)

  def no_constant(name):
    raise AssertionError(name)

  read = json.loads(path.read_text('utf-8'), parse_constant=no_constant)
  assert read == {
    'nan': None,
    'inf': [None, 1.5],
    'array': [1, 2],
    'path': str(path),
    'text': 'é\ud800',
  }
  atomic.write_text(path, 'other\n')
  assert path.read_text() == 'other\n'
  assert names(path.parent) == ['value.json']


def test_after_an_error_the_old_file_stays(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_text('old')
  path.chmod(0o640)
  with pytest.raises(KeyError), atomic.writing(path) as partial:
    partial.write_text('half')
    raise KeyError
  assert path.read_text() == 'old' and names(tmp_path) == ['a.txt']
  with atomic.writing(path) as partial:
    assert partial.suffix == '.txt'
    partial.write_text('new')
  assert path.read_text() == 'new' and path.stat().st_mode & 0o777 == 0o640


def test_two_writers_of_one_file_do_not_meet(tmp_path):
  path = tmp_path / 'a'
  with atomic.writing(path) as one, atomic.writing(path) as other:
    one.write_text('one' * 99)
    other.write_text('other')
  assert path.read_text() == 'one' * 99 and names(tmp_path) == ['a']


@pytest.mark.parametrize('code', (errno.ENOSPC, errno.EROFS, errno.EFBIG))
def test_a_full_disk_is_named(tmp_path, code):
  with pytest.raises(errors.UserError, match=f'cannot write .*/a: {os.strerror(code)}'):
    with atomic.writing(tmp_path / 'a'):
      raise OSError(code, os.strerror(code))
  with pytest.raises(errors.UserError, match=f'cannot write .*/a: {os.strerror(code)}'):
    with atomic.writing(tmp_path / 'a'):
      raise OSError(f'what polars says (os error {code})')
  with pytest.raises(PermissionError, match='other'):
    with atomic.writing(tmp_path / 'a'):
      raise PermissionError(errno.EACCES, 'no', 'other')
  assert not names(tmp_path)


def test_what_should_not_be_written(tmp_path):
  source = tmp_path / 'in.log'
  source.write_text('lines')
  os.link(source, tmp_path / 'hard')
  (tmp_path / 'link').symlink_to('in.log')
  (tmp_path / 'dangling').symlink_to('nothing')
  os.mkfifo(tmp_path / 'pipe')
  (tmp_path / 'sub').mkdir()
  for name, message in (
    ('link', 'is a link to in.log'),
    ('dangling', 'is a link to nothing'),
    ('pipe', 'is a special file'),
    ('sub', 'is a folder'),
    ('in.log/a/b', 'in.log is no folder; change --model'),
  ):
    with pytest.raises(errors.UserError, match=message):
      atomic.check_output(tmp_path / name, flag='--model')
  with pytest.raises(errors.UserError, match='is a special file'):
    atomic.write_text(os.devnull, 'x')
  for name in ('in.log', 'hard', 'sub/../in.log'):
    with pytest.raises(errors.UserError, match='is read too and would be lost'):
      atomic.check_output(tmp_path / name, ['-', source])
  atomic.check_output(tmp_path / 'new/deep/out', [source])
  assert source.read_text() == 'lines'


def fill(folder: pathlib.Path, content: str) -> None:
  with atomic.replacing_folder(folder) as partial:
    (partial / 'file').write_text(content)


@pytest.mark.parametrize('exchange', (True, False))
def test_folders_are_replaced(tmp_path, monkeypatch, exchange):
  if not exchange:
    monkeypatch.setattr(atomic, '_exchange', lambda *_: False)
  folder = tmp_path / 'a'
  for content in ('old', 'new'):
    fill(folder, content)
    assert (folder / 'file').read_text() == content and names(tmp_path) == ['a']
  with pytest.raises(KeyError), atomic.replacing_folder(folder) as partial:
    (partial / 'file').write_text('half')
    raise KeyError
  assert (folder / 'file').read_text() == 'new' and names(tmp_path) == ['a']


def test_links_to_folders_stay(tmp_path):
  (tmp_path / 'link').symlink_to(tmp_path / 'disk' / 'real')
  for content in ('one', 'two'):
    fill(tmp_path / 'link', content)
    assert (tmp_path / 'disk' / 'real' / 'file').read_text() == content
  assert (tmp_path / 'link').is_symlink()
  (tmp_path / 'plain').write_text('')
  with pytest.raises(errors.UserError, match='is no folder'):
    fill(tmp_path / 'plain', '')


def test_the_second_writer_of_a_folder_is_refused(tmp_path):
  with atomic.replacing_folder(tmp_path / 'a') as first:
    (first / 'file').write_text('first')
    with pytest.raises(errors.UserError, match='is being written by another process'):
      fill(tmp_path / 'a', 'second')
    fill(tmp_path / 'a.b', 'another folder')
  assert (tmp_path / 'a' / 'file').read_text() == 'first'
  with atomic.locked(tmp_path / 'a'):
    with pytest.raises(errors.UserError, match='is in use by another process'):
      with atomic.locked(tmp_path / 'a'):
        pass


KILLED = """
import os, signal, sys
from metalog_jax import atomic
name, exchange, folder = sys.argv[1], sys.argv[2] == 'True', sys.argv[3]
if not exchange:
  atomic._exchange = lambda *_: False
real, calls = getattr(os, name), []
def call(*args, **others):
  calls.append(args)
  if len(calls) == int(sys.argv[4]):
    os.kill(os.getpid(), signal.SIGKILL)
  return real(*args, **others)
with atomic.replacing_folder(folder) as partial:
  (partial / 'file').write_text('new')
  setattr(os, name, call)
"""


@pytest.mark.parametrize(
  'function,exchange,call,there',
  (
    ('rmdir', True, 1, 'new'),
    ('rename', False, 1, 'old'),
    ('rename', False, 2, None),  # between the two renames
  ),
)
def test_kills_lose_no_folder(tmp_path, function, exchange, call, there):
  folder = tmp_path / 'a'
  fill(folder, 'old')
  command = [sys.executable, '-c', KILLED, function, str(exchange), folder, str(call)]
  done = subprocess.run(command, cwd=ROOT)
  assert done.returncode == -signal.SIGKILL
  assert (folder / 'file').read_text() == there if there else not folder.exists()
  with pytest.raises(KeyError), atomic.replacing_folder(folder) as partial:
    assert names(tmp_path) == [partial.name, 'a']
    raise KeyError
  assert names(tmp_path) == ['a']
  assert (folder / 'file').read_text() == (there or 'old')


def test_leftovers_of_killed_writers_go(tmp_path):
  old = f'{0:020}-77'
  (tmp_path / f'.a.json.{old}.partial.json').write_text('')
  (tmp_path / f'.b.json.{old}.partial.json').write_text('')
  (tmp_path / f'.a.json.{old}.partial').mkdir()
  atomic.write_json(tmp_path / 'a.json', 1)
  assert names(tmp_path) == [f'.b.json.{old}.partial.json', 'a.json']
