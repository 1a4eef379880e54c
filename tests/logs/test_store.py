"""A system on disk comes back as it was, or not at all."""

import json
import os
import signal
import subprocess
import sys

import hypothesis
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from metalog_jax import atomic, errors, types
from metalog_jax.logs import manifests, store
from metalog_jax.runs import folder
from tests import builders


def toy(rows=((1, 2, 1), (2,), (1, 2, 1)), labels=(0, 1, -1)) -> types.System:
  sessions = builders.sessions([list(row) for row in rows], list(labels))
  sessions = sessions._replace(times=np.where(sessions.labels < 0, np.nan, 1.5))
  texts = ('<unknown>', 'first <*>', 'zweite “Zeile”')
  return types.System('toy', texts, np.array([0, 4, 3]), sessions, {'lines': 9})


def same(a: types.Sessions, b: types.Sessions) -> None:
  for name, left, right in zip(a._fields, a, b):
    assert left.dtype == right.dtype, name
    np.testing.assert_array_equal(left, right, err_msg=name)


def test_round_trip(tmp_path):
  system = toy()
  store.save(system, tmp_path / 'a')
  back = store.load(tmp_path / 'a')
  same(back.sessions, system.sessions)
  assert (back.name, back.templates) == (system.name, system.templates)
  assert back.counts.tolist() == [0, 4, 3]
  counted = dict(
    system='toy', lines=9, templates=3, sessions=3, events=7, anomalies=1,
    unlabelled=1, distinct_sequences=2,
  )  # fmt: skip
  assert counted.items() <= back.manifest.items()


def test_equal_content_gives_equal_bytes(tmp_path):
  for name in 'ab':
    store.save(toy(), tmp_path / name)
  for name in (store.SESSIONS, store.TEMPLATES, store.MANIFEST):
    assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()


def test_columns_are_as_promised(tmp_path):
  store.save(toy(), tmp_path / 'a')
  table = pl.read_parquet(tmp_path / 'a' / store.SESSIONS)
  assert table.schema == {
    'session_id': pl.String, 'time': pl.Float64, 'events': pl.List(pl.Int32),
    'label': pl.Int8, 'first_line': pl.Int64, 'last_line': pl.Int64,
  }  # fmt: skip
  assert table['label'].to_list() == [0, 1, None]
  assert table['time'].to_list() == [1.5, 1.5, None]
  texts = pl.read_parquet(tmp_path / 'a' / store.TEMPLATES)
  assert texts.columns == ['event_id', 'template', 'count']


@hypothesis.given(
  rows=st.lists(st.lists(st.integers(0, 2), max_size=5), min_size=1, max_size=20),
  batch=st.integers(1, 7),
  group=st.integers(1, 9),
)
def test_stream_is_load_in_pieces(tmp_path_factory, rows, batch, group):
  folder = tmp_path_factory.mktemp('store') / 'a'
  whole = toy(rows, [0] * len(rows)).sessions
  lines = np.arange(len(whole.events), dtype=np.int64)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(store, 'ROW_GROUP', group)
    with store.writer(folder) as out:
      numbers = pa.ListArray.from_arrays(pa.array(whole.offsets, pa.int32()), lines)
      table = store.to_arrow(whole).append_column('lines', numbers)
      for i in range(0, len(table), 3):
        out.write(table.slice(i, 3))
      out.finish('toy', store.Contents(('u', 'a', 'b'), np.zeros(3), {}))
  same(store.load(folder).sessions, whole)
  parts = list(store.stream(folder, batch, lines=True))
  assert all(part.num <= batch for part, _ in parts)
  np.testing.assert_array_equal(
    np.concatenate([p.events for p, _ in parts]), whole.events
  )
  np.testing.assert_array_equal(np.concatenate([n for _, n in parts]), lines)
  assert [i for p, _ in parts for i in p.ids] == whole.ids.tolist()
  assert [n for p, _ in parts for n in p.lengths] == whole.lengths.tolist()


def test_lines_that_are_not_there(tmp_path):
  store.save(toy(), tmp_path / 'a')
  with pytest.raises(ValueError, match='has no line numbers'):
    list(store.stream(tmp_path / 'a', 2, lines=True))


@pytest.mark.parametrize(
  'name, content, message',
  [
    (store.MANIFEST, None, 'is not a System folder: it has no manifest.json'),
    (store.MANIFEST, b'{"system": ', 'manifest.json is damaged'),
    (store.MANIFEST, b'{}', 'manifest.json is damaged'),
    (store.MANIFEST, b'[1]', 'manifest.json is damaged'),
    (store.SESSIONS, None, '/a has lost its sessions.parquet: prepare the folder'),
    (store.SESSIONS, b'PAR1', 'sessions.parquet is damaged'),
    (store.TEMPLATES, b'', 'templates.parquet is damaged'),
  ],
)
def test_damaged(tmp_path, name, content, message):
  store.save(toy(), tmp_path / 'a')
  path = tmp_path / 'a' / name
  path.unlink() if content is None else path.write_bytes(content)
  with pytest.raises(ValueError, match=message):
    store.load(tmp_path / 'a')


@pytest.mark.parametrize('name', (store.MANIFEST, store.SESSIONS, store.TEMPLATES))
def test_every_flipped_bit_is_seen(tmp_path, name):
  store.save(toy(), tmp_path / 'a')
  path = tmp_path / 'a' / name
  whole = path.read_bytes()
  for place in np.linspace(0, len(whole) - 1, 60).astype(int).tolist():
    damaged = bytearray(whole)
    damaged[place] ^= 1 << place % 8
    path.write_bytes(damaged)
    for read in (store.load, lambda folder: next(store.stream(folder, 9))):
      with pytest.raises(ValueError, match=f'{name} is damaged.*prepare the folder'):
        read(tmp_path / 'a')


@pytest.mark.parametrize('name', (store.SESSIONS, store.TEMPLATES))
def test_files_of_two_systems(tmp_path, name):
  store.save(toy(), tmp_path / 'a')
  store.save(toy(((1, 1),), (0,))._replace(counts=np.array([0, 1, 1])), tmp_path / 'b')
  os.replace(tmp_path / 'b' / name, tmp_path / 'a' / name)
  with pytest.raises(ValueError, match=f'{name} is damaged, or of another folder'):
    store.load(tmp_path / 'a')


def test_too_little_memory_is_no_damage(tmp_path):
  """pyarrow's error of it is an ArrowException, as those of damaged files are."""

  def fail(path):
    raise pa.ArrowMemoryError('malloc of size 2048 failed')

  with pytest.raises(MemoryError, match='malloc'):
    store._read(tmp_path, 'sessions.parquet', fail)
  with pytest.raises(MemoryError, match='malloc'), folder.reading(tmp_path):
    fail(tmp_path)


def test_fingerprints_are_of_the_content(tmp_path):
  for name, system in (
    ('a', toy()),
    ('b', toy()._replace(manifest={'lines': 9, 'seconds': 5})),
    ('c', toy(labels=(0, 1, 1))),
  ):
    store.save(system, tmp_path / name)
  a, b, c = (store.load(tmp_path / n).manifest['fingerprint'] for n in 'abc')
  assert a == b != c
  store.save(store.load(tmp_path / 'a'), tmp_path / 'd')
  assert store.load(tmp_path / 'd').manifest['fingerprint'] == a


def test_folders_without_checksums_are_to_be_prepared_again(tmp_path):
  """As version 0.1.0 left them."""
  store.save(toy(), tmp_path / 'a')
  path = tmp_path / 'a' / store.MANIFEST
  manifest = json.loads(path.read_text())
  del manifest['files'], manifest['checksum']
  path.write_text(json.dumps(manifest))
  with pytest.raises(errors.UserError, match='0.1.0 wrote none; prepare the fol'):
    store.load(tmp_path / 'a')


def snapshot(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_error_leaves_the_old_folder(tmp_path):
  store.save(toy(), tmp_path / 'a')
  before = snapshot(tmp_path / 'a')
  with pytest.raises(RuntimeError), store.writer(tmp_path / 'a') as out:
    out.write(store.to_arrow(toy().sessions))
    raise RuntimeError
  assert snapshot(tmp_path / 'a') == before
  assert [path.name for path in tmp_path.iterdir()] == ['a']


def test_a_failed_replacement_leaves_the_old_folder(tmp_path, monkeypatch):
  store.save(toy(), tmp_path / 'a')
  before = snapshot(tmp_path / 'a')

  def fail(*paths):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(atomic, '_exchange', fail)
  with pytest.raises(ValueError, match='cannot write .*/a: No space left'):
    store.save(toy(), tmp_path / 'a')
  assert snapshot(tmp_path / 'a') == before
  assert [path.name for path in tmp_path.iterdir()] == ['a']


KILLED = """
import sys, time
from metalog_jax.logs import manifests, store
from tests.logs import test_store
with store.writer(sys.argv[1]) as out:
  out.write(store.to_arrow(test_store.toy().sessions))
  (out.folder / 'spill').mkdir()
  (out.folder / 'spill' / 'x').write_text('x')
  print('writing', flush=True)
  time.sleep(60)
"""


def test_a_killed_writer_leaves_the_old_folder(tmp_path):
  """And a second writer is refused, or cleans up after the dead."""
  store.save(toy(), tmp_path / 'a')
  before = snapshot(tmp_path / 'a')
  command = [sys.executable, '-c', KILLED, str(tmp_path / 'a')]
  with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
    assert process.stdout.readline() == b'writing\n'
    with pytest.raises(ValueError, match='is being written by another process'):
      store.save(toy(), tmp_path / 'a')
    process.send_signal(signal.SIGKILL)
  assert snapshot(tmp_path / 'a') == before
  store.save(toy(((1,),), (0,)), tmp_path / 'a')
  assert store.load(tmp_path / 'a').sessions.num == 1
  assert [path.name for path in tmp_path.iterdir()] == ['a']
  assert set(snapshot(tmp_path / 'a')) == {
    store.MANIFEST,
    store.SESSIONS,
    store.TEMPLATES,
  }


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
  (tmp_path / 'a').mkdir()
  store.save(toy(), tmp_path / 'a')  # an empty one is
  (tmp_path / 'b').mkdir()
  for name in (store.MANIFEST, 'thesis.tex'):
    (tmp_path / 'b' / name).write_text('x')
  (tmp_path / 'c').write_text('x')
  for name in 'bc':
    with pytest.raises(ValueError, match='is not a System folder; give another --out'):
      store.save(toy(), tmp_path / name)


def test_nothing_to_write(tmp_path):
  with pytest.raises(ValueError, match='system toy has no session'):
    store.save(toy((), ()), tmp_path / 'a')


def test_locate():
  manifest = {'inputs': [{'path': 'a', 'lines': 3}, {'path': 'b', 'lines': 2}]}
  assert [manifests.locate(manifest, n) for n in (1, 3, 4, 5)] == [
    ('a', 1), ('a', 3), ('b', 1), ('b', 2)
  ]  # fmt: skip
  with pytest.raises(ValueError):
    manifests.locate(manifest, 6)


def test_row_groups_are_bounded(tmp_path, monkeypatch):
  monkeypatch.setattr(store, 'ROW_GROUP', 10)
  with store.writer(tmp_path / 'a') as out:
    for _ in range(9):
      out.write(store.to_arrow(toy(((1, 2, 1, 2),), (0,)).sessions))
    out.finish('toy', store.Contents(('u', 'a', 'b'), np.zeros(3), {}))
  assert pq.ParquetFile(tmp_path / 'a' / store.SESSIONS).num_row_groups == 3
  assert json.loads((tmp_path / 'a' / store.MANIFEST).read_text())['sessions'] == 9
