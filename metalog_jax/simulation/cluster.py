"""A simulated mixed cluster: one session is one batch job in a node's syslog."""

from metalog_jax.simulation.grammar import (
  Fault,
  Grammar,
  maybe,
  mixed,
  pick,
  seq,
  times,
)

STEPS = {
  'wake': 'kernel: node up with {num} cores and {num} pages of memory online',
  'grant': 'pbs_mom: batch job {num} of group {num} granted {num} cores on this node',
  'login': 'sshd: session {num} opened from {ip} on terminal {num} for the batch owner',
  'mount': 'automount: home area {num} mounted from file server {ip} with option {num}',
  'launch': 'pbs_mom: script of job {num} launched with priority {num} in queue {num}',
  'cron': 'crond: hourly task {num} of table {num} ran for {num} ticks',
  'time': 'ntpd: clock follows server {ip} at stratum {num} with offset {num}',
  'mail': 'postfix: letter {num} handed to relay {ip} after {num} hops',
  'sample': 'gmond: metric {num} sampled at level {num} and sent to {ip}',
  'progress': 'pbs_mom: job step {num} of {num} reached with {num} processes running',
  'io': 'kernel: block queue {num} served {num} reads and {num} writes this interval',
  'lease': 'dhcpd: address {ip} kept for card {num} on port {num} this week',
  'page': 'kernel: page table {num} grown to {num} entries on core {num}',
  'route': 'kernel: route {num} to {ip} learned with metric {num} from daemon',
  'balance': 'kernel: scheduler moved task {num} from core {num} to core {num}',
  'audit': 'auditd: rule set {num} with {num} entries read from file {num}',
  'update': 'yum: package {num} of {num} fetched from mirror {ip} at night',
  'rotate': (
    'syslogd: log file {num} rotated and compressed into archive {num} as planned'
  ),
  'sensor': 'ipmid: sensor {num} reads {num} units on board {num}',
  'tune': 'kernel: readahead window {num} chosen for stream {num} on device {num}',
  'save': 'pbs_mom: output file {num} with {num} lines copied to {ip} for the owner',
  'unmount': 'automount: home area {num} given back to file server {ip}',
  'done': 'pbs_mom: job completed, finished',
  'retry': 'pbs_mom: submission tried repeatedly',
  'attempt': 'automount: another attempt',
}

FAULTS = (
  Fault('link', 'kernel: ethernet faults', 'kernel: ethernet link reestablished'),
  Fault('link', 'kernel: switch glitches', 'kernel: switch port reopened', since=0.2),
  Fault('silence', 'pbs_mom: scheduler malfunction', 'pbs_mom: rejoined scheduler'),
  Fault('silence', 'ntpd: server errors', 'ntpd: returned server', since=0.3),
  Fault('space', 'kernel: memory leak, overload', 'kernel: memory regained'),
  Fault('space', 'automount: quota error, defect', 'automount: quota restored'),
  Fault('damage', 'kernel: disk errors, defects', 'kernel: disk rebuilt'),
  Fault(
    'damage',
    'kernel: filesystem flaw',
    'kernel: filesystem rebuilt, restored',
    since=0.4,
  ),
  Fault('access', 'sshd: password mismatch error', 'sshd: password reestablished'),
  Fault('crash', 'automount: daemon crashes', 'automount: daemon returned, resumed'),
  Fault('stall', 'pbs_mom: process malfunctions', 'pbs_mom: process fully resumed'),
  Fault('strain', 'ipmid: faulty fan', 'ipmid: fan regained speed'),
)

GRAMMAR = Grammar(
  name='cluster',
  steps=STEPS,
  opening=seq('wake', 'grant', mixed('login', 'mount'), 'launch'),
  work=seq(
    mixed(
      times(1, 4, 'progress'),
      times(0, 2, pick('sample', 'io')),
      maybe(0.4, 'cron'),
      maybe(0.4, 'time'),
      maybe(0.1, 'mail'),
      maybe(0.05, 'update'),
      maybe(0.08, 'lease', since=0.15),
      maybe(0.08, 'page', since=0.25),
      maybe(0.08, 'route', since=0.35),
      maybe(0.08, 'audit', since=0.45),
      maybe(0.08, 'rotate', since=0.55),
      maybe(0.08, 'sensor', since=0.65),
      maybe(0.08, 'tune', since=0.75),
      maybe(0.1, times(1, 3, 'balance'), since=0.3),
      maybe(0.3, times(1, 2, pick('retry', 'attempt'))),
    ),
    'save',
  ),
  closing=seq('unmount', 'done'),
  faults=FAULTS,
  attempts=('retry', 'attempt'),
  fatal=(
    'kernel: fatal kernel error',
    'kernel: unrecoverable memory defects',
    'pbs_mom: job aborted, fatal crash',
  ),
  odd=(
    'ipmid: board {num} smells of cinnamon at level {num}',
    'postfix: letter {num} answered itself {num} times',
  ),
  mandatory=('grant', 'save'),
  ordered=('save', 'unmount'),
)
