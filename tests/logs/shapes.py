# ruff: noqa: E501
"""Messages in the manner of many systems, made up, each with the template it is of."""

import random
import string

_WORDS = 'amber birch cedar dune ember fjord grove heron iris jade kelp lotus'.split()


def _value(kind: str, rng: random.Random) -> str:
  n = lambda high: rng.randint(0, high)
  word = lambda: rng.choice(_WORDS)
  letters = lambda k: ''.join(rng.choices(string.ascii_letters + string.digits, k=k))
  match kind:
    case 'n':
      return str(n(10 ** n(6)))
    case 'f':
      return f'{n(99)}.{n(99)}'
    case 'hex':
      return f'{n(1 << 32):x}'
    case '0x':
      return f'0x{n(1 << 31):x}'
    case 'ip':
      return f'10.{n(255)}.{n(255)}.{n(255)}'
    case 'ipp':
      return f'10.{n(255)}.{n(255)}.{n(255)}:{n(65535)}'
    case 'path':
      return ''.join(f'/{word()}' for _ in range(rng.randint(2, 5))) + f'/{n(99)}.log'
    case 'uuid':
      h = f'{rng.getrandbits(128):032x}'
      return f'{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}'
    case 'name':
      return word()
    case 'host':
      return f'{word()}.example.com'
    case 'cls':
      return f'com.example.{word()}.{word().title()}Activity'
    case 'node':
      return f'{word()}-{n(99)}'
    case 'size':
      return f'{n(999)}.{n(9)} {rng.choice(("KB", "MB", "B"))}'
    case 'ms':
      return f'{n(9999)}{rng.choice(("ms", " ms"))}'
    case 'time':
      return f'{n(23):02}:{n(59):02}:{n(59):02}'
    case 'date':
      return f'2024-{1 + n(11):02}-{1 + n(27):02}'
    case 'b64':
      return letters(24)
    case 'list':
      return ', '.join(str(n(999)) for _ in range(1 + n(5)))
  raise ValueError(kind)


# Values of small vocabularies are written out: they are templates of their own.
SYSTEMS = {
  'web server errors': (
    'module_init() Found child {n} in table slot {n}',
    'module_init() Could not find child {n} in table slot {n}',
    'worker state {n}',
    '[client {ip}] Directory index forbidden by rule: {path}',
    '[client {ip}] File does not exist: {path}',
    'worker init ok {path}',
    'caught SIGTERM, going down',
  ),
  'unix syslog': (
    'session opened for user {name} by (uid={n})',
    'session closed for user {name}',
    'authentication failure; logname= uid={n} euid={n} tty=NODEVssh ruser= rhost={host} ',
    'authentication failure; logname= uid={n} euid={n} tty=NODEVssh ruser= rhost={ip}  user={name}',
    'connection from {ip} () at Mon Jun 12 {time} 2024',
    'check pass; user unknown',
    'ALERT exited abnormally with [{n}]',
    'klog 1.4.1, log source = /proc/kmsg running.',
    'CPU {n} irqstacks, hard={hex} soft={hex}',
    '{name} startup succeeded',
    '{name} shutdown succeeded',
  ),
  'desktop kernel': (
    'en{n}: BSSID changed to {hex}',
    'ARPT: {f}: driver_resume: Wake up, value {0x}',
    'PM response took {n} ms ({n}, powerd)',
    'Setting hostname to "{host}"',
    'Process crashed: {name} [{n}]',
    'network changed: v4(en{n}:{ip}) DNS+ Proxy+ SMB',
    'Cannot find function pointer NewPlugin for factory {uuid} in bundle {path}',
    'host connection <{name}: {0x}> invalidated',
    '[{time}] Sandbox: {name}({n}) deny({n}) file-read-data {path}',
  ),
  'update service': (
    'Loaded Servicing Stack v{f} with Core: C:\\dir\\{name}\\core_{n}.dll',
    'Session: {n}_{n} initialized by client Agent{n}.',
    'Read out cached package applicability for package: Package_for_KB{n}~{hex}, Applicable: {n}, Installed: {n}',
    'Warning: Unrecognized packageExtended attribute.',
    'Expecting attribute name [HRESULT = {0x} - CBS_E_MANIFEST]',
    'SQM: Failed to start upload with file pattern: C:\\dir\\{name}\\*_std.sqm, flags: {0x} [HRESULT = {0x} - E_FAIL]',
    'Ending TrustedInstaller finalization.',
    'Startup processing thread terminated normally',
  ),
  'phone': (
    'acquire lock={n}, flags={0x}, tag="{name} lock", name={cls}, ws=null, uid={n}, pid={n}',
    'release:lock={n}, flg={0x}, tag="{name} lock", name={cls}", ws=null, uid={n}',
    'Skipping AppWindowToken{{{hex} token=Token{{{hex} ActivityRecord{{{hex} u{n} {cls} t{n}}}}}}} -- going to hide',
    'ready=true,policy={n},wakefulness={n},wksummary={0x},uasummary={0x},bootcompleted=true',
    'visible is system.call.count gt 0',
    'getRunningAppProcesses: caller {n} does not hold REAL_GET_TASKS; limiting output',
    'printFreezingDisplayLogsopening app wtoken = AppWindowToken{{{hex}}}, allDrawn= false',
  ),
  'health tracker': (
    'onStandStepChanged {n}',
    'onExtend:{n} {n} {n} {n}',
    'getTodayTotalDetailSteps = {n}##{n}##{n}##{n}##{n}##{n}',
    'calculateCaloriesWithCache totalCalories={n}',
    'setTodayTotalDetailSteps={n}##{n}##{n}',
    'REPORT : {n} {n} {n} {n}',
    'processHandleBroadcastAction action:android.intent.action.SCREEN_ON',
    'processHandleBroadcastAction action:android.intent.action.SCREEN_OFF',
    'flush sensor data',
  ),
  'proxy client': (
    '{host}:{n} open through proxy {host}:{n} HTTPS',
    '{host}:{n} close, {n} bytes sent, {n} bytes received, lifetime {time}',
    '{host}:{n} error : Could not connect through proxy {host}:{n} - Proxy closed the connection unexpectedly.',
    'open through proxy {host}:{n} SOCKS5',
  ),
  'ssh daemon': (
    'Failed password for {name} from {ip} port {n} ssh2',
    'Failed password for invalid user {name} from {ip} port {n} ssh2',
    'Accepted password for {name} from {ip} port {n} ssh2',
    'Invalid user {name} from {ip}',
    'input_userauth_request: invalid user {name} [preauth]',
    'Connection closed by {ip} [preauth]',
    'Received disconnect from {ip}: {n}: Bye Bye [preauth]',
    'reverse mapping checking getaddrinfo for {host} [{ip}] failed - POSSIBLE BREAK-IN ATTEMPT!',
    'pam_unix(sshd:auth): check pass; user unknown',
    'pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={ip} ',
    'Did not receive identification string from {ip}',
    'message repeated {n} times: [ Failed password for root from {ip} port {n} ssh2]',
  ),
  'coordination service': (
    'Received connection request /{ipp}',
    'Accepted socket connection from /{ipp}',
    'Closed socket connection for client /{ipp} which had sessionid {0x}',
    'Closed socket connection for client /{ipp} (no session established for client)',
    'Established session {0x} with negotiated timeout {n} for client /{ipp}',
    'Connection broken for id {n}, my id = {n}, error =',
    'Interrupted while waiting for message on queue',
    'Send worker leaving thread',
    'Notification time out: {n}',
    'Cannot open channel to {n} at election address /{ipp}',
    'Expiring session {0x}, timeout of {n}ms exceeded',
    'Notification: {n} (n.leader), {0x} (n.zxid), {0x} (n.round), LOOKING (n.state), {n} (n.sid), {0x} (n.peerEPoch), LEADING (my state)',
  ),
  'cluster computing': (
    'Running task {f} in stage {f} (TID {n})',
    'Finished task {f} in stage {f} (TID {n}). {n} bytes result sent to driver',
    'Found block rdd_{n}_{n} locally',
    'Block broadcast_{n} stored as values in memory (estimated size {size}, free {size})',
    'Block broadcast_{n}_piece{n} stored as bytes in memory (estimated size {size}, free {size})',
    'Started reading broadcast variable {n}',
    'Reading broadcast variable {n} took {n} ms',
    'Got assigned task {n}',
    'Input split: hdfs://{ipp}{path}:{n}+{n}',
    'Changing view acls to: {name},{name}',
    'Successfully registered with driver',
  ),
  'map reduce': (
    'attempt_{n}_{n}_m_{n}_{n} TaskAttempt Transitioned from RUNNING to SUCCEEDED',
    'attempt_{n}_{n}_m_{n}_{n} TaskAttempt Transitioned from NEW to UNASSIGNED',
    'Progress of TaskAttempt attempt_{n}_{n}_m_{n}_{n} is : {f}',
    'Assigned container container_{n}_{n}_{n}_{n} to attempt_{n}_{n}_m_{n}_{n}',
    'Retrying connect to server: {host}:{n}. Already tried {n} time(s); retry policy is Fixed(maxRetries={n}, sleepTime={n} MILLISECONDS)',
    'Address change detected. Old: {host}/{ipp} New: {host}:{n}',
    'Num completed Tasks: {n}',
    'Recalculating schedule, headroom=<memory:{n}, vCores:{n}>',
    'Event Writer setup for JobId: job_{n}_{n}, File: hdfs://{host}:{n}{path}',
    'Default file system [hdfs://{host}:{n}]',
  ),
  'supercomputer': (
    'Component State Change: Component \\042SCSI-WWID:{hex}\\042 is in the unavailable state (HWID={n})',
    'Link error on broadcast tree Interconnect-{n}T00:{n}:{n}',
    'boot (command {n}) Error: unable to boot on node-{n}',
    'ServerFileSystem: An ServerFileSystem domain panic has occurred on storage{n}',
    'PSU status ( on off )',
    'risBoot command ERROR',
    'Temperature ({n}) exceeds warning threshold',
    'Targeting domains:node-D{n} and nodes:node-[{n}-{n}] child of command {n}',
  ),
  'containers': (
    'Pulling image "{host}/{name}:{f}"',
    'Started container {name}',
    'Readiness probe failed: HTTP probe failed with statuscode: 503',
    'Killing pod {node}-{hex}',
    'level=info msg="request served" user={name} duration={ms} trace={uuid}',
    'Back-off restarting failed container {name} in pod {uuid}',
    'deployment {name} scaled to {n} replicas',
    'token {b64} expired',
    'rows changed: [{list}] at {date}',
  ),
}  # fmt: skip


def sample(system: str, lines: int = 400, seed: int = 0) -> tuple[list[str], list[int]]:
  """Messages of a system, and the template of each."""
  rng = random.Random(f'{system} {seed}')
  texts, truth = [], []
  templates = SYSTEMS[system]
  for _ in range(lines):
    number = min(int(rng.expovariate(0.4)), len(templates) - 1)
    pieces = list(string.Formatter().parse(templates[number]))
    text = ''.join(
      head + (_value(kind, rng) if kind else '') for head, kind, *_ in pieces
    )
    texts.append(text)
    truth.append(number)
  return texts, truth
