"""Training state on disk: Orbax, asynchronous, atomic, known by its content."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from metalog_jax import atomic, errors

KEEP = 2  # the newest, and the one before it while the newest is being written
DIGESTS = 'digests.json'  # step -> hash of the arrays


class Progress(NamedTuple):
  """All that a checkpoint of a training holds; a resumed run needs nothing else."""

  state: Any
  best_state: Any  # of the best validation; the newest where nothing is validated
  best_value: np.ndarray  # [] float32, higher is better
  best_step: np.ndarray  # [] int32
  step: np.ndarray  # [] int32 meta-steps done


def first_progress(state: Any) -> Progress:
  """Progress before the first step."""
  return progress(state, state, -np.inf, 0, 0)


def progress(state, best_state, best_value, best_step, step) -> Progress:
  """Progress whose numbers are numpy's: each of several processes has them, and one
  of them saves."""
  count = lambda x: np.array(x, np.int32)
  value = np.array(best_value, np.float32)
  return Progress(state, best_state, value, count(best_step), count(step))


class Checkpoints:
  """Numbered snapshots of one pytree of arrays.

  A kill at any moment leaves the last finished snapshot: Orbax writes into a
  temporary folder and renames it.
  """

  def __init__(self, folder: pathlib.Path):
    self._folder = folder.absolute()
    options = ocp.CheckpointManagerOptions(
      max_to_keep=KEEP, cleanup_tmp_directories=True
    )
    with self._readable():
      self._manager = ocp.CheckpointManager(self._folder, options=options)

  def save(self, step: int, tree: Any) -> None:
    """Starts writing; training goes on meanwhile."""
    if not jax.process_index():  # first, so that every snapshot that is whole has one
      # Killed processes may have announced later snapshots that never became whole:
      # the one that this process began with must outlive them.
      before = sorted(int(key) for key in self._digests() if int(key) < step)[-KEEP:]
      digests = {str(key): self._digests()[str(key)] for key in before}
      atomic.write_json(self._folder / DIGESTS, digests | {str(step): digest(tree)})
    with self._writable():
      self._manager.save(step, args=ocp.args.StandardSave(tree))

  def restore(self, like: Any) -> Any | None:
    """The newest snapshot with the structure of `like`; None if there is none.

    Args:
      like: None: a Progress with the shapes that were saved, and dicts for structure.

    Raises:
      UserError: it is damaged, or of other settings.
    """
    with self._readable():
      step = self._manager.latest_step()
      if step is None:
        return None
      abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
      tree = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
      tree = Progress(**tree) if like is None else tree
      if self._digests().get(str(step)) != digest(tree):
        raise ValueError(f'step {step} is not what was saved')
      return tree

  def _digests(self) -> dict[str, str]:
    path = self._folder / DIGESTS
    return json.loads(path.read_text()) if path.exists() else {}

  @contextlib.contextmanager
  def _readable(self) -> Iterator[None]:
    """Whatever Orbax raises (of many kinds) becomes an error that names the folder."""
    try:
      yield
    except MemoryError:  # the folder is whole
      raise
    except Exception as error:
      if "can't start new thread" in str(error):
        raise MemoryError("can't start new thread") from error
      reason = (str(error) or type(error).__name__).splitlines()[0][:200]
      raise errors.UserError(
        f'{self._folder} holds no checkpoint that can be read back ({reason}): '
        'restore it, or train again with --overwrite'
      ) from error

  @contextlib.contextmanager
  def _writable(self) -> Iterator[None]:
    """What Orbax raises where the system refuses to write names folder and reason."""
    try:
      yield
    except Exception as error:
      said = re.search(r"(?:os_error_code='|\[Errno )(\d+)", str(error))
      if said:
        why = os.strerror(int(said[1]))
      elif isinstance(error, TimeoutError):  # Orbax waits by the clock of the day
        why = 'it took too long, or the clock was set'
      else:
        raise
      raise errors.UserError(
        f'cannot write {self._folder}: {why}; the same command goes on from the last '
        'whole checkpoint'
      ) from error

  def close(self) -> None:
    """Waits until everything is written."""
    with self._writable():
      try:
        self._manager.wait_until_finished()
      finally:  # or its threads are waited for at the end of the process
        self._manager.close()


def digest(tree: Any) -> str:
  """Hash of the arrays of a tree; of those on several devices, which are replicated,
  one copy counts."""
  total = hashlib.sha256()
  for leaf in jax.tree.leaves(tree):
    array = np.asarray(
      leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf
    )
    total.update(f'{array.shape} {array.dtype} '.encode() + array.tobytes())
  return total.hexdigest()
