-- Connection history, version 1. Times are integer Unix milliseconds, UTC.
--
-- A file of this folder that was released is never edited: what changes, changes in the next file.

-- "exhk": tells this database from any other SQLite file.
PRAGMA application_id = 0x6578686b;

-- One row a connection. disconnected_at is NULL while it lasts; closed_by is then
--   event       the broker said that it ended;
--   takeover    a newer connection took the session over, and the broker said so;
--   superseded  a newer connection of the clientid came, and nothing was said of the older one's end;
--   restart     the broker process is gone; the time is when it was last known alive.
CREATE TABLE connections (
    id              INTEGER PRIMARY KEY,
    clientid        TEXT    NOT NULL,
    username        TEXT    NOT NULL,
    peerhost        TEXT    NOT NULL,
    sockport        INTEGER NOT NULL,
    protocol        TEXT    NOT NULL,
    proto_ver       INTEGER,
    node            TEXT    NOT NULL,
    connected_at    INTEGER NOT NULL,
    disconnected_at INTEGER,
    reason          TEXT,
    closed_by       TEXT CHECK (closed_by IN ('event', 'takeover', 'superseded', 'restart')),
    broker          INTEGER NOT NULL -- internal: broker_processes.id
);

-- A clientid is connected once.
CREATE UNIQUE INDEX connections_open ON connections (clientid) WHERE disconnected_at IS NULL;

-- What one client did.
CREATE INDEX connections_clientid ON connections (clientid, connected_at);

-- Logins, publishes and subscriptions that the policy refused, or would have (mode = 'audit').
CREATE TABLE denials (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    clientid TEXT    NOT NULL,
    username TEXT    NOT NULL,
    peerhost TEXT    NOT NULL,
    action   TEXT    NOT NULL, -- connect, publish or subscribe
    topic    TEXT    NOT NULL, -- empty for connect
    rule     TEXT    NOT NULL,
    mode     TEXT    NOT NULL, -- enforce or audit
    count    INTEGER NOT NULL DEFAULT 1
);

CREATE INDEX denials_clientid ON denials (clientid, at);

-- Every CONNECT; connack is NULL until the answer is known.
CREATE TABLE attempts (
    id         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    clientid   TEXT    NOT NULL, -- as the client sent it, which may be empty
    username   TEXT    NOT NULL,
    peerhost   TEXT    NOT NULL,
    sockport   INTEGER NOT NULL,
    proto_name TEXT    NOT NULL,
    proto_ver  INTEGER NOT NULL,
    keepalive  INTEGER NOT NULL,
    node       TEXT    NOT NULL,
    connack    TEXT
);

CREATE INDEX attempts_open ON attempts (clientid) WHERE connack IS NULL;

-- The subscriptions of the sessions that exist.
CREATE TABLE subscriptions (
    clientid      TEXT    NOT NULL,
    topic         TEXT    NOT NULL,
    qos           INTEGER NOT NULL,
    subscribed_at INTEGER NOT NULL,
    broker        INTEGER NOT NULL, -- internal: broker_processes.id
    PRIMARY KEY (clientid, topic)
) WITHOUT ROWID;

CREATE TABLE messages (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    clientid TEXT    NOT NULL,
    topic    TEXT    NOT NULL,
    qos      INTEGER NOT NULL,
    payload  BLOB    NOT NULL
);

-- The tables below are internal.

-- Broker processes that were recorded. `slot` is the driver name that records.
CREATE TABLE broker_processes (
    id         INTEGER PRIMARY KEY,
    boot_id    TEXT    NOT NULL,
    pid_ns     TEXT    NOT NULL,
    pid        INTEGER NOT NULL,
    started    INTEGER NOT NULL, -- clock ticks after boot
    node       TEXT,
    slot       TEXT    NOT NULL,
    last_alive INTEGER NOT NULL,
    gaps       INTEGER NOT NULL DEFAULT 0, -- how often rows became unsure
    gone       INTEGER NOT NULL DEFAULT 0,
    UNIQUE (boot_id, pid_ns, pid, started)
);

-- The drivers that record, and those whose end is not yet accounted for.
CREATE TABLE drivers (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    broker        INTEGER NOT NULL,
    pid           INTEGER NOT NULL,
    started       INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    ended         INTEGER NOT NULL DEFAULT 0
);

-- Connections that were superseded, while an end of each is still expected.
CREATE TABLE handovers (
    clientid   TEXT    NOT NULL,
    connection INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    PRIMARY KEY (clientid, connection)
) WITHOUT ROWID;

-- Open connections whose end may have been missed.
CREATE TABLE unsure (connection INTEGER PRIMARY KEY);

-- The connections that last. unsure = 1: a driver was away after the row was opened, and nothing
-- has been heard of the client since.
CREATE VIEW online AS
SELECT id, clientid, username, peerhost, sockport, protocol, proto_ver, node, connected_at,
       id IN (SELECT connection FROM unsure) AS unsure
FROM connections
WHERE disconnected_at IS NULL;

-- One row a clientid. last_reason is that of the connection that ended last.
CREATE VIEW clients AS
SELECT clientid,
       max(disconnected_at IS NULL) AS online,
       count(*)                     AS connections,
       min(connected_at)            AS first_connected_at,
       max(connected_at)            AS last_connected_at,
       max(disconnected_at)         AS last_disconnected_at,
       (SELECT ended.reason FROM connections AS ended
        WHERE ended.clientid = connections.clientid AND ended.disconnected_at IS NOT NULL
        ORDER BY ended.disconnected_at DESC, ended.id DESC
        LIMIT 1)                    AS last_reason
FROM connections
GROUP BY clientid;
