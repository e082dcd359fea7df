"""A foreign worker: takes its jobs from a directory and speaks the lines of the link.

worker.py DIR MODE: DIR/started gets a line for each start; a job is a file in DIR/jobs that holds the
bytes of output to claim, runs as long as DIR/hold exists, and leaves its name in DIR/done.
"""

import json
import os
import select
import signal
import socket
import sys
import time

directory, mode = sys.argv[1:3]
link = socket.socket(fileno=int(os.environ["TASKQUEUE_TENDER_FD"]))
heard = b""
jobs = output = 0
draining = False


def note(name, line):
    with open(os.path.join(directory, name), "a") as file:
        file.write(line + "\n")


def say(**report):
    link.sendall(json.dumps(report).encode() + b"\n")


def hear():
    """Reads what orders there are; the end of the file is the tender's death."""
    global heard
    if not select.select([link], [], [], 0.02)[0]:
        return
    read = link.recv(4096)
    if not read:
        note("orphaned", str(os.getpid()))
        sys.exit(0)
    *lines, heard = (heard + read).split(b"\n")
    for line in lines:
        obey(line.decode())


def obey(line):
    global draining
    order = json.loads(line)
    note("orders", f"{os.environ['TASKQUEUE_WORKER_NAME']} {line}")
    if mode == "deaf":
        return
    if order["order"] == "reload" and mode == "refuse":
        for _ in range(2):
            say(report="answered", ticket=order["ticket"], refused="not to its liking")
    if order["order"] == "stop":
        sys.exit(0)
    if order["order"] == "drain":
        draining = True


def drain(*_):
    """A TERM says the same as the order: it comes too where the tender has not read yet that this one hears orders."""
    global draining
    draining = True


def take():
    for job in sorted(os.listdir(os.path.join(directory, "jobs"))):
        mine = os.path.join(directory, f"running-{os.getpid()}")
        try:
            os.rename(os.path.join(directory, "jobs", job), mine)
            return job, int(open(mine).read() or 0)
        except FileNotFoundError:
            continue
    return None


if mode == "work":
    signal.signal(signal.SIGTERM, drain)
note("started", f"{os.getpid()} {time.monotonic()}")
if mode == "crash":
    sys.exit(3)
if mode == "never":
    say(report="ready")
    sys.exit(125)
if mode == "garbage":
    link.sendall(b"\0\xff what?\n" * 100 + b"x" * 10000 + b"\n")
say(report="ready", version="foreign")
note("ready", str(os.getpid()))
while not draining:
    job = take()
    if job is None:
        hear()
        continue
    say(report="busy", task=jobs + 1, group=os.getpid())
    while os.path.exists(os.path.join(directory, "hold")):
        hear()
    jobs += 1
    output += job[1]
    note("done", job[0])
    say(report="idle", jobs=jobs, output=output)
