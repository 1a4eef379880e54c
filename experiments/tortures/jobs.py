"""Small jobs, what they must leave behind, and what may be believed of half of it.

Each runs in a folder of its own, reads `inputs`, and gives the same whenever it is run:
`made` is what must not depend on how often the job was killed.
"""

import datetime
import hashlib
import json
import pathlib
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from experiments import sweep
from experiments.tortures.children import Call, Child, kill_at, metalog
from metalog_jax import atomic, errors
from metalog_jax.cli import main as programs
from metalog_jax.logs import files, live, store, tail
from metalog_jax.runs import folder
from metalog_jax.scanning import baseline, follow, scan

LINES = 2400  # of the log that grows
Made = dict[str, list[str]]  # rows by name; a file's hash is a single row

_TRAIN = (
  '--detector=metalog --metalog.hidden=4 --metalog.layers=1 --metalog.batch=8 '
  '--metalog.parts=2 --metalog.inner_steps=1 --metalog.patience=0 '
  '--metalog.gradient=mixed --split=random --target_normals=20 --target_anomalies=3 '
  '--validate_every=4 --checkpoint_every=4 --noreport --devices=1'
).split()
_TABLE = """
title = 'Two trials'
seeds = [0, 1]
against = 'evidence'
[rows.evidence]
name = 'evidence'
flags = ['--detector=evidence', '--target={systems}/one', '--split=random',
  '--target_normals=20', '--target_anomalies=3']
"""


class Job(NamedTuple):
  """A program with its result; all functions are given the folder of the job."""

  call: Callable[[pathlib.Path], Call]  # of the inputs: what runs in a child
  made: Callable[[pathlib.Path], Made]
  # Raises AssertionError where half of a result would be believed.
  check: Callable[[pathlib.Path], Any]
  # Puts what the job changes in place: (inputs, folder, share that is there, 0 to 1).
  put: Callable[[pathlib.Path, pathlib.Path, float], Any] = lambda *_: None


def make_inputs(place: pathlib.Path) -> None:
  """Writes logs, Systems, vectors and a trained model, once."""
  if (place / 'done').exists():
    return
  shutil.rmtree(place, ignore_errors=True)
  place.mkdir(parents=True)
  for name, seed in (('one', 1), ('two', 2)):
    log = f'logs_{name}'
    simulate = f'--system=blockstore --sessions=80 --seed={seed} --out={log}'
    _must(place, ['simulate', *simulate.split()])
    _must(place, ['prepare', *_prepare(place, name), f'--out={name}'])
  texts = json.loads((place / 'one' / 'templates.json').read_text())
  words = sorted({w for w in json.dumps(texts).split() if w.isalpha()})
  rows = [f'{w} {i % 5} {i % 3 - 1} {-(i % 2)}' for i, w in enumerate(words)]
  (place / 'vectors.txt').write_text('\n'.join(rows) + '\n')
  _must(place, ['train', *train_flags(place, 8), '--workdir=model'])
  lines = _app_log()
  (place / 'app.log').write_text(''.join(lines))
  (place / 'good.log').write_text(''.join(lines[:1000]))
  (place / 'more.log').write_text(''.join(lines[1000:1400]))
  (place / 'done').touch()


def _must(place: pathlib.Path, arguments: Sequence[str]) -> None:
  child = Child(metalog(arguments), place)
  if child.wait():
    raise RuntimeError(f'{arguments}: {child.said}')


def _prepare(inputs: pathlib.Path, name: str) -> list[str]:
  logs = inputs / f'logs_{name}'
  return ['--system=hdfs', f'--logs={logs}/blockstore.log',
          f'--labels={logs}/anomaly_label.csv']  # fmt: skip


def train_flags(inputs: pathlib.Path, steps: int) -> list[str]:
  """Flags of `metalog train` for a small MetaLog, but for --workdir."""
  return [*_TRAIN, f'--source={inputs}/two', f'--target={inputs}/one',
          f'--vectors={inputs}/vectors.txt', f'--metalog.steps={steps}']  # fmt: skip


def _app_log() -> list[str]:
  """80 minutes of an application with an outage and one message of its own."""
  draw, time = random.Random(3), datetime.datetime(2026, 5, 4, 9)
  usual = (
    'INFO web: GET /api/items/{} 200 in {} ms',
    'INFO shop: Basket {} paid',
    'DEBUG cache: hit ratio {} % over {} keys',
    'INFO beat: heartbeat ok',
  )
  broken = ('ERROR db: connect to db{}:5432 failed: connection refused',
            'ERROR shop: Basket {} not paid: no database')  # fmt: skip
  lines = []
  for row in range(LINES):
    time += datetime.timedelta(seconds=draw.expovariate(0.5))
    text = draw.choice(broken if 1600 <= row < 1640 else usual)
    if row == 2200:
      text = 'CRITICAL disk: No space left on device'
    text = text.format(draw.randint(1, 9999), draw.randint(10, 99))
    lines.append(f'{time:%Y-%m-%d %H:%M:%S.%f} {text}\n')
  return lines


def _file(path: pathlib.Path) -> list[str]:
  return [hashlib.sha256(path.read_bytes()).hexdigest()]


def _json(path: pathlib.Path, *without: str) -> list[str]:
  value = json.loads(path.read_text())
  return [f'{k}: {v}' for k, v in value.items() if k not in without]


def _run(place: pathlib.Path, name: str = 'run') -> Made:
  run, made = place / name, {}
  if not (run / folder.RESULT).exists():
    return {}
  folder.verify(run)
  names = sorted(p.name for p in run.iterdir() if not p.name.startswith('process_'))
  made[f'{name}: names'] = names
  for file in ('scores.parquet', 'explained.json', 'config.json', 'model/known.json',
               'model/events.parquet', 'model/prepare.json'):  # fmt: skip
    made[f'{name}/{file}'] = _file(run / file)
  if (run / folder.METRICS).exists():
    made[f'{name}/metrics'] = (run / folder.METRICS).read_text().splitlines()
  times = ('seconds', 'test_ms_per_session', 'adaptation')
  made[f'{name}/result'] = _json(run / folder.RESULT, *times)
  for kind in (folder.CHECKPOINTS, folder.ADAPTED):
    if (run / kind).exists():
      digests = json.loads((run / kind / 'digests.json').read_text())
      made[f'{name}/{kind}'] = [str(max((int(k), v) for k, v in digests.items()))]
  return made


def _check_run(place: pathlib.Path, name: str = 'run') -> None:
  """A run with a result is whole: every file is what checksums.json says."""
  if (place / name / folder.RESULT).exists():
    try:
      folder.verify(place / name)
    except errors.UserError as error:
      raise AssertionError(f'{name} has a result and is not whole: {error}') from None


def _system(place: pathlib.Path) -> Made:
  out = place / 'system'
  if not out.exists():
    return {}
  made = {
    n: _file(out / n) for n in (store.SESSIONS, store.TEMPLATES, 'templates.json')
  }
  times = ('seconds', 'lines_per_second', 'checksum')
  made['names'] = sorted(path.name for path in out.iterdir())
  return made | {'manifest': _json(out / store.MANIFEST, *times)}


def _check_system(place: pathlib.Path) -> None:
  if (place / 'system').exists():
    try:
      store.manifests.check(place / 'system', store.manifests.read(place / 'system'))
    except errors.UserError as error:
      raise AssertionError(f'system is there and not whole: {error}') from None


def _prepare_call(inputs: pathlib.Path) -> Call:
  def call() -> int:
    files.CHUNK = 1 << 15
    return programs.main(
      ['prepare', *_prepare(inputs, 'one'), '--out=system', '--force']
    )

  return call


def _old_system(inputs: pathlib.Path, place: pathlib.Path, share: float) -> None:
  """Every other time, another System stands where the new one goes."""
  if not share and place.name[-1] in '02468':
    shutil.copytree(inputs / 'two', place / 'system')


def _sweep_call(inputs: pathlib.Path) -> Call:
  def call() -> int:
    pathlib.Path('t.toml').write_text(_TABLE)
    arguments = ['--table=t.toml', '--out=.', f'--systems={inputs}', '--']
    return programs.run(sweep, 'sweep', [*arguments, '--devices=1'])

  return call


def _sweep_made(place: pathlib.Path) -> Made:
  made: Made = {}
  for trial in sorted((place / 't' / 'trials').glob('*')):
    made |= _run(trial.parent, trial.name)
  if not (place / 't' / 'attempts.jsonl').exists():
    return made
  lines = map(json.loads, (place / 't' / 'attempts.jsonl').read_text().splitlines())
  finished = [line['trial'] for line in lines if line['code'] == 0]
  twice = sorted({name for name in finished if finished.count(name) > 1})
  return made | {'trials finished twice': twice}


def _check_sweep(place: pathlib.Path) -> None:
  for trial in (place / 't' / 'trials').glob('*'):
    _check_run(trial.parent, trial.name)


def _follow_call(inputs: pathlib.Path) -> Call:
  def call() -> int:
    tail.PATIENCE, live.POLL, follow.COMMIT = 0.05, 0.01, 200
    quiet = [0, -1]

    def beat(follower: follow.Follower) -> None:
      lines = follower.memory.lines
      quiet[:] = [quiet[0] + 1 if lines == quiet[1] else 0, lines]
      follower.stopped = 15 * (lines >= LINES and quiet[0] > 8)

    options = scan.Options(out='out')
    work = lambda: bool(follow.follow(['app.log'], options, bool, print, beat)) * 0
    return programs.finish('metalog scan', work)

  return call


def _grow(inputs: pathlib.Path, place: pathlib.Path, share: float) -> None:
  """The log has this share of its lines, and is rotated on the way."""
  lines = (inputs / 'app.log').read_text().splitlines(keepends=True)
  log, old = place / 'app.log', place / 'app.log.1'
  end = round(len(lines) * max(share, 0.3))
  begun = (place / 'out' / 'state.json').exists()
  if begun and share >= 0.5 and place.name[-1] in '02468' and not old.exists():
    log.rename(old)
  log.touch()
  have = sum(p.read_bytes().count(b'\n') for p in (log, old) if p.exists())
  with log.open('a') as file:
    file.writelines(lines[have:end])


def _findings(place: pathlib.Path) -> Made:
  out = place / 'out'
  if not (out / 'scan.json').exists():
    return {}
  rows = map(json.loads, (out / 'findings.jsonl').read_text().splitlines())
  return {
    'findings': [f'{x["finding_id"]} {x["count"]} {x["windows"][-1]}' for x in rows],
    # A window that SIGTERM had judged early is judged, and counted, once more.
    'summary': _json(out / 'scan.json', 'inputs', 'windows'),
  }


def _baseline_call(inputs: pathlib.Path) -> Call:
  return metalog(['baseline', 'add', 'base', f'{inputs}/more.log'])


def _baseline_put(inputs: pathlib.Path, place: pathlib.Path, share: float) -> None:
  if not share:
    scanned = ['baseline', 'add', 'base', f'{inputs}/good.log']
    _must(place, scanned)


def _baseline(place: pathlib.Path) -> Made:
  base = place / 'base'
  made = {p.name: _file(p) for p in base.iterdir() if p.name != baseline.MANIFEST}
  return made | {'manifest': _json(base / baseline.MANIFEST)}


def _check_baseline(place: pathlib.Path) -> None:
  names = json.loads((place / 'base' / baseline.MANIFEST).read_text())['sha256']
  for name, expected in names.items():
    assert _file(place / 'base' / name) == [expected], f'base/{name} is not whole'


def _exported(place: pathlib.Path) -> Made:
  out = place / 'exported'
  return {p.name: _file(p) for p in out.iterdir()} if out.exists() else {}


def _check_exported(place: pathlib.Path) -> None:
  out = place / 'exported'
  if out.exists():
    for name, expected in json.loads((out / 'checksums.json').read_text()).items():
      assert _file(out / name) == [expected], f'exported/{name} is not whole'


def _nothing(place: pathlib.Path) -> None:
  """What is not finished is not read by anybody but who goes on with it."""


JOBS = {
  'train': Job(
    lambda inputs: metalog(['train', *train_flags(inputs, 16), '--workdir=run']),
    _run, _check_run,
  ),
  'train_evidence': Job(
    lambda inputs: metalog(
      ['train', f'--target={inputs}/one', '--workdir=run', '--noreport', '--devices=1']
    ),
    _run, _check_run,
  ),
  'adapt': Job(
    lambda inputs: metalog(
      ['adapt', f'--model={inputs}/model', f'--target={inputs}/two', '--workdir=run',
       '--target_normals=10', '--target_anomalies=2']
    ),
    _run, _check_run,
  ),
  'sweep': Job(_sweep_call, _sweep_made, _check_sweep),
  'prepare': Job(_prepare_call, _system, _check_system, _old_system),
  'scan_state': Job(_follow_call, _findings, _nothing, _grow),
  'baseline': Job(_baseline_call, _baseline, _check_baseline, _baseline_put),
  'export': Job(
    lambda inputs: metalog(['export', f'--model={inputs}/model', '--out=exported']),
    _exported, _check_exported,
  ),
}  # fmt: skip


def leftovers(place: pathlib.Path) -> list[str]:
  """Temporary files that a finished job has left."""
  return sorted(
    str(path.relative_to(place)) for path in place.rglob('.*')
    if atomic._PARTIAL in path.name or atomic._OLD in path.suffixes
  )  # fmt: skip


if __name__ == '__main__':  # a process of its own: see kinds._fresh
  target, inputs, operation, number = sys.argv[1:]
  if operation != '0':
    kill_at(int(operation), int(number))()
  sys.exit(JOBS[target].call(pathlib.Path(inputs))())
