"""Programs as GPUs and TPUs would get them; and that a check of them can fail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import lowered
from experiments.benches import variants
from metalog_jax import errors

NAMES = [
  *(f'{net} {mode}' for mode in variants.GRADIENTS for net in ('MetaLog', 'LogMeta')),
  'MetaLog bfloat16',
  'MetaLog scores',
  'encoder float32',
  'encoder bfloat16',
]


@pytest.fixture(name='programs', scope='module')
def fixture_programs():
  return lowered.programs(True, list(variants.GRADIENTS))


@pytest.mark.parametrize('name', NAMES)
def test_lowers_for_both_without_host_float64_or_dynamic_shapes(programs, name):
  row = lowered.measure(programs[name])
  assert row.operations['custom_call'] == 0
  assert row.operations['dot_general'] > 0 and row.flops > 0
  assert (row.dependent_steps > 0) == ('encoder' not in name)  # which has no loop


@pytest.mark.slow
def test_the_papers_sizes():
  built = lowered.programs(False, list(variants.GRADIENTS))
  assert {*built} == {*NAMES}
  for name, program in built.items():
    assert lowered.measure(program).operations['custom_call'] == 0, name


@pytest.mark.parametrize('name', ['LogMeta mixed', 'encoder float32'])
def test_a_serialized_program_is_read_again(programs, name):
  pytest.importorskip('flatbuffers')
  function, arguments = programs[name]
  leaves, tree = jax.tree.flatten(arguments)  # optimizer states cannot be serialized
  flat = lambda *leaves: jax.tree.leaves(function(*tree.unflatten(leaves)))
  exported = jax.export.export(jax.jit(flat), platforms=lowered.PLATFORMS)
  blob = exported(*leaves).serialize()
  assert jax.export.deserialize(blob).platforms == lowered.PLATFORMS


def call_host(x):
  return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)


@pytest.mark.parametrize(
  'function, says',
  [
    (call_host, 'callback'),
    (lambda x: x.astype(jnp.float64), 'float64'),
  ],
)
def test_programs_that_would_not_run_there_are_refused(function, says):
  with jax.enable_x64(True), pytest.raises(errors.UserError, match=says):
    lowered.measure(lowered.Program(function, (np.ones(3, np.float32),)))
  shapes = jax.export.symbolic_shape('b, 3')
  free = jax.ShapeDtypeStruct(shapes, np.float32)
  with pytest.raises(errors.UserError, match='dynamic'):
    lowered.measure(lowered.Program(lambda x: x @ x.T, (free,)))


def test_loops_are_counted_as_often_as_they_run():
  inner = lambda x: jax.lax.scan(lambda c, _: (c + 1, None), x, length=5)[0]
  outer = lambda x: jax.lax.scan(lambda c, _: (inner(c), None), x, length=3)[0]
  jaxpr = jax.make_jaxpr(lambda x: outer(x) + inner(x))(0.0)
  assert lowered.dependent_steps(jaxpr.jaxpr) == 20
