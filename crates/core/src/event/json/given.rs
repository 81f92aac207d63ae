//! What stands under `password`: whether there was one, and never the password.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

/// Whether a password was given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    Given,
    None,
}

impl Given {
    const ALL: &'static [Given] = &[Given::Given, Given::None];

    fn as_str(self) -> &'static str {
        match self {
            Given::Given => "given",
            Given::None => "none",
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Whatever stands there may be a password, so that an error of the reader's own would
        // repeat it.
        let value = serde_json::Value::deserialize(deserializer)?;
        Given::ALL
            .iter()
            .copied()
            .find(|given| value.as_str() == Some(given.as_str()))
            .ok_or_else(|| D::Error::custom("`password` is `given` or `none`, and never the password itself"))
    }
}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
