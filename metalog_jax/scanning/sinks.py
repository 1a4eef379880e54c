"""Where findings go while a log is followed: a webhook, a file of metrics."""

import contextlib
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from metalog_jax import atomic, errors

_QUEUE = 1000  # findings that wait
_TRIES = 4
_TIMEOUT = 5.0  # seconds of one try
_LAST = 5.0  # seconds that the end waits for what is not sent


class Webhook:
  """Posts each finding as JSON from a thread; never waits, and counts what it drops.

  Delivery is best effort: a finding is dropped after four tries, or where a thousand
  wait, and one that waits when the process is killed is not sent again.
  """

  def __init__(self, url: str, pause: float = 0.5):
    """Starts the thread.

    Args:
      url: http or https.
      pause: seconds before the second try; doubled before each other one.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ('http', 'https') or not parts.netloc:
      raise errors.UserError(f'--webhook={url}: give a URL of http or https')
    self.sent = self.dropped = 0
    self._url, self._pause = url, pause
    self._queue: queue.Queue[bytes] = queue.Queue(_QUEUE)
    threading.Thread(target=self._run, daemon=True).start()

  def put(self, finding: dict[str, Any]) -> None:
    """Hands over a finding."""
    try:
      self._queue.put_nowait(atomic.to_json(finding).encode('utf-8', 'replace'))
    except queue.Full:
      self.dropped += 1

  def close(self) -> None:
    """Waits a little for what is not sent yet."""
    until = time.monotonic() + _LAST
    while self._queue.unfinished_tasks and time.monotonic() < until:
      time.sleep(0.02)

  def _run(self) -> None:
    while True:
      body = self._queue.get()
      if self._post(body):
        self.sent += 1
      else:
        self.dropped += 1
      self._queue.task_done()

  def _post(self, body: bytes) -> bool:
    for attempt in range(_TRIES):
      if attempt:
        time.sleep(self._pause * 2 ** (attempt - 1))
      headers = {'Content-Type': 'application/json'}
      request = urllib.request.Request(self._url, body, headers)
      with contextlib.suppress(OSError, ValueError, urllib.error.URLError):
        with urllib.request.urlopen(request, timeout=_TIMEOUT):
          return True
    return False


def write_metrics(path: str, values: dict[str, float], kinds: dict[str, int]) -> None:
  """Writes a file of Prometheus's text format, atomically.

  Args:
    values: by name; those that end in `_total` are counters, others gauges.
    kinds: findings of each kind.
  """
  lines = []
  for name, value in values.items():
    what = 'counter' if name.endswith('_total') else 'gauge'
    lines += [f'# TYPE metalog_{name} {what}', f'metalog_{name} {value:g}']
  lines.append('# TYPE metalog_findings_total counter')
  lines += [f'metalog_findings_total{{kind="{k}"}} {n}' for k, n in kinds.items()]
  atomic.write_text(path, '\n'.join(lines) + '\n')
