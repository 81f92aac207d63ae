-- Connection history, version 3: several brokers and clusters share a file.
--
-- A clientid is unique within a cluster only, so whatever names one names the cluster beside it. It is empty where the
-- broker does not tell it.

DROP VIEW online;
DROP VIEW clients;

ALTER TABLE connections ADD COLUMN cluster TEXT NOT NULL DEFAULT '';
-- The port that the client connected from; NULL where the broker does not tell it.
ALTER TABLE connections ADD COLUMN peerport INTEGER;
ALTER TABLE denials ADD COLUMN cluster TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN cluster TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN cluster TEXT NOT NULL DEFAULT '';

-- A clientid is connected once in a cluster. The clientid stands first for those who ask for it alone.
DROP INDEX connections_open;
CREATE UNIQUE INDEX connections_open ON connections (clientid, cluster) WHERE disconnected_at IS NULL;

CREATE TABLE subscriptions_3 (
    clientid      TEXT    NOT NULL,
    topic         TEXT    NOT NULL,
    qos           INTEGER NOT NULL,
    subscribed_at INTEGER NOT NULL,
    broker        INTEGER NOT NULL, -- internal: broker_processes.id
    cluster       TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (clientid, cluster, topic)
) WITHOUT ROWID;
INSERT INTO subscriptions_3 (clientid, topic, qos, subscribed_at, broker)
SELECT clientid, topic, qos, subscribed_at, broker FROM subscriptions;
DROP TABLE subscriptions;
ALTER TABLE subscriptions_3 RENAME TO subscriptions;

-- The tables below are internal.

-- Connections that were superseded, while an end of each is still expected or may be told twice: `told` is what was
-- heard of it. An open connection stands here when its session was taken over before the new connection came.
CREATE TABLE handovers_3 (
    clientid   TEXT    NOT NULL,
    connection INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    told       TEXT,
    cluster    TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (clientid, cluster, connection)
) WITHOUT ROWID;
INSERT INTO handovers_3 (clientid, connection, until) SELECT clientid, connection, until FROM handovers;
DROP TABLE handovers;
ALTER TABLE handovers_3 RENAME TO handovers;

-- The servers that record, or did. A broker is recorded by one of them.
CREATE TABLE servers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    host       TEXT    NOT NULL,
    boot_id    TEXT    NOT NULL,
    pid_ns     TEXT    NOT NULL,
    pid        INTEGER NOT NULL,
    started    INTEGER NOT NULL, -- clock ticks after boot
    last_alive INTEGER NOT NULL,
    ended      INTEGER NOT NULL DEFAULT 0
);

-- Brokers that were recorded. One that starts its driver is known by its process, and `slot` is the driver name that
-- records. One that calls a server is known by its cluster and node; it is another after it booted anew.
CREATE TABLE broker_processes_3 (
    id         INTEGER PRIMARY KEY,
    boot_id    TEXT,
    pid_ns     TEXT,
    pid        INTEGER, -- NULL: it calls a server
    started    INTEGER, -- clock ticks after boot
    node       TEXT,
    slot       TEXT,
    last_alive INTEGER NOT NULL,
    gaps       INTEGER NOT NULL DEFAULT 0, -- how often rows became unsure
    gone       INTEGER NOT NULL DEFAULT 0,
    cluster    TEXT    NOT NULL DEFAULT '',
    booted_at  INTEGER, -- NULL where it was not told
    server     INTEGER, -- servers.id; NULL where that is gone and its absence accounted for
    UNIQUE (boot_id, pid_ns, pid, started)
);
INSERT INTO broker_processes_3 (id, boot_id, pid_ns, pid, started, node, slot, last_alive, gaps, gone)
SELECT id, boot_id, pid_ns, pid, started, node, slot, last_alive, gaps, gone FROM broker_processes;
DROP TABLE broker_processes;
ALTER TABLE broker_processes_3 RENAME TO broker_processes;

CREATE UNIQUE INDEX broker_processes_node ON broker_processes (cluster, node) WHERE pid IS NULL;

-- As before, with the cluster and the client's port.
CREATE VIEW online AS
SELECT id, clientid, username, peerhost, sockport, protocol, proto_ver, node, connected_at,
       id IN (SELECT connection FROM unsure) AS unsure,
       cluster, peerport
FROM connections
WHERE disconnected_at IS NULL;

-- As before, but one row a clientid and cluster.
CREATE VIEW clients AS
SELECT clientid, online, connections, first_connected_at, last_connected_at, last_disconnected_at,
       (SELECT reason FROM connections WHERE id = CAST(substr(last_ended, 21) AS INTEGER)) AS last_reason,
       cluster
FROM (SELECT clientid, cluster,
             max(disconnected_at IS NULL) AS online,
             count(*)                     AS connections,
             min(connected_at)            AS first_connected_at,
             max(connected_at)            AS last_connected_at,
             max(disconnected_at)         AS last_disconnected_at,
             max(CASE WHEN disconnected_at IS NOT NULL
                      THEN printf('%020d%020d', disconnected_at, id) END) AS last_ended
      FROM connections
      GROUP BY clientid, cluster);
