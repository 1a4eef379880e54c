r"""Memory and time of a meta-gradient through long inner loops.

  python -m experiments.long_loops --json=long_loops.json --figure=long_loops.png

The loss is a classifier's of digits (64-64-10 units, 32 images); memory is what the
compiled program says it needs beside its arguments and results, time the least of ten
runs, those of the three ways in turn. The limit on an accelerator is counted from what
a step keeps.
"""

import functools
import time
from typing import Any, NamedTuple

from experiments import main as program
from metalog_jax import atomic
from metalog_jax.cli.options import Flag

FLAGS = (
  Flag('steps', ['1', '10', '100', '1000', '10000'], 'inner steps to measure'),
  Flag('json', None, 'file to write the figures to'),
  Flag('figure', None, 'image to write'),
)
RUNS = 10
GIB = 2**30
LIMIT = 24 * GIB  # of an accelerator
METALOG = 4 * 201_402  # bytes of MetaLog's parameters
WAYS = {'reverse': 'reverse', 'mixed': 'mixed', 'in segments': 'mixed'}


class Point(NamedTuple):
  """One measured program."""

  way: str
  steps: int
  bytes: int  # temporary
  seconds: float


def check(values: Any) -> None:
  """Refuses files that cannot be written."""
  program.check_outputs(values, 'json', 'figure')


def main(values: Any, rest: list[str]) -> None:
  """Measures, prints a table, and writes what was asked for."""
  del rest
  points = [point for steps in values.steps for point in measure(int(steps))]
  print('| inner steps | way | memory, MiB | seconds |\n|---|---|---|---|')
  for point in points:
    print(f'| {point.steps:,} | {point.way} | {point.bytes / 2**20:.2f} |'
          f' {point.seconds:.4f} |')  # fmt: skip
  print(f"On {LIMIT // GIB} GiB, MetaLog's 201,402 parameters in float32 allow")
  print(f'{LIMIT // METALOG:,} inner steps mixed,', end=' ')
  print(f'{(LIMIT // METALOG // 2) ** 2:,} in segments (2 √K states).')
  if values.json:
    atomic.write_json(values.json, [point._asdict() for point in points])
  if values.figure:
    draw(points, values.figure)


def measure(steps: int) -> list[Point]:
  """Compiles and runs one meta-gradient in every way."""
  import jax  # jax: not for --help
  import jax.numpy as jnp
  import numpy as np
  from sklearn import datasets

  from metalog_jax import meta

  images, digits = datasets.load_digits(return_X_y=True)
  batch = lambda i: (np.float32(images[i : i + 32] / 16), digits[i : i + 32])
  rng = np.random.default_rng(0)
  draw = lambda *shape: np.float32(rng.normal(size=shape) / np.sqrt(shape[0]))
  params = {'w': draw(64, 64), 'b': draw(64) * 0, 'v': draw(64, 10)}

  def loss_fn(params, batch):
    logits = jnp.tanh(batch[0] @ params['w'] + params['b']) @ params['v']
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(32), batch[1]])

  task, compiled, seconds = meta.Task(batch(0), batch(32)), {}, {}
  for way, mode in WAYS.items():
    segments = round(steps**0.5) if way == 'in segments' else 1
    config = meta.MetaConfig(
      inner_lr=0.01, inner_steps=steps, gradient=mode, segments=segments
    )
    take = jax.jit(functools.partial(meta.meta_grad, loss_fn, config=config))
    compiled[way], seconds[way] = take.lower(params, task=task).compile(), []
  for _ in range(RUNS):
    for way, call in compiled.items():
      start = time.perf_counter()
      jax.block_until_ready(call(params, task=task))
      seconds[way].append(time.perf_counter() - start)
  memory = lambda way: compiled[way].memory_analysis().temp_size_in_bytes
  return [Point(way, steps, memory(way), min(seconds[way])) for way in WAYS]


def draw(points: list[Point], path: str) -> None:
  """Memory and time over the inner steps, side by side."""
  from matplotlib import figure  # matplotlib: not for --help

  image = figure.Figure(figsize=(8, 3.2), layout='constrained')
  for axes, name, unit in zip(
    image.subplots(1, 2), ('bytes', 'seconds'), (2**20, 1), strict=True
  ):
    for way in WAYS:
      line = [p for p in points if p.way == way]
      values = [getattr(p, name) / unit for p in line]
      axes.loglog([p.steps for p in line], values, marker='o', label=way)
    axes.set_xlabel('inner steps')
    axes.set_ylabel({'bytes': 'memory, MiB', 'seconds': 'seconds'}[name])
  axes.legend(frameon=False)
  image.savefig(path, dpi=120)


if __name__ == '__main__':
  program.run()
