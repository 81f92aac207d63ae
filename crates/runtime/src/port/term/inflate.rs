//! Compressed terms. The broker starts its drivers with `--compressed=0` and then sends none, so no
//! client can cause one; they are read for hosts that are set up otherwise.

use std::io::Read;

use flate2::bufread::ZlibDecoder;

use super::error::{TermError, TermErrorKind};
use super::{Tag, VERSION};

/// The most that a compressed term may inflate to, in bytes.
pub const INFLATED_MAX: usize = 64 << 20;

/// How much of a term that is too large is inflated all the same: enough to see whose call it is.
const BEGINNING: usize = 64 << 10;

/// Gives back the frame with its term inflated into `room`, or as it is where the term is not compressed.
///
/// Beside the frame stands what is wrong with it, if anything is: the bytes are then as many as could
/// be had, and end within the term.
pub fn unpack<'a>(frame: &'a [u8], room: &'a mut Vec<u8>) -> (&'a [u8], Result<(), TermError>) {
    let Some((&[VERSION, tag, a, b, c, d], packed)) = frame.split_first_chunk::<6>() else {
        return (frame, Ok(()));
    };
    if tag != Tag::Compressed.number() {
        return (frame, Ok(()));
    }
    let declared = u32::from_be_bytes([a, b, c, d]) as usize;
    let too_large = declared > INFLATED_MAX;
    let most = if too_large { BEGINNING } else { declared };

    room.clear();
    room.push(VERSION);
    // One byte more than declared, to see that there is none. The buffer grows as bytes come, not as declared.
    let read = ZlibDecoder::new(packed).take(most as u64 + 1).read_to_end(room);
    let wrong = if too_large {
        Err(TermError::new(0, TermErrorKind::TooLarge))
    } else if read.is_ok_and(|count| count == declared) {
        Ok(())
    } else {
        Err(TermError::new(0, TermErrorKind::Inflate))
    };
    (room, wrong)
}
