#!/usr/bin/env python3
"""Puts one job into beanstalkd and prints its number. BEANSTALKD=host:port names another server.

What a body may hold: taskqueue-payload(7).
"""

import json
import os
import socket
import sys
import uuid

HINTS = {
    "JOB_TOO_BIG": "beanstalkd takes larger ones with -z",
    "DRAINING": "beanstalkd takes no new jobs; try another, or later",
}

body = json.dumps({
    "taskqueue": 1,
    # May be left out. With it, the same task can be put again, and still runs once.
    "uuid": str(uuid.uuid4()),
    "command": "invoice:send",
    "arguments": ["12"],
    "options": {"format": "pdf", "copy": True, "note": 'it\'s "net" & $5'},
}).encode()

address = os.environ.get("BEANSTALKD", "127.0.0.1:11300")
host, _, port = address.rpartition(":")
try:
    with socket.create_connection((host.strip("[]"), int(port)), timeout=5) as server:
        # Priority 1024, no delay, a TTR of 60 s: workers touch their jobs, so that this bounds nothing.
        server.sendall(b"use invoices\r\nput 1024 0 60 %d\r\n%s\r\n" % (len(body), body))
        answers = server.makefile("rb")
        using = answers.readline().decode().strip()
        word, _, rest = answers.readline().decode().strip().partition(" ")
except (OSError, ValueError) as error:
    sys.exit(f"nothing was put: beanstalkd at {address}: {error}")
if word != "INSERTED":
    sys.exit(f"nothing was put: {HINTS.get(word, 'after ' + using)}: beanstalkd answered {word} {rest}".rstrip())
print(rest)
