"""Where findings go while a log is followed: a webhook, metrics."""

import contextlib
import errno
import http.client
import http.server
import queue
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from metalog_jax import atomic, errors

_QUEUE = 1000  # findings that wait
_TRIES = 4
_TIMEOUT = 5.0  # seconds of one try
_EVERY = 1.0  # seconds between writings of metrics
_LAST = 5.0  # seconds that the end waits for what is not sent


class _Stays(urllib.request.HTTPRedirectHandler):
  """An answer does not choose where findings go."""

  def redirect_request(self, *_: Any) -> None:
    return None


_OPENER = urllib.request.build_opener(_Stays)


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
      with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        with _OPENER.open(request, timeout=_TIMEOUT):
          return True
    return False


class Metrics:
  """Counters in Prometheus's text format: in a file, at a port, or both."""

  def __init__(self, path: str = '', port: int | None = None, host: str = '127.0.0.1'):
    """Begins to serve where there is a port; 0 takes a free one.

    Raises:
      UserError: the port is taken or may not be had, or the host is not this machine.
    """
    self._path, self._written, self._text = path, 0.0, ''
    self._server = _serve(lambda: self._text, host, port) if port is not None else None

  @property
  def url(self) -> str:
    """Where they are served; '' for nowhere."""
    if self._server is None:
      return ''
    host, port = self._server.server_address[:2]
    return f'http://{host!s}:{port}/metrics'

  def show(
    self, values: dict[str, float], kinds: dict[str, int] | None = None, last=False
  ) -> None:
    """Gives new values; the file is written once a second, and at the `last`.

    Args:
      values: by name; those that end in `_total` are counters, others gauges.
      kinds: findings of each kind.
    """
    lines = []
    for name, value in values.items():
      what = 'counter' if name.endswith('_total') else 'gauge'
      lines += [f'# TYPE metalog_{name} {what}', f'metalog_{name} {value:.12g}']
    if kinds is not None:
      lines.append('# TYPE metalog_findings_total counter')
      lines += [f'metalog_findings_total{{kind="{k}"}} {n}' for k, n in kinds.items()]
    self._text = '\n'.join(lines) + '\n'
    if self._path and (last or time.monotonic() - self._written > _EVERY):
      self._written = time.monotonic()
      atomic.write_text(self._path, self._text)
    if last and self._server is not None:
      self._server.shutdown()
      self._server.server_close()


def _serve(text: Callable[[], str], host: str, port: int) -> http.server.HTTPServer:
  """A server, in a thread of its own, of one page."""

  class Page(http.server.BaseHTTPRequestHandler):
    timeout = _TIMEOUT

    def do_GET(self) -> None:  # noqa: N802
      if self.path.partition('?')[0] not in ('/', '/metrics'):
        return self.send_error(404)
      body = text().encode()
      self.send_response(200)
      self.send_header('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
      self.send_header('Content-Length', str(len(body)))
      self.end_headers()
      self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
      pass  # stderr is for findings

  try:
    server = http.server.ThreadingHTTPServer((host, port), Page)
  except (OSError, OverflowError) as error:
    taken = getattr(error, 'errno', None) == errno.EADDRINUSE
    why = (
      'another program has it' if taken else getattr(error, 'strerror', None) or error
    )
    raise errors.UserError(
      f'--metrics_port={port} of {host} cannot be served ({why}): give another '
      'port, or 0 for any that is free'
    ) from None
  threading.Thread(target=server.serve_forever, daemon=True).start()
  return server
