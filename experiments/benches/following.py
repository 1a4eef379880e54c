"""`metalog scan --follow` measured: a simulated day, and how soon a finding is out."""

import datetime
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

HOURS = (1, 12, 24)  # at which memory is measured
WINDOWS, EVERY = 40, 4  # of a second, and which of the later ones hold a fault
_STEPS = ('opened', 'charged', 'shipped', 'closed')
_FORM = '%Y-%m-%d %H:%M:%S'


def table(lines: int, folder: pathlib.Path) -> list[dict[str, Any]]:
  """Rows of a day of so many lines, and of a log that is written by the clock."""
  log = folder / 'day.log'
  with open(log, 'w') as file:
    file.writelines(_day(lines))
  command = [sys.executable, '-m', 'experiments.benches.following', str(log)]
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  row = json.loads(done.stdout.splitlines()[-1])
  row |= {'lines/CPU s': round(lines / row['CPU s'])}
  soon = np.array(_latencies(folder / 'live.log'))
  about = {
    'followed': f'{len(soon)} findings of windows of 1 s, written by the clock',
    'seconds after the end': f'median {np.median(soon):.2f}, most {soon.max():.2f}',
  }
  return [row, about]


def _day(lines: int) -> Iterator[str]:
  """A day of requests and orders, one of which in a thousand is not charged."""
  draw = np.random.default_rng(0)
  start = datetime.datetime(2026, 5, 4)
  for number in range(lines):
    at = start + datetime.timedelta(seconds=86400 * number / lines)
    order, kind = divmod(number, 10)
    said = f'web: GET /item/{draw.integers(9999)} 200 in {draw.integers(90)} ms'
    if kind < len(_STEPS) and (order % 1000 or kind != 1):
      said = f'shop: order {order + 1000} {_STEPS[kind]}'
    yield f'{at:{_FORM}} INFO {said}\n'


def _latencies(path: pathlib.Path) -> list[float]:
  """Seconds from the end of a fault's window to the finding that is printed."""
  path.touch()
  command = [sys.executable, '-m', 'metalog_jax', 'scan', str(path), '--follow']
  command += ['--json', '--window=1s', '--group=none']
  process = subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  )
  assert process.stderr is not None
  process.stderr.readline()  # it has begun
  came: dict[str, float] = {}

  def read() -> None:
    for line in process.stdout or ():
      came.setdefault(json.loads(line)['template'], time.time())

  reader = threading.Thread(target=read, daemon=True)
  reader.start()
  ends, first = {}, int(time.time()) + 1
  names = ('disk full', 'fan stopped', 'link down', 'bad checksum', 'clock lost')
  for number in range(20 * WINDOWS):
    now = first + number / 20
    time.sleep(max(0.0, now - time.time()))
    window, tick = divmod(number, 20)
    said = f'INFO web: GET /item/{number} 200 in {number % 90} ms'
    if window >= WINDOWS // 2 and not window % EVERY and tick == 10:
      name = names[(window - WINDOWS // 2) // EVERY % len(names)]
      said, ends[name] = f'CRITICAL machine: {name}', first + window + 1.0
    at = datetime.datetime.fromtimestamp(now, datetime.UTC)
    with open(path, 'a') as file:
      file.write(f'{at:{_FORM}} {said}\n')
  time.sleep(3)
  process.send_signal(signal.SIGTERM)
  process.wait(30)
  reader.join(10)
  return [
    came.get(next((t for t in came if name in t), ''), np.inf) - end
    for name, end in ends.items()
  ]


def main(path: str) -> None:
  """Follows a day's log to its end, and prints what it took."""
  from metalog_jax.scanning import follow, scan  # in the process that is measured

  hours, start = dict.fromkeys(HOURS, 0.0), None
  total, found = os.path.getsize(path), list[str]()

  def look(follower: follow.Follower) -> None:
    now = follower.memory.clock.now / 3_600_000_000
    for hour in HOURS:
      if not hours[hour] and follower.memory.lines and now - begin >= hour - 0.01:
        pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
        hours[hour] = pages * resource.getpagesize() / 1e6
    if sum(tail.entry.bytes for tail in follower.tails) >= total:
      follower.stopped = signal.SIGTERM

  begin = datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC).timestamp() / 3600
  close = follow.Follower._close

  def closing(self: follow.Follower, part: bool = False) -> None:
    close(self, part)
    look(self)

  follow.Follower._close = closing  # type: ignore[method-assign]
  start = time.monotonic()
  told = lambda item: found.append(item.kind)
  follower = follow.follow([path], scan.Options(), told, bool, look)
  spent = resource.getrusage(resource.RUSAGE_SELF)
  row = {
    'followed': f'{follower.memory.lines:,} lines of 24 hours',
    'sessions': follower.sessions.number,
    'findings': len(found),
    'seconds': round(time.monotonic() - start, 1),
    'CPU s': round(spent.ru_utime + spent.ru_stime, 1),
  }
  print(json.dumps(row | {f'MB at hour {h}': round(mb) for h, mb in hours.items()}))


if __name__ == '__main__':
  main(sys.argv[1])
