#!/usr/bin/env python3
"""Reads a stream with nats-py and holds each message to what its envelope says, worked out anew from the event.

It knows the page about events and nothing of the code: values are compared as Python's json reads them, with all digits.
"""

import datetime
import decimal
import json
import pathlib
import sys
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts"))

from rig import stream  # noqa: E402

KINDS = {"c": "created", "u": "updated", "d": "deleted", "r": "snapshot", "t": "truncated"}
PREFIX = "com.example.cdc."


def parsed(text):
    return json.loads(text, parse_float=decimal.Decimal)


def quoted(name):
    return urllib.parse.quote(name, safe="!$&'()*+,;=:@")


def cloud_event(event, message_id):
    source = event["source"]
    space = source.get("schema") or source.get("db")
    table = ".".join(filter(None, [space, source.get("table")]))
    made = {
        "specversion": "1.0",
        "id": str(event.get("event_id") or message_id),
        "source": "/".join(["deltaforge", *(quoted(part) for part in [source.get("name"), table] if part)]),
        "type": PREFIX + KINDS[event["op"]],
        "datacontenttype": "application/json",
        "data": {key: event[key] for key in ("before", "after", "op") if event.get(key) is not None},
    }
    if table:
        made["subject"] = table
    millis = event.get("ts_ms")
    millis = source.get("ts_ms") if millis is None else millis
    if millis is not None:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=millis)
        made["time"] = moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{millis % 1000:03d}Z"
    return made


def expected(envelope, event, message_id):
    """The payload, as json reads it."""
    routing = event.pop("routing", None) or {}
    if routing.get("raw_payload"):
        return event["after"]
    if envelope == "debezium":
        return {"schema": None, "payload": event}
    return cloud_event(event, message_id) if envelope == "cloudevents" else event


def main():
    url, name, envelope = sys.argv[1:]
    events = (HERE / "events.ndjson").read_text().splitlines()
    found = []
    stream.run(stream.read_all(url, name, lambda _seq, message: found.append(message)))
    assert len(found) == len(events), f"{len(found)} messages for {len(events)} events"
    for line, message in zip(events, found):
        headers, event = message.headers, parsed(line)
        routing = event.get("routing") or {}
        wanted = expected(envelope, parsed(line), headers["Nats-Msg-Id"])
        assert parsed(message.data) == wanted, f"\n{message.data.decode()}\n{wanted}"
        assert message.subject == routing.get("topic", "orders." + event["op"]), message.subject
        after = event.get("after") if isinstance(event.get("after"), dict) else {}
        key = (routing.get("headers") or {}).get("df-key", routing.get("key", after.get("id")))
        assert headers.get("df-key") == (None if key is None else str(key)), headers
        assert headers["x-env"] == (routing.get("headers") or {}).get("x-env", "prod"), headers
        form = "application/cloudevents+json" if envelope == "cloudevents" and not routing.get("raw_payload") else None
        assert headers.get("content-type") == (routing.get("headers") or {}).get("content-type", form), headers
    print(f"{len(found)} messages are as {envelope} says")


if __name__ == "__main__":
    main()
