r"""What meta-steps and scores are on an accelerator, without having one.

  python -m experiments.lowered --size=paper

Every program is lowered for NVIDIA GPUs and TPUs, refused if it calls the host, holds
float64 or shapes that are not known, and its operations are counted. The times are
expected, not measured: what the products take at half the chip's peak, and what the
loops take at a latency for each of their steps. `experiments/accelerator.sh` measures.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from experiments import main as program
from metalog_jax import errors
from metalog_jax.cli.options import Flag

EXACT = ('mixed', 'reverse', 'remat', 'linearized')
FLAGS = (
  Flag('size', 'tiny', 'of the networks and batches', ('tiny', 'paper')),
  Flag('gradients', [*EXACT], 'exact modes', EXACT),
)
PLATFORMS = ('cuda', 'tpu')
# Of a chip: peak float32 FLOP/s, and seconds that a step of a loop waits at least.
CHIPS = {'H200': (67e12, 20e-6), 'TPU v5e': (98e12, 3e-6)}
# all-MiniLM-L6-v2: words, units, layers, heads, inner units, positions.
ENCODER = (30522, 384, 6, 12, 1536, 512)
COUNTED = ('while', 'gather', 'scatter', 'dot_general', 'custom_call')
REFUSED = {'callback': 'calls the host', 'f64': 'holds float64', '?x': 'dynamic shapes'}


class Program(NamedTuple):
  """A function and what it is called with, arrays or their shapes."""

  function: Callable
  arguments: tuple


class Row(NamedTuple):
  """Of one program as lowered for TPUs."""

  kib: float  # of StableHLO
  operations: dict[str, int]  # by name, as they stand: bodies of loops once
  flops: int  # as they run
  dependent_steps: int  # of loops, one after another


def main(values: Any, rest: list[str]) -> None:
  """Lowers all programs and prints the table."""
  del rest
  tiny = values.size == 'tiny'
  heads = ['program', 'KiB', *COUNTED, 'GFLOP', 'loop steps', *CHIPS]
  print(f'| {" | ".join(heads)} |\n|{"---|" * len(heads)}')
  for name, built in programs(tiny, values.gradients).items():
    row = measure(built)
    times = [
      f'{1e3 * (2 * row.flops / peak + row.dependent_steps * latency):.1f} ms expected'
      for peak, latency in CHIPS.values()
    ]
    counts = [row.operations[name] for name in COUNTED]
    cells = [f'{row.kib:.0f}', *counts, f'{row.flops / 1e9:.3g}', row.dependent_steps]
    print(f'| {name} | {" | ".join(map(str, [*cells, *times]))} |', flush=True)


def programs(tiny: bool, gradients: list[str]) -> dict[str, Program]:
  """MetaLog's and LogMeta's meta-steps by mode, in bfloat16, MetaLog's scores, and
  the encoder of sentences."""
  import jax  # jax: not for --help

  from experiments.benches import jax_gru, jax_lstm, lstm_workloads, variants, workloads

  gru = workloads.WORKLOADS['tiny' if tiny else 'hdfs_to_bgl']
  lstm = lstm_workloads.META_STEPS['logmeta_tiny' if tiny else 'logmeta']
  found = {}
  for gradient in gradients:
    variant = variants.Variant('jax', 'side by side', gradient=gradient)
    step, state, tasks = jax_gru.prepare(gru, variant, {}, 1)
    found[f'MetaLog {gradient}'] = Program(step, (state, tasks[0]))
    step, state, tasks = jax_lstm.prepare(lstm, variant, 1)
    found[f'LogMeta {gradient}'] = Program(step, (state, tasks[0]))
  variant = variants.Variant('jax', 'ours')
  step, state, tasks = jax_gru.prepare(gru, variant, {}, 1, dtype='bfloat16')
  found['MetaLog bfloat16'] = Program(step, (state, tasks[0]))
  batch = jax.tree.map(lambda x: x[0, 0], tasks[0].query)
  found['MetaLog scores'] = Program(
    jax_gru.detector(gru, variant).score, (state, batch)
  )
  for dtype in ('float32', 'bfloat16'):
    found[f'encoder {dtype}'] = encoder_program(tiny, dtype)
  return found


def encoder_program(tiny: bool, dtype: str) -> Program:
  """Vectors of texts by BERT: `ENCODER`'s, or a tiny one, in rows of several texts."""
  import jax  # jax: not for --help

  from metalog_jax.embeddings import encoder, pretrained

  form = pretrained.Form('bert', *((99, 24, 3, 4, 40, 40) if tiny else ENCODER))
  rows, tokens, texts = (2, 16, 5) if tiny else (32, 128, 256)

  def vectors(params, ids, segments):
    return encoder.pool(encoder.apply(params, ids, segments, form), segments, texts)

  params = jax.eval_shape(
    lambda key: encoder.random_params(key, form), jax.random.key(0)
  )
  params = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), params)
  cells = jax.ShapeDtypeStruct((rows, tokens), 'int32')
  return Program(vectors, (params, cells, cells))


def measure(built: Program) -> Row:
  """Lowers for both platforms and counts.

  Raises:
    UserError: the program would not run, or not as meant, on an accelerator.
  """
  import jax  # jax: not for --help
  from jax import export

  from metalog_jax.meta import costs

  function = jax.jit(built.function)
  try:
    lowered = export.export(function, platforms=PLATFORMS)(*built.arguments)
  except NotImplementedError as error:  # as a callback into Python
    raise errors.UserError(f'the program cannot be lowered: {error}') from error
  text = lowered.mlir_module()
  check(text)
  jaxpr = jax.make_jaxpr(function)(*built.arguments).jaxpr
  return Row(
    len(text) / 2**10,
    {name: len(re.findall(rf'stablehlo\.{name}\b', text)) for name in COUNTED},
    costs.work(function, *built.arguments).flops,
    dependent_steps(jaxpr),
  )


def check(text: str) -> None:
  """Refuses StableHLO that accelerators would run badly or not at all.

  Raises:
    UserError: it calls the host, or holds float64 or dynamic shapes.
  """
  for sign, what in REFUSED.items():
    if sign in text:
      line = next(line for line in text.splitlines() if sign in line)
      raise errors.UserError(f'the program {what}: {line.strip()[:200]}')


def dependent_steps(jaxpr: Any) -> int:
  """How many steps of loops a program takes one after another, nested ones too."""
  total = 0
  for eqn in jaxpr.eqns:
    values = [*eqn.params.values()]
    if eqn.primitive.name == 'custom_linear_solve':  # its other parts are not run
      values = [eqn.params['jaxprs'].solve]
    parts = [getattr(value, 'jaxpr', value) for value in values]
    inner = sum(dependent_steps(part) for part in parts if hasattr(part, 'eqns'))
    if eqn.primitive.name == 'cond':
      inner = max(dependent_steps(part.jaxpr) for part in eqn.params['branches'])
    is_loop = eqn.primitive.name == 'scan'
    total += eqn.params['length'] * max(inner, 1) if is_loop else inner
  return total


if __name__ == '__main__':
  program.run()
