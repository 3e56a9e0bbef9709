#!/usr/bin/env python3
"""Plans and times of every statement that a fleet uses, on a PostgreSQL that is full.

    python3 perf/plans.py --objects 1000000

It starts a PostgreSQL of its own, fills the tables of a fleet (ten objects and ten events to a study, events in ten partitions), calls what
gateways, readers and relays call, and has the server explain each statement as it is carried out. Printed is what each reads and how
long it takes, what a row and its indexes occupy, how deep the indexes are, and what that comes to for --of objects. Exit status 1 when a
statement reads a big table from end to end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import perf  # noqa: F401 - says what is missing
from fastscp.fleet import consuming, ending, outbox, retention, shipping
from fastscp.fleet.database import Database, migrate
from fastscp.fleet.journal import Entry
from tests.support.fleet import url_of
from tests.support.postgres import Postgres

PER_STUDY: Final = 10  #: objects, and events
BATCH: Final = 256  #: objects that are shipped at once
_BIG: Final = ("objects", "studies", "ends", "outbox")
_EXPLAINED: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
_DAY_S: Final = 86400.0

#: in the order of time: the first study ended a year ago, the last ones are open
_FILL: Final = """
INSERT INTO fastscp.gateways SELECT 'gateway-' || g, now(), now(), NULL, 's', 'p' FROM generate_series(1, 100) g;
INSERT INTO fastscp.positions SELECT 'gateway-' || g, 'e' || e, 1000, now() FROM generate_series(1, 100) g, generate_series(1, 3) e;
INSERT INTO fastscp.studies (key, study_uid, sender, revision, changed, deadline, opened, ended, caller)
    SELECT uid, uid, '', 1, s > {studies} - 500, at + interval '30 seconds', at, at + interval '31 seconds', {caller}
    FROM (SELECT s, '1.2.826.0.1.3680043.10.511.1' || lpad(s::text, 29, '0') AS uid,
                 now() - interval '365 days' * (1 - s::double precision / {studies}) AS at FROM generate_series(1, {studies}) s) AS r ORDER BY s;
INSERT INTO fastscp.objects
    SELECT s.id, s.key || '.' || n, md5(s.id || ' ' || n) || md5(n || ' ' || s.id), 1, 'gateway-' || (1 + n),
        '/srv/dicom/in/study_' || s.key || '/CT.' || s.key || '.' || n, 526336, '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1',
        s.key || '.1', 'CT', s.opened FROM fastscp.studies s, generate_series(1, {per_study}) n ORDER BY s.id, n;
INSERT INTO fastscp.ends (study, revision, ended, objects, gateway, attempts, next_try, done, status)
    SELECT id, 1, ended, {per_study}, 'gateway-1', 1, ended, CASE WHEN id <= {studies} - 550 THEN ended END, 0 FROM fastscp.studies
    WHERE NOT changed;
INSERT INTO fastscp.holders SELECT 'gateway-' || (1 + id % 100), id, id, now() FROM fastscp.studies WHERE changed AND id % 2 = 0;
INSERT INTO fastscp.consumers (name, position, confirmed) SELECT 'consumer-' || c, {events} - 200 * c, now() FROM generate_series(1, 5) c;
"""
_CALLER: Final = """'{"calling_aet": "CT_SCANNER_1", "called_aet": "GATEWAY", "peer": "10.1.2.3", "peer_host": "", "port": 50000}'"""
_EVENTS: Final = """
INSERT INTO fastscp.outbox (event, study, revision, told, body)
    SELECT CASE WHEN n = 10 THEN 'study.completed' ELSE 'study.opened' END, id, 1, opened,
        jsonb_build_object('study_uid', study_uid, 'sender', sender, 'reason', 'timeout', 'count', {per_study}) || caller
    FROM fastscp.studies, generate_series(1, {per_study}) n WHERE id > {first} AND id <= {last} ORDER BY id, n"""


@dataclass
class Statement:
    """A statement as the server carried it out."""

    who: str  #: what of the fleet it belongs to
    text: str
    ms: float  #: planning and execution
    reads: list[str] = field(default_factory=list)  #: tables and the indexes that lead to their rows
    whole: list[str] = field(default_factory=list)  #: big tables that are read from end to end


class Explaining:
    """A cursor that has each statement explained before it is carried out."""

    def __init__(self, cursor: Any, who: str, found: list[Statement]) -> None:
        self._cursor = cursor
        self._who = who
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, text: str, parameters: Any = None) -> None:
        """Carry a statement out."""
        if text.lstrip().startswith(_EXPLAINED) and " FROM pg_" not in text:
            self._cursor.execute("SAVEPOINT explained")
            self._cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", parameters)
            ((plan,),) = self._cursor.fetchone()
            self._cursor.execute("ROLLBACK TO SAVEPOINT explained")
            self._found.append(_statement(self._who, text, plan))
        self._cursor.execute(text, parameters)


def _statement(who: str, text: str, plan: dict[str, Any]) -> Statement:
    nodes = list(_nodes(plan["Plan"]))
    found = Statement(who, " ".join(text.split()), plan["Planning Time"] + plan["Execution Time"])
    for node in nodes:
        relation = node.get("Relation Name", "")
        read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)  # a partition may be empty
        big = relation.startswith(_BIG) and node["Actual Loops"] * read > 0
        if node["Node Type"] == "Seq Scan" and big:
            found.whole.append(relation)
        elif "Index Name" in node and node["Node Type"] != "ModifyTable":
            found.reads.append(node["Index Name"])
        found.reads += node.get("Conflict Arbiter Indexes", [])
    found.reads = sorted({_general(name) for name in found.reads})
    return found


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def _general(name: str) -> str:
    """Name the index of a partition as that of the table."""
    return "outbox_pkey" if name.startswith("outbox_") else name


class Filled:
    """A fleet's database with so many objects in it."""

    def __init__(self, server: Postgres, objects: int) -> None:
        self.studies = max(1000, objects // PER_STUDY)
        self.objects = self.studies * PER_STUDY
        self._server = server
        self._database = Database(url_of(server), "plans")
        self._found: list[Statement] = []
        with self._database.transaction() as cursor:
            migrate(cursor)
            cursor.execute(_FILL.format(studies=self.studies, per_study=PER_STUDY, events=self.objects, caller=f"{_CALLER}::jsonb"))
        for part in range(10):
            with self._database.transaction() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 0")
                cursor.execute(_EVENTS.format(per_study=PER_STUDY, first=self.studies * part // 10, last=self.studies * (part + 1) // 10))
                if part < 9:
                    retention.cut(cursor, retention.partitions(cursor)[-1])
        server.query("VACUUM ANALYZE")

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def statements(self) -> list[Statement]:
        """Do what a fleet does; return its statements."""
        self._explain("a gateway registers", lambda cursor: shipping.register(cursor, "gateway-1", "s"))
        new = [self._object(number, f"new.{number // PER_STUDY}", number) for number in range(BATCH)]
        self._explain("256 new objects are shipped", lambda cursor: shipping.ship(cursor, "gateway-1", new))
        known = [self._known(number) for number in range(BATCH)]
        self._explain("256 repeated objects are shipped", lambda cursor: shipping.ship(cursor, "gateway-2", known))
        final = [Entry(number, "f", "final", entry.body) for number, entry in enumerate(known, 1)]
        self._explain("256 final places are shipped", lambda cursor: shipping.ship(cursor, "gateway-2", final))
        held = [Entry(number, "h", kind, {"number": number, "key": self._key(number)}) for number in range(1, 129) for kind in ("hold", "release")]
        self._explain("studies are held and released", lambda cursor: shipping.ship(cursor, "gateway-3", held))
        self._explain("a sign of life", lambda cursor: shipping.beat(cursor, "gateway-1", None))
        self._explain("due studies end", lambda cursor: ending.end_due(cursor, connected_s=1e6, limit_s=3600.0, has_hook=lambda _sender: True))
        self._explain("a hook is claimed, renewed, finished", self._hook)
        last = self.objects
        self._explain("a reader reads", lambda cursor: list(outbox.read_whole(cursor, last - 100)))
        self._explain("a reader that is far behind reads", lambda cursor: outbox.read(cursor, last // 3, outbox.MOST))
        self._explain("a reader confirms", lambda cursor: (outbox.confirmed(cursor, "consumer-1"), outbox.confirm(cursor, "consumer-1", last)))
        self._explain("a relay takes its lease and confirms", self._relay)
        self._explain("an old partition goes", lambda cursor: retention.drop_and_cut(cursor, 300 * _DAY_S))
        self._explain("old studies go", lambda cursor: retention.forget_studies(cursor, 300 * _DAY_S))
        return self._found

    def _explain(self, who: str, does: Callable[[Any], object]) -> None:
        with self._database.transaction() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            does(Explaining(cursor, who, self._found))

    def _hook(self, cursor: Any) -> None:
        for claim in ending.claim(cursor, "gateway-1", most=4, lease_s=60.0):
            outbox.objects_of(cursor, claim.study, claim.revision)
            ending.renew(cursor, [claim.lease], lease_s=60.0)
            ending.finish(cursor, claim.lease, 0, None)

    @staticmethod
    def _relay(cursor: Any) -> None:
        consuming.take(cursor, "consumer-2", "token", 60.0)
        consuming.confirm(cursor, "consumer-2", "token", 7)
        consuming.give_back(cursor, "consumer-2", "token")
        outbox.identity(cursor)

    def _key(self, number: int) -> str:
        """Return the key of a study that is there, anywhere in the table."""
        return f"1.2.826.0.1.3680043.10.511.1{self._study(number):029}"

    def _study(self, number: int) -> int:
        return 1 + number * 7919 % self.studies

    def _known(self, number: int) -> Entry:
        """Return an object that is there, in any study."""
        study, instance = self._study(number), number % PER_STUDY + 1
        words = f"{study} {instance}", f"{instance} {study}"
        return self._object(number, self._key(number), instance, "".join(hashlib.md5(word.encode()).hexdigest() for word in words))

    @staticmethod
    def _object(number: int, key: str, instance: int, digest: str = "") -> Entry:
        row = {"sop_instance_uid": f"{key}.{instance}", "sha256": digest or f"{instance:064}", "path": f"/srv/dicom/in/{key}.{instance}", "size": 526336,
               "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2", "transfer_syntax_uid": "1.2.840.10008.1.2.1", "series_uid": f"{key}.1",
               "modality": "CT"}
        return Entry(number + 1, f"{key[:4]}", "object", {"number": number, "key": key, "timeout_s": 30.0, "objects": [row]})

    def sizes(self) -> list[dict[str, Any]]:
        """Return what tables and indexes occupy, for each of their rows."""
        self._server.query("CREATE EXTENSION IF NOT EXISTS pageinspect")
        found = []
        for table, rows in (("objects", self.objects), ("studies", self.studies), ("ends", self.studies)):
            octets = int(self._server.query(f"SELECT pg_table_size('fastscp.{table}')"))
            found.append({"name": table, "octets": octets / rows, "levels": None, "leaves": None, "rows": rows})
            for index in self._server.query(f"SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'fastscp.{table}'::regclass "
                                            "AND indpred IS NULL ORDER BY 1").split():
                octets = int(self._server.query(f"SELECT pg_relation_size('{index}')"))
                level = int(self._server.query(f"SELECT level FROM bt_metap('{index}')"))
                found.append({"name": index.removeprefix("fastscp."), "octets": octets / rows, "levels": level + 1, "rows": rows,
                              "leaves": octets / 8192})
        return found


def print_statements(statements: list[Statement]) -> None:
    """Print a table of what each step reads and how long it takes."""
    print("| what | statements | indexes | ms |\n| --- | ---: | --- | ---: |")
    for who in dict.fromkeys(statement.who for statement in statements):
        those = [statement for statement in statements if statement.who == who]
        reads = ", ".join(f"`{name}`" for name in sorted({name for statement in those for name in statement.reads}))
        print(f"| {who} | {len(those)} | {reads} | {sum(s.ms for s in those):.1f} |")


def print_sizes(sizes: list[dict[str, Any]], of: int, objects: int) -> None:
    """Print what a row occupies, and what that comes to for ``of`` objects."""
    print(f"\n| table or index | octets a row | levels | GB for {of:,} objects | levels then |\n| --- | ---: | ---: | ---: | ---: |")
    for size in sizes:
        rows = of * size["rows"] // objects
        print(f"| `{size['name']}` | {size['octets']:.0f} | {size['levels'] or ''} | {size['octets'] * rows / 1e9:.1f} "
              f"| {levels(size, rows) if size['levels'] else ''} |")


def levels(size: dict[str, Any], rows: int) -> int:
    """Return how many levels an index has with so many rows, if its pages hold what they hold now. Pages above hold as many as leaves do."""
    per_page = size["rows"] / size["leaves"]
    return 1 + max(1, math.ceil(math.log(rows / per_page, per_page)))


def main() -> int:
    """Fill, explain, print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], usage="perf/plans.py [--objects N] [--of N] [--json FILE]")
    parser.add_argument("--objects", type=int, default=1_000_000, help="that the tables are filled with (default: 1000000)")
    parser.add_argument("--of", type=int, default=100_000_000, help="objects that the arithmetic is for (default: 100000000)")
    parser.add_argument("--json", type=Path, help="write every statement with its figures to this file")
    line = parser.parse_args()
    with Postgres() as server:
        filled = Filled(server, line.objects)
        sizes = filled.sizes()
        statements = filled.statements()
        filled.close()
    print(f"{filled.objects:,} objects and as many events, {filled.studies:,} studies\n")
    print_statements(statements)
    print_sizes(sizes, line.of, filled.objects)
    if line.json:
        line.json.write_text(json.dumps({"statements": [asdict(s) for s in statements], "sizes": sizes}, indent=1), encoding="utf-8")
    whole = [statement for statement in statements if statement.whole]
    for statement in whole:
        print(f"reads {', '.join(statement.whole)} from end to end: {statement.who}: {statement.text}", file=sys.stderr)
    return 1 if whole else 0


if __name__ == "__main__":
    sys.exit(main())
