//! A name server on loopback that says whatever a test wants, over UDP and TCP on one port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Udp,
    Tcp,
}

/// A question.
#[derive(Clone, Debug)]
pub struct Asked {
    pub wire: Wire,
    pub peer: SocketAddr,
    pub message: Message,
}

/// The server; its tasks end with it.
pub struct Server {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    tasks: [JoinHandle<()>; 2],
}

// === impl Server ===

impl Server {
    /// `script` gives the messages sent back, in order.
    pub async fn start(
        script: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let (udp, tcp) = bind().await?;
        let address = udp.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(script);
        let over_udp = {
            let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut buffer = [0; 2_048];
                while let Ok((n_bytes, peer)) = udp.recv_from(&mut buffer).await {
                    for answer in said(&*script, &asked, Wire::Udp, peer, &buffer[..n_bytes]) {
                        let _ = udp.send_to(&answer, peer).await;
                    }
                }
            })
        };
        let over_tcp = {
            let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
            tokio::spawn(async move {
                while let Ok((mut stream, peer)) = tcp.accept().await {
                    // A client that goes away ends its own conversation only.
                    let _ =
                        converse(&mut stream, |bytes| said(&*script, &asked, Wire::Tcp, peer, bytes)).await;
                }
            })
        };
        Ok(Self { address, asked, tasks: [over_udp, over_tcp] })
    }

    /// Everything asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it was asked over `wire`.
    pub fn n_asked(&self, wire: Wire) -> usize {
        self.asked().iter().filter(|asked| asked.wire == wire).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn bind() -> anyhow::Result<(UdpSocket, TcpListener)> {
    for _ in 0..32 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        if let Ok(tcp) = TcpListener::bind(udp.local_addr()?).await {
            return Ok((udp, tcp));
        }
    }
    anyhow::bail!("no port is free for both UDP and TCP")
}

async fn converse(stream: &mut TcpStream, say: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> anyhow::Result<()> {
    let mut question = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut question).await?;
    for answer in say(&question) {
        stream.write_u16(u16::try_from(answer.len())?).await?;
        stream.write_all(&answer).await?;
    }
    stream.shutdown().await.context("closing")
}

fn said(
    script: &dyn Fn(&Asked) -> Vec<Vec<u8>>,
    log: &Mutex<Vec<Asked>>,
    wire: Wire,
    peer: SocketAddr,
    bytes: &[u8],
) -> Vec<Vec<u8>> {
    let message = Message::from_vec(bytes).expect("the resolver asks well-formed questions");
    let asked = Asked { wire, peer, message };
    log.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
    script(&asked)
}

/// An answer to a question, to be changed at will.
pub fn reply(question: &Message, code: ResponseCode, answers: Vec<Record>) -> Message {
    let mut message = question.clone();
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.answers = answers;
    message
}

/// A good answer as bytes.
pub fn answer(question: &Message, answers: Vec<Record>) -> Vec<u8> {
    bytes(&reply(question, ResponseCode::NoError, answers))
}

/// An answer without records that says for how long, as bytes.
pub fn negative(question: &Message, code: ResponseCode, soa_ttl: u32, minimum: u32) -> Vec<u8> {
    let mut message = reply(question, code, Vec::new());
    let soa = SOA::new(name("dns.test"), name("root.test"), 1, 1, 1, 1, minimum);
    message.authorities = vec![Record::from_rdata(name("test"), soa_ttl, RData::SOA(soa))];
    bytes(&message)
}

/// An answer cut off after its question.
pub fn truncated(question: &Message) -> Vec<u8> {
    let mut message = reply(question, ResponseCode::NoError, Vec::new());
    message.metadata.truncation = true;
    bytes(&message)
}

pub fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("tests make messages that can be written")
}

pub fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("tests use good names");
    name.set_fqdn(true);
    name
}

pub fn address(owner: &str, address: IpAddr, ttl: u32) -> Record {
    let rdata = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(name(owner), ttl, rdata)
}

pub fn alias(owner: &str, target: &str, ttl: u32) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
}

pub fn service(owner: &str, (priority, weight, port): (u16, u16, u16), target: &str, ttl: u32) -> Record {
    Record::from_rdata(name(owner), ttl, RData::SRV(SRV::new(priority, weight, port, name(target))))
}

pub fn delegation(owner: &str, server: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::NS(NS(name(server))))
}

/// The `n`-th address of a test network.
pub fn ip(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 99, high, low))
}
