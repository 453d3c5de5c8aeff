//! An origin that costs as little as one can: no routing, no log, one receive and one send for a small request.
//!
//! `/b/N` is answered with N bytes, `/c/N` with N bytes in chunks of 4 KiB, anything else with 128 bytes. Bodies of
//! requests are read and forgotten.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use crate::sockets::{EventFlags, Watch, accept, is_waiting, listen};

/// What an answer is made of: bytes, and how much filling comes behind them.
#[derive(Clone)]
struct Answer {
    bytes: Rc<[u8]>,
    n_more: u64,
}

struct Client {
    socket: TcpStream,
    /// Beginning of a head that is not whole.
    rest: Vec<u8>,
    request: Request,
    /// Answer to the request whose body is read.
    next: Option<Answer>,
    /// Answer under way, and how much of its bytes was sent.
    answer: Option<(Answer, usize)>,
}

/// What comes next of a request.
enum Request {
    Head,
    /// So many bytes of body.
    Body(u64),
    ChunkSize,
    /// So many bytes of a chunk with its end of line; whether it is the last one.
    Chunk(u64, bool),
}

struct Answers {
    by_path: HashMap<Vec<u8>, Answer>,
    small: Answer,
    filling: Rc<[u8]>,
}

/// The connection is over.
struct Over;

/// Serves until the process is ended.
///
/// # Errors
/// Fails if the address is taken.
pub fn serve(address: SocketAddr) -> anyhow::Result<()> {
    crate::sockets::raise_descriptors();
    let listener = listen(address)?;
    let mut watch = Watch::new()?;
    watch.add(&listener, 0)?;
    let mut answers = Answers::new();
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut free = Vec::new();
    let mut events = Vec::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        watch.wait(None, &mut events)?;
        for (number, flags) in &events {
            if *number == 0 {
                while let Some(socket) = accept(&listener) {
                    let place = free.pop().unwrap_or_else(|| {
                        clients.push(None);
                        clients.len() - 1
                    });
                    watch.add(&socket, place + 1)?;
                    clients[place] = Some(Client::new(socket));
                }
                continue;
            }
            let place = number - 1;
            let Some(client) = clients[place].as_mut() else { continue };
            if client.step(flags.contains(EventFlags::RDHUP), &mut answers, &mut buffer).is_err() {
                clients[place] = None;
                free.push(place);
            }
        }
    }
}

// === impl Client ===

impl Client {
    fn new(socket: TcpStream) -> Self {
        Self { socket, rest: Vec::new(), request: Request::Head, next: None, answer: None }
    }

    fn step(&mut self, is_ending: bool, answers: &mut Answers, buffer: &mut [u8]) -> Result<(), Over> {
        self.flush(answers)?;
        loop {
            let n_bytes = match self.socket.read(buffer) {
                Ok(0) => return Err(Over),
                Ok(n_bytes) => n_bytes,
                Err(error) if is_waiting(&error) => return Ok(()),
                Err(_) => return Err(Over),
            };
            self.take(&buffer[..n_bytes], answers)?;
            // What did not fill the buffer was all, and more will be a new edge; an end that is there already will not.
            if n_bytes < buffer.len() && !is_ending {
                return Ok(());
            }
        }
    }

    fn take(&mut self, bytes: &[u8], answers: &mut Answers) -> Result<(), Over> {
        let joined;
        let mut bytes = bytes;
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.rest);
            bytes = &joined;
        }
        while !bytes.is_empty() {
            match &mut self.request {
                Request::Head => {
                    let Some((request, path, n_bytes)) = head(bytes) else {
                        self.rest = bytes.to_vec();
                        return if bytes.len() > BUFFER { Err(Over) } else { Ok(()) };
                    };
                    self.next = Some(answers.to(path));
                    self.request = request;
                    bytes = &bytes[n_bytes..];
                }
                Request::Body(left) => skip(&mut bytes, left),
                Request::ChunkSize => {
                    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                        self.rest = bytes.to_vec();
                        return Ok(());
                    };
                    let line = str::from_utf8(&bytes[..end]).map_err(|_| Over)?;
                    let size = u64::from_str_radix(line.trim_ascii_end(), 16).map_err(|_| Over)?;
                    self.request = Request::Chunk(size + 2, size == 0);
                    bytes = &bytes[end + 1..];
                }
                Request::Chunk(left, is_last) => {
                    skip(&mut bytes, left);
                    if *left == 0 {
                        self.request = if *is_last { Request::Body(0) } else { Request::ChunkSize };
                    }
                }
            }
            if matches!(self.request, Request::Body(0)) {
                self.request = Request::Head;
                // A request behind one that is still answered is nothing that a proxy sends.
                if self.answer.is_some() {
                    return Err(Over);
                }
                self.answer = self.next.take().map(|answer| (answer, 0));
                self.flush(answers)?;
            }
        }
        Ok(())
    }

    /// Sends what the socket takes.
    fn flush(&mut self, answers: &Answers) -> Result<(), Over> {
        while let Some((answer, n_sent)) = &mut self.answer {
            let filling = (answer.n_more as usize).min(answers.filling.len());
            let is_filling = *n_sent == answer.bytes.len();
            let bytes = if is_filling { &answers.filling[..filling] } else { &answer.bytes[*n_sent..] };
            match self.socket.write(bytes) {
                Ok(n_bytes) if is_filling => answer.n_more -= n_bytes as u64,
                Ok(n_bytes) => *n_sent += n_bytes,
                Err(error) if is_waiting(&error) => return Ok(()),
                Err(_) => return Err(Over),
            }
            if answer.n_more == 0 && *n_sent == answer.bytes.len() {
                self.answer = None;
            }
        }
        Ok(())
    }
}

// === impl Answers ===

impl Answers {
    fn new() -> Self {
        let filling: Vec<u8> = (b'a'..=b'z').cycle().take(FILLING).collect();
        let small = Answer::sized(SMALL, &filling);
        Self { by_path: HashMap::new(), small, filling: filling.into() }
    }

    fn to(&mut self, path: &[u8]) -> Answer {
        if !path.starts_with(b"/b/") && !path.starts_with(b"/c/") {
            return self.small.clone();
        }
        if let Some(answer) = self.by_path.get(path) {
            return answer.clone();
        }
        let size = str::from_utf8(&path[3..]).ok().and_then(|size| size.parse().ok()).unwrap_or(SMALL);
        let answer = match path[1] {
            b'b' => Answer::sized(size, &self.filling),
            _ => Answer::chunked(size, &self.filling),
        };
        self.by_path.insert(path.to_vec(), answer.clone());
        answer
    }
}

// === impl Answer ===

impl Answer {
    fn sized(size: u64, filling: &[u8]) -> Self {
        let n_first = (size as usize).min(filling.len());
        let mut bytes = format!("{HEAD}content-length: {size}\r\n\r\n").into_bytes();
        bytes.extend(&filling[..n_first]);
        Self { bytes: bytes.into(), n_more: size - n_first as u64 }
    }

    fn chunked(size: u64, filling: &[u8]) -> Self {
        let mut bytes = format!("{HEAD}transfer-encoding: chunked\r\n\r\n").into_bytes();
        let mut n_left = size as usize;
        while n_left > 0 {
            let n_bytes = n_left.min(CHUNK);
            bytes.extend(format!("{n_bytes:x}\r\n").bytes());
            bytes.extend(&filling[..n_bytes]);
            bytes.extend(b"\r\n");
            n_left -= n_bytes;
        }
        bytes.extend(b"0\r\n\r\n");
        Self { bytes: bytes.into(), n_more: 0 }
    }
}

/// What a head says of the body behind it, the path it asks for, and its length; nothing where it is not whole.
fn head(bytes: &[u8]) -> Option<(Request, &[u8], usize)> {
    let mut request = Request::Body(0);
    let mut at = 0;
    loop {
        let length = bytes[at..].iter().position(|byte| *byte == b'\n')?;
        let line = bytes[at..at + length].trim_ascii_end();
        at += length + 1;
        if line.is_empty() {
            break;
        }
        match line[0] | 0x20 {
            b'c' if named(line, b"content-length:") => {
                let value = str::from_utf8(&line[15..]).unwrap_or_default().trim();
                request = Request::Body(value.parse().unwrap_or(0));
            }
            b't' if named(line, b"transfer-encoding:") => request = Request::ChunkSize,
            _ => {}
        }
    }
    let path = bytes.split(|byte| *byte == b' ').nth(1)?;
    Some((request, path, at))
}

fn named(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
}

fn skip(bytes: &mut &[u8], n_left: &mut u64) {
    let n_bytes = (bytes.len() as u64).min(*n_left);
    *n_left -= n_bytes;
    *bytes = &bytes[n_bytes as usize..];
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nserver: origin\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n";
const SMALL: u64 = 128;
const CHUNK: usize = 4096;
const FILLING: usize = 1 << 20;
const BUFFER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_say_what_follows() {
        let text = b"POST /b/7 HTTP/1.1\r\nhost: a\r\nContent-Length: 12\r\n\r\nbody";
        let (request, path, n_bytes) = head(text).expect("a head");
        assert!(matches!(request, Request::Body(12)));
        assert_eq!((path, &text[n_bytes..]), (&b"/b/7"[..], &b"body"[..]));
        assert!(head(b"GET / HTTP/1.1\r\nhost: a\r\n").is_none());
        let chunked = head(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n").expect("a head");
        assert!(matches!(chunked.0, Request::ChunkSize));
    }

    #[test]
    fn answers_have_the_size_that_was_asked_for() {
        let mut answers = Answers::new();
        let large = answers.to(b"/b/3000000");
        let n_head = large.bytes.len() - FILLING;
        assert_eq!(large.bytes.len() as u64 - n_head as u64 + large.n_more, 3_000_000);
        assert!(answers.to(b"/c/5000").bytes.ends_with(b"\r\n0\r\n\r\n"));
    }
}
