-- Connection history, version 5: why something was refused and by which policy, what let a client in, and who is there, as long as
-- somebody looks.

-- The reason is a word of a closed set (docs/history.md), and the policy the beginning of its hash, as
-- `exhook-policy status` shows it. Both are empty in rows of earlier versions.
ALTER TABLE denials ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE denials ADD COLUMN policy TEXT NOT NULL DEFAULT '';

-- The rule of `auth` that let the client in; empty where that is not known.
ALTER TABLE connections ADD COLUMN rule TEXT NOT NULL DEFAULT '';

-- Until when a server held a connection of the broker, which may have said nothing for long (last_alive).
ALTER TABLE broker_processes ADD COLUMN held_at INTEGER NOT NULL DEFAULT 0;

-- As before, but what is open is unsure too as long as nobody records its broker: drivers and servers show at least every
-- three seconds that they are alive, or by a new row, and this is seen ten seconds after the last time. Negative in `handovers` is the id of
-- a connection that was open when its session was said to be taken over.
DROP VIEW online;
CREATE VIEW online AS
SELECT id, clientid, username, peerhost, sockport, protocol, proto_ver, node, connected_at,
       id IN (SELECT connection FROM unsure)
       OR EXISTS (SELECT 1 FROM broker_processes AS process LEFT JOIN servers ON servers.id = process.server
                  WHERE process.id = connections.broker AND process.gone = 0
                    AND max(connected_at, iif(process.pid IS NULL, coalesce(servers.last_alive, 0), process.last_alive))
                        < CAST(strftime('%s', 'now') AS INTEGER) * 1000 - 10000) AS unsure,
       cluster, peerport, rule
FROM connections
WHERE disconnected_at IS NULL;
