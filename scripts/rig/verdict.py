"""Compares what a stream holds with the lines it was to hold."""

import hashlib
import json


def digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def field(data: bytes, path: list) -> bytes:
    """The JSON text of the value at `path` in `data`; the data itself where there is none."""
    try:
        value = json.loads(data)
        for name in path:
            value = value[name]
    except (ValueError, KeyError, TypeError):
        return data
    return json.dumps(value, sort_keys=True).encode()


class Verdict:
    """Takes every message in stream order and counts what is wrong with the whole.

    A message is known by its payload, or by one JSON field of it, so the expected lines must differ in that. `altered`
    are messages that are no expected line (the line behind such a one counts as lost too), `duplicated` are lines or
    ids seen before, `out_of_order` are first sights of a line that stood before some line already seen.
    """

    def __init__(self, expected=None, path=None, ids=False):
        self.path, self.ids = path, ids
        self.lines = None if expected is None else {}
        self.messages = self.altered = self.duplicated = self.out_of_order = self.without_id = 0
        self.furthest = -1
        self.seen_ids, self.seen = set(), bytearray()
        for at, line in enumerate(expected or ()):
            if self.lines.setdefault(self.key(line), at) != at:
                raise ValueError(f"line {at + 1} repeats line {self.lines[self.key(line)] + 1}: no verdict possible")
        if self.lines is not None:
            self.seen = bytearray(len(self.lines))

    def key(self, data: bytes) -> bytes:
        return digest(field(data, self.path) if self.path else data)

    def take(self, _seq: int, message) -> None:
        self.messages += 1
        repeated = self.ids and self.repeats_id(message.headers)
        at = self.lines.get(self.key(message.data)) if self.lines is not None else None
        if at is not None:
            repeated = repeated or bool(self.seen[at])
            if not self.seen[at] and at < self.furthest:
                self.out_of_order += 1
            self.seen[at] = 1
            self.furthest = max(self.furthest, at)
        elif self.lines is not None:
            self.altered += 1
        self.duplicated += repeated

    def repeats_id(self, headers) -> bool:
        name = (headers or {}).get("Nats-Msg-Id")
        if not name:
            self.without_id += 1
            return False
        known = len(self.seen_ids)
        self.seen_ids.add(digest(name.encode()))
        return len(self.seen_ids) == known

    def counts(self, state: dict) -> dict:
        lost = state["messages"] - self.messages if self.lines is None else len(self.lines) - sum(self.seen)
        return {
            "messages": self.messages, "lost": lost, "duplicated": self.duplicated, "out_of_order": self.out_of_order,
            "altered": self.altered, "without_id": self.without_id,
            "first_seq": state["first_seq"], "last_seq": state["last_seq"],
        }


def is_exact(counts: dict) -> bool:
    return not any(counts[name] for name in ("lost", "duplicated", "out_of_order", "altered", "without_id"))
