"""Stands for `experiments.train` in tests of `sweep`: goes on where it was killed.

Each start is a line of ledger.txt; 'twice' is one that met another process.
"""

import argparse
import fcntl
import json
import os
import pathlib
import sys
import time

import polars as pl

SLICES = 10
SECONDS = float(os.environ.get('FAKE_SECONDS', 0.02))  # a slice


def measures(f1: float) -> dict:
  keys = ('precision', 'recall', 'f1', 'auroc', 'auprc')
  return {'sessions': 9, 'anomalies': 3, 'threshold': 0.5} | dict.fromkeys(keys, f1)


def result(seed: int, rate: float) -> dict:
  test = {kind: measures(rate - 0.01 * seed) for kind in ('all', 'distinct', 'unseen')}
  test['floors'] = {'always': {kind: measures(0.5) for kind in test}}
  seconds = {'setup': 1.0, 'train': 2.0}
  return {
    'detector': 'x',
    'source': [],
    'seed': seed,
    'test': {'rest': test},
    'seconds': seconds,
  }


def main() -> None:
  parser = argparse.ArgumentParser(allow_abbrev=False)
  parser.add_argument('--seed', type=int)
  parser.add_argument('--seeds', default='')
  parser.add_argument('--workdir', type=pathlib.Path)
  parser.add_argument('--alert_rate', type=float, default=0.9)
  args, _ = parser.parse_known_args()
  if args.alert_rate == 0:
    sys.exit('train: this row always fails')
  workdir = str(args.workdir)
  for seed in map(int, args.seeds.split(',')) if args.seeds else [args.seed]:
    args.seed = seed
    args.workdir = pathlib.Path(workdir.replace('{seed}', str(seed)))
    run(args)


def run(args: argparse.Namespace) -> None:
  args.workdir.mkdir(parents=True, exist_ok=True)
  config = {'detector': 'x', 'data': {'seed': args.seed}}
  (args.workdir / 'config.json').write_text(json.dumps(config))
  busy = (args.workdir / 'busy').open('w')
  try:
    fcntl.flock(busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
    word = 'start'
  except BlockingIOError:
    word = 'twice'
  with (args.workdir / 'ledger.txt').open('a') as ledger:
    ledger.write(f'{word}\n')
  steps = args.workdir / 'steps'
  done = len(steps.read_text()) if steps.exists() else 0
  for _ in range(done, SLICES):
    time.sleep(SECONDS)
    with steps.open('a') as file:
      file.write('.')
  config = {'detector': 'x', 'data': {'seed': args.seed}}
  (args.workdir / 'config.json').write_text(json.dumps(config))
  for name in ('environment.json', 'explained.json', 'checksums.json'):
    (args.workdir / name).write_text('{}')
  names = 'system', 'session_id', 'label', 'score'
  pl.DataFrame({name: [] for name in names}).write_parquet(
    args.workdir / 'scores.parquet'
  )
  temporary = args.workdir / 'result.json.tmp'
  temporary.write_text(json.dumps(result(args.seed, args.alert_rate)))
  os.replace(temporary, args.workdir / 'result.json')


if __name__ == '__main__':
  main()
