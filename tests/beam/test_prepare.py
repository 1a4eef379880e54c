"""Beam makes the folders that the local engine makes, however the lines are dealt."""

import gzip
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip('apache_beam')

from apache_beam.io import filesystem, localfilesystem

from metalog_jax import errors
from metalog_jax.beam import prepare
from metalog_jax.cli import main
from metalog_jax.logs import manifests, systems, templates
from tests.logs import test_systems

RUNNER = [
  '--runner=FnApiRunner',
  '--runner-options=--direct_num_workers=2 --direct_running_mode=multi_processing',
]
VARIES = ('seconds', 'lines_per_second', 'checksum')


def content(folder: pathlib.Path) -> dict:
  """All that a folder holds but times."""
  manifest = manifests.read(folder)
  rest = {name: value for name, value in manifest.items() if name not in VARIES}
  return {**test_systems.content(folder), 'manifest': rest}


def compare(options: systems.Options, out: pathlib.Path, frozen=None, **dealt) -> dict:
  systems.prepare(options, out / 'local', frozen)
  engine = prepare.engine('DirectRunner', **dealt)
  systems.prepare(options, out / 'beam', frozen, engine=engine)
  local, beam = content(out / 'local'), content(out / 'beam')
  assert beam == local
  return local['manifest']


@pytest.fixture(name='logs')
def fixture_logs(tmp_path) -> list[str]:
  """Several files of one system, with lines of all kinds; blocks span files."""
  paths = []
  for i in range(3):
    path = test_systems.write_hdfs(tmp_path / f'{i}.log', 30, seed=i)
    with open(path, 'ab') as file:
      file.write(b'not of this system\n\n\xff\xfe\n' * (i == 1))
      file.write(b'081109 203517 7 INFO dfs.X: of no block\n' * i)
      file.write(b'081109 203518 7 INFO dfs.X: Asked blk_3 to replicate blk_4 blk_3\n')
    paths.append(path)
  (tmp_path / 'empty.log').touch()
  with gzip.open(tmp_path / '3.log.gz', 'wb') as file:
    file.write(pathlib.Path(paths[0]).read_bytes())
  return [*paths, str(tmp_path / 'empty.log'), str(tmp_path / '3.log.gz')]


@pytest.mark.parametrize('partitions, chunk_bytes', [(1, 0), (7, 900), (40, 4000)])
def test_any_sharding_gives_the_local_folder(logs, tmp_path, partitions, chunk_bytes):
  options = systems.Options('hdfs', tuple(logs), max_bad_lines='5', keep_lines=True)
  manifest = compare(options, tmp_path, partitions=partitions, chunk_bytes=chunk_bytes)
  assert manifest['bad_lines'] and manifest['shared_lines'] and manifest['sessions']
  assert manifest['lines_without_session'] and manifest['escaped_lines']


@pytest.mark.parametrize('changes', [
  {'window': '5', 'max_events': 3}, {'window': '30s'}, {'group': 'none', 'window': '7'},
])  # fmt: skip
def test_windows(logs, tmp_path, changes):
  options = systems.Options('hdfs', tuple(logs), max_bad_lines='5', **changes)
  compare(options, tmp_path, partitions=5, chunk_bytes=2000)


def test_labels_and_frozen_templates(logs, tmp_path):
  labels = ''.join(f'blk_{i},{"Anomaly" if i % 5 else "Normal"}\n' for i in range(30))
  (tmp_path / 'labels.csv').write_text(labels)
  options = systems.Options('hdfs', (logs[0],), str(tmp_path / 'labels.csv'))
  assert compare(options, tmp_path / 'a', partitions=3)['anomalies'] == 24
  frozen = templates.Templates.load(tmp_path / 'a' / 'local' / 'templates.json')
  options = systems.Options('hdfs', tuple(logs[1:]), max_bad_lines='5')
  manifest = compare(options, tmp_path / 'b', frozen, partitions=3, chunk_bytes=999)
  assert manifest['mining'] == 'frozen' and manifest['assignment']['unknown']


@pytest.mark.parametrize('changes, says', [
  ({'system': 'auto'}, '--runner=local'),
  ({'system': 'custom', 'format': '^(?P<session>.*?): (?P<content>.*)$',
    'window': '5s', 'max_bad_lines': '9'}, '--window=5s needs times'),
  ({'mining': 'arrival'}, '--mining=canonical, or --runner=local'),
  ({'fit': '30%'}, '--fit=all, or --runner=local'),
  ({'logs': ('-',)}, '--runner=local'),
  ({'max_bad_lines': '0'}, 'are bad, more than --max_bad_lines=0'),
  ({'logs': ('{empty}',)}, 'the input is empty'),
  ({'logs': ('{cut}',)}, 'cut short'),
  ({'system': 'bgl', 'max_bad_lines': '100%'}, 'none names what it belongs to'),
])  # fmt: skip
def test_what_is_wrong_is_said_as_locally(logs, tmp_path, changes, says):
  cut = tmp_path / 'cut.log.gz'
  cut.write_bytes(pathlib.Path(logs[-1]).read_bytes()[:-20])
  options = {'system': 'hdfs', 'logs': tuple(logs), 'max_bad_lines': '5'} | changes
  options['logs'] = tuple(x.format(empty=logs[-2], cut=cut) for x in options['logs'])
  with pytest.raises(errors.UserError, match=says):
    engine = prepare.engine('DirectRunner', partitions=2)
    systems.prepare(systems.Options(**options), tmp_path / 'out', engine=engine)
  assert not (tmp_path / 'out').exists()


class Elsewhere(localfilesystem.LocalFileSystem):
  """A file system of Beam's that Python's `open` does not know."""

  @classmethod
  def scheme(cls):
    return 'elsewhere'

  def match(self, patterns, limits=None):
    (found,) = super().match([p.removeprefix('elsewhere://') for p in patterns])
    files = [
      filesystem.FileMetadata(f'elsewhere://{item.path}', item.size_in_bytes)
      for item in found.metadata_list
    ]
    return [filesystem.MatchResult(patterns[0], files)]

  def open(self, path, *arguments, **kwargs):
    return super().open(path.removeprefix('elsewhere://'), *arguments, **kwargs)


def test_logs_in_other_file_systems(logs, tmp_path):
  """And workers that share no disk with the program, but `--temp_location`."""
  here, there = tmp_path / 'here', tmp_path / 'there'
  shared = tmp_path / 'shared'
  flags = ['prepare', '--system=hdfs', '--max_bad_lines=5']
  assert main.main([*flags, f'--logs={tmp_path}/[0-3].log*', f'--out={here}']) == 0
  flags += ['--runner=DirectRunner', f'--runner_options=--temp_location={shared}']
  remote = f'--logs=elsewhere://{tmp_path}/[0-3].log*'
  assert main.main([*flags, remote, f'--out={there}']) == 0
  assert test_systems.content(there) == test_systems.content(here)
  inputs = [item['path'] for item in manifests.read(there)['inputs']]
  assert inputs == [
    f'elsewhere://{tmp_path}/{i}.log{".gz" * (i == 3)}' for i in range(4)
  ]
  assert not any(shared.iterdir())  # what workers wrote is gone
  assert main.main([*flags, remote.replace('[0-3]', 'x'), f'--out={there}']) == 1


def test_the_command_with_two_worker_processes(logs, tmp_path):
  """Everything goes through other processes, as on other machines."""
  command = [sys.executable, '-m', 'metalog_jax', 'prepare', '--system=hdfs']
  command += [f'--logs={",".join(logs)}', '--max_bad_lines=5']
  here = pathlib.Path(__file__).parents[2]
  for name, flags in (('local', []), ('beam', RUNNER)):
    done = subprocess.run(
      [*command, f'--out={tmp_path / name}', *flags], cwd=here, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
  assert content(tmp_path / 'beam') == content(tmp_path / 'local')
  command[5] = f'--logs={logs[0]}'
  done = subprocess.run(
    [*command, f'--out={tmp_path}/x', '--runner=Dirct'], cwd=here, capture_output=True
  )
  assert done.returncode == 1 and b'--runner=Dirct' in done.stderr
  assert b'Traceback' not in done.stderr
