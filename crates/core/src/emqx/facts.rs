//! What differs from one release to another, as far as a policy and its doctor have to know.

use super::Version;

/// Something that a broker does, or takes, from some release on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fact {
    /// It can refuse where the provider fails, waits for a time that can be set, and tries again to reach a provider
    /// that it could not load.
    FailsClosed,
    /// The number of its connections to the provider can be set.
    PoolSize,
    /// It goes on to ask about a topic that its own sources of authorization have no rule for.
    AsksAfterSources,
    /// It goes on to ask about a login that none of its own authenticators knows.
    AsksAfterAuthenticators,
    /// Its own sources of authorization are those of `acl.conf`, unless it is told otherwise.
    AclConfByDefault,
    /// What is set in its dashboard is in `cluster.hocon`, below what `emqx.conf` says.
    ClusterHocon,
    /// It has a file `base.hocon` for what comes below all others.
    BaseHocon,
    /// Where no authenticator is configured and the provider has no opinion, a client gets in.
    IgnoreLetsIn,
    /// It loads a provider again that was away for more than about ten seconds.
    LoadsAgain,
    /// It takes `verify` for the provider's certificate, and all else of `ssl`.
    VerifiesProvider,
    /// It refuses what nobody has a rule for, unless it is told otherwise.
    DeniesNoMatch,
    /// `EMQX_SECURITY_PROFILE=hardened` closes what is open by default.
    SecurityProfile,
    /// It tells the name and the subject in the client's certificate.
    TellsCertificate,
    /// It tells the name of its cluster.
    TellsCluster,
    /// It tells the port that the client connects from.
    TellsPeerport,
    /// It says of every client that it is anonymous.
    AllAnonymous,
    /// It opens its listeners after it has loaded the provider. EMQX 5.0 to 5.8 open them before, and before their own
    /// authenticators start. No version before 5.0 is asked about this: EMQX 4 lets no client in at boot.
    ListensLast,
    /// A listener that is off by `enable = false` in `emqx.conf` can be turned on by `emqx ctl conf load --merge`, until
    /// the next boot.
    MergesSettings,
}

/// Whether a version has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    /// All releases that it stands for.
    Yes,
    /// None of them.
    No,
    /// Those from this one on: the version does not say which of them it is.
    From(Version),
}

impl Fact {
    /// The first version of each line in which it came; it stayed in all lines after the last.
    pub const fn since(self) -> &'static [Version] {
        const fn line(major: u8, minor: u8) -> Version {
            Version::new(major, minor)
        }
        const fn release(major: u8, minor: u8, patch: u8) -> Version {
            Version { major, minor, patch: Some(patch) }
        }
        match self {
            Fact::FailsClosed => const { &[release(4, 3, 8), line(4, 4)] },
            Fact::PoolSize => const { &[line(4, 4)] },
            Fact::AsksAfterSources => const { &[line(4, 1), release(5, 0, 8), line(5, 1)] },
            Fact::AsksAfterAuthenticators => const { &[line(4, 1), release(5, 0, 12), line(5, 1)] },
            Fact::ClusterHocon => const { &[release(5, 0, 23), line(5, 1)] },
            Fact::AclConfByDefault => const { &[release(5, 0, 25), line(5, 1)] },
            Fact::BaseHocon => const { &[release(5, 8, 4), line(5, 9)] },
            Fact::IgnoreLetsIn | Fact::ListensLast | Fact::LoadsAgain => const { &[line(5, 9)] },
            Fact::MergesSettings => const { &[release(5, 1, 1), line(5, 2)] },
            Fact::VerifiesProvider => const { &[release(5, 8, 8), release(5, 9, 2), release(5, 10, 1), line(6, 0)] },
            Fact::DeniesNoMatch => const { &[line(6, 0)] },
            Fact::SecurityProfile => const { &[release(6, 2, 1)] },
            Fact::TellsCertificate => const { &[line(4, 3)] },
            Fact::TellsCluster => const { &[release(4, 3, 14), release(4, 4, 3), line(5, 0)] },
            Fact::TellsPeerport => const { &[line(5, 4)] },
            Fact::AllAnonymous => const { &[line(5, 0)] },
        }
    }
}

impl Version {
    /// Whether it has something.
    pub fn has(self, fact: Fact) -> Has {
        let came = fact.since().iter().rev().find(|since| since.line() <= self.line());
        match came {
            Some(since) if *since <= self || since.line() < self.line() => Has::Yes,
            Some(since) if self.patch.is_none() => Has::From(*since),
            Some(_) | None => Has::No,
        }
    }

    /// The first version after it that has something, where it does not.
    pub fn first_with(self, fact: Fact) -> Option<Version> {
        fact.since().iter().copied().find(|since| *since > self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(version: &str, fact: Fact, expected: Has) {
        assert_eq!(version.parse::<Version>().unwrap().has(fact), expected, "{version}: {fact:?}");
    }

    fn from(version: &str) -> Has {
        Has::From(version.parse().unwrap())
    }

    #[test]
    fn what_came_stays() {
        check("4.2.14", Fact::FailsClosed, Has::No);
        check("4.3.7", Fact::FailsClosed, Has::No);
        check("4.3.8", Fact::FailsClosed, Has::Yes);
        check("4.4", Fact::FailsClosed, Has::Yes);
        check("6.2", Fact::FailsClosed, Has::Yes);
        check("5.8.9", Fact::LoadsAgain, Has::No);
        check("5.9.0", Fact::LoadsAgain, Has::Yes);
        check("5.10", Fact::LoadsAgain, Has::Yes);
        check("5.8.9", Fact::ListensLast, Has::No);
        check("5.9", Fact::ListensLast, Has::Yes);
        check("5.10.4", Fact::DeniesNoMatch, Has::No);
        check("6.0", Fact::DeniesNoMatch, Has::Yes);
    }

    #[test]
    fn what_came_to_several_lines_is_not_in_the_releases_between() {
        for (version, expected) in [
            ("5.7.2", Has::No),
            ("5.8.7", Has::No),
            ("5.8.8", Has::Yes),
            ("5.9.0", Has::No),
            ("5.9.2", Has::Yes),
            ("5.10.0", Has::No),
            ("5.10.1", Has::Yes),
            ("6.0.0", Has::Yes),
            ("6.2", Has::Yes),
        ] {
            check(version, Fact::VerifiesProvider, expected);
        }
        check("4.4.19", Fact::AsksAfterSources, Has::Yes);
        check("5.0.7", Fact::AsksAfterSources, Has::No);
        check("5.1.0", Fact::AsksAfterSources, Has::Yes);
    }

    #[test]
    fn what_is_missing_came_later() {
        let first = |version: &str, fact| version.parse::<Version>().unwrap().first_with(fact).map(|v| v.to_string());
        assert_eq!(first("4.3.7", Fact::FailsClosed).as_deref(), Some("4.3.8"));
        assert_eq!(first("5.0.3", Fact::AsksAfterSources).as_deref(), Some("5.0.8"));
        assert_eq!(first("5.9.1", Fact::VerifiesProvider).as_deref(), Some("5.9.2"));
        assert_eq!(first("5.7.0", Fact::VerifiesProvider).as_deref(), Some("5.8.8"));
        assert_eq!(first("6.2.2", Fact::SecurityProfile), None);
    }

    #[test]
    fn a_line_of_which_only_some_releases_have_it_tells_from_which_on() {
        check("4.3", Fact::FailsClosed, from("4.3.8"));
        check("5.0", Fact::AsksAfterAuthenticators, from("5.0.12"));
        check("5.8", Fact::BaseHocon, from("5.8.4"));
        check("5.10", Fact::VerifiesProvider, from("5.10.1"));
        check("6.2", Fact::SecurityProfile, from("6.2.1"));
        check("6.1", Fact::SecurityProfile, Has::No);
    }

    #[test]
    fn what_is_told_of_a_client_came_bit_by_bit() {
        check("4.2.14", Fact::TellsCertificate, Has::No);
        check("4.3.0", Fact::TellsCertificate, Has::Yes);
        check("4.3.13", Fact::TellsCluster, Has::No);
        check("4.3", Fact::TellsCluster, from("4.3.14"));
        check("4.4.2", Fact::TellsCluster, Has::No);
        check("4.4.3", Fact::TellsCluster, Has::Yes);
        check("5.0.0", Fact::TellsCluster, Has::Yes);
        check("5.3", Fact::TellsPeerport, Has::No);
        check("5.4.0", Fact::TellsPeerport, Has::Yes);
        check("4.4", Fact::AllAnonymous, Has::No);
        check("5.0", Fact::AllAnonymous, Has::Yes);
    }
}
