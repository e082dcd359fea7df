"""Celery: one worker with four processes."""

import os

from celery import Celery

import work

app = Celery("bench", broker=os.environ["REDIS"])
app.conf.task_ignore_result = True


@app.task
def run():
    work.run()


def put(count):
    for _ in range(count):
        run.delay()
