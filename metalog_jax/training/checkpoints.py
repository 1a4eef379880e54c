"""Training state on disk: Orbax, asynchronous, atomic."""

import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

KEEP = 2  # the newest, and the one before it while the newest is being written


class Checkpoints:
  """Numbered snapshots of one pytree of arrays.

  A kill at any moment leaves the last finished snapshot: Orbax writes into a
  temporary folder and renames it.
  """

  def __init__(self, folder: pathlib.Path):
    self._manager = ocp.CheckpointManager(
      folder.absolute(),
      options=ocp.CheckpointManagerOptions(
        max_to_keep=KEEP, cleanup_tmp_directories=True
      ),
    )

  def save(self, step: int, tree: Any) -> None:
    """Starts writing; training goes on meanwhile."""
    self._manager.save(step, args=ocp.args.StandardSave(tree))

  def restore(self, like: Any) -> Any | None:
    """The newest snapshot with the structure of `like`; None if there is none."""
    step = self._manager.latest_step()
    if step is None:
      return None
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    return self._manager.restore(step, args=ocp.args.StandardRestore(abstract))

  def close(self) -> None:
    """Waits until everything is written."""
    self._manager.wait_until_finished()
    self._manager.close()
