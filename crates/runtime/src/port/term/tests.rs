use std::io::Write;

use eetf::Term;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

/// A term is passed over whole, printed as expected, and refused wherever it is cut off.
#[track_caller]
fn check(hex: &str, shown: &str) {
    let bytes = bytes(hex);
    let mut reader = Reader::versioned(&bytes).unwrap();
    assert_eq!(Shown(reader).to_string(), shown);
    assert_eq!(reader.skip(), Ok(&bytes[1..]));
    assert_eq!(reader.end(), Ok(()));
    for end in 1..bytes.len() {
        let mut cut = Reader::versioned(&bytes[..end]).unwrap();
        assert!(cut.skip().is_err(), "cut off at {end}");
    }
}

#[track_caller]
fn check_refused(hex: &str, error: &str) {
    let bytes = bytes(hex);
    let read = Reader::versioned(&bytes).and_then(|mut reader| reader.skip());
    assert_eq!(read.unwrap_err().to_string(), error);
}

/// What `term_to_binary` of Erlang/OTP 25 makes.
#[test]
fn terms_of_erlang_are_read() {
    check("8361 ff", "255");
    check("8362 ffffffff", "-1");
    check("8362 80000000", "-2147483648");
    check("836e 0400 00000080", "2147483648");
    check("836e 0800 ffffffffffffff7f", "9223372036854775807");
    check("836e 0801 0000000000000080", "-9223372036854775808");
    check("836e 0800 0000000000000080", "16#8000000000000000");
    check("836e 0901 000000000000000001", "-16#010000000000000000");
    check("8346 3ff8000000000000", "1.5");
    check("8363 312e3530303030303030303030303030303030303030652b30300000000000", "1.5");
    check("8364 0002 6f6b", "ok");
    check("8364 0001 e9", "'é'");
    check("8377 03 e282ac", "'€'");
    check("836d 00000002 6162", "<<\"ab\">>");
    check("836d 00000002 ff00", "<<255,0>>");
    check("834d 00000001 03 a0", "<<160>>:3");
    check("836a", "[]");
    check("836b 0002 6162", "\"ab\"");
    check("836b 0002 01ff", "[1, 255]");
    check("836c 00000002 640001 61 640001 62 6a", "[a, b]");
    check("836c 00000001 640001 61 640001 62", "[a|b]");
    check("8368 00", "{}");
    check("8368 02 640001 61 6101", "{a, 1}");
    check("8374 00000002 640001 61 6101 640001 62 6a", "#{a => 1, b => []}");
    check("8358 64000d 6e6f6e6f6465406e6f686f7374 00000009 00000000 00000000", "#NEW_PID_EXT");
    check("8359 64000d 6e6f6e6f6465406e6f686f7374 00000000 00000000", "#NEW_PORT_EXT");
    check("835a 0003 64000d 6e6f6e6f6465406e6f686f7374 00000000 00037483 698c0001 f4ae66e1", "#NEWER_REFERENCE_EXT");
    check("8371 640005 6c69737473 640003 6d6170 6102", "#EXPORT_EXT");
}

/// The older and rarer forms, which a current Erlang does not write.
#[test]
fn other_tags_are_read() {
    check("8373 02 6f6b", "ok");
    check("8376 0002 6f6b", "ok");
    check("8369 00000002 6101 6102", "{1, 2}");
    check("836f 00000009 00 000000000000000001", "16#010000000000000000");
    check("836f 00000001 01 05", "-5");
    check("8367 770161 00000001 00000002 03", "#PID_EXT");
    check("8366 770161 00000001 03", "#PORT_EXT");
    check("8378 770161 0000000000000001 00000003", "#V4_PORT_EXT");
    check("8365 770161 00000001 03", "#REFERENCE_EXT");
    check("8372 0002 770161 03 00000001 00000002", "#NEW_REFERENCE_EXT");
    check("8370 00000008 01020304", "#NEW_FUN_EXT");
    check("8375 00000001 67 770161 00000001 00000002 03 77016d 6101 6102 6107", "#FUN_EXT");
}

#[test]
fn tags_that_are_not_read_are_refused_by_name() {
    check_refused("8344 00", "a distribution header at byte 1 is not read");
    check_refused("8345 00", "a distribution fragment header at byte 1 is not read");
    check_refused("8349 00", "ATOM_INTERNAL_REF2 at byte 1 is not read");
    check_refused("834a 00", "BINARY_INTERNAL_REF at byte 1 is not read");
    check_refused("834b 00", "ATOM_INTERNAL_REF3 at byte 1 is not read");
    check_refused("834c 00", "BITSTRING_INTERNAL_REF at byte 1 is not read");
    check_refused("8352 00", "ATOM_CACHE_REF at byte 1 is not read");
    check_refused("8358 52 00", "ATOM_CACHE_REF at byte 2 is not read");
    check_refused("8379 00", "LOCAL_EXT at byte 1 is not read");
    check_refused("8383 61 01", "a second version byte at byte 1 is not read");
    check_refused("836801 50 00000001 00", "a compressed term at byte 3 is not read");
    check_refused("8300", "no term begins with 0, as at byte 1");
    check_refused("6101", "no external term: the first byte is not 131");
    check_refused("", "no external term: the first byte is not 131");
    check_refused("83", "the term is cut off at byte 1");
}

#[test]
fn every_tag_is_read_or_refused_by_name() {
    for &tag in Tag::ALL {
        assert_eq!(Tag::of(tag.number()), Some(tag));
        let bytes = [VERSION, tag.number()];
        let error = Reader::versioned(&bytes).unwrap().skip().err().map(|error| error.to_string());
        match error {
            None => assert_eq!(tag, Tag::Nil),
            Some(text) => assert!(text.contains("cut off") || text.contains(tag.name()), "{tag:?}: {text}"),
        }
    }
    assert_eq!((0..=255).filter_map(Tag::of).count(), Tag::ALL.len());
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_done_about_it() {
    check_refused("836c ffffffff 6a", "byte 2 declares more elements than there are bytes left");
    check_refused("8369 ffffffff 6a", "byte 2 declares more elements than there are bytes left");
    check_refused("8374 80000000 6a", "byte 2 declares more elements than there are bytes left");
    check_refused("8368 ff 6a", "byte 1 declares more elements than there are bytes left");
    check_refused("8375 ffffffff 6a", "byte 2 declares more elements than there are bytes left");
    check_refused("836d ffffffff 6a", "the term is cut off at byte 7");
    check_refused("836b ffff 6a", "the term is cut off at byte 5");
    check_refused("836f ffffffff 00 6a", "the term is cut off at byte 8");
    check_refused("8370 ffffffff 00", "the term is cut off at byte 7");
    check_refused("8370 00000003 00", "malformed NEW_FUN_EXT at byte 1");
    check_refused("834d 00000001 09 a0", "malformed BIT_BINARY_EXT at byte 1");
    check_refused(
        "8363 78787878787878787878787878787878787878787878787878787878787878",
        "malformed FLOAT_EXT at byte 1",
    );
    // Each list of a nest may declare no more than there are bytes, but all of them together may not either.
    check_refused("836c 00000005 6c 00000001 6a", "byte 6 declares more elements than there are bytes left");
}

#[test]
fn depth_is_no_matter() {
    let levels = 1_000_000;
    let mut nest = vec![VERSION];
    for _ in 0..levels {
        nest.extend([Tag::List.number(), 0, 0, 0, 1]);
    }
    nest.extend(vec![Tag::Nil.number(); levels + 1]);
    let mut reader = Reader::versioned(&nest).unwrap();
    let shown = Shown(reader).to_string();
    assert!(shown.starts_with("[[[[") && shown.contains("...") && shown.len() < 1000, "{shown}");
    assert_eq!(reader.skip().map(<[u8]>::len), Ok(nest.len() - 1));
    nest.pop();
    assert!(Reader::versioned(&nest).unwrap().skip().is_err());
}

#[test]
fn secrets_are_not_shown() {
    check("8368 02 640008 70617373776f7264 6d00000001 78", "{password, ...}");
    check("8374 00000001 640008 70617373776f7264 6d00000001 78", "#{password => ...}");
}

fn compressed(term: &[u8], declared: usize) -> Vec<u8> {
    let mut bytes = vec![VERSION, Tag::Compressed.number()];
    bytes.extend(u32::try_from(declared).unwrap().to_be_bytes());
    let mut encoder = ZlibEncoder::new(bytes, Compression::best());
    encoder.write_all(term).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_terms_are_inflated() {
    let erlang = bytes("8350 000005e2 789ccb61606048c905125c897030ca1de58e7247b9a3dc61c0cd02005937aaae");
    let mut room = Vec::new();
    let (term, wrong) = unpack(&erlang, &mut room);
    assert_eq!(wrong, Ok(()));
    let mut reader = Reader::versioned(term).unwrap();
    let list = reader.list().unwrap();
    assert_eq!(list.count, 100);
    for _ in 0..100 {
        assert_eq!(reader.text("a binary"), Ok("aaaaaaaaaa"));
    }
    reader.list_end(list).unwrap();
    assert_eq!(reader.end(), Ok(()));
    // The room is used again.
    let (term, wrong) = unpack(&erlang, &mut room);
    assert_eq!((term.len(), wrong), (0x5e2 + 1, Ok(())));
}

#[test]
fn what_is_not_compressed_stays_where_it_is() {
    let plain = bytes("8361 ff 00000000");
    let mut room = Vec::new();
    let (term, wrong) = unpack(&plain, &mut room);
    assert!(std::ptr::eq(term, plain.as_slice()));
    assert_eq!((wrong, room.capacity()), (Ok(()), 0));
}

#[track_caller]
fn check_bad_zip(frame: &[u8], at_most: usize, error: &str) {
    let mut room = Vec::new();
    let (term, wrong) = unpack(frame, &mut room);
    assert_eq!(wrong.unwrap_err().to_string(), error);
    // What could be had is there, to see whose call it was.
    assert_eq!(term.first(), Some(&VERSION));
    assert!(room.capacity() <= at_most, "{} bytes", room.capacity());
}

#[test]
fn a_compressed_term_that_lies_is_known() {
    let sizes = "the compressed term does not inflate to the size that it declares";
    let zeros = vec![0; 100 << 20];
    check_bad_zip(&compressed(&zeros, 100 << 20), 1 << 20, "the compressed term inflates to more than is read");
    check_bad_zip(&compressed(&zeros, 1000), 1 << 20, sizes);
    check_bad_zip(&compressed(&zeros[..1000], 1001), 1 << 20, sizes);
    check_bad_zip(
        &compressed(&zeros[..1000], u32::MAX as usize),
        1 << 20,
        "the compressed term inflates to more than is read",
    );
    let whole = compressed(&zeros[..1000], 1000);
    for end in 6..whole.len() - 4 {
        check_bad_zip(&whole[..end], 1 << 20, sizes);
    }
    let mut damaged = whole;
    damaged[6] ^= 0xFF;
    check_bad_zip(&damaged, 1 << 20, sizes);
}

#[test]
fn texts_come_in_several_forms() {
    #[track_caller]
    fn check(hex: &str, expected: Result<&str, &str>) {
        let bytes = bytes(hex);
        let text = Reader::new(&bytes).text("the name").map_err(|error| error.to_string());
        assert_eq!(text.as_deref().map_err(String::as_str), expected);
    }
    check("6d 00000002 c3a9", Ok("é"));
    check("6d 00000000", Ok(""));
    check("64 0002 6162", Ok("ab"));
    check("77 02 c3a9", Ok("é"));
    check("6b 0002 6162", Ok("ab"));
    check("6a", Ok(""));
    check("64 0009 756e646566696e6564", Ok(""));
    check("6d 00000009 756e646566696e6564", Ok("undefined"));
    check("6d 00000001 e9", Err("the name is not UTF-8, at byte 0"));
    check("64 0001 e9", Err("expected the name at byte 0"));
    check("6b 0001 e9", Err("the name is not UTF-8, at byte 0"));
    check("61 01", Err("expected the name at byte 0"));
    check("68 00", Err("expected the name at byte 0"));
}

#[test]
fn properties_are_found_in_any_order_among_others() {
    // [{x, []}, plain, {a, 1, 2}, {<<"a">>, 3}, {a, 7}]
    let list = bytes(
        "6c 00000005 6802 770178 6a 7705 706c61696e 6803 770161 6101 6102 6802 6d00000001 61 6103 6802 770161 6107 6a",
    );
    let mut found = Vec::new();
    let mut reader = Reader::new(&list);
    let mut properties = reader.properties().unwrap();
    while let Some(key) = properties.next(&mut reader).unwrap() {
        if key.is("a") {
            found.push(reader.integer().unwrap());
        } else {
            reader.skip().unwrap();
        }
    }
    assert_eq!((found, reader.end()), (vec![7], Ok(())));
}

/// Compares what the reader sees with a term that eetf wrote, and reads to the term's end.
fn check_same(reader: &mut Reader<'_>, term: &Term) {
    match (reader.head().unwrap(), term) {
        (Head::Integer(value), Term::FixInteger(expected)) => assert_eq!(value, i64::from(expected.value)),
        (Head::Integer(value), Term::BigInteger(expected)) => {
            assert_eq!(value.to_string(), expected.value.to_string());
        }
        (Head::Big { negative, magnitude }, Term::BigInteger(expected)) => {
            let (sign, bytes) = expected.value.to_bytes_le();
            assert_eq!((negative, magnitude), (format!("{sign:?}") == "Minus", &bytes[..]));
        }
        (Head::Float(value), Term::Float(expected)) => assert_eq!(value.to_bits(), expected.value.to_bits()),
        (Head::Atom(atom), Term::Atom(expected)) => assert_eq!(atom.to_text(), expected.name),
        (Head::Binary(bytes), Term::Binary(expected)) => assert_eq!(bytes, expected.bytes),
        (Head::Bytes(bytes), Term::ByteList(expected)) => assert_eq!(bytes, expected.bytes),
        (Head::Nil, Term::List(expected)) => assert!(expected.is_nil()),
        (Head::Bytes(bytes), Term::List(expected)) => {
            let integers: Vec<Term> =
                bytes.iter().map(|byte| eetf::FixInteger::from(i32::from(*byte)).into()).collect();
            assert_eq!(integers, expected.elements);
        }
        (Head::List(count), Term::List(expected)) => {
            assert_eq!(count as usize, expected.elements.len());
            expected.elements.iter().for_each(|element| check_same(reader, element));
            assert_eq!(reader.head(), Ok(Head::Nil));
        }
        (Head::List(count), Term::ImproperList(expected)) => {
            assert_eq!(count as usize, expected.elements.len());
            expected.elements.iter().for_each(|element| check_same(reader, element));
            check_same(reader, &expected.last);
        }
        (Head::Tuple(count), Term::Tuple(expected)) => {
            assert_eq!(count as usize, expected.elements.len());
            expected.elements.iter().for_each(|element| check_same(reader, element));
        }
        (Head::Map(count), Term::Map(expected)) => {
            assert_eq!(count as usize, expected.map.len());
            expected.map.iter().for_each(|(key, value)| {
                check_same(reader, key);
                check_same(reader, value);
            });
        }
        (Head::Opaque(Tag::NewPid), Term::Pid(_)) | (Head::Opaque(Tag::NewerReference), Term::Reference(_)) => {}
        (head, term) => panic!("{head:?} for {term}"),
    }
}

fn any_term() -> impl Strategy<Value = Term> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|value| eetf::FixInteger::from(value).into()),
        (0..=255_i32).prop_map(|value| eetf::FixInteger::from(value).into()),
        any::<i64>().prop_map(|value| eetf::BigInteger::from(value).into()),
        any::<(u64, bool)>().prop_map(|(value, negative)| {
            let square = eetf::BigInteger::from(value).value * value;
            Term::from(eetf::BigInteger { value: if negative { -square } else { square } })
        }),
        prop::num::f64::NORMAL.prop_map(|value| eetf::Float { value }.into()),
        "[a-zé€]{0,9}".prop_map(|name| eetf::Atom::from(name).into()),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| eetf::Binary::from(bytes).into()),
        prop::collection::vec(any::<u8>(), 1..20).prop_map(|bytes| eetf::ByteList::from(bytes).into()),
        any::<(u32, u32)>().prop_map(|(id, serial)| eetf::Pid::new("a@b", id, serial, 7).into()),
    ];
    leaf.prop_recursive(6, 80, 9, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..9).prop_map(|elements| eetf::Tuple::from(elements).into()),
            // eetf writes -1 in a list of small integers as 255, so a tuple leads each list.
            prop::collection::vec(inner.clone(), 0..9).prop_map(|mut elements| {
                elements.insert(0, eetf::Tuple::nil().into());
                eetf::List::from(elements).into()
            }),
            Just(eetf::List::nil().into()),
            (prop::collection::vec(inner.clone(), 1..5), "[a-z]{1,3}").prop_map(|(elements, last)| {
                eetf::ImproperList::from((elements, eetf::Atom::from(last).into())).into()
            }),
            prop::collection::vec((inner.clone(), inner), 0..5)
                .prop_map(|pairs| { eetf::Map { map: pairs.into_iter().collect() }.into() }),
        ]
    })
}

proptest! {
    #[test]
    fn what_eetf_writes_is_read_the_same(term in any_term()) {
        let mut bytes = Vec::new();
        term.encode(&mut bytes).unwrap();
        let mut reader = Reader::versioned(&bytes).unwrap();
        check_same(&mut reader, &term);
        prop_assert_eq!(reader.end(), Ok(()));

        let mut reader = Reader::versioned(&bytes).unwrap();
        prop_assert_eq!(reader.skip(), Ok(&bytes[1..]));
        for end in 1..bytes.len() {
            prop_assert!(Reader::versioned(&bytes[..end]).unwrap().skip().is_err());
        }

        let packed = compressed(&bytes[1..], bytes.len() - 1);
        let mut room = Vec::new();
        prop_assert_eq!(unpack(&packed, &mut room), (&bytes[..], Ok(())));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 97..=120_u8, 0..=3_u8], 0..60)) {
        let mut reader = Reader::new(&bytes);
        let _ = Shown(reader).to_string();
        if let Ok(term) = reader.skip() {
            prop_assert!(!term.is_empty() && bytes.starts_with(term));
        }
    }
}
