//! What a row of the table of codes says, and the code that is made of all rows.

macro_rules! codes {
    (@example) => { None };
    (@example $bad:literal $good:literal) => { Some(Example { bad: $bad, good: $good }) };
    ($(
        $variant:ident, $name:literal, $severity:ident, $title:literal, $explanation:literal
        $(, bad $bad:literal, good $good:literal)?;
    )*) => {
        /// A kind of mistake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The name by which reports and `check --explain` call it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Code::$variant => $name,)*
                }
            }

            /// Whether it stops the policy.
            pub fn severity(self) -> Severity {
                match self {
                    $(Code::$variant => Severity::$severity,)*
                }
            }

            /// What it is, in a line.
            pub fn title(self) -> &'static str {
                match self {
                    $(Code::$variant => $title,)*
                }
            }

            /// What it is about and what to do, in a paragraph.
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Code::$variant => $explanation,)*
                }
            }

            /// What it looks like, where a few lines can show it.
            pub fn example(self) -> Option<Example> {
                match self {
                    $(Code::$variant => codes!(@example $($bad $good)?),)*
                }
            }
        }
    };
}
