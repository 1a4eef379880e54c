"""Writes what PyTorch gives for the small parity cases: python -m tests.golden.make.

Run it again only when a case changes; then the live comparison must pass as well.
"""

import pathlib

import jax
import numpy as np

from tests.parity import cases, test_torch, torch_network


def main() -> None:
  folder = pathlib.Path(__file__).parent
  with jax.enable_x64(True):
    for form in cases.FORMS:
      problem = cases.problem(form)
      query = cases.plain(problem.task.query)
      network = torch_network.loss_and_gradient(problem.params, query)
      np.savez_compressed(folder / f'{form}.npz', **network)
      meta = torch_network.meta_gradient(*test_torch.arguments(problem))
      np.savez_compressed(folder / f'{form}_meta.npz', **meta)


if __name__ == '__main__':
  main()
