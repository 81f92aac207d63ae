//! What `install` prints for EMQX 5.0 to 5.8, which let clients in at boot before anything can refuse them.

use std::fmt::{self, Write as _};

use exhook_policy_core::emqx::{Fact, Has, Version};

/// The listeners that the broker opens unless its settings turn them off.
const LISTENERS: [&str; 4] = ["tcp", "ssl", "ws", "wss"];

/// How to close what the broker leaves open until it has loaded the provider.
pub(super) fn write(text: &mut String, version: Version) -> fmt::Result {
    writeln!(
        text,
        "
4. Close the broker while it boots. EMQX {version} opens its listeners before it starts its authenticators and loads the
   provider: at each boot every client gets in, with any password, and its session stays. Measured on 5.8.8: for
   up to 0.06 s while the provider is up, 0.5 s while it is down, 5.5 s while it hangs. By their sources, 5.0 to 5.8
   all do so. The settings of step 3 do not keep these clients out."
    )?;
    let merges = version.has(Fact::MergesSettings);
    if merges != Has::No {
        write_listeners(text, merges)?;
    }
    let (or, restarts) = (
        if merges == Has::No { "After" } else { "Or leave the listeners on, and after" },
        LISTENERS.map(|kind| format!("   emqx ctl listeners restart {kind}:default\n")).concat(),
    );
    write!(
        text,
        "
   {or} each boot, once the provider is loaded, restart those that are on.
   This disconnects all their clients; the clients that the policy refuses do not get in again (tried on 5.8.8, with
   tcp:default):

{restarts}
   An ordered stop of the broker lets clients in as well, for 20 to 34 ms, and so does `emqx ctl cluster join`, for some
   40 ms (measured on 5.8.8). Nothing was tried against these.
"
    )
}

/// The listeners off in the settings, and on after boot.
fn write_listeners(text: &mut String, merges: Has) -> fmt::Result {
    let lines = |value: &str| LISTENERS.map(|kind| format!("listeners.{kind}.default.enable = {value}\n")).concat();
    let (off, on) = (lines("false"), lines("true"));
    write!(
        text,
        "
   Either keep the listeners off until the provider is loaded (tried on 5.8.8, with tcp:default: no client got in, in
   two boots). etc/emqx.conf, with a line for each listener of yours:

{off}
   After each boot, once `exhook-policy serve` logs that the broker loads this provider, turn on those that you use.
   open.conf:

{on}
   emqx ctl conf load --merge open.conf

   `emqx ctl listeners start` does not turn them on, although it says \"Started\". By the sources of 5.8.8 an ssl or wss
   listener that is named in etc/emqx.conf has no certificate unless its `ssl_options` stand there too.
"
    )?;
    match merges {
        Has::From(from) => {
            writeln!(text, "   This needs EMQX {from}: before, `conf load` or the key `enable` is missing.")
        }
        Has::Yes | Has::No => Ok(()),
    }
}
