"""What the benchmark's policy says, as a hook script of the Python SDK: 10,000 names, 100 topic filters, and
each connection in SQLite, committed before it is answered."""

import os
import sqlite3
import time

from emqx_extension.hooks import EmqxHookSdk, hooks_handler

HERE = os.path.dirname(os.path.abspath(__file__))

with open(os.path.join(HERE, "names.txt")) as lines:
    NAMES = {line.strip() for line in lines}
with open(os.path.join(HERE, "filters.txt")) as lines:
    FILTERS = [line.strip().split("/") for line in lines]

DATABASE = sqlite3.connect(os.path.join(HERE, "python.db"), isolation_level=None, timeout=1)
DATABASE.executescript("""
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS connections (
        id INTEGER PRIMARY KEY, clientid TEXT NOT NULL, username TEXT NOT NULL, peerhost TEXT NOT NULL,
        sockport INTEGER NOT NULL, protocol TEXT NOT NULL, node TEXT NOT NULL, connected_at INTEGER NOT NULL,
        disconnected_at INTEGER, reason TEXT);
    CREATE INDEX IF NOT EXISTS connections_open ON connections (clientid) WHERE disconnected_at IS NULL;
    CREATE INDEX IF NOT EXISTS connections_clientid ON connections (clientid, connected_at);
""")


def covers(pattern, levels):
    for place, level in enumerate(pattern):
        if level == "#":
            return True
        if place == len(levels) or (level != "+" and level != levels[place]):
            return False
    return len(pattern) == len(levels)


class Rules(EmqxHookSdk):
    @hooks_handler()
    def on_client_authenticate(self, clientinfo, authresult, state):
        return clientinfo.clientid in NAMES

    @hooks_handler()
    def on_client_check_acl(self, clientinfo, pubsub, topic, result, state):
        levels = topic.split("/")
        return any(covers(pattern, levels) for pattern in FILTERS)

    @hooks_handler()
    def on_client_connected(self, clientinfo, state):
        DATABASE.execute(
            "INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (clientinfo.clientid, clientinfo.username, clientinfo.peerhost, clientinfo.sockport,
             str(clientinfo.protocol), str(clientinfo.node), int(time.time() * 1000)))

    @hooks_handler()
    def on_client_disconnected(self, clientinfo, reason, state):
        DATABASE.execute(
            "UPDATE connections SET disconnected_at = ?, reason = ? WHERE clientid = ? AND disconnected_at IS NULL",
            (int(time.time() * 1000), reason, clientinfo.clientid))


hook = Rules(hook_module=f"{__name__}.hook")


def init():
    return hook.start()


def deinit():
    return
