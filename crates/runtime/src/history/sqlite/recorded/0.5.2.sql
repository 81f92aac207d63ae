-- What the demo of version 0.5.2 left in its database, as `sqlite3 history.db .dump` writes it.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
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
, cluster TEXT NOT NULL DEFAULT '', peerport INTEGER);
INSERT INTO connections VALUES(1,'cid-01','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877809,1796077877859,'normal','event',1,'',NULL);
INSERT INTO connections VALUES(2,'cid-05','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877864,1796077877865,'normal','event',1,'',NULL);
INSERT INTO connections VALUES(3,'cid-08','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877871,1796077877890,'normal','event',1,'',NULL);
INSERT INTO connections VALUES(4,'cid-12','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877891,1796077877892,'tcp_closed','event',1,'',NULL);
INSERT INTO connections VALUES(5,'cid-13','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877893,1796077877894,'tcp_closed','event',1,'',NULL);
INSERT INTO connections VALUES(6,'cid-14','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877895,1796077877895,'keepalive_timeout','event',1,'',NULL);
INSERT INTO connections VALUES(7,'cid-15','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877897,1796077877899,'discarded','takeover',1,'',NULL);
INSERT INTO connections VALUES(8,'cid-15','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877899,1796077877900,'normal','event',1,'',NULL);
INSERT INTO connections VALUES(9,'cid-16','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877906,1796077877908,'takeovered','takeover',1,'',NULL);
INSERT INTO connections VALUES(10,'cid-16','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877908,1796077877909,'normal','event',1,'',NULL);
INSERT INTO connections VALUES(11,'cid-16','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877910,1796077877910,'normal','event',1,'',NULL);
INSERT INTO connections VALUES(12,'cid-16','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877911,1796077877912,'normal','event',1,'',NULL);
INSERT INTO connections VALUES(13,'cid-18','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877912,1796077877917,'disconnect_with_will_message','event',1,'',NULL);
INSERT INTO connections VALUES(14,'cid-19','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877918,1796077877919,'normal','event',1,'',NULL);
INSERT INTO connections VALUES(15,'cid-21','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877921,1796077877923,'takeovered','takeover',1,'',NULL);
INSERT INTO connections VALUES(16,'cid-21','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877923,1796077877925,'discarded','takeover',1,'',NULL);
INSERT INTO connections VALUES(17,'cid-21','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877925,1796077877926,'normal','event',1,'',NULL);
INSERT INTO connections VALUES(18,'cid-23','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877927,1796077877928,'function_clause','event',1,'',NULL);
INSERT INTO connections VALUES(19,'cid-24','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877929,1796077877930,'protocol_error','event',1,'',NULL);
INSERT INTO connections VALUES(20,'cid-25','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877931,1796077877932,'frame_too_large','event',1,'',NULL);
INSERT INTO connections VALUES(21,'cid-26','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877933,1796077877933,'topic_name_invalid','event',1,'',NULL);
INSERT INTO connections VALUES(22,'cid-26b','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877934,1796077877935,'topic_filter_invalid','event',1,'',NULL);
INSERT INTO connections VALUES(23,'cid-28','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877936,1796077877936,'kicked','event',1,'',NULL);
INSERT INTO connections VALUES(24,'cid-08','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877946,NULL,NULL,NULL,1,'',NULL);
INSERT INTO connections VALUES(25,'cid-16','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877947,NULL,NULL,NULL,1,'',NULL);
INSERT INTO connections VALUES(26,'cid-18','alice','127.0.0.1',11883,'mqtt',NULL,'emqx@127.0.0.1',1796077877948,NULL,NULL,NULL,1,'',NULL);
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
, cluster TEXT NOT NULL DEFAULT '');
INSERT INTO denials VALUES(1,1796077877860,'cid-02','','127.0.0.1','connect','','default','enforce',1,'');
INSERT INTO denials VALUES(2,1796077877862,'cid-03','bob','127.0.0.1','connect','','people','enforce',1,'');
INSERT INTO denials VALUES(3,1796077877862,'MzMxMTkyNzk2Mjg4MzUwNTY0MTY0MjMzMzMyMDA5ODYxMTC','','127.0.0.1','connect','','default','enforce',1,'');
INSERT INTO denials VALUES(4,1796077877869,'cid-é中','üser','127.0.0.1','connect','','default','enforce',1,'');
INSERT INTO denials VALUES(5,1796077877869,'cid-07','false','127.0.0.1','connect','','default','enforce',1,'');
INSERT INTO denials VALUES(6,1796077877875,'cid-08','alice','127.0.0.1','subscribe','w/+/x','default','enforce',1,'');
INSERT INTO denials VALUES(7,1796077877876,'cid-08','alice','127.0.0.1','subscribe','w/#','default','enforce',1,'');
INSERT INTO denials VALUES(8,1796077877877,'cid-08','alice','127.0.0.1','subscribe','+/+','servers-only','enforce',1,'');
INSERT INTO denials VALUES(9,1796077877878,'cid-08','alice','127.0.0.1','subscribe','s/t','servers-only','enforce',1,'');
INSERT INTO denials VALUES(10,1796077877879,'cid-08','alice','127.0.0.1','subscribe','$SYS/#','default','enforce',1,'');
INSERT INTO denials VALUES(11,1796077877880,'cid-08','alice','127.0.0.1','subscribe','#','servers-only','enforce',1,'');
INSERT INTO denials VALUES(12,1796077877881,'cid-08','alice','127.0.0.1','subscribe','ok/1','default','enforce',1,'');
INSERT INTO denials VALUES(13,1796077877883,'cid-08','alice','127.0.0.1','subscribe','x/false','default','enforce',1,'');
INSERT INTO denials VALUES(14,1796077877888,'cid-08','alice','127.0.0.1','publish','x/false','default','enforce',1,'');
INSERT INTO denials VALUES(15,1796077877913,'cid-18','alice','127.0.0.1','subscribe','v5/a','default','enforce',1,'');
INSERT INTO denials VALUES(16,1796077877913,'cid-18','alice','127.0.0.1','subscribe','v5/+','default','enforce',1,'');
INSERT INTO denials VALUES(17,1796077877915,'cid-18','alice','127.0.0.1','publish','v5/pub','default','enforce',1,'');
INSERT INTO denials VALUES(18,1796077877916,'cid-18','alice','127.0.0.1','publish','x/false','default','enforce',1,'');
INSERT INTO denials VALUES(19,1796077877919,'cid-20','false','127.0.0.1','connect','','default','enforce',1,'');
INSERT INTO denials VALUES(20,1796077877922,'cid-21','alice','127.0.0.1','subscribe','v5/21','default','enforce',1,'');
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
, cluster TEXT NOT NULL DEFAULT '');
CREATE TABLE messages (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    clientid TEXT    NOT NULL,
    topic    TEXT    NOT NULL,
    qos      INTEGER NOT NULL,
    payload  BLOB    NOT NULL
, cluster TEXT NOT NULL DEFAULT '');
CREATE TABLE drivers (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    broker        INTEGER NOT NULL,
    pid           INTEGER NOT NULL,
    started       INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    ended         INTEGER NOT NULL DEFAULT 0
);
INSERT INTO drivers VALUES(1,1,28754,2525682,1796077877857,1);
CREATE TABLE unsure (connection INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS "subscriptions" (
    clientid      TEXT    NOT NULL,
    topic         TEXT    NOT NULL,
    qos           INTEGER NOT NULL,
    subscribed_at INTEGER NOT NULL,
    broker        INTEGER NOT NULL, -- internal: broker_processes.id
    cluster       TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (clientid, cluster, topic)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS "handovers" (
    clientid   TEXT    NOT NULL,
    connection INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    told       TEXT,
    cluster    TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (clientid, cluster, connection)
) WITHOUT ROWID;
INSERT INTO handovers VALUES('cid-15',7,1796077887899,'discarded','');
INSERT INTO handovers VALUES('cid-16',9,1796077887908,'takeovered','');
INSERT INTO handovers VALUES('cid-21',15,1796077887923,'takeovered','');
INSERT INTO handovers VALUES('cid-21',16,1796077887925,'discarded','');
CREATE TABLE servers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    host       TEXT    NOT NULL,
    boot_id    TEXT    NOT NULL,
    pid_ns     TEXT    NOT NULL,
    pid        INTEGER NOT NULL,
    started    INTEGER NOT NULL, -- clock ticks after boot
    last_alive INTEGER NOT NULL,
    ended      INTEGER NOT NULL DEFAULT 0
, registered_at INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS "broker_processes" (
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
INSERT INTO broker_processes VALUES(1,'b1449275-d735-49de-9cd0-a73d02f1e76e','pid:[4026531836]',28752,2525679,'emqx@127.0.0.1','python3',1796077878151,0,0,'',NULL,NULL);
CREATE TABLE bans (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    why      TEXT    NOT NULL, -- lockout or flapping
    mode     TEXT    NOT NULL,
    clientid TEXT,
    cluster  TEXT    NOT NULL DEFAULT '',
    username TEXT,
    peerhost TEXT,
    since    INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    lifted   INTEGER
);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('drivers',1);
CREATE INDEX denials_clientid ON denials (clientid, at);
CREATE INDEX attempts_open ON attempts (clientid) WHERE connack IS NULL;
CREATE UNIQUE INDEX connections_open ON connections (clientid, cluster) WHERE disconnected_at IS NULL;
CREATE UNIQUE INDEX broker_processes_node ON broker_processes (cluster, node) WHERE pid IS NULL;
CREATE VIEW online AS
SELECT id, clientid, username, peerhost, sockport, protocol, proto_ver, node, connected_at,
       id IN (SELECT connection FROM unsure) AS unsure,
       cluster, peerport
FROM connections
WHERE disconnected_at IS NULL;
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
CREATE INDEX bans_open ON bans (until) WHERE lifted IS NULL;
CREATE INDEX bans_of ON bans (peerhost, username, clientid, until) WHERE lifted IS NULL;
COMMIT;
PRAGMA application_id = 0x6578686b;
PRAGMA user_version = 4;
