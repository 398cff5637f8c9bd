"""The statements that a log in a PostgreSQL database runs, and its tables.

All tables are in the schema `chatlab`. Texts are bytes (UTF-8), since a text of PostgreSQL can't hold NUL.
Source: PostgreSQL 15, NOTIFY, and 9.27 (snapshots).
"""

from __future__ import annotations

from chatlab.hub.log import OVERHEAD

SCHEMA_VERSION = 1
SESSION = """
SET search_path = chatlab; SET statement_timeout = '10s'; SET client_min_messages = warning;
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3
"""
SCHEMA = """
CREATE SCHEMA IF NOT EXISTS chatlab;
CREATE TABLE IF NOT EXISTS log (version integer NOT NULL, epoch text NOT NULL, csrf bytea NOT NULL);
CREATE TABLE IF NOT EXISTS rooms (room text PRIMARY KEY, count bigint NOT NULL, size bigint NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
    room text NOT NULL,
    number bigint NOT NULL,
    sender text NOT NULL,
    client_id bytea NOT NULL,
    posted_at text,
    text bytea NOT NULL,
    data bytea,
    before bigint NOT NULL,
    PRIMARY KEY (room, number)
);
CREATE INDEX IF NOT EXISTS keys ON messages (room, sender, client_id) WHERE client_id != '';
CREATE TABLE IF NOT EXISTS people (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node text NOT NULL,
    room text NOT NULL,
    sender text NOT NULL
);
CREATE INDEX IF NOT EXISTS places ON people (node, room, sender)
"""
"""`rooms` has the number of messages of a room and their bytes, `before` the bytes of those before one."""
LOCK = "%s, hashtext(%s)"
FIELDS = "number, sender, client_id, posted_at, text, data"
LOCK_ROOM = """
INSERT INTO rooms VALUES (%s, 0, 0) ON CONFLICT (room) DO UPDATE SET count = rooms.count RETURNING count, size
"""
SELECT_KNOWN = f"""
SELECT {FIELDS} FROM messages
WHERE room = %s AND sender = %s AND client_id = %s AND client_id != '' AND number > %s
ORDER BY number DESC LIMIT 1
"""
PLACE = "%s::text, %s::text, %s::text, %s::text"
INSERT = f"""
WITH message AS (INSERT INTO messages VALUES (%s, %s, %s, %s, %s, %s, %s, %s)),
room AS (UPDATE rooms SET count = %s, size = %s WHERE room = %s)
SELECT pg_notify('chatlab', json_build_array({PLACE}, pg_current_xact_id()::text)::text)
"""
SELECT_FIRST = """
SELECT number FROM messages WHERE room = %s AND number > %s AND before >= %s ORDER BY number LIMIT 1
"""
SELECT_AFTER = f"""
WITH first AS (
    SELECT number, before FROM messages WHERE room = %(room)s AND number > %(seen)s ORDER BY number LIMIT 1
)
SELECT {FIELDS} FROM messages WHERE room = %(room)s AND number > %(seen)s
AND before - (SELECT before FROM first) - {OVERHEAD} * (number - (SELECT number FROM first)) <= 4 * %(size)s
ORDER BY number LIMIT %(limit)s
"""
"""A message has at least a character for each four bytes, so this is at least a page of `leading`."""
DELETE_PERSON = """
DELETE FROM people WHERE id = (
    SELECT id FROM people WHERE node = %s AND room = %s AND sender = %s LIMIT 1 FOR UPDATE
)
"""
NOTIFY = f"SELECT pg_notify('chatlab', json_build_array({PLACE}, pg_current_xact_id()::text)::text)"
MAX_NAMES = 3000
"""Bytes of names in a notification, which may have less than 8000, also if every byte is escaped."""
SELECT_PEOPLE = """
SELECT pg_current_snapshot()::text, (SELECT json_agg(json_build_array(node, room, sender)) FROM people)
"""
