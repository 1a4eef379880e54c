"""Texts in, one vector each out: this project beside `transformers`, same weights.

Every sample runs in a process of its own and the variants take turns. Tokenizing
counts, loading and compiling do not, and nothing is cached. `transformers` gets its
texts in batches padded to the longest: sorted by length, which is the best it can do
here, and as they come, which is what a plain loop does (a control).
"""

import csv
import gzip
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.benches import machine, turns
from metalog_jax import errors
from metalog_jax.embeddings import pretrained, texts

PACKAGES = ('jax', 'jaxlib', 'numpy', 'tokenizers', 'torch', 'transformers')
SAMPLES = 5
LINES = 1000  # raw ones
_TEMPLATES = '*/*templates.csv'  # under METALOG_DATA
_LOGS = ('hdfs/HDFS_2pct.log.gz', 'bgl/BGL_first10000.log.gz')
_CONFIG = texts.Encoder()
_TOLERANCE = 1e-5  # between the vectors of all variants

Encode = Callable[[Sequence[str]], np.ndarray]


def packed() -> Encode:
  """Ours: several texts a row."""
  model = texts.load(_CONFIG)
  params = texts.params_of(model, _CONFIG)
  return lambda lines: np.concatenate(
    texts.compute(model, params, _CONFIG.pooling, lines)
  )


def padded(batch: int, is_sorted: bool) -> Encode:
  """`transformers` and the mean over tokens, as its users write it."""
  import torch
  import transformers

  transformers.logging.set_verbosity_error()
  transformers.logging.disable_progress_bar()
  torch.set_num_threads(machine.cores())
  folder = pretrained.find()
  model = transformers.AutoModel.from_pretrained(folder).eval()
  tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
  settings = {'max_length': _CONFIG.max_tokens, 'return_tensors': 'pt'}

  def encode(lines):
    order = sorted(range(len(lines)), key=lambda i: -len(lines[i]) * is_sorted)
    out = np.zeros((len(lines), model.config.hidden_size), np.float32)
    for start in range(0, len(order), batch):
      part = order[start : start + batch]
      chosen = [lines[i] for i in part]
      tokens = tokenizer(chosen, padding=True, truncation=True, **settings)
      with torch.inference_mode():
        hidden = model(**tokens).last_hidden_state
      mask = tokens['attention_mask'][..., None]
      out[part] = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
    return out

  return encode


VARIANTS: dict[str, tuple[Callable[[], Encode], str]] = {  # name -> what, whose
  'packed rows': (packed, 'jax'),
  'sorted, 16 at a time': (lambda: padded(16, True), 'torch'),
  'sorted, 32 at a time': (lambda: padded(32, True), 'torch'),
  'as they come, 32 at a time': (lambda: padded(32, False), 'torch'),
}


def run(options: turns.Options) -> dict[str, Any]:
  """Measures every variant on every workload, in turn.

  Raises:
    UserError: METALOG_DATA is not set, or variants disagree.
  """
  data = os.environ.get('METALOG_DATA')
  if not data:
    raise errors.UserError('set METALOG_DATA to the folder of real logs to be encoded')
  names = options.variants or tuple(VARIANTS)
  results, ratios = [], {}
  for workload in options.workloads or tuple(WORKLOADS):
    count = len(WORKLOADS[workload](pathlib.Path(data)))
    taken = [
      {name: _sample(workload, name) for name in names} for _ in range(options.samples)
    ]
    sums = np.array([[one['mean'] for one in turn.values()] for turn in taken])
    if np.ptp(sums) > _TOLERANCE:
      raise errors.UserError(f'{workload}: the variants give other vectors ({sums})')
    results += [_result(workload, name, count, taken) for name in names]
    ratios[workload] = _ratios(taken)
  return {'results': results, 'ratios': ratios}


def templates(data: pathlib.Path) -> list[str]:
  """Every distinct template of the public sets, as text."""
  found = []
  for path in sorted(data.glob(_TEMPLATES)):
    with path.open() as file:
      found += [
        texts.as_text(row[-1]) for row in itertools.islice(csv.reader(file), 1, None)
      ]
  return list(dict.fromkeys(found))


def lines(data: pathlib.Path) -> list[str]:
  """Distinct raw lines, half of each log."""
  found = []
  for name in _LOGS:
    with gzip.open(data / name, 'rt', errors='replace') as file:
      every = dict.fromkeys(line.strip() for line in itertools.islice(file, LINES))
      found += list(every)[: LINES // 2]
  return found


WORKLOADS: dict[str, Callable[[pathlib.Path], list[str]]] = {
  'templates': templates,
  'lines': lines,
}


def _sample(workload: str, variant: str) -> dict[str, Any]:
  """One measurement, in a new process."""
  done = subprocess.run(
    [sys.executable, '-m', 'experiments.benches.encoding', workload, variant],
    stdout=subprocess.PIPE,
    check=True,
  )
  return json.loads(done.stdout)


def _measure(workload: str, variant: str) -> dict[str, Any]:
  chosen = WORKLOADS[workload](pathlib.Path(os.environ['METALOG_DATA']))
  encode = VARIANTS[variant][0]()
  encode(chosen)  # compiled before the clock starts
  begin, spent = time.perf_counter(), time.process_time()
  vectors = encode(chosen)
  return {
    'seconds': time.perf_counter() - begin,
    'processor_seconds': time.process_time() - spent,
    'mean': float(np.abs(vectors).mean()),
  }


def _result(workload, variant, count, taken) -> dict[str, Any]:
  mine = [turn[variant] for turn in taken]
  summary = machine.summarize([one['seconds'] for one in mine])
  spent = statistics.median(one['processor_seconds'] for one in mine)
  return {
    'workload': workload,
    'variant': variant,
    'framework': VARIANTS[variant][1],
    'control': variant.startswith('as they come'),
    'texts': count,
    'texts_per_second': round(count / summary['median_ms'] * 1e3),
    **summary,
    'processor_ms': round(spent * 1e3, 3),
  }


def _ratios(taken) -> dict[str, float]:
  """Each variant's time over ours in the same turn: the median over the turns."""
  ours = next(iter(VARIANTS))
  return {
    name: round(
      statistics.median(t[name]['seconds'] / t[ours]['seconds'] for t in taken), 2
    )
    for name in taken[0]
    if name != ours and ours in taken[0]
  }


if __name__ == '__main__':
  print(json.dumps(_measure(*sys.argv[1:])))
