-- Connection history, version 5: why something was refused and by which policy, and what let a client in.

-- The reason is a word of a closed set (docs/history.md), and the policy the beginning of its hash, as
-- `exhook-policy status` shows it. Both are empty in rows of earlier versions.
ALTER TABLE denials ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE denials ADD COLUMN policy TEXT NOT NULL DEFAULT '';

-- The rule of `auth` that let the client in; empty where that is not known.
ALTER TABLE connections ADD COLUMN rule TEXT NOT NULL DEFAULT '';

-- As before, with that rule.
DROP VIEW online;

CREATE VIEW online AS
SELECT id, clientid, username, peerhost, sockport, protocol, proto_ver, node, connected_at,
       id IN (SELECT connection FROM unsure) AS unsure,
       cluster, peerport, rule
FROM connections
WHERE disconnected_at IS NULL;
