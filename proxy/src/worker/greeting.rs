//! The PROXY header of a connection whose peer must tell who the client is.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::Worker;
use super::client::{Client, Peer};
use super::stream::poll_read_some;
use crate::metrics::greetings::Greeting;
use crate::proxy_protocol::{self, Header};
use crate::shared::Admission;

/// Reads the header; `None` if there is none that can be believed, or its source has too many connections. What follows
/// the header is kept.
pub(crate) async fn greet(
    worker: &Worker,
    mut client: Client,
    port: usize,
    admission: &mut Admission,
) -> Option<Client> {
    client.timer.set(worker.wheel.after(TIME));
    let header = poll_fn(|cx| {
        let mut input = worker.scratch.input();
        let mut n_input = client.unread.bytes().len().min(input.len());
        input[..n_input].copy_from_slice(&client.unread.bytes()[..n_input]);
        loop {
            match proxy_protocol::read(&input[..n_input]) {
                Ok(Header::Whole { len, addresses }) => {
                    client.unread.set(&worker.scratch, &input[len..n_input]);
                    return Poll::Ready(Some(addresses));
                }
                Ok(Header::Partial) => {}
                Err(_) => return Poll::Ready(None),
            }
            match poll_read_some(&mut client.stream, cx, &mut input[n_input..]) {
                Poll::Ready(Ok(n_read)) if n_read > 0 => n_input += n_read,
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending if client.timer.poll_expired(cx) || worker.is_stopping() => {
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    client.unread.set(&worker.scratch, &input[..n_input]);
                    return Poll::Pending;
                }
            }
        }
    });
    let addresses = match header.await {
        Some(addresses) => addresses,
        None => {
            worker.count_greeting(Greeting::Refused);
            client.unread.discard(&worker.scratch);
            return None;
        }
    };
    client.timer.set(None);
    match addresses {
        Some((source, destination)) => {
            worker.count_greeting(Greeting::Proxied);
            client.peer = Rc::new(Peer::new(source, Some(destination)));
        }
        None => worker.count_greeting(Greeting::Local),
    }
    let limit = worker.port_settings(port).map_or(0, |settings| settings.connections_per_source);
    if !admission.attribute(client.peer.address.ip().to_canonical(), limit) {
        client.unread.discard(&worker.scratch);
        return None;
    }
    Some(client)
}

/// Time for a header, which is the first thing that a peer says.
const TIME: Duration = Duration::from_secs(5);
