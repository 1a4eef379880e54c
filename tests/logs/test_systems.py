"""Logs to System folders, end to end."""

import dataclasses
import gzip
import json

import numpy as np
import pytest

from metalog_jax.logs import (
  files,
  manifests,
  masking,
  parallel,
  parse,
  store,
  systems,
  templates,
)
from metalog_jax.simulation import simulate
from tests import samples


def write_hdfs(path, blocks, seed=0, lines=6):
  """A small log in the format of HDFS, its blocks interleaved."""
  rng = np.random.default_rng(seed)
  messages = [
    'Receiving block {} src: /10.0.0.{n}:50010', 'Received block {} of size {n}',
    'Served block {} to /10.0.0.{n}', 'Deleting block {} file /data/{n}/x',
  ]  # fmt: skip
  todo = np.repeat(np.arange(blocks), lines)
  rng.shuffle(todo)
  with open(path, 'w') as file:
    for second, block in enumerate(todo):
      text = messages[rng.integers(4)].format(f'blk_{block}', n=rng.integers(250))
      clock = f'{second // 3600:02}{second // 60 % 60:02}{second % 60:02}'
      file.write(f'081109 {clock} 7 INFO dfs.X: {text}\n')
  return str(path)


def content(folder):
  return {name: (folder / name).read_bytes() for name in (
    store.SESSIONS, store.TEMPLATES, 'templates.json')}  # fmt: skip


@pytest.fixture
def log(tmp_path):
  return write_hdfs(tmp_path / 'x.log', 40)


@pytest.mark.parametrize('mining', ('canonical', 'arrival'))
@pytest.mark.parametrize('fit', ['all', '30%', '25'])
def test_sessions_hold_their_lines(tmp_path, log, mining, fit):
  """Every line of a block, in order, with the event of its own template."""
  options = systems.Options('hdfs', (log,), mining=mining, fit=fit, keep_lines=True)
  manifest = systems.prepare(options, tmp_path / 'out')
  raw = open(log).read().splitlines()
  frozen = templates.Templates.load(tmp_path / 'out' / 'templates.json')
  masked = [masking.mask_line(line.split(': ', 1)[1], frozen.maskset) for line in raw]
  events, _ = frozen.assign(masked)
  ((sessions, lines),) = store.stream(tmp_path / 'out', 1000, lines=True)
  seen = []
  for i, name in enumerate(sessions.ids):
    numbers = [n for n, line in enumerate(raw, 1) if f' {name} ' in line]
    begin, end = sessions.offsets[i], sessions.offsets[i + 1]
    assert lines[begin:end].tolist() == numbers
    assert sessions.events[begin:end].tolist() == [events[n - 1] for n in numbers]
    assert (sessions.first_lines[i], sessions.last_lines[i]) == (
      numbers[0],
      numbers[-1],
    )
    seen.append(numbers[0])
  assert seen == sorted(seen) and len(seen) == 40
  assert manifest['lines'] == manifest['events'] == 240
  assert manifest['template_hash'] == frozen.hash
  last = {'all': 240, '30%': 72, '25': 25}[fit]
  assert manifest['fit'] == {'share': fit, 'last_line': last}
  if mining == 'canonical':
    counted = {text: masked[:last].count(text) for text in masked[:last]}
    assert parse.mine(counted, frozen.maskset).hash == frozen.hash
  counts = store.load(tmp_path / 'out').counts
  assert counts.tolist() == np.bincount(events, minlength=len(counts)).tolist()
  assert sum(manifest['assignment'].values()) == 240


@pytest.mark.parametrize('extra', [{}, {'window': '4', 'fit': '50%'},
                                   {'group': 'none', 'window': '1m'}])  # fmt: skip
def test_workers_and_chunks_change_nothing(tmp_path, log, monkeypatch, extra):
  options = systems.Options('hdfs', (log,), **extra)
  systems.prepare(options, tmp_path / 'one')
  monkeypatch.setattr(files, 'CHUNK', 1000)
  systems.prepare(options, tmp_path / 'small')
  monkeypatch.setattr(parallel, 'FEW', 2)
  pools = []
  make = parallel._make_executor
  monkeypatch.setattr(parallel, '_make_executor', lambda n: pools.append(n) or make(n))
  systems.prepare(options, tmp_path / 'two', workers=2)
  assert pools == [2]
  assert content(tmp_path / 'one') == content(tmp_path / 'small')
  assert content(tmp_path / 'one') == content(tmp_path / 'two')


def test_windows_never_span_the_cut(tmp_path, log):
  options = systems.Options('hdfs', (log,), window='4', fit='50%', keep_lines=True)
  systems.prepare(options, tmp_path / 'out')
  sessions = store.load(tmp_path / 'out').sessions
  assert not ((sessions.first_lines <= 120) & (sessions.last_lines > 120)).any()
  assert sessions.lengths.max() == 4 and sessions.lengths.sum() == 240
  ((_, lines),) = store.stream(tmp_path / 'out', 10**6, lines=True)
  assert sorted(lines) == list(range(1, 241))


@pytest.mark.parametrize('mining', ('canonical', 'arrival'))
@pytest.mark.parametrize('chunk', [1, 1 << 20])
def test_only_the_first_lines_are_fitted_on(tmp_path, monkeypatch, mining, chunk):
  """Line n holds n words, so that it needs a template of its own."""
  monkeypatch.setattr(files, 'CHUNK', chunk)
  log = tmp_path / 'x.log'
  lines = [f'081109 203518 1 INFO a: blk_1{" word" * n}' for n in range(1, 11)]
  lines[2], lines[5] = '', 'a bad line'
  log.write_text('\n'.join(lines))
  for fit, events in (('40%', 3), ('7', 5), ('all', 8)):
    options = systems.Options(
      'hdfs', (str(log),), fit=fit, mining=mining, max_bad_lines='1'
    )
    manifest = systems.prepare(options, tmp_path / 'out')
    assert manifest['templates'] - 1 == events
    assert manifest['assignment']['unknown'] == 8 - events
    found = store.load(tmp_path / 'out').sessions.events
    assert (found > 0).tolist() == [True] * events + [False] * (8 - events)


def test_frozen_templates(tmp_path, log):
  """Other lines get the events of templates fitted before, or the unknown one."""
  systems.prepare(systems.Options('hdfs', (log,)), tmp_path / 'train')
  frozen = templates.Templates.load(tmp_path / 'train' / 'templates.json')
  other = tmp_path / 'other.log'
  write_hdfs(other, 10, seed=1)
  other.write_text(
    other.read_text()
    + '081109 000000 7 INFO dfs.X: a message blk_1 never seen at all\n'
  )
  options = systems.Options('hdfs', (str(other),), keep_lines=True)
  manifest = systems.prepare(options, tmp_path / 'test', frozen)
  assert manifest['mining'] == 'frozen'
  assert manifest['assignment']['unknown'] == 1
  assert manifest['template_hash'] == frozen.hash
  system = store.load(tmp_path / 'test')
  assert system.templates == frozen.texts
  assert (system.sessions.events == 0).sum() == 1
  assert system.counts[0] == 1 and system.counts.sum() == 61


@pytest.mark.parametrize('chunk', [1, 1 << 20])
def test_new_templates_come_after_the_frozen_ones(tmp_path, log, monkeypatch, chunk):
  monkeypatch.setattr(files, 'CHUNK', chunk)
  systems.prepare(systems.Options('hdfs', (log,)), tmp_path / 'train')
  frozen = templates.Templates.load(tmp_path / 'train' / 'templates.json')
  other, head = tmp_path / 'other.log', '081109 000000 7 INFO dfs.X:'
  write_hdfs(other, 10, seed=1)
  for text in ('message 1 never seen', 'what', 'message 2 never seen'):
    other.write_text(f'{other.read_text()}{head} {text} blk_77\n')
  options = systems.Options('hdfs', (str(other),), keep_lines=True)
  manifest = systems.prepare(options, tmp_path / 'test', frozen, grow=True)
  system = store.load(tmp_path / 'test')
  own = len(frozen.texts)
  assert system.templates[:own] == frozen.texts
  assert system.templates[own:] == ('message <NUM> never seen <BLOCK>', 'what <BLOCK>')
  assert manifest['assignment']['unknown'] == 3
  assert system.counts[own:].tolist() == [2, 1] and system.counts.sum() == 63
  [last] = [
    system.sessions.events[system.sessions.offsets[i] : system.sessions.offsets[i + 1]]
    for i in np.flatnonzero(system.sessions.ids == 'blk_77')
  ]
  assert last.tolist() == [own, own + 1, own]
  grown = templates.Templates.load(tmp_path / 'test' / 'templates.json')
  assert grown.texts == system.templates


def test_up_to_date(tmp_path, log):
  out = tmp_path / 'out'
  labels = tmp_path / 'labels.csv'
  labels.write_text(''.join(f'blk_{i},0\n' for i in range(40)))
  options = systems.Options('hdfs', (log,), labels=str(labels))
  assert systems.up_to_date(options, out) is None
  manifest = systems.prepare(options, out)
  assert systems.up_to_date(options, out) == manifest
  assert systems.up_to_date(dataclasses.replace(options, fit='50%'), out) is None
  text = labels.read_text()
  labels.write_text(text.replace('blk_7,0', 'blk_7,1'))
  assert systems.up_to_date(options, out) is None
  labels.write_text(text)
  assert systems.up_to_date(options, out)
  with open(log, 'a') as file:
    file.write('081109 000000 7 INFO dfs.X: more blk_1\n')
  assert systems.up_to_date(options, out) is None


@pytest.mark.parametrize('damage', ['cut', 'lost', 'swapped', 'flipped', 'older'])
@pytest.mark.parametrize('name', [
  store.MANIFEST, store.SESSIONS, store.TEMPLATES, templates.FILE])  # fmt: skip
def test_a_damaged_folder_is_not_up_to_date(tmp_path, log, name, damage):
  options = systems.Options('hdfs', (log,))
  systems.prepare(options, tmp_path / 'out')
  before = content(tmp_path / 'out')
  path = tmp_path / 'out' / name
  whole = path.read_bytes()
  if damage == 'lost':
    path.unlink()
  elif damage == 'swapped':
    write_hdfs(tmp_path / 'y.log', 30, seed=1)
    other = systems.Options('hdfs', (str(tmp_path / 'y.log'),))
    systems.prepare(other, tmp_path / 'other')
    path.write_bytes((tmp_path / 'other' / name).read_bytes())
  elif damage == 'older':
    manifest = json.loads((tmp_path / 'out' / store.MANIFEST).read_text())
    del manifest['files'], manifest['checksum']
    (tmp_path / 'out' / store.MANIFEST).write_text(json.dumps(manifest))
  else:
    half = len(whole) // 2
    flipped = whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :]
    path.write_bytes(whole[:half] if damage == 'cut' else flipped)
  said = []
  assert systems.up_to_date(options, tmp_path / 'out', said.append) is None
  manifest = name == store.MANIFEST and damage in ('lost', 'swapped')
  assert manifest or damage == 'older' or name in said[0]
  systems.prepare(options, tmp_path / 'out')
  assert content(tmp_path / 'out') == before
  assert systems.up_to_date(options, tmp_path / 'out')


def test_a_new_file_in_a_folder_is_not_up_to_date(tmp_path):
  (tmp_path / 'logs').mkdir()
  write_hdfs(tmp_path / 'logs' / 'b.log', 3)
  options = systems.Options('hdfs', (str(tmp_path / 'logs'),))
  systems.prepare(options, tmp_path / 'out')
  assert systems.up_to_date(options, tmp_path / 'out')
  write_hdfs(tmp_path / 'logs' / 'a.log', 3)
  assert systems.up_to_date(options, tmp_path / 'out') is None


def test_manifest(tmp_path, log):
  labels = tmp_path / 'labels.csv'
  labels.write_text('blk_1,1\nblk_99,0\nblk_1,1\n')
  with open(log, 'a') as file:
    file.write('\nwhat is this\n081109 000000 7 INFO dfs.X: nobody\n')
  options = systems.Options('hdfs', (log, log), labels=str(labels), max_events=5)
  systems.prepare(options, tmp_path / 'out')
  manifest = json.loads((tmp_path / 'out' / store.MANIFEST).read_text())
  wanted = {'system', 'lines', 'bad_lines', 'events', 'templates', 'sessions',
            'anomalies', 'distinct_sequences', 'mining', 'template_hash', 'inputs',
            'seconds', 'lines_per_second'}  # fmt: skip
  assert wanted <= set(manifest)
  assert manifest['lines'] == 486 and manifest['bad_lines'] == 2
  assert manifest['skipped_lines'] == {'blank': 2}
  assert manifest['lines_without_session'] == 2
  (kept,) = manifest['bad'].values()
  assert kept['first'] == [{'file': log, 'line': 242, 'text': 'what is this'}] * 2
  assert manifest['truncated_sessions'] == 40 and manifest['events'] == 200
  audit = manifest['labels']
  assert audit['duplicates'] == 1 and audit['unknown_ids'] == 1
  assert audit['sessions_without_label'] == 39 == manifest['unlabelled']
  assert [item['lines'] for item in manifest['inputs']] == [243, 243, 3]
  assert manifests.locate(manifest, 243 + 242) == (log, 242)


def test_simulated_logs_are_called_so(tmp_path, log):
  """Real ones are not; simulated ones are, whatever path or copy leads to them."""
  options = systems.Options('hdfs', (log,))
  assert systems.prepare(options, tmp_path / 'out')['simulated'] is False
  (tmp_path / 'truth.csv').write_text('SessionId,Label,Kind,Shared\n')
  for path in (log, str(tmp_path / '*.log'), str(tmp_path)):
    options = systems.Options('hdfs', (path,))
    assert systems.prepare(options, tmp_path / 'out')['simulated'] is True


@pytest.mark.parametrize('system,name', [
  ('hdfs', 'blockstore'), ('bgl', 'supercomputer'), ('openstack', 'cloud'),
  ('thunderbird', 'cluster')])  # fmt: skip
def test_simulated_logs_need_no_truth_beside_them(tmp_path, monkeypatch, system, name):
  folder = tmp_path / 'logs' / 'deep' / 'er'
  written = simulate(name, folder, 2, 1)
  (folder / 'truth.csv').unlink()
  with gzip.open(tmp_path / 'copy.log.gz', 'wb') as file:
    file.write(written.log.read_bytes())
  with open(written.log) as stdin:
    monkeypatch.setattr(files.sys, 'stdin', stdin)
    for path in ('logs', '*.gz', '-'):
      path = path if path == '-' else str(tmp_path / path)
      options = systems.Options(system, (path,))
      assert systems.prepare(options, tmp_path / 'out')['simulated'] is True


def test_session_files(tmp_path):
  rows = [
    {'session_id': 'a', 'events': ['E2', 'E1'], 'label': 1},
    {'session_id': 'b', 'events': ['E2'], 'label': 0, 'time': 5},
    {'session_id': 'a', 'events': ['E2', 'E1'], 'label': 1},
    {'session_id': 'c', 'events': [3]},
  ]
  path, names = tmp_path / 's.jsonl', tmp_path / 't.csv'
  path.write_text('\n'.join(map(json.dumps, rows)))
  names.write_text('event_id,template\nE1,"one, <*>"\nE2,two\n3,three\n')
  options = systems.Options('jsonl', sessions=(str(path),), templates=str(names))
  manifest = systems.prepare(options, tmp_path / 'out')
  system = store.load(tmp_path / 'out')
  assert system.templates == ('<unknown>', 'one, <*>', 'two', 'three')
  assert system.sessions.ids.tolist() == ['a', 'b', 'c']
  assert system.sessions.events.tolist() == [2, 1, 2, 3]
  assert system.sessions.labels.tolist() == [1, 0, -1]
  assert system.counts.tolist() == [0, 1, 2, 1]
  assert manifest['skipped_lines'] == {'duplicate': 1}
  assert systems.up_to_date(options, tmp_path / 'out')
  names.write_text('event_id,template\nE1,x\nE2,two\n3,three\n')
  assert not systems.up_to_date(options, tmp_path / 'out')
  bare = systems.Options('jsonl', sessions=(str(path),))
  systems.prepare(bare, tmp_path / 'bare')
  assert store.load(tmp_path / 'bare').templates == ('<unknown>', 'E2', 'E1', '3')


def test_hdfs(data, tmp_path):
  """The figures that the data set states of itself, and loghub's templates."""
  log, labels = data / samples.RAW['hdfs'], data / 'hdfs' / 'anomaly_label.csv'
  options = systems.Options('hdfs', (str(log),), labels=str(labels))
  manifest = systems.prepare(options, tmp_path / 'out')
  wanted = dict(lines=222579, bad_lines=0, sessions=11501, anomalies=350, unlabelled=0,
                distinct_sequences=1532)  # fmt: skip
  assert wanted.items() <= manifest.items()
  assert manifest['assignment']['unknown'] == 0


@pytest.mark.parametrize(
  'system, sessions, anomalies, distinct',
  [('bgl', 33973, 2374, 1666), ('openstack', 5596, 651, None)],
)
def test_session_data(data, tmp_path, system, sessions, anomalies, distinct):
  options = systems.Options(
    'jsonl',
    sessions=(str(data / system / 'sessions.jsonl.gz'),),
    templates=str(data / system / 'templates.csv'),
  )
  manifest = systems.prepare(options, tmp_path / 'out')
  assert (manifest['sessions'], manifest['anomalies']) == (sessions, anomalies)
  assert distinct in (None, manifest['distinct_sequences'])


def test_every_sample_has_sessions(data, tmp_path):
  for system, name in samples.LOGHUB.items():
    for suffix in ('.gz', '_structured.csv.gz'):
      options = systems.Options(system, (str(data / f'loghub/{name}_2k.log{suffix}'),))
      manifest = systems.prepare(options, tmp_path / system)
      assert manifest['bad_lines'] == 0 and manifest['sessions'] > 100


def test_a_template_may_be_as_long_as_it_is(tmp_path):
  """Longer than what Python's csv reads by itself."""
  path, names = tmp_path / 's.jsonl', tmp_path / 't.csv'
  path.write_text('{"session_id": "a", "events": ["E1"], "label": 0}\n')
  names.write_text('event_id,template\nE1,' + 'word ' * 40_000 + '\n')
  options = systems.Options('jsonl', sessions=(str(path),), templates=str(names))
  systems.prepare(options, tmp_path / 'out')
  assert len(store.load(tmp_path / 'out').templates[1]) > 199_000
