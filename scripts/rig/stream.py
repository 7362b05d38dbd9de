"""Reads and makes streams with nats-py, a client that shares nothing with natsink."""

import asyncio
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


async def read_all(url: str, name: str, take) -> dict:
    """Calls take(seq, message) for every message in stream order; returns the stream's state.

    An ephemeral pull consumer without acks hands out blocks, so memory is bounded however long the stream is. The
    stream has to stand still: what is read must be exactly the `messages` it says to hold, before and after.
    """
    client = await connected(url)
    try:
        before = (await api(client, f"STREAM.INFO.{name}", {}))["state"]
        config = {"ack_policy": "none", "deliver_policy": "all", "mem_storage": True, "inactive_threshold": 60 * 10**9}
        made = await api(client, f"CONSUMER.CREATE.{name}", {"stream_name": name, "config": config})
        inbox = client.new_inbox()
        sub = await client.subscribe(inbox, pending_msgs_limit=0, pending_bytes_limit=0)
        left, seq_last = before["messages"], 0
        while left > 0:
            block = min(FETCH, left)
            ask = {"batch": block, "expires": ANSWER_SECONDS * 10**9}
            await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{name}.{made['name']}", json.dumps(ask).encode(), inbox)
            for _ in range(block):
                message = await sub.next_msg(timeout=ANSWER_SECONDS)
                if not message.reply.startswith("$JS.ACK."):
                    raise Broken(f"the server ended the read with {message.headers}, {left} messages missing")
                seq = int(message.reply.rsplit(".", 4)[1])
                if seq <= seq_last:
                    raise Broken(f"the server sent sequence {seq} behind {seq_last}")
                seq_last = seq
                take(seq, message)
            left -= block
        after = (await api(client, f"STREAM.INFO.{name}", {}))["state"]
        if (before["messages"], before["last_seq"]) != (after["messages"], after["last_seq"]):
            raise Broken(f"the stream changed while it was read: {before} became {after}")
        if before["messages"] and seq_last != before["last_seq"]:
            raise Broken(f"the last message read is {seq_last}, the stream's is {before['last_seq']}")
        return before
    finally:
        await client.close()
