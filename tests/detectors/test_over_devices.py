"""Detectors trained on two devices are those trained on one, but for rounding."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]


def run(devices: int) -> dict[str, list[float]]:
  command = [sys.executable, '-m', 'tests.detectors.over_devices', str(devices)]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_two_devices_are_one():
  one, two = run(1), run(2)
  assert set(one) == set(two)
  for name, expected in one.items():
    largest = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(two[name], expected, atol=1e-4 * largest, err_msg=name)
