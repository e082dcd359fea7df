"""huey: one consumer with four processes."""

import os

from huey import RedisHuey

import work

huey = RedisHuey("bench", url=os.environ["REDIS"], results=False)


@huey.task()
def run():
    work.run()


def put(count):
    for _ in range(count):
        run()
