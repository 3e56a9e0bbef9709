"""The tables that a fleet shares, as a list of migrations. Pure.

``gateways``   each gateway, its last sign of life, and the time up to which everything that it received is here
``positions``  how far the journal of each gateway is here, by epoch: what makes shipping it again harmless
``studies``    one row for each study of the fleet: deadline, revision, whether it changed since it ended last
``holders``    which gateway has which study open
``objects``    each object of a study and where it is; unique by SOP instance and digest
``ends``       ends of studies whose hook runs, ran, or is to run: claimed by a lease
``outbox``     events, in the order of their commits; partitions of positions, the last of which has no end
``consumers``  how far whoever reads events has come, and which process reads, where only one may

A migration is never changed once it was published. It names the oldest schema whose programs go on working with it, so that two
versions can work side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LOCK: Final = 0x66617374_00000001  #: advisory lock of whoever migrates
OUTBOX_LOCK: Final = 0x66617374_00000002  #: of whoever adds events: their numbers are in the order of commits
CHANNEL: Final = "fastscp_outbox"


@dataclass(frozen=True)
class Migration:
    """One step. ``oldest``: programs that know this schema or a later one go on working after it."""

    statements: str
    oldest: int


_FIRST: Final = """
CREATE TABLE fastscp.gateways (
    name text PRIMARY KEY, heartbeat timestamptz NOT NULL, shipped_through timestamptz, left_at timestamptz,
    session text NOT NULL, program text NOT NULL);
CREATE TABLE fastscp.positions (
    gateway text NOT NULL, epoch text NOT NULL, number bigint NOT NULL, changed timestamptz NOT NULL,
    PRIMARY KEY (gateway, epoch));
CREATE TABLE fastscp.studies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL UNIQUE, study_uid text NOT NULL, sender text NOT NULL,
    revision integer NOT NULL DEFAULT 0, changed boolean NOT NULL DEFAULT false, deadline timestamptz NOT NULL,
    opened timestamptz NOT NULL, ended timestamptz, caller jsonb);
CREATE INDEX studies_due ON fastscp.studies (deadline) WHERE changed;
CREATE INDEX studies_by_uid ON fastscp.studies (study_uid);
CREATE TABLE fastscp.holders (
    gateway text NOT NULL, number bigint NOT NULL, study bigint NOT NULL, since timestamptz NOT NULL,
    PRIMARY KEY (gateway, number));
CREATE INDEX holders_by_study ON fastscp.holders (study);
CREATE TABLE fastscp.objects (
    study bigint NOT NULL, sop_instance_uid text NOT NULL, sha256 text NOT NULL, revision integer NOT NULL,
    gateway text NOT NULL, path text NOT NULL, size bigint NOT NULL, sop_class_uid text NOT NULL,
    transfer_syntax_uid text NOT NULL, series_uid text NOT NULL, modality text NOT NULL, shipped timestamptz NOT NULL,
    PRIMARY KEY (study, sop_instance_uid, sha256));
CREATE TABLE fastscp.ends (
    study bigint NOT NULL, revision integer NOT NULL, ended timestamptz NOT NULL, objects integer NOT NULL,
    gateway text, lease text, lease_until timestamptz, attempts integer NOT NULL DEFAULT 0, next_try timestamptz NOT NULL,
    done timestamptz, status integer, PRIMARY KEY (study, revision));
CREATE INDEX ends_waiting ON fastscp.ends (next_try) WHERE done IS NULL;
CREATE TABLE fastscp.outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event text NOT NULL, study bigint NOT NULL,
    revision integer NOT NULL, told timestamptz NOT NULL, body jsonb NOT NULL);
CREATE TABLE fastscp.consumers (name text PRIMARY KEY, position bigint NOT NULL, confirmed timestamptz NOT NULL);
"""

#: whoever reads for others (fastscp.fleet.consuming) does so alone
_LEASED_CONSUMERS: Final = """
ALTER TABLE fastscp.consumers ADD COLUMN lease text, ADD COLUMN lease_until timestamptz;
"""

#: old events go with the partition that they are in (fastscp.fleet.retention). The last partition has no end, so an event always finds its
#: place. Whoever had rights to the table has them to the new one; positions go on where they were
_PARTITIONED_OUTBOX: Final = f"""
SELECT pg_advisory_xact_lock({OUTBOX_LOCK});
ALTER TABLE fastscp.outbox RENAME TO outbox_first;
ALTER INDEX fastscp.outbox_pkey RENAME TO outbox_first_pkey;
DO $body$
DECLARE
    begins bigint;
    held record;
BEGIN
    SELECT greatest(last_value + is_called::integer, (SELECT max(position) + 1 FROM fastscp.outbox_first)) INTO begins
        FROM fastscp.outbox_position_seq;
    ALTER TABLE fastscp.outbox_first ALTER COLUMN position DROP IDENTITY;
    EXECUTE format('CREATE TABLE fastscp.outbox (
        position bigint GENERATED ALWAYS AS IDENTITY (START WITH %s) PRIMARY KEY, event text NOT NULL, study bigint NOT NULL,
        revision integer NOT NULL, told timestamptz NOT NULL, body jsonb NOT NULL) PARTITION BY RANGE (position)', begins);
    EXECUTE format('ALTER TABLE fastscp.outbox ATTACH PARTITION fastscp.outbox_first FOR VALUES FROM (MINVALUE) TO (%s)', begins);
    EXECUTE format('CREATE TABLE fastscp.outbox_from_%s PARTITION OF fastscp.outbox FOR VALUES FROM (%s) TO (MAXVALUE)', begins, begins);
    FOR held IN SELECT a.privilege_type, a.is_grantable, a.grantee FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'fastscp.outbox_first'::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON fastscp.outbox TO %s %s', held.privilege_type,
            CASE held.grantee WHEN 0 THEN 'PUBLIC' ELSE held.grantee::regrole::text END,
            CASE WHEN held.is_grantable THEN 'WITH GRANT OPTION' ELSE '' END);
    END LOOP;
    EXECUTE (SELECT format('ALTER TABLE fastscp.outbox OWNER TO %s', relowner::regrole) FROM pg_class
        WHERE oid = 'fastscp.outbox_first'::regclass);
END $body$;
CREATE INDEX studies_quiet ON fastscp.studies ((coalesce(ended, opened))) WHERE NOT changed;
CREATE INDEX ends_leased ON fastscp.ends (lease) WHERE lease IS NOT NULL;
"""

#: what an object store has: objects by key, and manifests of ends ("": to be written; "-": overtaken by a later end; NULL: none is wanted)
_OBJECT_STORE: Final = """
ALTER TABLE fastscp.objects ADD COLUMN store_key text;
ALTER TABLE fastscp.ends ADD COLUMN manifest text, ADD COLUMN manifest_until timestamptz;
CREATE INDEX ends_without_manifest ON fastscp.ends (ended) WHERE manifest = '';
"""

MIGRATIONS: Final = (Migration(_FIRST, oldest=1), Migration(_LEASED_CONSUMERS, oldest=1), Migration(_PARTITIONED_OUTBOX, oldest=1),
                     Migration(_OBJECT_STORE, oldest=1))


def wanted(version: int, oldest: int, migrations: tuple[Migration, ...] = MIGRATIONS) -> tuple[Migration, ...] | None:
    """Return what is to be done to a schema of that version; None where this program is too old for it.

    ``oldest`` is what the schema says of the oldest program.
    """
    if version > len(migrations):
        return () if oldest <= len(migrations) else None
    return migrations[version:]
