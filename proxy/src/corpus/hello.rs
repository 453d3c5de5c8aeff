//! What holds for every beginning of a connection that may be a ClientHello.

use crate::tls::hello::{Hello, read};

use super::cuts::Cuts;

/// Bytes are judged the same however many came before: more are wanted until there is a judgement, which then stays. A
/// ClientHello is the same in records of any size, and its name is one in lower case.
pub(crate) fn beginning(bytes: &[u8], cuts: Cuts) {
    let whole = read(bytes);
    let mut judged = None;
    for n_bytes in cuts.of(bytes, bytes.len()) {
        let part = read(&bytes[..n_bytes]);
        if let Some(judged) = &judged {
            assert_eq!(part, *judged, "{n_bytes} bytes, and what fewer were");
        } else if part != Ok(Hello::Partial) {
            judged = Some(part);
        }
    }
    assert!(judged.is_none_or(|judged| judged == whole), "{whole:?}, and fewer bytes were something else");
    let Ok(Hello::Whole(name)) = &whole else { return };
    if let Some(name) = name {
        let is_plain = name.iter().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase());
        assert!(is_plain && name.len() < 255, "{name:?}");
    }
    let message = message(bytes);
    for size in cuts.ways(bytes, &[1, 7, 100, 16_384]) {
        let again = records(&message, *size);
        if again.len() <= BYTES_MAX {
            assert_eq!(read(&again), whole, "records of {size} bytes");
        }
    }
}

/// What the records of a whole ClientHello carry.
fn message(mut bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(bytes.len());
    while let Some((header, rest)) =
        bytes.split_first_chunk::<5>().filter(|(header, _)| header[0] == HANDSHAKE)
    {
        let n_bytes = usize::from(u16::from_be_bytes([header[3], header[4]])).min(rest.len());
        message.extend_from_slice(&rest[..n_bytes]);
        if n_bytes == 0 {
            break;
        }
        bytes = &rest[n_bytes..];
    }
    let length = [0, message[1], message[2], message[3]];
    message.truncate(4 + u32::from_be_bytes(length) as usize);
    message
}

/// The message in records of `size` bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let mut records = Vec::with_capacity(message.len() + 5 * message.len().div_ceil(size));
    for fragment in message.chunks(size) {
        let [high, low] = u16::try_from(fragment.len()).expect("a short record").to_be_bytes();
        records.extend_from_slice(&[HANDSHAKE, 3, 1, high, low]);
        records.extend_from_slice(fragment);
    }
    records
}

const HANDSHAKE: u8 = 22;
/// Most bytes in which a ClientHello is looked for.
const BYTES_MAX: usize = 32 * 1024;
