"""Messages in, event ids out: this project beside plain drain3, same masks.

Every sample runs in a process of its own and the variants take turns, so that a
busy machine slows all of them alike. What starts the clock is a list of strings;
what stops it is an event id for every line. drain3 masks by itself, one line at a
time, and its answer is the cluster at that moment; canonical mining looks at all
lines before it answers.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from experiments.benches import machine, turns
from metalog_jax import errors
from metalog_jax.logs import bad_lines, formats, masking, parse, readers
from metalog_jax.simulation import simulate

PACKAGES = ('drain3', 'numpy', 'polars')
HDFS = 'hdfs/HDFS_2pct.log.gz'  # under METALOG_DATA
LINES = 2_000_000  # simulated
SAMPLES = 5
_CHUNK = 1 << 18  # lines that canonical mining holds at a time
_MASKSET = masking.presets['hdfs']['default']


def drain3(lines: Sequence[str]) -> tuple[np.ndarray, int]:
  """`TemplateMiner.add_log_message` on every line."""
  from drain3 import masking as drain3_masking
  from drain3 import template_miner, template_miner_config

  config = template_miner_config.TemplateMinerConfig()
  config.drain_sim_th, config.drain_depth = _MASKSET.sim_th, _MASKSET.depth
  config.masking_instructions = [
    drain3_masking.MaskingInstruction(*rule) for rule in _MASKSET.rules
  ]
  miner = template_miner.TemplateMiner(config=config)
  ids = [miner.add_log_message(line)['cluster_id'] for line in lines]
  return np.array(ids), len(miner.drain.clusters)


def canonical(lines: Sequence[str]) -> tuple[np.ndarray, int]:
  """Mask and count in chunks, mine, look every line up."""
  distinct, codes = parse.Distinct(), []
  for begin in range(0, len(lines), _CHUNK):
    codes.append(distinct.add(masking.mask(lines[begin : begin + _CHUNK], _MASKSET)))
  mined = parse.mine(distinct.counts, _MASKSET)
  table, _ = mined.assign(distinct.texts)
  return np.concatenate([table[part] for part in codes]), len(mined.texts) - 1


def arrival(lines: Sequence[str]) -> tuple[np.ndarray, int]:
  """drain3's own answers, in the order of the lines."""
  miner, ids = parse.Arrival(_MASKSET), []
  for begin in range(0, len(lines), _CHUNK):
    ids.append(miner.add(masking.mask(lines[begin : begin + _CHUNK], _MASKSET)))
  return np.concatenate(ids), len(miner.clusters)


VARIANTS: dict[str, tuple[Callable, str, int]] = {  # name -> what, whose, threads
  'add_log_message': (drain3, 'drain3', 1),
  'canonical, one thread': (canonical, 'metalog_jax', 1),
  'canonical, all cores': (canonical, 'metalog_jax', machine.cores()),
  'arrival, one thread': (arrival, 'metalog_jax', 1),
}


def run(options: turns.Options) -> dict[str, Any]:
  """Measures every variant on every workload, in turn."""
  samples, seed = options.samples, options.seed
  results, ratios = [], {}
  with tempfile.TemporaryDirectory() as folder:
    for workload, contents in _workloads(pathlib.Path(folder), seed):
      path = pathlib.Path(folder) / f'{workload}.parquet'
      contents.rename('content').to_frame().write_parquet(path)
      turns = [{v: _sample(path, v) for v in VARIANTS} for _ in range(samples)]
      results += [_result(workload, v, len(contents), turns) for v in VARIANTS]
      ratios[workload] = _ratios(turns)
  return {'results': results, 'ratios': ratios}


def _workloads(folder: pathlib.Path, seed: int):
  data = os.environ.get('METALOG_DATA')
  if data:
    yield 'hdfs', _contents(pathlib.Path(data) / HDFS)
  else:
    print('METALOG_DATA is not set: the real HDFS log is left out', file=sys.stderr)
  written = simulate('blockstore', folder / 'simulated', LINES // 15, seed)
  yield 'simulated', _contents(written.log)[:LINES]


def _contents(path: pathlib.Path) -> pl.Series:
  bad = bad_lines.BadLines('0', 'hdfs')
  return pl.concat(
    [c.content for c in readers.read([str(path)], formats.FORMATS['hdfs'], bad)]
  )


def _sample(path: pathlib.Path, variant: str) -> dict[str, Any]:
  """One measurement, in a new process."""
  threads = str(VARIANTS[variant][2])
  done = subprocess.run(
    [sys.executable, '-m', 'experiments.benches.parsing', str(path), variant],
    env={**os.environ, 'POLARS_MAX_THREADS': threads},
    stdout=subprocess.PIPE,
    check=True,
  )
  return json.loads(done.stdout)


def _measure(path: str, variant: str) -> dict[str, Any]:
  lines = pl.read_parquet(path)['content'].to_list()
  parser = VARIANTS[variant][0]
  parser(lines[:1000])  # patterns are compiled before the clock starts
  begin = time.perf_counter()
  ids, templates = parser(lines)
  seconds = time.perf_counter() - begin
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  if len(ids) != len(lines):
    raise errors.UserError(f'{variant}: {len(ids)} events for {len(lines)} lines')
  return {'seconds': seconds, 'templates': templates, 'peak_mib': round(peak)}


def _result(workload, variant, lines, turns) -> dict[str, Any]:
  _, framework, threads = VARIANTS[variant]
  taken = [turn[variant] for turn in turns]
  summary = machine.summarize([one['seconds'] for one in taken])
  return {
    'workload': workload,
    'variant': variant,
    'framework': framework,
    'threads': threads,
    'control': variant.startswith('arrival'),
    'lines': lines,
    'lines_per_second': round(lines / summary['median_ms'] * 1e3),
    **summary,
    'templates': taken[0]['templates'],
    'peak_mib': max(one['peak_mib'] for one in taken),
  }


def _ratios(turns) -> dict[str, float]:
  """drain3's time over ours in the same turn: the median over the turns."""
  base = [turn['add_log_message']['seconds'] for turn in turns]
  ratios = {}
  for variant in list(VARIANTS)[1:]:
    ours = [turn[variant]['seconds'] for turn in turns]
    ratio = statistics.median(b / o for b, o in zip(base, ours, strict=True))
    ratios[variant] = round(ratio, 2)
  return ratios


if __name__ == '__main__':
  print(json.dumps(_measure(*sys.argv[1:])))
