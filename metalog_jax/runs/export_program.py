"""Scores of sessions by a StableHLO program: the `scores.py` of an exported network."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import export

CELLS = 8192  # events scored at once, about


class Scores:
  """The program with its weights.

  Args:
    data: the folder's files by name; settings: its model.json.
  """

  def __init__(self, data: Mapping[str, bytes], settings: Mapping[str, Any]):
    with np.load(io.BytesIO(data['weights.npz']), allow_pickle=False) as weights:
      self._weights = [jax.numpy.asarray(weights[n]) for n in settings['weights']]
      self._vectors = jax.numpy.asarray(weights['vectors'])
    self._collapse, self._most = settings['collapse'], settings['most_events']
    program = export.deserialize(bytearray(data['program.stablehlo']))
    self._program = jax.jit(program.call)

  def scores(self, sessions: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Scores [S] of different sessions of events."""
    sessions, scores = [self._read(s) for s in sessions], np.zeros(len(sessions))
    widths = [max(8, 1 << (len(events) - 1).bit_length()) for events in sessions]
    for width in sorted(set(widths)):
      rows = [i for i, w in enumerate(widths) if w == width]
      num = max(CELLS, len(self._vectors)) // width + 1
      for part in (rows[i : i + num] for i in range(0, len(rows), num)):
        grid, lengths = np.zeros((width, num), np.int32), np.zeros(num, np.int32)
        for column, row in enumerate(part):
          lengths[column] = len(sessions[row])
          grid[: len(sessions[row]), column] = sessions[row]
        values = self._program(self._weights, self._vectors, grid, lengths)
        scores[part] = np.asarray(values)[: len(part)]
    return scores

  def _read(self, events: Sequence[int]) -> tuple[int, ...]:
    """The events that the model reads: long runs are cut, then the end."""
    read: list[int] = []
    run = 0
    for event in events:
      run = run + 1 if read and event == read[-1] else 1
      if not self._collapse or run <= self._collapse:
        read.append(event)
        if len(read) == self._most:
          break
    return tuple(read)
