"""Logs as the world's programs write them: format found, times, levels, messages."""

import textwrap

import numpy as np
import pytest

from metalog_jax.logs import choosing, layouts, records

T = '2026-01-02T15:04:05'
PLAIN_TIME = f'{T}.000000'

# Name, format found, the text, and of each record: time in UTC, level, message.
CASES = [
  ('log4j', 'iso time, level, thread, logger', """\
    2026-01-02 15:04:05,123 INFO  [main] com.example.Shop - started in 5 s
    2026-01-02 15:04:06,456 WARN  [pool-1 thread 2] com.example.Cart - slow
   """, [(f'{T}.123', 'INFO', 'started in 5 s'),
         ('2026-01-02T15:04:06.456', 'WARN', 'slow')]),
  ('logback', 'iso time, thread, level, logger', """\
    2026-01-02 15:04:05.123 [main] INFO  c.e.shop.Shop - started in 5 s
    2026-01-02 15:04:06.456 [http-1] ERROR c.e.shop.Cart - cannot pay
   """, [(f'{T}.123', 'INFO', 'started in 5 s'),
         ('2026-01-02T15:04:06.456', 'ERROR', 'cannot pay')]),
  ('clock only', 'clock time, thread, level, logger', """\
    23:59:59.123 [main] INFO  c.e.Shop - before midnight
    00:00:01.456 [main] ERROR c.e.Shop - after midnight
   """, [(None, 'INFO', 'before midnight'), (None, 'ERROR', 'after midnight')]),
  ('spring boot', 'iso time, level, pid, thread, logger', """\
    2026-01-02 15:04:05.123  INFO 42 --- [           main] c.e.Application : Started
    2026-01-02 15:04:06.456 ERROR 42 --- [nio-8080-exec-1] c.e.Cart        : Failed
   """, [(f'{T}.123', 'INFO', 'Started'),
         ('2026-01-02T15:04:06.456', 'ERROR', 'Failed')]),
  ('zookeeper', 'iso time, level, thread', """\
    2026-01-02 15:04:05,123 - INFO  [Peer[myid=1]/0:0:0:0:2181:Fast@774] - timed out
    2026-01-02 15:04:06,456 - WARN  [Send:3400:QuorumCnx@368] - Cannot open channel
   """, [(f'{T}.123', 'INFO', 'timed out'),
         ('2026-01-02T15:04:06.456', 'WARN', 'Cannot open channel')]),
  ('python common', 'iso time, logger, level', """\
    2026-01-02 15:04:05,123 - shop.cart - INFO - item added
    2026-01-02 15:04:06,456 - shop.cart - CRITICAL - shop is on fire
   """, [(f'{T}.123', 'INFO', 'item added'),
         ('2026-01-02T15:04:06.456', 'CRITICAL', 'shop is on fire')]),
  ('python default', 'python', """\
    INFO:shop.cart:item added
    ERROR:root:cannot pay
   """, [(None, 'INFO', 'item added'), (None, 'ERROR', 'cannot pay')]),
  ('python, level first', 'iso time, level', """\
    INFO     2026-01-02 15:04:05,123 item added
    ERROR    2026-01-02 15:04:06,456 cannot pay
   """, [(f'{T}.123', 'INFO', 'item added'),
         ('2026-01-02T15:04:06.456', 'ERROR', 'cannot pay')]),
  ('gunicorn', 'iso time, thread, level', """\
    [2026-01-02 15:04:05 +0100] [42] [INFO] Listening at: http://127.0.0.1:8000
    [2026-01-02 15:04:06 +0100] [43] [ERROR] Worker timed out
   """, [('2026-01-02T14:04:05', 'INFO', 'Listening at: http://127.0.0.1:8000'),
         ('2026-01-02T14:04:06', 'ERROR', 'Worker timed out')]),
  ('go log', 'iso time, source', """\
    2026/01/02 15:04:05 main.go:23: listening on :8080
    2026/01/02 15:04:06.123456 main.go:31: shutting down
   """, [(T, '', 'listening on :8080'),
         ('2026-01-02T15:04:06.123456', '', 'shutting down')]),
  ('go slog', 'iso time, level', """\
    2026/01/02 15:04:05 INFO listening port=8080
    2026/01/02 15:04:06 ERROR failed err="no disk"
   """, [(T, 'INFO', 'listening port=8080'),
         ('2026-01-02T15:04:06', 'ERROR', 'failed err="no disk"')]),
  ('go zap console', 'iso time, level, source', """\
    2026-01-02T15:04:05.123Z\tINFO\tserver/main.go:42\tlistening\t{"port": 8080}
    2026-01-02T15:04:06.456Z\tERROR\tserver/main.go:51\tfailed\t{"code": 3}
   """, [(f'{T}.123', 'INFO', 'listening\t{"port": 8080}'),
         ('2026-01-02T15:04:06.456', 'ERROR', 'failed\t{"code": 3}')]),
  ('logrus', 'logfmt', """\
    time="2026-01-02T15:04:05Z" level=info msg="listening on \\"any\\"" port=8080
    time="2026-01-02T15:04:06Z" level=fatal msg=failed
   """, [(T, 'INFO', 'listening on "any"'),
         ('2026-01-02T15:04:06', 'FATAL', 'failed')]),
  ('rust tracing', 'iso time, level, logger', """\
    2026-01-02T15:04:05.123456Z  INFO shop::cart: item added id=5
    2026-01-02T15:04:06.456789Z ERROR shop::pay: cannot pay
   """, [(f'{T}.123456', 'INFO', 'item added id=5'),
         ('2026-01-02T15:04:06.456789', 'ERROR', 'cannot pay')]),
  ('serilog', 'clock time, level', """\
    [15:04:05 INF] Now listening
    [15:04:06 FTL] Host terminated
   """, [(None, 'INFO', 'Now listening'), (None, 'FATAL', 'Host terminated')]),
  ('serilog file', 'iso time, level', """\
    2026-01-02 15:04:05.123 +01:00 [INF] Now listening
    2026-01-02 15:04:06.456 +01:00 [ERR] Cannot pay
       at Shop.Cart.Pay() in /src/Cart.cs:line 12
   """, [('2026-01-02T14:04:05.123', 'INFO', 'Now listening'),
         ('2026-01-02T14:04:06.456', 'ERROR', 'Cannot pay')]),
  ('dotnet console', 'dotnet', """\
    info: Microsoft.Hosting.Lifetime[14]
          Now listening on: http://localhost:5000
    fail: Shop.Cart[0]
          Cannot pay
   """, [(None, 'INFO', 'Now listening on: http://localhost:5000'),
         (None, 'ERROR', 'Cannot pay')]),
  ('dotnet with a time', 'dotnet', """\
    2026-01-02 15:04:05 info: Shop.Api[0]
          => SpanId:1, RequestPath:/x
          Now listening
    2026-01-02 15:04:06 fail: Shop.Box`1[Shop.Pay][14]
          Cannot pay
          System.TimeoutException: late
   """, [(T, 'INFO', 'Now listening'), ('2026-01-02T15:04:06', 'ERROR',
         'Cannot pay System.TimeoutException')]),
  ('dotnet on one line', 'dotnet', """\
    [2026/01/02 15:04:05] info: Shop.Api[0] Now listening
    [2026/01/02 15:04:06] warn: Shop.Api[-1] slow
   """, [(T, 'INFO', 'Now listening'), ('2026-01-02T15:04:06', 'WARN', 'slow')]),
  ('iis', 'iis', """\
    2026-01-02 15:04:05 10.0.0.5 GET /a - 443 - 10.0.0.1 curl/8 - 200 0 0 12
    2026-01-02 15:04:06 ::1 POST /b x=1 443 bob ::1 Mozilla/5.0+(X11) 503 0 64 9
   """, [(T, '', 'GET /a 200'), ('2026-01-02T15:04:06', '', 'POST /b 503')]),
  ('w3c', 'w3c', """\
    #Version: 1.0
    #Fields: date time c-ip cs-method cs-uri-stem cs(User-Agent) sc-status
    2026-01-02 15:04:05 10.0.0.1 GET /a curl/8 200
    #Date: 2026-01-02 15:04:06
    2026-01-02 15:04:06 10.0.0.1 GET /b "a b" 503
   """, [(T, '', 'GET /a 200'), ('2026-01-02T15:04:06', '', 'GET /b 503')]),
  ('w3c without a method', 'w3c', """\
    #Fields: date\ttime\tcs-uri-stem\tsc-status\tcs(Cookie)
    2026-01-02\t15:04:05\t/a\t200\t-
    2026-01-02\t15:04:06\t/b\t503\ta b
   """, [(T, '', '/a status 200'), ('2026-01-02T15:04:06', '', '/b status 503')]),
  ('date and clock as columns', 'iso-apart time, level, logger', """\
    2026-01-02\t15:04:05\tINFO\tshop.api\tup
    2026-01-02\t15:04:06\tERROR\tshop.api\tbad
   """, [(T, 'INFO', 'up'), ('2026-01-02T15:04:06', 'ERROR', 'bad')]),
  ('tomcat', 'common time, level, thread, logger', """\
    02-Jan-2026 15:04:05.123 INFO [main] org.apache.catalina.Catalina.start Up
    02-Jan-2026 15:04:06.456 SEVERE [main] org.apache.catalina.Context.x Failed
   """, [(f'{T}.123', 'INFO', 'Up'), ('2026-01-02T15:04:06.456', 'SEVERE', 'Failed')]),
  ('java.util.logging', 'java logging', """\
    Jan 02, 2026 3:04:05 PM com.example.Shop run
    INFO: started in 5 s
    Jan 02, 2026 3:04:06 PM com.example.Shop run
    SEVERE: cannot pay
    java.lang.IllegalStateException: closed
    \tat com.example.Shop.run(Shop.java:5)
   """, [(T, 'INFO', 'started in 5 s'), ('2026-01-02T15:04:06', 'SEVERE',
         'cannot pay java.lang.IllegalStateException')]),
  ('spark', 'slashes time, level, logger', """\
    26/01/02 15:04:05 INFO executor.Backend: Registered signal handlers
    26/01/02 15:04:06 WARN executor.Backend: Lost
   """, [(T, 'INFO', 'Registered signal handlers'),
         ('2026-01-02T15:04:06', 'WARN', 'Lost')]),
  ('json of pino', 'json', """\
    {"level":30,"time":1767366245123,"pid":42,"hostname":"a","msg":"listening"}
    {"level":50,"time":1767366246456,"pid":42,"hostname":"a","err":{"code":3},"msg":"no"}
   """, [(f'{T}.123', 'INFO', 'listening'),
         ('2026-01-02T15:04:06.456', 'ERROR', 'no')]),
  ('json of elastic', 'json', """\
    {"@timestamp":"2026-01-02T15:04:05.123Z","log.level":"INFO","message":"up"}
    {"@timestamp":"2026-01-02T15:04:06Z","log":{"level":"error"},"message":"a\\nb"}
   """, [(f'{T}.123', 'INFO', 'up'), ('2026-01-02T15:04:06', 'ERROR', 'a')]),
  ('journald', 'json', """\
    {"__REALTIME_TIMESTAMP":"1767366245123456","PRIORITY":"6","MESSAGE":"up"}
    {"__REALTIME_TIMESTAMP":"1767366246456789","PRIORITY":"3","MESSAGE":[104,105,255]}
   """, [(f'{T}.123456', 'INFO', 'up'),
         ('2026-01-02T15:04:06.456789', 'ERROR', 'hi\\xff')]),
  ('docker', 'docker: iso time, level', r"""
    {"log":"2026-01-02 15:04:00 INFO half ","time":"2026-01-02T15:04:05Z"}
    {"log":"of it\n","time":"2026-01-02T15:04:05Z"}
    {"log":"2026-01-02 15:04:01 ERROR bad\n","time":"2026-01-02T15:04:06Z"}
   """, [(T, 'INFO', 'half of it'), ('2026-01-02T15:04:06', 'ERROR', 'bad')]),
  ('kubernetes', 'cri: json', """\
    2026-01-02T15:04:05.123456789Z stdout P {"level":"info",
    2026-01-02T15:04:05.123456789Z stdout F "msg":"ready"}
    2026-01-02T15:04:06.000000000Z stderr F {"level":"error","msg":"bad"}
   """, [(f'{T}.123456', 'INFO', 'ready'), ('2026-01-02T15:04:06', 'ERROR', 'bad')]),
  ('docker compose', 'iso time, logger, level', """\
    web_1  | 2026-01-02 15:04:05 INFO up
    web_1  | 2026-01-02 15:04:06 ERROR bad
   """, [(T, 'INFO', 'up'), ('2026-01-02T15:04:06', 'ERROR', 'bad')]),
  ('klog', 'klog', """\
    I0102 15:04:05.123456       1 controller.go:42] synced pods
    E0102 15:04:06.456789       1 controller.go:43] cannot sync
   """, [(None, 'INFO', 'synced pods'), (None, 'ERROR', 'cannot sync')]),
  ('glog', 'klog', """\
    I20260102 15:04:05.123456  1234 server.cc:42] listening
    F20260102 15:04:06.456789  1234 server.cc:43] check failed
   """, [(f'{T}.123456', 'INFO', 'listening'),
         ('2026-01-02T15:04:06.456789', 'FATAL', 'check failed')]),
  ('syslog', 'syslog', """\
    <38>Jan  2 15:04:05 host-1 sshd[12]: Accepted publickey for root
    <3>Jan 12 15:04:06 host-1 kernel: Out of memory
    <3>Jan 12 15:04:06 host-1 last message repeated 2 times
   """, [(None, 'INFO', 'Accepted publickey for root'),
         (None, 'ERROR', 'Out of memory'),
         (None, 'ERROR', 'last message repeated 2 times')]),
  ('rsyslog', 'syslog iso', """\
    2026-01-02T15:04:05.123456+01:00 host-1 sshd[12]: Accepted publickey for root
    2026-01-02T15:04:06.456789+01:00 host-1 kernel: Out of memory
   """, [('2026-01-02T14:04:05.123456', '', 'Accepted publickey for root'),
         ('2026-01-02T14:04:06.456789', '', 'Out of memory')]),
  ('syslog 5424', 'syslog 5424', """\
    <165>1 2026-01-02T15:04:05.003Z host app 12 ID47 [x@1 a="b\\]c" d="e"][y@1] full
    <11>1 2026-01-02T15:04:06Z host app - - - failed
   """, [(f'{T}.003', 'NOTICE', 'full'),
         ('2026-01-02T15:04:06', 'ERROR', 'failed')]),
  ('nginx access', 'access', """\
    10.0.0.1 - bob [02/Jan/2026:15:04:05 +0100] "GET /x HTTP/1.1" 200 612 "-" "curl/8"
    10.0.0.1 - - [02/Jan/2026:15:04:06 +0100] "GET /\\"x HTTP/1.1" 502 0 "-" "-" 0.1
   """, [('2026-01-02T14:04:05', '', 'GET /x HTTP/1.1 200'),
         ('2026-01-02T14:04:06', '', 'GET /\\"x HTTP/1.1 502')]),
  ('nginx error', 'nginx error', """\
    2026/01/02 15:04:05 [error] 12#34: *5 upstream timed out, client: 10.0.0.1
    2026/01/02 15:04:06 [notice] 12#34: signal process started
   """, [(T, 'ERROR', 'upstream timed out, client: 10.0.0.1'),
         ('2026-01-02T15:04:06', 'NOTICE', 'signal process started')]),
  ('apache error', 'apache error', """\
    [Fri Jan 02 15:04:05.902022 2026] [core:error] [pid 3:tid 4] [client ::1:8] AH1: bad
    [Sat Jan 03 15:04:05 2026] [notice] workerEnv.init() ok
   """, [(f'{T}.902022', 'ERROR', 'AH1: bad'),
         ('2026-01-03T15:04:05', 'NOTICE', 'workerEnv.init() ok')]),
  ('postgresql', 'postgresql', """\
    2026-01-02 15:04:05.123 CET [42] LOG:  starting PostgreSQL 17
    2026-01-02 15:04:06.456 CET [43] app@shop ERROR:  deadlock detected
    \tProcess 43 waits for ShareLock
   """, [('2026-01-02T14:04:05.123', 'LOG', 'starting PostgreSQL 17'),
         ('2026-01-02T14:04:06.456', 'ERROR', 'deadlock detected')]),
  ('mysql', 'mysql', """\
    2026-01-02T15:04:05.123456Z 0 [System] [MY-010116] [Server] mysqld starting
    2026-01-02T15:04:06.456789Z 8 [Warning] [MY-010055] [Server] IP address unknown
   """, [(f'{T}.123456', 'SYSTEM', 'mysqld starting'),
         ('2026-01-02T15:04:06.456789', 'WARN', 'IP address unknown')]),
  ('redis', 'redis', """\
    12:C 02 Jan 2026 15:04:05.123 * oO0OoO0OoO0Oo Redis is starting
    12:M 02 Jan 2026 15:04:06.456 # Warning: no config file
   """, [(f'{T}.123', 'NOTICE', 'oO0OoO0OoO0Oo Redis is starting'),
         ('2026-01-02T15:04:06.456', 'WARN', 'Warning: no config file')]),
  ('mongodb', 'json', """\
    {"t":{"$date":"2026-01-02T15:04:05.123+01:00"},"s":"I","c":"NETWORK","msg":"up"}
    {"t":{"$date":"2026-01-02T15:04:06.456+01:00"},"s":"E","c":"STORAGE","msg":"full"}
   """, [('2026-01-02T14:04:05.123', 'INFO', 'up'),
         ('2026-01-02T14:04:06.456', 'ERROR', 'full')]),
  ('json of opentelemetry', 'json', """\
    {"timeUnixNano":"1767366245123456789","severityText":"INFO","body":{"stringValue":"up"}}
    {"timeUnixNano":"1767366246456789000","severityText":"ERROR","body":{"stringValue":"no"}}
   """, [(f'{T}.123456', 'INFO', 'up'),
         ('2026-01-02T15:04:06.456789', 'ERROR', 'no')]),
  ('json of log4j', 'json', """\
    {"instant":{"epochSecond":1767366245,"nanoOfSecond":5000},"level":"INFO","message":"up"}
    {"instant":{"epochSecond":1767366246,"nanoOfSecond":6000},"level":"WARN","message":"slow"}
   """, [(T, 'INFO', 'up'), ('2026-01-02T15:04:06', 'WARN', 'slow')]),
  ('json of an application', 'json', """\
    {"when":"2026-01-02T15:04:05","sev":"INFO","text":"up"}
    {"when":"2026-01-02T15:04:06","sev":"ERROR","text":"no"}
   """, [(T, 'INFO', 'up'), ('2026-01-02T15:04:06', 'ERROR', 'no')]),
  ('windows cbs', 'cbs', """\
    2026-01-02 15:04:05, Info                  CBS    Loaded Servicing Stack
    2026-01-02 15:04:06, Error                 CSI    Cannot repair
   """, [(T, 'INFO', 'Loaded Servicing Stack'),
         ('2026-01-02T15:04:06', 'ERROR', 'Cannot repair')]),
  ('windows events', 'table', """\
    Level,Date and Time,Source,Event ID,Task Category,Message
    Information,1/2/2026 3:04:05 PM,Kernel,1,None,"The system
    has started, with a ""big"" quote"
    Error,1/13/2026 3:04:06 PM,Disk,7,None,Bad block
   """, [(T, 'INFO', 'The system'), ('2026-01-13T15:04:06', 'ERROR', 'Bad block')]),
  ('loghub', 'table', """\
    LineId,Date,Time,Pid,Level,Component,Content,EventId,EventTemplate
    1,81109,3615,148,INFO,dfs.DataNode,"served, blk_1",E1,"served, <*>"
    2,81109,203616,148,WARN,dfs.DataNode,lost blk_2,E2,lost <*>
   """, [('2008-11-09T00:36:15', 'INFO', 'served, blk_1'),
         ('2008-11-09T20:36:16', 'WARN', 'lost blk_2')]),
  ('logcat', 'logcat', """\
    01-02 15:04:05.123  1702  2395 D WindowManager: freezing
    01-02 15:04:06.456  1702  2395 E PowerManager : cannot release
   """, [(None, 'DEBUG', 'freezing'), (None, 'ERROR', 'cannot release')]),
  ('dmesg', 'dmesg', """\
    [    0.000000] Linux version 6.1
    [12345.678901] usb 1-1: new device
   """, [('1970-01-01', '', 'Linux version 6.1'),
         ('1970-01-01T03:25:45.678901', '', 'usb 1-1: new device')]),
  ('rails', 'ruby', """\
    I, [2026-01-02T15:04:05.123456 #42]  INFO -- : Completed 200 OK in 5ms
    E, [2026-01-02T15:04:06.456789 #42] ERROR -- shop: Failed
   """, [(f'{T}.123456', 'INFO', 'Completed 200 OK in 5ms'),
         ('2026-01-02T15:04:06.456789', 'ERROR', 'Failed')]),
  ('squid', 'epoch time, pid', """\
    1767366245.123    42 10.0.0.1 TCP_MISS/200 1234 GET http://x/ - DIRECT/1 text/html
    1767366246.456   142 10.0.0.1 TCP_MISS/503 1234 GET http://x/ - DIRECT/1 text/html
   """, [(f'{T}.123', '',
          '10.0.0.1 TCP_MISS/200 1234 GET http://x/ - DIRECT/1 text/html'),
         ('2026-01-02T15:04:06.456', '',
          '10.0.0.1 TCP_MISS/503 1234 GET http://x/ - DIRECT/1 text/html')]),
  ('levels alone', 'level', """\
    [INFO] up
    [ERROR] cannot open the file
   """, [(None, 'INFO', 'up'), (None, 'ERROR', 'cannot open the file')]),
  ('elasticsearch', 'iso time, level, thread', """\
    [2026-01-02T15:04:05,123][INFO ][o.e.n.Node      ] [node-1] started
    [2026-01-02T15:04:06,456][ERROR][o.e.x.SomeThing ] [node-1] failed
   """, [(f'{T}.123', 'INFO', 'started'),
         ('2026-01-02T15:04:06.456', 'ERROR', 'failed')]),
  ('celery', 'iso time, level', """\
    [2026-01-02 15:04:05,123: INFO/MainProcess] Task add[1] received
    [2026-01-02 15:04:06,456: ERROR/Worker-1] Task add[1] raised
   """, [(f'{T}.123', 'INFO', 'Task add[1] received'),
         ('2026-01-02T15:04:06.456', 'ERROR', 'Task add[1] raised')]),
  ('minecraft', 'clock time, level', """\
    [15:04:05] [Server thread/INFO]: Starting
    [15:04:06] [Server thread/WARN]: Can't keep up!
   """, [(None, 'INFO', 'Starting'), (None, 'WARN', "Can't keep up!")]),
  ('syslog of json', 'syslog: json', """\
    Jan  2 15:04:05 host app[12]: {"level":"info","msg":"paid"}
    Jan  2 15:04:06 host app[12]: {"level":"error","msg":"not paid"}
   """, [(None, 'INFO', 'paid'), (None, 'ERROR', 'not paid')]),
  ('unreal', 'dotted time, thread, logger', """\
    [2026.01.02-15.04.05:123][  0]LogInit: Running engine
    [2026.01.02-15.04.06:456][  1]LogNet: Error: no host
   """, [(f'{T}.123', '', 'Running engine'),
         ('2026-01-02T15:04:06.456', 'ERROR', 'no host')]),
  ('ros', 'epoch time, level', """\
    [INFO] [1767366245.123456]: started node
    [ERROR] [1767366246.456789]: no transform
   """, [(f'{T}.123456', 'INFO', 'started node'),
         ('2026-01-02T15:04:06.456789', 'ERROR', 'no transform')]),
  ('time at the end', 'level', """\
    info: listening {"port":8080,"timestamp":"2026-01-02 15:04:05"}
    error: cannot pay {"timestamp":"2026-01-02 15:04:06"}
   """, [(None, 'INFO',
          'listening {"port":8080,"timestamp":"2026-01-02 15:04:05"}'),
         (None, 'ERROR', 'cannot pay {"timestamp":"2026-01-02 15:04:06"}')]),
  ('bars', 'iso time, level, logger', """\
    2026-01-02 15:04:05.123 | INFO     | shop.cart:add:12 - item added
    2026-01-02 15:04:06.456 | ERROR    | shop.cart:pay:15 - cannot pay
   """, [(f'{T}.123', 'INFO', 'item added'),
         ('2026-01-02T15:04:06.456', 'ERROR', 'cannot pay')]),
  ('plain', 'plain', """\
    all is well
    nothing works
   """, [(None, '', 'all is well'), (None, '', 'nothing works')]),
]  # fmt: skip


@pytest.mark.parametrize('name,format,text,expected', CASES, ids=[c[0] for c in CASES])
def test_layout(tmp_path, name, format, text, expected):
  text = textwrap.dedent(text.rstrip(' ')).lstrip('\n')
  path = tmp_path / 'some.log'
  path.write_text(text)
  reader = records.read(path)
  [block] = reader
  [entry] = reader.inputs
  assert entry.format == format
  assert (entry.fitted, entry.records) == (1.0, len(expected))
  assert block.message.to_list() == [message for _, _, message in expected]
  assert block.level.to_list() == [level for _, level, _ in expected]
  wanted = [time for time, _, _ in expected]
  if None not in wanted:
    assert block.time.tolist() == np.array(wanted, 'datetime64[us]').tolist()
  timed = None not in wanted or format not in ('python', 'dotnet', 'level', 'plain')
  assert entry.times == float(timed)
  assert '\n'.join(block.text) == text.rstrip('\n')
  assert block.lines.sum() == entry.lines == text.count('\n')


@pytest.mark.parametrize('layout', layouts.LAYOUTS, ids=lambda layout: layout.name)
def test_an_entry_reads_its_example(layout):
  if layout.name != 'spirit':  # written as Thunderbird is
    assert choosing.choose(layout.example.split('\n')) is layout
