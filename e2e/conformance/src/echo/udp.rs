//! The echo server of UDP.

use serde_json::json;
use tokio::net::UdpSocket;

use super::container::Identity;
use super::log::Log;

/// Answers every datagram until it is dropped.
pub(crate) async fn run(socket: UdpSocket, identity: Identity, log: Log) {
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        // An error tells of an earlier answer that could not be delivered.
        let Ok((n_bytes, client)) = socket.recv_from(&mut buffer).await else { continue };
        let request = String::from_utf8_lossy(buffer.get(..n_bytes).unwrap_or_default()).into_owned();
        log.write(format!("Received UDP {request} from {client}"));
        let reply = json!({
            "request": request,
            "namespace": identity.namespace,
            "ingress": identity.ingress,
            "service": identity.service,
            "pod": identity.pod,
        });
        let _ = socket.send_to(reply.to_string().as_bytes(), client).await;
    }
}

/// Longest request; the rest of a longer one is lost.
const MAX_DATAGRAM: usize = 1024;
