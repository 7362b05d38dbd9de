"""Reads and makes streams with nats-py, a client that shares nothing with natsink."""

import asyncio
import calendar
import json
import sys
import time

from rig import tools

FETCH = 5_000
ANSWER_SECONDS = 60


class Broken(Exception):
    """The stream could not be read as it is; the text says why."""


def run(coroutine):
    """Runs a coroutine that uses nats-py, installing it first where it is not yet."""
    sys.path.insert(0, str(tools.nats_py()))
    return asyncio.run(coroutine)


async def connected(url: str, patience: float = 10):
    """A connection, tried until `patience` seconds have passed."""
    import nats  # not at the top: `run` puts it on the path

    async def silent(_error):
        return None

    deadline = time.monotonic() + patience
    while True:
        try:
            return await nats.connect(url, allow_reconnect=False, connect_timeout=5, error_cb=silent)
        except Exception:  # nats-py raises many kinds, OSError among them
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def api(client, call: str, body: dict) -> dict:
    """One request to $JS.API; an error in the answer is raised."""
    answer = await client.request(f"$JS.API.{call}", json.dumps(body).encode(), timeout=ANSWER_SECONDS)
    parsed = json.loads(answer.data)
    if "error" in parsed:
        raise Broken(f"{call}: {parsed['error'].get('description')} ({parsed['error'].get('err_code')})")
    return parsed


async def create(url: str, name: str, subjects: list, **config) -> None:
    """Creates a stream, on file unless `storage` says else."""
    client = await connected(url)
    try:
        await api(client, f"STREAM.CREATE.{name}", {"name": name, "subjects": subjects, "storage": "file", **config})
    finally:
        await client.close()


async def state(url: str, name: str, patience: float = 10) -> dict:
    """The `state` of a stream: messages, bytes, first_seq, last_seq."""
    client = await connected(url, patience)
    try:
        return (await api(client, f"STREAM.INFO.{name}", {}))["state"]
    finally:
        await client.close()


async def quiet_seconds(url: str, name: str) -> float:
    """How long ago, by the server's clock, the last message was stored."""
    client = await connected(url)
    try:
        info = await api(client, f"STREAM.INFO.{name}", {})
        return seconds(info["ts"]) - seconds(info["state"]["last_ts"])
    finally:
        await client.close()


def seconds(moment: str) -> float:
    """The seconds since 1970 of a moment as the server writes it: RFC 3339 in UTC, up to nanoseconds."""
    whole, _, fraction = moment.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or 0}")


async def step_down(url: str, name: str) -> None:
    """Makes the leader of a replicated stream step down."""
    client = await connected(url)
    try:
        await api(client, f"STREAM.LEADER.STEPDOWN.{name}", {})
    finally:
        await client.close()


async def read_all(url: str, name: str, take, known: tuple = (0, 0)) -> dict:
    """Calls take(seq, message) for every message in stream order; returns the stream's state.

    Begins behind `known`: how many messages have been read before, and the sequence of the last of them.
    The stream has to stand still: what is read must be exactly the `messages` it says to hold, before and after.
    """
    client = await connected(url)
    try:
        before = (await api(client, f"STREAM.INFO.{name}", {}))["state"]
        seq_last = await Blocks(client, name, take).read(before["messages"] - known[0], known[1])
        after = (await api(client, f"STREAM.INFO.{name}", {}))["state"]
        if (before["messages"], before["last_seq"]) != (after["messages"], after["last_seq"]):
            raise Broken(f"the stream changed while it was read: {before} became {after}")
        if before["messages"] > known[0] and seq_last != before["last_seq"]:
            raise Broken(f"the last message read is {seq_last}, the stream's is {before['last_seq']}")
        return before
    finally:
        await client.close()


class Blocks:
    """An ephemeral pull consumer without acks, asked for block after block: memory is bounded however long a stream is.

    Messages come through a callback, which costs nats-py a third of what awaiting each one does.
    """

    def __init__(self, client, stream: str, take):
        self.client, self.stream, self.take = client, stream, take
        self.seq_last, self.left, self.block_left, self.ended = 0, 0, 0, None

    async def read(self, count: int, seq_after: int = 0) -> int:
        """Takes `count` messages behind the sequence `seq_after`; returns the sequence of the last."""
        self.left = count
        config = {"ack_policy": "none", "mem_storage": True, "inactive_threshold": 60 * 10**9}
        config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": seq_after + 1}
        body = {"stream_name": self.stream, "config": config}
        consumer = (await api(self.client, f"CONSUMER.CREATE.{self.stream}", body))["name"]
        inbox = self.client.new_inbox()
        await self.client.subscribe(inbox, cb=self.arrived, pending_msgs_limit=0, pending_bytes_limit=0)
        while self.left > 0:
            self.block_left = min(FETCH, self.left)
            self.ended = asyncio.get_running_loop().create_future()
            ask = json.dumps({"batch": self.block_left, "expires": ANSWER_SECONDS * 10**9}).encode()
            await self.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{consumer}", ask, inbox)
            await asyncio.wait_for(self.ended, ANSWER_SECONDS)
        return self.seq_last

    async def arrived(self, message) -> None:
        try:
            self.arrive(message)
        except Exception as problem:  # nats-py would swallow it
            if not self.ended.done():
                self.ended.set_exception(problem)

    def arrive(self, message) -> None:
        if not message.reply.startswith("$JS.ACK."):
            raise Broken(f"the server ended the read with {message.headers}, {self.left} messages missing")
        seq = int(message.reply.rsplit(".", 4)[1])
        if seq <= self.seq_last:
            raise Broken(f"the server sent sequence {seq} behind {self.seq_last}")
        self.take(seq, message)
        self.seq_last = seq
        self.left -= 1
        self.block_left -= 1
        if self.block_left == 0:
            self.ended.set_result(None)
