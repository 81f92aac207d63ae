//! Makes the types of the fields of the rows of the table.

/// The fields of all rows, in their order. A row is
///
/// ```text
/// Variant: Kind {
///     name: its key in the policy, and its name in `Client` or `Extra`,
///     told: `always`, or by brokers that have this `Fact`: then it stands in `Extra`,
///     policy: the description of its key in a policy,
///     test: of its key of a client in a test file,
///     line: of its key in an expectation there,
///     option: (its option on the command line, what stands for its value there, the help of it),
///     traits: what else is to know of a field of the kind,
/// }
/// ```
macro_rules! client_fields {
    ($($variant:ident: $kind:ident {
        name: $name:ident,
        told: $told:ident,
        policy: $policy:literal,
        test: $test:literal,
        line: $line:literal,
        option: ($option:literal, $stands:literal, $help:literal),
        traits: $traits:expr,
    })*) => {
        by_kind! { [] [] [] [] $($kind ($variant $name $told $traits))* }

        /// The rows of the table.
        enum FieldRow {
            $($variant,)*
        }

        impl ClientField {
            /// Its place in [`ALL`](Self::ALL).
            pub const fn place(self) -> usize {
                match self {
                    $(ClientField::$kind(of_kind::$kind::$variant) => FieldRow::$variant as usize,)*
                }
            }

            /// All fields, in the order in which they are told to people.
            pub const ALL: &'static [ClientField] = &[$(ClientField::$kind(of_kind::$kind::$variant)),*];
            /// Their names, in the same order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// How the field is described.
            pub(crate) const fn descriptions(self) -> &'static FieldDescriptions {
                match self {
                    $(ClientField::$kind(of_kind::$kind::$variant) => &const {
                        FieldDescriptions { policy: $policy, test: $test, line: $line }
                    },)*
                }
            }

            /// Its option on the command line: the name without the dashes, what stands for the value, and the help.
            pub const fn option(self) -> [&'static str; 3] {
                match self {
                    $(ClientField::$kind(of_kind::$kind::$variant) => [$option, $stands, $help],)*
                }
            }
        }
    };
}
pub(super) use client_fields;

/// Sorts the rows by their kind.
macro_rules! by_kind {
    ([$($text:tt)*] [$($host:tt)*] [$($port:tt)*] [$($flag:tt)*]) => {
        field_kind! {
            /// The fields that are text.
            TextField, TextFields, TextTraits, ['a; 'a] Option<&'a str>, &str: $($text)*
        }
        field_kind! {
            /// The fields that are an address.
            HostField, HostFields, HostTraits, ['a; 'a] Option<Peerhost<'a>>, Peerhost<'_>: $($host)*
        }
        field_kind! {
            /// The fields that are a port.
            PortField, PortFields, PortTraits, [; '_] Option<u16>, u16: $($port)*
        }
        field_kind! {
            /// The fields that are true or false.
            FlagField, FlagFields, FlagTraits, [; '_] Option<bool>, bool: $($flag)*
        }
    };
    ([$($text:tt)*] $host:tt $port:tt $flag:tt Text $row:tt $($rest:tt)*) => {
        by_kind! { [$($text)* $row] $host $port $flag $($rest)* }
    };
    ($text:tt [$($host:tt)*] $port:tt $flag:tt Host $row:tt $($rest:tt)*) => {
        by_kind! { $text [$($host)* $row] $port $flag $($rest)* }
    };
    ($text:tt $host:tt [$($port:tt)*] $flag:tt Port $row:tt $($rest:tt)*) => {
        by_kind! { $text $host [$($port)* $row] $flag $($rest)* }
    };
    ($text:tt $host:tt $port:tt [$($flag:tt)*] Flag $row:tt $($rest:tt)*) => {
        by_kind! { $text $host $port [$($flag)* $row] $($rest)* }
    };
}
pub(super) use by_kind;

/// The fields of one kind: an enum of them, and a struct that has something for each.
macro_rules! field_kind {
    (
        $(#[doc = $about:literal])+
        $field:ident, $fields:ident, $traits:ident, [$($named:lifetime)?; $lent:lifetime] $value:ty, $given:ty:
        $(($variant:ident $name:ident $told:ident $about_one:expr))*
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the names are the broker's, described at `Client` and `Extra`")]
        pub enum $field {
            $($variant,)*
        }

        impl $field {
            /// All of them, in the order of [`ClientField::ALL`].
            pub const ALL: &'static [$field] = &[$($field::$variant),*];

            /// The field's name, as the policy spells it.
            pub const fn name(self) -> &'static str {
                match self {
                    $($field::$variant => stringify!($name),)*
                }
            }

            /// What a broker must do to tell it; `None` where every broker does.
            pub const fn told_by(self) -> Option<Fact> {
                match self {
                    $($field::$variant => place!(@told $told),)*
                }
            }

            /// What else is to know of it.
            pub const fn traits(self) -> &'static $traits {
                match self {
                    $($field::$variant => &const { $about_one },)*
                }
            }

            /// The field's value; `None` where the broker does not tell it.
            pub fn of<$($named)?>(self, client: &Client<$lent>) -> $value {
                match self {
                    $($field::$variant => place!(@get $told client $name),)*
                }
            }

            /// Gives the field a value.
            pub fn set(self, client: &mut OwnedClient, value: $given) {
                match self {
                    $($field::$variant => place!(@set $told client $name value),)*
                }
            }

            /// Takes the value away, as where the broker does not tell it. What every broker tells stays.
            pub fn unset(self, client: &mut OwnedClient) {
                match self {
                    $($field::$variant => place!(@unset $told client $name),)*
                }
            }

            /// Sets the value among what only some brokers tell, where it stands there.
            fn set_extra<$($named)?>(self, extra: &mut Extra<$lent>, value: $value) {
                match self {
                    $($field::$variant => place!(@extra $told extra $name value),)*
                }
            }
        }

        /// Something for each field of the kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $fields<T> {
            $($name: T,)*
        }

        impl<T> $fields<T> {
            /// What this says of each field.
            pub fn each(mut of: impl FnMut($field) -> T) -> Self {
                $fields { $($name: of($field::$variant),)* }
            }

            /// What there is for the field.
            pub const fn get(&self, field: $field) -> &T {
                match field {
                    $($field::$variant => &self.$name,)*
                }
            }

            /// The same, to change it.
            pub const fn get_mut(&mut self, field: $field) -> &mut T {
                match field {
                    $($field::$variant => &mut self.$name,)*
                }
            }

            /// All, in the order of the fields.
            pub fn into_each(self) -> impl Iterator<Item = ($field, T)> {
                [$(($field::$variant, self.$name)),*].into_iter()
            }
        }
    };
}
pub(super) use field_kind;

/// Where the value of a field stands: in `Client`, or in `Extra`.
macro_rules! place {
    (@told always) => {
        None
    };
    (@told $fact:ident) => {
        Some(Fact::$fact)
    };
    (@get always $client:ident $name:ident) => {
        Some($client.$name)
    };
    (@get $fact:ident $client:ident $name:ident) => {
        $client.extra.$name
    };
    (@set always $client:ident $name:ident $value:ident) => {
        $client.$name = $value.into()
    };
    (@set $fact:ident $client:ident $name:ident $value:ident) => {
        $client.extra.$name = Some($value.into())
    };
    (@unset always $client:ident $name:ident) => {
        _ = $client
    };
    (@unset $fact:ident $client:ident $name:ident) => {
        $client.extra.$name = None
    };
    (@extra always $extra:ident $name:ident $value:ident) => {
        _ = ($extra, $value)
    };
    (@extra $fact:ident $extra:ident $name:ident $value:ident) => {
        $extra.$name = $value
    };
}
pub(super) use place;
