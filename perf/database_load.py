"""What a PostgreSQL has done for gateways, by its own statistics (pg_stat_*) and by the CPU time of its processes.

    with Watch(postgres) as watch:
        before = watch.reading()
        ...
        done = watch.reading().since(before)

Its extension pg_stat_statements has to be loaded (``SETTINGS``): the statements of a transaction are counted one by one,
BEGIN and COMMIT too. Gateways connect as a role of their own (``watch.url``), so that nothing of the watch is counted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass

import psutil
import psycopg

from perf.measure import whole_cpu_seconds
from tests.support.fleet import url_of
from tests.support.postgres import Postgres

SETTINGS = ("shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_planning=on")
_ROLE = "gateway"
_OURS = f"FROM pg_stat_statements WHERE userid = '{_ROLE}'::regrole"
_READ = f"""
SELECT coalesce(sum(calls) FILTER (WHERE query = 'COMMIT'), 0), coalesce(sum(calls), 0), coalesce(sum(rows), 0),
       coalesce(sum(total_plan_time + total_exec_time), 0), coalesce(sum(wal_bytes), 0) {_OURS}"""
#: one that was asked of tables that were made anew is still the same
_STATEMENTS = f"""SELECT sum(calls)::bigint, sum(total_plan_time + total_exec_time), sum(rows)::bigint, sum(wal_bytes)::bigint, query {_OURS}
GROUP BY query ORDER BY 2 DESC"""
_LOOK_S = 0.25  #: between two looks at what is waited for: so that looking costs nothing


@dataclass(frozen=True)
class Load:
    """Work of a database, from its start or between two readings."""

    transactions: float
    statements: float
    rows: float
    busy_ms: float  #: in statements, planning included
    wal_octets: float
    cpu_s: float  #: of its processes, parsing and the network included
    seconds: float

    def since(self, earlier: Load) -> Load:
        """Return what was done since an earlier reading."""
        return Load(*(now - before for now, before in zip(astuple(self), astuple(earlier), strict=True)))


@dataclass(frozen=True)
class Statement:
    """One kind of statement."""

    calls: int
    total_ms: float
    rows: int
    wal_octets: int
    text: str

    @property
    def name(self) -> str:
        """What it does, in a word or two: INSERT objects."""
        verb = re.search(r"(?<!FOR )\b(?:CREATE|INSERT|UPDATE|DELETE)\b", self.text) or re.search(r"\w+", self.text)
        table = re.search(r"fastscp\.(\w+)", self.text[verb.start():] if verb else self.text)
        called = re.search(r"(\w+)\(", self.text)
        return " ".join(filter(None, (verb and verb[0], table[1] if table else called and called[1])))


class Watch:
    """Looks at what gateways that connect to ``url`` have a server do."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self.url = url_of(postgres, _ROLE)
        self._connection = psycopg.connect(url_of(postgres), autocommit=True)
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self._connection.execute(f"CREATE ROLE {_ROLE} LOGIN SUPERUSER")

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close()

    def fresh(self) -> None:
        """Remove what an earlier fleet has left."""
        self._connection.execute("DROP SCHEMA IF EXISTS fastscp CASCADE")

    def count(self, query: str) -> int:
        """Return the one number that a query answers; 0 while its tables are not there yet."""
        try:
            row = self._connection.execute(query.encode()).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return 0
        return int(row[0]) if row else 0

    def reading(self) -> Load:
        """Return what was done until now."""
        row = self._connection.execute(_READ.encode()).fetchone() or ()
        return Load(*map(float, row), whole_cpu_seconds(psutil.Process(self._postgres.pid)), time.monotonic())

    def statements(self) -> list[Statement]:
        """Return the kinds of statements, those that took most time first."""
        return [Statement(*row[:4], " ".join(row[4].split())) for row in self._connection.execute(_STATEMENTS.encode()).fetchall()]


def patiently(condition: Callable[[], bool], what: str, deadline_s: float) -> None:
    """Wait for something; raises RuntimeError when it does not come."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"not in {deadline_s:.0f} s: {what}")
        time.sleep(_LOOK_S)
