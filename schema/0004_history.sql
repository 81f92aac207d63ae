-- Connection history, version 4: clients that are kept out for a while survive a restart.

-- One row a ban: whom a limit of the policy keeps out, from when until when. A ban is on all clients that have what stands
-- in the row: the clientid (of the cluster), the user name, the address; what is NULL is not asked for. An IPv6 address
-- stands for its network, 2001:db8::/64. `mode` is enforce or audit, as in denials. A ban is lifted by setting `lifted` to the
-- time; the drivers that share the file see it within seconds.
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

-- Those that may hold.
CREATE INDEX bans_open ON bans (until) WHERE lifted IS NULL;
CREATE INDEX bans_of ON bans (peerhost, username, clientid, until) WHERE lifted IS NULL;

-- When the server began to record: what its brokers had open may have ended unheard until then.
ALTER TABLE servers ADD COLUMN registered_at INTEGER NOT NULL DEFAULT 0;
