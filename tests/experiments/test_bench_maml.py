"""The suite of meta-gradients: all variants take the same gradient."""

import pytest

from experiments.benches import meta_gradients, worker
from experiments.benches.variants import Absent, Variant


def answer(workload, variant):
  runner = meta_gradients.build({'workload': workload, 'variant': variant._asdict()})
  runner.run(0)
  return runner.answer()


@pytest.mark.parametrize('workload', ['sinusoid_4x2', 'digits_4x2'])
def test_all_variants_take_the_same_meta_gradient(workload):
  references = {
    order: answer(workload, Variant('jax', 'reference', order))
    for order in ('second', 'first')
  }
  assert worker.error(references['first'], references['second']) > 1e-3
  for name, variant in meta_gradients.VARIANTS.items():
    if variant.framework == 'torch':
      pytest.importorskip('torch', reason='the peers need the extra `torch`')
    try:
      found = answer(workload, variant)
    except Absent:  # the libraries of meta-learning for PyTorch are nobody's extra
      continue
    assert worker.error(found, references[variant.order]) < 1e-5, name
