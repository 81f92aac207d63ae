//! What the brokers' versions make of names and answers.
//!
//! The path of a call has the package, and that tells all but two things: in `v1` the numbers of two answers changed
//! places, and the oldest brokers do not tell of certificates. These are told by the version that the broker gave when it
//! loaded the provider, and from 4.3.14 on with each call.

use exhook_policy_core::decision::Mode;
use exhook_policy_core::emqx::Package;
use exhook_policy_core::hook::{Hook, Kind};

/// What a method of the service is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// The broker asks for the hooks that it is to call.
    Loaded,
    /// The broker will call no more.
    Unloaded,
    /// A hook.
    Hook(Hook),
    /// None that is known; it asks or tells by its name.
    Unknown(Kind),
}

/// The package and the method of a request's path; `None` for another service.
pub(super) fn parse(path: &str) -> Option<(Package, &str)> {
    let (version, rest) = path.strip_prefix("/emqx.exhook.v")?.split_once('.')?;
    let method = rest.strip_prefix("HookProvider/")?;
    let package = match version {
        "1" => Package::V1,
        "2" => Package::V2,
        // What a later version changes is not known; its numbers will go on from those of today.
        _ => Package::V3,
    };
    Some((package, method))
}

impl Method {
    pub(super) fn of(name: &str) -> Method {
        match name {
            "OnProviderLoaded" => Method::Loaded,
            "OnProviderUnloaded" => Method::Unloaded,
            _ => Hook::of_method(name).map_or_else(|| Method::Unknown(Hook::kind_of_unknown(name)), Method::Hook),
        }
    }
}

/// How a broker is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Before 4.3.3.
    Oldest {
        /// Whether it tells the names in a client's certificate, as 4.3 does.
        tells_certificates: bool,
    },
    /// Before 4.3.14, and nothing more is known: it calls without having said its version.
    Old {
        /// As far as the policy knows, from the versions that it is for.
        tells_certificates: bool,
    },
    /// 4.3.3 to 4.4.
    V1,
    /// 5.0 and later.
    V2,
}

impl Dialect {
    /// `version` is what the broker said of itself, with the call or before.
    pub(super) fn of(package: Package, version: Option<&str>) -> Self {
        match (package, version) {
            (Package::V2 | Package::V3, _) => Dialect::V2,
            (Package::V1, None) => Dialect::Old { tells_certificates: false },
            (Package::V1, Some(version)) => match numbers(version) {
                version if version < [4, 3, 3] => Dialect::Oldest { tells_certificates: version >= [4, 3, 0] },
                _ => Dialect::V1,
            },
        }
    }

    /// The `type` that leaves the broker's own result, with no value. Where it is not known which of two it is, the broker
    /// takes this for an answer that it does not understand, and that leaves its result too.
    pub(super) fn no_opinion(self) -> u32 {
        match self {
            Dialect::Oldest { .. } => 0,
            Dialect::Old { .. } | Dialect::V1 | Dialect::V2 => 1,
        }
    }

    /// The `type` that lets a message go on as it comes back; `None` where the answer need not bring it.
    pub(super) fn go_on(self) -> Option<u32> {
        match self {
            // Of the old, some let it go on as it comes back, and some leave it alone.
            Dialect::Oldest { .. } | Dialect::Old { .. } => Some(1),
            Dialect::V1 => Some(0),
            Dialect::V2 => None,
        }
    }

    /// Whether an empty name in a certificate means that there is none.
    pub(super) fn tells_certificates(self) -> bool {
        match self {
            Dialect::Oldest { tells_certificates } | Dialect::Old { tells_certificates } => tells_certificates,
            Dialect::V1 | Dialect::V2 => true,
        }
    }
}

/// The name by which brokers of this package know a hook.
pub(super) fn name(package: Package, hook: Hook) -> &'static str {
    match package {
        Package::V1 => hook.point(),
        Package::V2 | Package::V3 => hook.newer_point(),
    }
}

/// Whether a broker should call a hook. EMQX 5.0 to 5.8 take "no opinion" of a login for a denial, unless an authenticator of
/// theirs has let the client in: in audit mode they must not ask.
pub(super) fn should_call(package: Package, hook: Hook, mode: Mode) -> bool {
    (package, hook, mode) != (Package::V2, Hook::ClientAuthenticate, Mode::Audit)
}

/// The three numbers of a version; what is no number is 0.
fn numbers(version: &str) -> [u32; 3] {
    let mut numbers = version.trim_start_matches(['v', 'e']).splitn(3, '.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part.get(..digits).and_then(|digits| digits.parse().ok()).unwrap_or(0)
    });
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_path(path: &str, expected: Option<(Package, Method)>) {
        assert_eq!(parse(path).map(|(package, name)| (package, Method::of(name))), expected);
    }

    #[test]
    fn a_path_tells_package_and_method() {
        use Method::{Loaded, Unknown, Unloaded};
        check_path("/emqx.exhook.v1.HookProvider/OnProviderLoaded", Some((Package::V1, Loaded)));
        check_path("/emqx.exhook.v2.HookProvider/OnProviderUnloaded", Some((Package::V2, Unloaded)));
        let acl = Some((Package::V1, Method::Hook(Hook::ClientCheckAcl)));
        check_path("/emqx.exhook.v1.HookProvider/OnClientCheckAcl", acl);
        let acl = Some((Package::V3, Method::Hook(Hook::ClientCheckAcl)));
        check_path("/emqx.exhook.v3.HookProvider/OnClientAuthorize", acl);
        let taken = Some((Package::V3, Method::Hook(Hook::SessionTakenOver)));
        check_path("/emqx.exhook.v4.HookProvider/OnSessionTakenover", taken);
        check_path("/emqx.exhook.v3.HookProvider/OnTenantAuthorize", Some((Package::V3, Unknown(Kind::Asks))));
        check_path("/emqx.exhook.v3.HookProvider/OnMessageAcked", Some((Package::V3, Unknown(Kind::Tells))));
        check_path("/emqx.exhook.v1.Other/OnClientCheckAcl", None);
        check_path("/grpc.health.v1.Health/Check", None);
        check_path("", None);
    }

    #[track_caller]
    fn check_dialect(package: Package, version: Option<&str>, expected: Dialect) {
        assert_eq!(Dialect::of(package, version), expected, "{version:?}");
    }

    #[test]
    fn a_version_tells_the_dialect() {
        check_dialect(Package::V1, Some("4.2.6"), Dialect::Oldest { tells_certificates: false });
        check_dialect(Package::V1, Some("4.3.0"), Dialect::Oldest { tells_certificates: true });
        check_dialect(Package::V1, Some("e4.3.2-rc.1"), Dialect::Oldest { tells_certificates: true });
        check_dialect(Package::V1, Some("v4.3.3"), Dialect::V1);
        check_dialect(Package::V1, Some("4.3.14-beta.2"), Dialect::V1);
        check_dialect(Package::V1, Some("4.10"), Dialect::V1);
        check_dialect(Package::V1, None, Dialect::Old { tells_certificates: false });
        check_dialect(Package::V2, None, Dialect::V2);
        check_dialect(Package::V2, Some("5.8.3"), Dialect::V2);
    }
}
