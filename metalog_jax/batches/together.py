"""Streams of several runs, drawn side by side in batches of equal shapes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metalog_jax import types
from metalog_jax.batches import drawing, packing


class Together:
  """What some runs read at a step each, stacked.

  The static layout of batches is fitted to what a seed draws. Here it is the largest
  of all, so that sessions are as they would be alone and empty cells are more.
  """

  def __init__(self, streams: Sequence[types.Stream]):
    alone = [stream.rooms for stream in streams]
    rooms = tuple(
      [packing.widest(alternatives) for alternatives in zip(*sides, strict=True)]
      for sides in zip(*alone, strict=True)
    )
    self._tight = [_within(stream, rooms) for stream in streams]
    # Where one run needs the room that holds all, so do the others.
    last = tuple(side[-1:] for side in rooms)
    self._roomy = [_within(stream, last) for stream in streams]

  def draw(self, steps: Sequence[int | None], places: int) -> Any:
    """The batches of the runs, stacked: leaves [places, ...].

    Args:
      steps: of each run the number of its step; None: it takes none, and what stands
        in its place is of another run.
      places: at least as many as there are runs; those behind them likewise.
    """
    drawn = _draw(self._tight, steps)
    if len({drawing.map_arrays(np.shape, task) for task in drawn.values()}) > 1:
      drawn = _draw(self._roomy, steps)
    filler = next(iter(drawn.values()))
    return drawing.stack([drawn.get(i, filler) for i in range(places)])


def _within(stream: types.Stream, rooms: Any) -> types.Stream:
  assert stream.within, 'the stream cannot be laid out in other rooms'
  return stream.within(rooms)


def _draw(streams: Sequence[types.Stream], steps: Sequence[int | None]) -> dict:
  return {
    i: stream.draw(step)
    for i, (stream, step) in enumerate(zip(streams, steps, strict=True))
    if step is not None
  }
