//! The tags of Erlang's external term format, by number and by name.

macro_rules! tags {
    ($($variant:ident = $number:literal, $name:literal;)*) => {
        /// The byte that says what kind of term follows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the names are the format's own")]
        pub enum Tag {
            $($variant = $number,)*
        }

        impl Tag {
            /// Every tag, in the order of the numbers.
            pub const ALL: &'static [Tag] = &[$(Tag::$variant,)*];

            /// The tag of this number, if the format has one.
            pub fn of(number: u8) -> Option<Tag> {
                match number {
                    $($number => Some(Tag::$variant),)*
                    _ => None,
                }
            }

            /// The tag's number on the wire.
            pub fn number(self) -> u8 {
                self as u8
            }

            /// The name in the format's documentation.
            pub fn name(self) -> &'static str {
                match self {
                    $(Tag::$variant => $name,)*
                }
            }
        }
    };
}

tags! {
    DistHeader = 68, "a distribution header";
    DistFragHeader = 69, "a distribution fragment header";
    NewFloat = 70, "NEW_FLOAT_EXT";
    AtomInternalRef2 = 73, "ATOM_INTERNAL_REF2";
    BinaryInternalRef = 74, "BINARY_INTERNAL_REF";
    AtomInternalRef3 = 75, "ATOM_INTERNAL_REF3";
    BitBinaryInternalRef = 76, "BITSTRING_INTERNAL_REF";
    BitBinary = 77, "BIT_BINARY_EXT";
    Compressed = 80, "a compressed term";
    AtomCacheRef = 82, "ATOM_CACHE_REF";
    NewPid = 88, "NEW_PID_EXT";
    NewPort = 89, "NEW_PORT_EXT";
    NewerReference = 90, "NEWER_REFERENCE_EXT";
    SmallInteger = 97, "SMALL_INTEGER_EXT";
    Integer = 98, "INTEGER_EXT";
    Float = 99, "FLOAT_EXT";
    Atom = 100, "ATOM_EXT";
    Reference = 101, "REFERENCE_EXT";
    Port = 102, "PORT_EXT";
    Pid = 103, "PID_EXT";
    SmallTuple = 104, "SMALL_TUPLE_EXT";
    LargeTuple = 105, "LARGE_TUPLE_EXT";
    Nil = 106, "NIL_EXT";
    String = 107, "STRING_EXT";
    List = 108, "LIST_EXT";
    Binary = 109, "BINARY_EXT";
    SmallBig = 110, "SMALL_BIG_EXT";
    LargeBig = 111, "LARGE_BIG_EXT";
    NewFun = 112, "NEW_FUN_EXT";
    Export = 113, "EXPORT_EXT";
    NewReference = 114, "NEW_REFERENCE_EXT";
    SmallAtom = 115, "SMALL_ATOM_EXT";
    Map = 116, "MAP_EXT";
    Fun = 117, "FUN_EXT";
    AtomUtf8 = 118, "ATOM_UTF8_EXT";
    SmallAtomUtf8 = 119, "SMALL_ATOM_UTF8_EXT";
    V4Port = 120, "V4_PORT_EXT";
    Local = 121, "LOCAL_EXT";
    Version = 131, "a second version byte";
}
