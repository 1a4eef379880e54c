r"""Does to small jobs what machines do to programs, and compares with jobs left alone.

  python -m experiments.torture --kills=1000 --seed=0 --out=torture
  python -m experiments.torture --kind=full,quota --target=prepare,train --out=torture
  python -m experiments.torture --damaged=system,run --out=torture
  python -m experiments.torture --hosts=100 --out=torture

Every try of a kind on a target draws from its number and --seed alone, and is a line of
tries.jsonl in --out; the same command goes on where it was stopped. The folder of a try
that went wrong is kept. With --damaged every file of a folder is damaged in every way,
and read; each is a line of damaged.jsonl. With --hosts two or four processes train
together, and one is killed or frozen. Kinds that need disks of their own are for root
on Linux.
"""

import collections
import contextlib
import itertools
import json
import multiprocessing
import pathlib
import random
import shutil
import time
from collections.abc import Iterator
from typing import Any

from experiments import main as program
from metalog_jax import atomic, errors, lazy
from metalog_jax.cli.options import Flag

kinds = lazy.module('experiments.tortures.kinds')
jobs = lazy.module('experiments.tortures.jobs')
damage = lazy.module('experiments.tortures.damage')
hosts = lazy.module('experiments.tortures.hosts')
children = lazy.module('experiments.tortures.children')

KINDS = ('kills', 'terminates', 'stops', 'full', 'readonly', 'quota', 'memory', 'two',
         'clock', 'slow')  # fmt: skip
TARGETS = ('train', 'train_evidence', 'adapt', 'sweep', 'prepare', 'scan_state',
           'baseline', 'export')  # fmt: skip
FOLDERS = ('system', 'run', 'adapted', 'checkpoint', 'baseline', 'state',
           'exported')  # fmt: skip
FAULTS = ('lost', 'doubled', 'different', 'half', 'refused', 'hung', 'traceback',
          'dump', 'left')  # fmt: skip
FLAGS = (
  Flag('kills', 0, 'SIGKILLs of all targets, in place of --kind and --count', low=0),
  Flag('kind', ['kills'], 'what is done', KINDS),
  Flag('target', list(TARGETS), 'to what', TARGETS),
  Flag('hosts', 0, 'tries of training in several processes, in place of jobs', low=0),
  Flag('damaged', [], 'folders whose files are damaged, in place of jobs', FOLDERS),
  Flag('flips', 3, 'bits of each damaged file that are flipped, one at a time', low=0),
  Flag('count', 10, 'tries of each kind on each target', low=1),
  Flag('seed', 0, 'of all that is random', low=0),
  Flag('out', 'torture', 'folder for tries.jsonl and what went wrong'),
)  # fmt: skip


def main(values: Any, rest: list[str]) -> None:
  """Tries all that is left, and prints the table.

  Raises UserError where something went wrong.
  """
  out = pathlib.Path(values.out).resolve()
  out.mkdir(parents=True, exist_ok=True)
  children.prepare_process(out)
  jobs.make_inputs(out / 'inputs')
  if values.damaged:
    return _damage(out, values)
  records = read(out)
  done = {(x['kind'], x['target'], x['number'], x['seed']) for x in records}
  for kind, target, number in _plan(values, records):
    if (kind, target, number, values.seed) not in done:
      record = attempt(out, kind, target, number, values.seed)
      records.append(record)
      with (out / 'tries.jsonl').open('a') as file:
        file.write(json.dumps(record) + '\n')
      for fault in record['faults']:
        print(f'{kind} {target} {number}: {fault}', flush=True)
  print(table(records))
  if any(record['faults'] for record in records):
    raise errors.UserError(f'{out}/tries.jsonl names what went wrong')


def _damage(out: pathlib.Path, values: Any) -> None:
  rows = []
  for name in values.damaged:
    place = out / f'damaged-{name}'
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    folder = damage.make(name, out / 'inputs', place)
    for row in damage.outcomes(folder, values.seed, values.flips):
      rows.append((name, *row))
      if row[2] not in ('refused', 'alike'):
        print(*rows[-1], flush=True)
  (out / 'damaged.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
  print(damage.table(rows))
  if any(row[3].startswith('WRONG') for row in rows):
    raise errors.UserError(f'{out}/damaged.jsonl names what went wrong')


def _plan(values: Any, records: list[dict[str, Any]]) -> Iterator[tuple[str, str, int]]:
  """Kinds, targets and numbers in turn; `records` grows while they are tried."""
  if values.hosts:
    yield from (('hosts', 'train', number) for number in range(values.hosts))
    return
  for number in itertools.count() if values.kills else range(values.count):
    for kind in ['kills'] if values.kills else values.kind:
      for target in values.target:
        hits = sum(x['hits'] for x in records if x['kind'] == 'kills')
        if values.kills and hits >= values.kills:
          return
        yield kind, target, number


def read(out: pathlib.Path) -> list[dict[str, Any]]:
  """The tries so far; a line that a kill cut short is left out."""
  path, records = out / 'tries.jsonl', []
  for line in path.read_text().splitlines() if path.exists() else ():
    with contextlib.suppress(ValueError):
      records.append(json.loads(line))
  return records


def attempt(
  out: pathlib.Path, kind: str, target: str, number: int, seed: int
) -> dict[str, Any]:
  """One try, in a process of its own."""
  name = f'{kind}-{target}-{seed}-{number}'
  place = out / name
  shutil.rmtree(place, ignore_errors=True)
  place.mkdir()
  if kind == 'hosts':
    known: Any = hosts.expect(out / 'inputs', out)
  else:
    known = expected(out, target)
  begin = time.monotonic()
  context = multiprocessing.get_context('fork')
  receive, send = context.Pipe(duplex=False)

  def work() -> None:
    draw, inputs = random.Random(name), out / 'inputs'
    if kind == 'hosts':
      send.send(hosts.attempt(inputs, place, draw, known))
    else:
      send.send(kinds.KINDS[kind](kinds.Try(target, inputs, place, draw, *known)))

  process = context.Process(target=work)
  process.start()
  send.close()
  try:
    outcome = receive.recv()
  except EOFError:
    outcome = kinds.Outcome(0, ['torture itself failed'])
  process.join()
  if not outcome.faults:
    shutil.rmtree(place, ignore_errors=True)
    children.said_file(place).unlink(missing_ok=True)
  return {
    'kind': kind, 'target': target, 'number': number, 'seed': seed,
    'hits': outcome.hits, 'faults': outcome.faults, 'note': outcome.note,
    'seconds': round(time.monotonic() - begin, 2),
  }  # fmt: skip


def expected(out: pathlib.Path, target: str) -> tuple[int, float, Any]:
  """File operations, seconds and results of a job that nothing is done to.

  It runs twice: the second time it finds compiled programs, and gives the same.
  """
  path = out / f'expected-{target}.json'
  if not path.exists():
    job, made, measured = jobs.JOBS[target], [], (0, 0.0)
    for again in range(2):
      place = out / f'alone-{target}-{again}'
      shutil.rmtree(place, ignore_errors=True)
      place.mkdir()
      job.put(out / 'inputs', place, 0.0)
      job.put(out / 'inputs', place, 1.0)
      measured = children.count_operations(job.call(out / 'inputs'), place)
      made.append(job.made(place))
      shutil.rmtree(place)
    if made[0] != made[1]:
      raise RuntimeError(f'{target} gives something else each time')
    atomic.write_json(path, [*measured, made[0]])
  operations, seconds, result = json.loads(path.read_text())
  return operations, seconds, result


def table(records: list[dict[str, Any]]) -> str:
  """Kinds and targets with their tries, hits and faults, as Markdown."""
  rows: dict[Any, collections.Counter] = collections.defaultdict(collections.Counter)
  for record in records:
    row = rows[record['kind'], record['target']]
    row.update(tries=1, hits=record['hits'], fine=int(not record['faults']))
    row.update({fault.split(':')[0] for fault in record['faults']})
  names = ('tries', 'hits', 'fine', *FAULTS)
  lines = ['| kind | target | ' + ' | '.join(names) + ' |',
           '|---|---|' + '--:|' * len(names)]  # fmt: skip
  rows['all', ''] = sum(rows.values(), collections.Counter())
  for (kind, target), row in rows.items():
    cells = ' | '.join(str(row[name]) for name in names)
    lines.append(f'| {kind} | {target} | {cells} |')
  return '\n'.join(lines)


if __name__ == '__main__':
  program.run()
