#!/usr/bin/env python3
"""A worker of another make: a tender keeps it alive as it does its own.

    taskqueue tender --use-tube mail --worker-protocol lines \
        --worker-command "examples/worker.py 127.0.0.1 11300 ./send-mail"

It takes jobs from beanstalkd and gives each body to a command, on its standard input: 0 deletes the job, anything else
buries it. To its tender it speaks lines of JSON over the socket TASKQUEUE_TENDER_FD: "ready" once, "busy" and "idle"
for each job. What the tender says besides "drain" and "stop" it need not know. The end of that file is the tender's death: what runs is
finished, and no more is taken.
It records nothing: that is what `taskqueue worker` is for.
"""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile

HOST, PORT, COMMAND = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
TOUCH_AFTER = 15  # seconds; a job's TTR should be longer

order, heard = None, b""
tender = socket.socket(fileno=int(os.environ["TASKQUEUE_TENDER_FD"]))
broker = socket.create_connection((HOST, PORT))
answers = broker.makefile("rb")


def say(**report):
    try:
        tender and tender.sendall(json.dumps(report).encode() + b"\n")
    except BrokenPipeError:
        pass  # The tender has died, of which we hear next.


def hear(others, patience=None):
    """Waits for a word of the tender, or for others; remembers the word that counts."""
    global tender, order, heard
    listening = others + ([tender] if tender else [])
    if tender not in select.select(listening, [], [], patience)[0]:
        return
    read = tender.recv(4096)
    *lines, heard = (heard + read).split(b"\n")
    words = [json.loads(line).get("order") for line in lines]
    if "stop" in words:
        order = "stop"
    elif "drain" in words or not read:
        order = order or "drain"
    if not read:
        tender = None


def tell(command):
    broker.sendall(command.encode() + b"\r\n")


def answer():
    line = answers.readline()
    if not line:
        sys.exit("the broker hung up")
    return line.decode().split()


def ask(command):
    tell(command)
    return answer()


def run(job, body):
    with tempfile.TemporaryFile() as stdin:
        stdin.write(body)
        stdin.seek(0)
        # Descriptors are not inherited: a command cannot pose as its worker.
        command = subprocess.Popen(COMMAND, stdin=stdin)
        ended = os.pidfd_open(command.pid)
        while command.poll() is None and order != "stop":
            hear([ended], TOUCH_AFTER)
            ask(f"touch {job}")
        os.close(ended)
    if order == "stop":
        command.kill()
        sys.exit()  # The job goes back with the connection.
    return command.wait()


ask(f"watch {os.environ['TASKQUEUE_TUBE']}")
if os.environ["TASKQUEUE_TUBE"] != "default":
    ask("ignore default")
say(report="ready")
jobs = 0
while not order:
    tell("reserve")
    while not order and not select.select([broker], [], [], 0)[0]:
        hear([broker])
    if order:
        break  # A job that is reserved in this moment goes back with the connection.
    word, *rest = answer()
    if word != "RESERVED":
        continue
    job, size = rest
    body = answers.read(int(size) + 2)[:-2]
    say(report="busy", task=0, group=0)
    if run(job, body) == 0:
        ask(f"delete {job}")
    else:
        ask(f"bury {job} 1024")
    jobs += 1
    say(report="idle", jobs=jobs, output=0)
