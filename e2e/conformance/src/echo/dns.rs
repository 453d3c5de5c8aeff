//! Stands for the CoreDNS of the suite, which says who asks: the answer to every question for an address is the
//! address of the asker (RFC 1035, by hand).

use std::net::IpAddr;

use tokio::net::UdpSocket;

/// Answers every query until it is dropped.
pub(crate) async fn run(socket: UdpSocket) {
    let mut buffer = [0; MAX_QUERY];
    loop {
        let Ok((n_bytes, client)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(answer) = answer(buffer.get(..n_bytes).unwrap_or_default(), client.ip()) {
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

/// The answer to a query with one question; nothing to what is none.
fn answer(query: &[u8], client: IpAddr) -> Option<Vec<u8>> {
    let (header, rest) = query.split_at_checked(HEADER)?;
    let &[id_high, id_low, flags, _, 0, 1, ..] = header else { return None };
    if flags & IS_ANSWER != 0 {
        return None;
    }
    let question = question(rest)?;
    let record: Option<(u16, Vec<u8>)> = match client {
        IpAddr::V4(address) => Some((TYPE_A, address.octets().to_vec())),
        IpAddr::V6(address) => Some((TYPE_AAAA, address.octets().to_vec())),
    };
    let [.., type_high, type_low, _, _] = question else { return None };
    let asked = u16::from_be_bytes([*type_high, *type_low]);
    let record = record.filter(|(of, _)| *of == asked);
    let mut answer = vec![id_high, id_low, flags & RECURSION_DESIRED | IS_ANSWER | AUTHORITATIVE, 0];
    answer.extend([0, 1, 0, u8::from(record.is_some()), 0, 0, 0, 0]);
    answer.extend(question);
    if let Some((of, address)) = record {
        // The name is the one at the first place after the header.
        answer.extend([0xc0, HEADER as u8]);
        answer.extend(of.to_be_bytes());
        // Class IN, and not to be remembered.
        answer.extend([0, 1, 0, 0, 0, 0]);
        answer.extend((address.len() as u16).to_be_bytes());
        answer.extend(address);
    }
    Some(answer)
}

/// Name, type and class at the beginning of `rest`.
fn question(rest: &[u8]) -> Option<&[u8]> {
    let mut end = 0;
    loop {
        match *rest.get(end)? {
            0 => break,
            label @ 1..=63 => end += 1 + usize::from(label),
            _ => return None,
        }
    }
    rest.get(..end + 5)
}

/// Bytes before the question.
const HEADER: usize = 12;
/// Longest query.
const MAX_QUERY: usize = 1232;
const IS_ANSWER: u8 = 0x80;
const AUTHORITATIVE: u8 = 0x04;
const RECURSION_DESIRED: u8 = 0x01;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_told_and_noise_is_not_answered() {
        let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03foo\x03bar\0\0\x01\0\x01";
        let told = answer(query, [127, 1, 2, 3].into()).unwrap();
        assert_eq!(told.get(..12), Some(&b"\x12\x34\x85\0\0\x01\0\x01\0\0\0\0"[..]));
        assert!(told.ends_with(b"\0\x04\x7f\x01\x02\x03"));
        let for_text = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03foo\0\0\x10\0\x01";
        assert_eq!(answer(for_text, [127, 1, 2, 3].into()).unwrap().get(7), Some(&0));
        assert_eq!(answer(&told, [127, 1, 2, 3].into()), None);
        for length in 0..query.len() {
            assert_eq!(answer(query.get(..length).unwrap(), [127, 0, 0, 1].into()), None);
        }
    }
}
