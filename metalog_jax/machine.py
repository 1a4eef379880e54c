"""Settings of this process and machine, made before the first computation."""

import contextlib
import os
import pathlib
import resource

import jax

from metalog_jax import errors, memory

MOST_CORES = 4  # as devices, unless more are asked for: batches are small
NEEDED = 1200 << 20  # bytes of addresses that the smallest job takes beyond imports
MOST_DEVICES = 64  # or one a core: each takes time and memory to make


def use(devices: int = 0) -> None:
  """Prepares this process: compiled programs are kept, cores are devices, memory stays.

  Args:
    devices: how many devices the processor's cores are to be; 0: one per core, up to
      `MOST_CORES`. No meaning on GPU and TPU, nor once jax has computed something.

  Raises:
    UserError: more devices are asked for than make sense, or `ulimit -v` is too low.
  """
  cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1
  if devices > (most := max(cores, MOST_DEVICES)):
    raise errors.UserError(
      f'--devices={devices}: this machine has {cores} cores; give at most {most}'
    )
  _check_addresses()
  use_compilation_cache()
  memory.keep_freed()
  _schedule_for_caches()
  if 'host_platform_device_count' not in os.environ.get('XLA_FLAGS', ''):
    with contextlib.suppress(RuntimeError):  # jax has its devices already: a notebook
      jax.config.update('jax_num_cpu_devices', devices or min(cores, MOST_CORES))


def _check_addresses() -> None:
  """Refuses a limit of addresses (`ulimit -v`) under which no small job ends.

  The compiler and its threads end the process with a dump, or wait for ever, where they
  get none; nobody can write a sentence then.
  """
  limit = resource.getrlimit(resource.RLIMIT_AS)[0]
  with contextlib.suppress(OSError):  # no Linux
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])
    left = limit - pages * resource.getpagesize()
    if limit != resource.RLIM_INFINITY and left < NEEDED:
      raise errors.UserError(
        f'ulimit -v leaves {max(left, 0) >> 20:,} MiB of addresses, and the compiler '
        f'needs {NEEDED >> 20:,} at least: ulimit -v unlimited; where memory is to be '
        'bounded, bound memory (systemd-run -p MemoryMax=...)'
      )


def _schedule_for_caches() -> None:
  """Has XLA compute on a processor what is needed next, rather than what could be
  computed side by side: its default takes a meta-step 6 % longer."""
  flag = '--xla_cpu_enable_concurrency_optimized_scheduler'
  flags = os.environ.get('XLA_FLAGS', '')
  if flag not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {flag}=false'.strip()


def join(
  address: str = '', processes: int = 0, number: int = -1, timeout: int = 60
) -> None:
  """Joins the other processes of a run; before `use` has been followed by any work.

  Args:
    address: host:port of process 0; '' on a TPU pod, SLURM or GKE, where jax finds it.
    processes: how many there are; 0: found likewise.
    number: which of them this is; -1: found likewise.
    timeout: seconds after which a process that is not heard of ends all of them; to
      appear, each has five times as long.
  """
  jax.distributed.initialize(
    address or None,
    processes or None,
    None if number < 0 else number,
    initialization_timeout=5 * timeout,
    heartbeat_timeout_seconds=timeout,
  )


def is_first() -> bool:
  """Whether this is the process that reports, of those that run together."""
  return jax.process_index() == 0


def use_compilation_cache() -> None:
  """Keeps compiled programs in the user's cache folder: a second run starts at once."""
  root = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  folder = os.environ.get('JAX_COMPILATION_CACHE_DIR') or (
    pathlib.Path(root) / 'metalog_jax' / f'jax-{jax.__version__}'
  )
  jax.config.update('jax_compilation_cache_dir', str(folder))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
