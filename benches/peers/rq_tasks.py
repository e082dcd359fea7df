"""RQ: `rq worker` four times."""

import rq

import work


def put(count):
    queue = rq.Queue(connection=work.counter)
    for _ in range(count):
        queue.enqueue(work.run, result_ttl=0)
