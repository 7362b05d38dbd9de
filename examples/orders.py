#!/usr/bin/env python3
"""Writes examples/orders.ndjson.gz: 10 000 change events of a web shop's PostgreSQL database, the same at every run."""

import datetime
import gzip
import hashlib
import io
import json
import random
from pathlib import Path

EVENTS = 10_000
FILE = Path(__file__).with_name("orders.ndjson.gz")
CITIES = ["Köln", "Łódź", "São Paulo", "Lyon", "Malmö", "Leeds", "東京", "Porto", "Gent", "Ústí nad Labem"]
CARRIERS = ["dhl", "ups", "dpd", "postnl"]


class Shop:
    """Orders that are placed, paid, shipped, cancelled and at last removed, each step one transaction."""

    def __init__(self):
        self.dice = random.Random(20_240_611)
        self.clock_ms = 1_718_092_800_000
        self.lsn, self.tx = 24_023_128, 571
        self.ids = {"orders": 10_000, "order_lines": 70_000, "payments": 9_000, "shipments": 8_000}
        self.open, self.done = [], []

    def events(self):
        while True:
            yield from self.transaction(self.step())

    def step(self):
        """The row changes of the next transaction, each (table, before, after)."""
        roll = self.dice.random()
        if roll < 0.35 or len(self.open) < 20:
            return self.place()
        if roll > 0.93 and len(self.done) > 50:
            return self.remove()
        order = self.open[self.dice.randrange(len(self.open))]
        if order["status"] == "new":
            return self.pay(order) if roll < 0.87 else self.cancel(order)
        return self.ship(order)

    def place(self):
        order = {
            "id": self.next_id("orders"), "customer_id": self.dice.randrange(1, 4_000), "status": "new",
            "currency": self.dice.choice(["EUR", "EUR", "GBP", "SEK"]), "total": "0.00",
            "ship_to": self.dice.choice(CITIES), "placed_at": self.now(), "version": 1,
        }
        lines, cents = [], 0
        for _ in range(self.dice.randrange(1, 4)):
            price, quantity = self.dice.randrange(199, 24_999), self.dice.randrange(1, 4)
            cents += price * quantity
            lines.append(("order_lines", None, {
                "id": self.next_id("order_lines"), "order_id": order["id"], "quantity": quantity,
                "sku": f"SKU-{self.dice.randrange(100_000):05d}", "unit_price": f"{price // 100}.{price % 100:02d}",
            }))
        order["total"] = f"{cents // 100}.{cents % 100:02d}"
        self.open.append(order)
        return [("orders", None, dict(order)), *lines]

    def pay(self, order):
        payment = {
            "id": self.next_id("payments"), "order_id": order["id"], "amount": order["total"],
            "currency": order["currency"], "method": self.dice.choice(["card", "card", "sepa", "paypal"]),
            "reference": f"{self.dice.getrandbits(64):016x}", "settled": self.dice.random() < 0.9,
        }
        return [("payments", None, payment), self.changed(order, "paid")]

    def ship(self, order):
        shipment = {
            "id": self.next_id("shipments"), "order_id": order["id"], "carrier": self.dice.choice(CARRIERS),
            "tracking": f"{self.dice.randrange(10**14):014d}", "weight_kg": self.dice.randrange(10, 3_000) / 100,
        }
        change = self.changed(order, "shipped")
        self.open.remove(order)
        self.done.append(order)
        return [("shipments", None, shipment), change]

    def cancel(self, order):
        change = self.changed(order, "cancelled")
        self.open.remove(order)
        self.done.append(order)
        return [change]

    def remove(self):
        order = self.done.pop(0)
        return [("orders", order, None)]

    def changed(self, order, status):
        before = dict(order)
        order["status"], order["version"] = status, order["version"] + 1
        return ("orders", before, dict(order))

    def next_id(self, table):
        self.ids[table] += 1
        return self.ids[table]

    def now(self):
        at = datetime.datetime.fromtimestamp(self.clock_ms / 1000, datetime.timezone.utc)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def transaction(self, changes):
        self.tx += 1
        self.clock_ms += self.dice.randrange(3, 900)
        seen = {}
        for order, (table, before, after) in enumerate(changes, start=1):
            self.lsn += self.dice.randrange(56, 1_200)
            seen[table] = seen.get(table, 0) + 1
            row = after or before
            yield {
                "before": before, "after": after, "op": "c" if before is None else "d" if after is None else "u",
                "ts_ms": self.clock_ms + 12,
                "source": {
                    "version": "2.7.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": self.clock_ms,
                    "snapshot": "false", "db": "shop", "schema": "public", "table": table, "txId": self.tx,
                    "lsn": self.lsn,
                },
                "transaction": {
                    "id": f"{self.tx}:{self.lsn}", "total_order": order, "data_collection_order": seen[table],
                },
                "event_id": hashlib.sha256(f"{table}/{row['id']}/{self.lsn}".encode()).hexdigest()[:32],
            }


def lines() -> bytes:
    text = io.StringIO()
    events = Shop().events()
    for _ in range(EVENTS):
        text.write(json.dumps(next(events), ensure_ascii=False, separators=(",", ":")) + "\n")
    return text.getvalue().encode("utf-8")


if __name__ == "__main__":
    FILE.write_bytes(gzip.compress(lines(), compresslevel=9, mtime=0))
