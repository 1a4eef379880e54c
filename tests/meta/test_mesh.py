"""Over several devices or processes, a meta-step is the one of a single device."""

import functools
import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from metalog_jax.meta import mesh

ROOT = pathlib.Path(__file__).parents[2]


def start(*args, **environment) -> subprocess.Popen:
  command = [sys.executable, '-m', 'tests.meta.over_devices', *map(str, args)]
  return subprocess.Popen(
    command,
    cwd=ROOT,
    env={**os.environ, **environment},
    stdout=subprocess.PIPE,
    text=True,
  )


def result(process: subprocess.Popen) -> np.ndarray:
  out = process.communicate(timeout=300)[0]
  assert process.returncode == 0
  return np.array(json.loads(out.splitlines()[-1]))


@functools.cache
def on_one_device() -> np.ndarray:
  return result(start(1, 1))


@pytest.mark.slow
@pytest.mark.parametrize('tasks', [1, 2])
def test_eight_devices(tasks):
  np.testing.assert_allclose(result(start(tasks, 8)), on_one_device(), rtol=1e-12)


@pytest.mark.slow
def test_a_cached_program_computes_the_same(tmp_path):
  """With donated states, jax 0.10's from the cache died on several CPU devices."""
  cache = {
    'JAX_COMPILATION_CACHE_DIR': str(tmp_path),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
  }
  first, *again = [result(start(1, 2, **cache)) for _ in range(4)]
  assert any(tmp_path.iterdir())
  for values in again:
    np.testing.assert_array_equal(values, first)


@pytest.mark.slow
def test_two_processes():
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    address = f'127.0.0.1:{probe.getsockname()[1]}'
  processes = [start(2, 4, address, i) for i in range(2)]
  for process in processes:
    np.testing.assert_allclose(result(process), on_one_device(), rtol=1e-12)


def test_devices_must_share_out():
  with pytest.raises(ValueError, match='3 devices'):
    mesh.make_mesh(2, devices=[0, 1, 2])
