r"""Streams a simulated log of any size through `metalog prepare`, and plans more.

  python -m experiments.volume --gigabytes=20 --json=volume.json
  python -m experiments.volume --gigabytes=1 --skew=entity --json=volume.json
  python -m experiments.volume --plan --json=volume.json

A part of some megabytes is simulated once; the log is copies of it with other
block ids, so that sessions and their number are those of a log of that size. It goes
through a pipe: no disk holds it. With --skew=entity 99 % of the lines are of one block,
with --skew=template of one message. --plan prints what the measures mean for 100 GB and
10 TB (docs/torture.md).
"""

import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from experiments import main as program
from metalog_jax import api, atomic, errors
from metalog_jax.cli import main as programs
from metalog_jax.cli.options import Flag
from metalog_jax.logs import sessions

STAGES = {  # of the local driver: what does each
  'parse': ('readers', 'parse'),
  'mask': ('masking', 'mask'),
  'count': ('events', 'Collector', 'codes'),
  'spill': ('sessions', 'Spill', 'add'),
  'mine': ('events', 'Collector', 'mine'),
  'sessionize': ('sessions', 'group_part'),
  'write': ('systems', '_write'),
}
SKEWS = ('none', 'entity', 'template')
_PART = 20_000  # sessions that are simulated
_STAGED = 'import sys; from experiments import volume; sys.exit(volume.staged())'
FLAGS = (
  Flag('gigabytes', 1.0, 'size of the log', low=0.0),
  Flag('skew', 'none', '99 % of the lines are of one block, or of one message', SKEWS),
  Flag('seconds', 0, 'after which the log ends, however large; 0: never', low=0),
  Flag('workers', 1, 'processes that parse', low=1),
  Flag('json', 'volume.json', 'file of all measures'),
  Flag('scratch', '', 'folder for the System and its temporary files'),
  Flag('plan', False, 'print the plan, measure nothing'),
)  # fmt: skip


def check(values: Any) -> None:
  """Refuses files that cannot be written."""
  program.check_outputs(values, 'json')


def main(values: Any, rest: list[str]) -> None:
  """Measures once, or prints the plan."""
  path = pathlib.Path(values.json)
  measures = json.loads(path.read_text()) if path.exists() else []
  if values.plan:
    print(plan(measures))
    return
  size = int(values.gigabytes * 1e9)
  limit = values.seconds or float('inf')
  measured = measure(size, values.skew, values.workers, values.scratch, limit)
  print(json.dumps(measured))
  atomic.write_json(path, [*measures, measured])


def measure(
  size: int, skew: str, workers: int, scratch: str, limit: float
) -> dict[str, Any]:
  """One run of `metalog prepare` over a log of `size` bytes, or `limit` seconds."""
  with tempfile.TemporaryDirectory(dir=scratch or None) as name:
    place = pathlib.Path(name)
    part = _part(place, skew)
    out = place / 'system'
    command = [sys.executable, '-c', _STAGED, str(place / 'stages.json'),
               'prepare', '--system=hdfs', '--logs=-', f'--out={out}',
               f'--workers={workers}']  # fmt: skip
    begin = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    peaks = {'spill_bytes': 0, 'seconds_read': 0.0}
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(place, peaks, done))
    watch.start()
    fed = 0
    for piece in _copies(part, size):
      fed += process.stdin.write(piece)
      if time.monotonic() - begin > limit:
        break
    process.stdin.close()
    peaks['seconds_read'] = time.monotonic() - begin
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    done.set()
    watch.join()
    if status:
      raise RuntimeError(f'metalog prepare: exit code {status}')
    manifest = json.loads((out / 'manifest.json').read_text())
    stages = json.loads((place / 'stages.json').read_text())
    kept = sum(file.stat().st_size for file in out.iterdir())
  return {
    'skew': skew, 'workers': workers, 'bytes': fed,
    **{name: manifest[name] for name in ('lines', 'sessions', 'templates')},
    'seconds': round(seconds, 1),
    'seconds_read': round(peaks['seconds_read'], 1),
    'cpu_seconds': round(used.ru_utime + used.ru_stime, 1),
    'peak_mib': used.ru_maxrss >> 10,
    'spill_bytes': peaks['spill_bytes'], 'system_bytes': kept,
    'stages': stages, 'load': os.getloadavg()[1],
  }  # fmt: skip


def staged() -> int:
  """`metalog ARGUMENTS`, whose stages are timed, for `measure`.

  The first word of sys.argv is a file for the seconds that the processors worked while
  each stage ran, in this process alone: measure with one worker.
  """
  path, *arguments = sys.argv[1:]
  stages = dict.fromkeys(STAGES, 0.0)
  for name, (module, *inside, function) in STAGES.items():
    owner = importlib.import_module(f'metalog_jax.logs.{module}')
    for part in inside:
      owner = getattr(owner, part)
    setattr(owner, function, _timed(getattr(owner, function), stages, name))
  code = programs.main(arguments)
  rest = time.process_time() - sum(stages.values())
  atomic.write_json(path, {**stages, 'the rest': rest})
  return code


def _timed(function: Callable, stages: dict[str, float], name: str) -> Callable:
  def call(*arguments: Any, **others: Any) -> Any:
    begin = time.process_time()
    try:
      return function(*arguments, **others)
    finally:
      stages[name] += time.process_time() - begin

  return call


def plan(measures: list[dict[str, Any]]) -> str:
  """What the largest measure without skew means for 100 GB and 10 TB, as Markdown.

  CPU time, spilled bytes and the System grow with the bytes of the log, and all but the
  merge of the workers' counts is divided by the workers: hours = bytes x CPU seconds a
  byte / workers. One block id that has all lines is sorted by one worker.

  Raises UserError where nothing was measured without skew.
  """
  even = [row for row in measures if row['skew'] == 'none']
  if not even:
    raise errors.UserError('nothing was measured with --skew=none')
  row = max(even, key=lambda row: row['bytes'])
  cpu, spill, system = (
    row[name] / row['bytes'] for name in ('cpu_seconds', 'spill_bytes', 'system_bytes')
  )
  lines = ['| log | workers | hours | spilled, a worker | a bucket | System |',
           '|---|--:|--:|--:|--:|--:|']  # fmt: skip
  for size, name in ((100e9, '100 GB'), (10e12, '10 TB')):
    for workers in (1, 10, 100, 1000):
      cells = [
        f'{size * cpu / workers / 3600:,.2f}',
        f'{size * spill / workers / 1e9:,.2f} GB',
        f'{size * spill / workers / sessions.PARTS / 1e6:,.1f} MB',
        f'{size * system / 1e9:,.1f} GB',
      ]
      lines.append(f'| {name} | {workers:,} | ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines)


def _part(place: pathlib.Path, skew: str) -> bytes:
  """The lines that are repeated."""
  api.simulate('blockstore', place / 'part', _PART, 0)
  data = (place / 'part' / 'blockstore.log').read_bytes().replace(b'blk_-', b'blk_')
  shutil.rmtree(place / 'part')
  lines = data.splitlines(keepends=True)
  for row, line in enumerate(lines):
    if row % 100 and skew == 'entity':
      lines[row] = re.sub(rb'blk_[0-9]+', b'blk_', line)
    elif row % 100 and skew == 'template':
      block = re.search(rb'blk_[0-9]+', line)
      text = b'081109 203518 143 INFO dfs.DataNode: Received block '
      lines[row] = text + (block[0] if block else b'blk_7') + b'\n'
  return b''.join(lines)


def _copies(part: bytes, size: int) -> Iterator[bytes]:
  """Copies of the part, each of other blocks; one block without a number is all's."""
  made, number = 0, 0
  whole = re.compile(rb'blk_(?![0-9])')
  one = bool(whole.search(part))
  while made < size:
    copy = part
    if one:
      copy = whole.sub(b'one_', copy)
    copy = copy.replace(b'blk_', b'blk_%d' % (1000 + number))
    if one:
      copy = copy.replace(b'one_', b'blk_42')
    copy = copy[: copy.rfind(b'\n', 0, size - made) + 1] or b'\n'
    made += len(copy)
    number += 1
    yield copy
    if len(copy) < len(part) // 2:
      return


def _watch(place: pathlib.Path, peaks: dict[str, Any], done: threading.Event) -> None:
  """Notes the most bytes that temporary files take."""
  while not done.wait(2):
    files = list(place.rglob('*'))
    size = 0
    for file in files:
      try:
        size += file.stat().st_size if file.is_file() else 0
      except OSError:
        continue
    peaks['spill_bytes'] = max(peaks['spill_bytes'], size)


if __name__ == '__main__':
  program.run()
