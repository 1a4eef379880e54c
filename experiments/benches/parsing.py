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
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from drain3 import masking as drain3_masking
from drain3 import template_miner, template_miner_config

from experiments.benches import bench_machine, interleave
from metalog_jax.logs import files, formats, masking, parse, readers, repeats
from metalog_jax.simulation import simulate

PACKAGES = ('drain3', 'numpy', 'polars')
HDFS = 'hdfs/HDFS_2pct.log.gz'  # under METALOG_DATA
LINES = 2_000_000  # simulated
SAMPLES = 5
WORKLOADS = ('hdfs', 'simulated')
_CHUNK = 1 << 18  # lines that canonical mining holds at a time
_MASKSET = formats.FORMATS['hdfs'].masks['default']


def drain3(lines: Sequence[str]) -> tuple[np.ndarray, int]:
  """`TemplateMiner.add_log_message` on every line."""
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
    masked = masking.mask(lines[begin : begin + _CHUNK], _MASKSET)
    texts, chunk = repeats.encode(masked)
    codes.append(distinct.add(texts, np.bincount(chunk))[chunk])
  mined = parse.mine(distinct.counts, _MASKSET)
  table, _ = mined.assign(distinct.texts)
  return np.concatenate([table[part] for part in codes]), len(mined.texts) - 1


def arrival(lines: Sequence[str]) -> tuple[np.ndarray, int]:
  """drain3's own answers, in the order of the lines."""
  miner, ids = parse.Arrival(_MASKSET), []
  for begin in range(0, len(lines), _CHUNK):
    ids.append(miner.add(masking.mask(lines[begin : begin + _CHUNK], _MASKSET)))
  return np.concatenate(ids), len(miner.clusters)


class Variant(NamedTuple):
  """A parser: lines -> (event ids, number of templates)."""

  parse: Callable[[Sequence[str]], tuple[np.ndarray, int]]
  framework: str
  threads: int
  control: bool = False


BASE = 'add_log_message'  # what ratios compare with
VARIANTS = {
  BASE: Variant(drain3, 'drain3', 1),
  'canonical, one thread': Variant(canonical, 'metalog_jax', 1),
  'canonical, all cores': Variant(
    canonical, 'metalog_jax', len(os.sched_getaffinity(0))
  ),
  'arrival, one thread': Variant(arrival, 'metalog_jax', 1, control=True),
}
Turn = dict[str, dict[str, Any]]  # variant -> its sample


def run(options: interleave.Options) -> dict[str, Any]:
  """Measures every variant on every workload, in turn."""
  names = options.variants or tuple(VARIANTS)
  report: dict[str, Any] = {'results': [], 'ratios': {}}
  with tempfile.TemporaryDirectory() as folder:
    for workload in options.workloads or WORKLOADS:
      lines = _lines(workload, pathlib.Path(folder))
      if lines is None:
        print('METALOG_DATA is not set: the real HDFS log is left out', file=sys.stderr)
        continue
      path = pathlib.Path(folder) / f'{workload}.parquet'
      lines.rename('content').to_frame().write_parquet(path)
      turns = [{v: _sample(path, v) for v in names} for _ in range(options.samples)]
      report['results'] += [_result(workload, v, len(lines), turns) for v in names]
      report['ratios'][workload] = compare(turns)
  return report


def _lines(workload: str, folder: pathlib.Path) -> pl.Series | None:
  if workload == 'hdfs':
    data = os.environ.get('METALOG_DATA')
    return read_contents(pathlib.Path(data) / HDFS) if data else None
  written = simulate('blockstore', folder / 'simulated', LINES // 15)
  return read_contents(written.log)[:LINES]


def read_contents(path: pathlib.Path) -> pl.Series:
  """The messages of a log in HDFS' format, without their headers."""
  chunks = files.read_chunks([str(path)], len)
  return pl.concat([readers.parse(c, formats.FORMATS['hdfs']).content for c in chunks])


def _sample(path: pathlib.Path, variant: str) -> dict[str, Any]:
  """One measurement, in a new process."""
  threads = str(VARIANTS[variant].threads)
  done = subprocess.run(
    [sys.executable, '-m', 'experiments.benches.parsing', str(path), variant],
    env={**os.environ, 'POLARS_MAX_THREADS': threads},
    stdout=subprocess.PIPE,
    check=True,
  )
  return json.loads(done.stdout)


def _measure(path: str, variant: str) -> dict[str, Any]:
  lines = pl.read_parquet(path)['content'].to_list()
  parse = VARIANTS[variant].parse
  parse(lines[:1000])  # patterns are compiled before the clock starts
  begin = time.perf_counter()
  ids, templates = parse(lines)
  seconds = time.perf_counter() - begin
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  if len(ids) != len(lines):
    raise ValueError(f'{variant}: {len(ids)} events for {len(lines)} lines')
  return {'seconds': seconds, 'templates': templates, 'peak_mib': round(peak)}


def _result(workload: str, name: str, lines: int, turns: list[Turn]) -> dict[str, Any]:
  samples = [turn[name] for turn in turns]
  summary = bench_machine.summarize([sample['seconds'] for sample in samples])
  return {
    'workload': workload,
    'variant': name,
    'framework': VARIANTS[name].framework,
    'threads': VARIANTS[name].threads,
    'control': VARIANTS[name].control,
    'lines': lines,
    'lines_per_second': round(lines / summary['median_ms'] * 1e3),
    **summary,
    'templates': samples[0]['templates'],
    'peak_mib': max(sample['peak_mib'] for sample in samples),
  }


def compare(turns: list[Turn]) -> dict[str, float]:
  """drain3's time over ours in the same turn: the median over the turns."""
  if BASE not in turns[0]:
    return {}
  return {
    name: round(
      statistics.median(
        turn[BASE]['seconds'] / turn[name]['seconds'] for turn in turns
      ),
      2,
    )
    for name in turns[0]
    if name != BASE
  }


if __name__ == '__main__':
  print(json.dumps(_measure(*sys.argv[1:])))
