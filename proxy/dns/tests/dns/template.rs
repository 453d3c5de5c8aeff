//! Templates against a zone that changes under them.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};
use igw_dns::resolver::{Resolver, ResolverSpec};
use igw_dns::slots::{HoldSpec, SlotEndpoint, SlotHealth, SlotsSpec};
use igw_dns::template::{self, RecordChoice, TemplateSpec, TemplateState};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::server::{Asked, Server, address, bytes, ip, name, negative, reply, service};

const LONG: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(60);

/// What the server knows, and the question types it has trouble with.
#[derive(Clone, Default)]
struct Zone {
    shared: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    records: Vec<Record>,
    glue: Vec<Record>,
    refused: Vec<RecordType>,
    refused_names: Vec<Name>,
}

/// A template under test.
struct Bench {
    zone: Zone,
    server: Server,
    hint: Notify,
}

/// Publications of the template, newest last.
struct Published {
    published: mpsc::UnboundedReceiver<(Vec<SlotEndpoint>, TemplateState)>,
}

// === impl Zone ===

impl Zone {
    fn set(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn say(&self, asked: &Asked) -> Vec<Vec<u8>> {
        let known = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let question = &asked.message.queries[0];
        if known.refused.contains(&question.query_type()) || known.refused_names.contains(question.name()) {
            return vec![negative(&asked.message, ResponseCode::Refused, 0, 0)];
        }
        let of_name: Vec<&Record> =
            known.records.iter().filter(|record| record.name == *question.name()).collect();
        let answers: Vec<Record> = of_name
            .iter()
            .filter(|record| record.record_type() == question.query_type())
            .map(|record| (*record).clone())
            .collect();
        if answers.is_empty() {
            let code = if of_name.is_empty() { ResponseCode::NXDomain } else { ResponseCode::NoError };
            return vec![negative(&asked.message, code, 0, 0)];
        }
        let mut message = reply(&asked.message, ResponseCode::NoError, answers);
        message.additionals = known.glue.clone();
        vec![bytes(&message)]
    }
}

// === impl Bench ===

impl Bench {
    async fn new(records: Vec<Record>) -> anyhow::Result<Self> {
        let zone = Zone::default();
        zone.set(|known| known.records = records);
        let of_server = zone.clone();
        let server = Server::start(move |asked| of_server.say(asked)).await?;
        Ok(Self { zone, server, hint: Notify::new() })
    }

    /// Runs a template beside `script`, which sees what is published.
    async fn run(
        &self,
        spec: TemplateSpec,
        initial: &[SlotEndpoint],
        script: impl AsyncFnOnce(&mut Published) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let resolver = Resolver::new(ResolverSpec {
            name: "lab".to_owned(),
            nameservers: vec![self.server.address],
            resolv_conf: None,
            search: false,
            edns_payload: 8_192,
            timeout: Duration::from_secs(2),
            retries: 0,
        });
        let (send, published) = mpsc::unbounded_channel();
        let mut published = Published { published };
        let publish = |endpoints: &[SlotEndpoint], state| {
            // The script may be over.
            let _ = send.send((endpoints.to_vec(), state));
        };
        tokio::select! {
            () = template::run(spec, &resolver, &self.hint, initial, health, publish) => {
                anyhow::bail!("the template ended")
            }
            result = script(&mut published) => result,
        }
    }
}

// === impl Published ===

impl Published {
    async fn next(&mut self) -> anyhow::Result<(Vec<SlotEndpoint>, TemplateState)> {
        let next = timeout(LONG, self.published.recv()).await?;
        next.ok_or_else(|| anyhow::anyhow!("the template ended"))
    }

    /// Waits until exactly these endpoints stand in slots 0 and up, in this state.
    async fn until(&mut self, expected: &[SocketAddr], state: TemplateState) -> anyhow::Result<()> {
        let expected = slots(expected);
        let mut last = None;
        loop {
            match self.next().await {
                Ok(seen) if seen == (expected.clone(), state) => return Ok(()),
                Ok(seen) => last = Some(seen),
                Err(error) => anyhow::bail!("{error}: wanted {expected:?} {state:?}, last seen {last:?}"),
            }
        }
    }
}

/// Even ports pass their check, odd ones fail it.
fn health(address: SocketAddr) -> SlotHealth {
    if address.port().is_multiple_of(2) { SlotHealth::Passing } else { SlotHealth::Failing }
}

fn spec(records: RecordChoice) -> TemplateSpec {
    TemplateSpec {
        name: "app.test".to_owned(),
        port: 80,
        records,
        ignore_weight: false,
        slots: SlotsSpec {
            slots: 0,
            min_ttl: SOON,
            max_ttl: SOON,
            hold: HoldSpec {
                nxdomain: Some(SOON * 2),
                obsolete: Some(Duration::ZERO),
                timeout: None,
                refused: None,
                other: None,
            },
        },
        guard: None,
    }
}

fn at(n: u16) -> SocketAddr {
    SocketAddr::new(ip(n), 80)
}

fn six() -> IpAddr {
    IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1])
}

fn slots(addresses: &[SocketAddr]) -> Vec<SlotEndpoint> {
    (0..).zip(addresses).map(|(slot, address)| SlotEndpoint { slot, address: *address, weight: 1 }).collect()
}

fn app(numbers: &[u16]) -> Vec<Record> {
    numbers.iter().map(|n| address("app.test", ip(*n), 1)).collect()
}

#[tokio::test]
async fn answers_are_followed() -> anyhow::Result<()> {
    let bench = Bench::new(Vec::new()).await?;
    bench
        .run(spec(RecordChoice::A), &[], async |published| {
            let first = published.next().await?;
            assert_eq!(first, (Vec::new(), TemplateState::Pending), "the start waits for nobody");
            published.until(&[], TemplateState::NoName).await?;
            bench.zone.set(|known| known.records = app(&[1, 2, 3]));
            published.until(&[at(1), at(2), at(3)], TemplateState::Resolved).await?;
            bench.zone.set(|known| known.records = app(&[3, 4, 1]));
            published.until(&[at(1), at(4), at(3)], TemplateState::Resolved).await
        })
        .await
}

#[tokio::test]
async fn addresses_nobody_can_be_reached_at_are_no_endpoints() -> anyhow::Result<()> {
    let bench = Bench::new(app(&[1])).await?;
    let odd = ["0.0.0.0", "224.0.0.1", "255.255.255.255"].map(|text| text.parse().expect("an address"));
    bench.zone.set(|known| known.records.extend(odd.map(|odd| address("app.test", odd, 1))));
    bench
        .run(spec(RecordChoice::A), &[], async |published| {
            published.until(&[at(1)], TemplateState::Resolved).await
        })
        .await
}

#[tokio::test]
async fn families_are_chosen() -> anyhow::Result<()> {
    let v6 = SocketAddr::new(six(), 80);
    let four_and_six = || [app(&[1]), vec![address("app.test", six(), 1)]].concat();
    let only_six = || vec![address("app.test", six(), 1)];
    let cases = [
        (RecordChoice::A, four_and_six(), vec![at(1)]),
        (RecordChoice::Aaaa, four_and_six(), vec![v6]),
        (RecordChoice::Both, four_and_six(), vec![at(1), v6]),
        (RecordChoice::Both, app(&[1]), vec![at(1)]),
        (RecordChoice::Both, only_six(), vec![v6]),
        (RecordChoice::Prefer4, four_and_six(), vec![at(1)]),
        (RecordChoice::Prefer4, only_six(), vec![v6]),
        (RecordChoice::Prefer6, four_and_six(), vec![v6]),
        (RecordChoice::Prefer6, app(&[1]), vec![at(1)]),
    ];
    for (choice, records, expected) in cases {
        let bench = Bench::new(records).await?;
        bench
            .run(spec(choice), &[], async |published| {
                published.until(&expected, TemplateState::Resolved).await
            })
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn trouble_with_one_family_hides_no_other() -> anyhow::Result<()> {
    let v6 = SocketAddr::new(six(), 80);
    let bench = Bench::new([app(&[1]), vec![address("app.test", six(), 1)]].concat()).await?;
    bench.zone.set(|known| known.refused = vec![RecordType::AAAA]);
    bench
        .run(spec(RecordChoice::Both), &[], async |published| {
            published.until(&[at(1)], TemplateState::Refused).await?;
            bench.zone.set(|known| known.refused.clear());
            published.until(&[at(1), v6], TemplateState::Resolved).await?;
            bench.zone.set(|known| {
                known.refused = vec![RecordType::A];
                known.records.extend(app(&[2]));
            });
            published.until(&[at(1), v6], TemplateState::Refused).await?;
            bench.zone.set(|known| known.refused.clear());
            published.until(&[at(1), v6, at(2)], TemplateState::Resolved).await
        })
        .await
}

#[tokio::test]
async fn trouble_keeps_endpoints_and_a_missing_name_does_not() -> anyhow::Result<()> {
    let bench = Bench::new(app(&[1])).await?;
    // Port 81: its check fails.
    let spec = TemplateSpec { port: 81, ..spec(RecordChoice::A) };
    let one = [SocketAddr::new(ip(1), 81)];
    bench
        .run(spec, &[], async |published| {
            published.until(&one, TemplateState::Resolved).await?;
            bench.zone.set(|known| known.refused = vec![RecordType::A]);
            published.until(&one, TemplateState::Refused).await?;
            bench.zone.set(|known| known.refused.clear());
            published.until(&one, TemplateState::Resolved).await?;
            bench.zone.set(|known| known.records.clear());
            published.until(&one, TemplateState::NoName).await?;
            published.until(&[], TemplateState::NoName).await?;
            bench.zone.set(|known| known.records = app(&[1]));
            published.until(&one, TemplateState::Resolved).await
        })
        .await
}

#[tokio::test]
async fn endpoints_that_pass_outlive_their_name() -> anyhow::Result<()> {
    let bench = Bench::new(app(&[1])).await?;
    bench
        .run(spec(RecordChoice::A), &[], async |published| {
            published.until(&[at(1)], TemplateState::Resolved).await?;
            bench.zone.set(|known| known.records.clear());
            published.until(&[at(1)], TemplateState::NoName).await?;
            // Ten more negative answers are far more than the hold of 120 ms.
            let n_asked = bench.server.asked().len();
            timeout(LONG, async {
                while bench.server.asked().len() < n_asked + 10 {
                    tokio::task::yield_now().await;
                }
            })
            .await?;
            assert!(published.published.try_recv().is_err(), "an endpoint that passes was taken away");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn services_bring_ports_and_weights() -> anyhow::Result<()> {
    let bench = Bench::new(vec![
        service("app.test", (1, 70, 8_443), "n1.test", 1),
        service("app.test", (1, 0, 8_444), "n1.test", 1),
        service("app.test", (1, 30, 8_443), "n2.test", 1),
        service("app.test", (1, 30, 0), "n2.test", 1),
        service("app.test", (1, 30, 8_443), ".", 1),
        service("app.test", (1, 30, 8_443), "gone.test", 1),
        service("app.test", (2, 1, 9), "n2.test", 1),
        address("n1.test", ip(1), 1),
        address("n2.test", six(), 1),
    ])
    .await?;
    bench.zone.set(|known| known.glue = vec![address("n1.test", ip(7), 1), address("evil.test", ip(8), 1)]);
    let (first, second) = (SocketAddr::new(ip(7), 8_443), SocketAddr::new(ip(7), 8_444));
    let third = SocketAddr::new(six(), 8_443);
    for (ignore_weight, weights) in [(false, [70, 1, 30]), (true, [1, 1, 1])] {
        let spec = TemplateSpec { ignore_weight, ..spec(RecordChoice::Srv) };
        bench
            .run(spec, &[], async |published| {
                published.next().await?;
                let (endpoints, state) = published.next().await?;
                let expected: Vec<SlotEndpoint> = slots(&[first, second, third])
                    .into_iter()
                    .zip(weights)
                    .map(|(endpoint, weight)| SlotEndpoint { weight, ..endpoint })
                    .collect();
                assert_eq!((endpoints, state), (expected, TemplateState::Resolved));
                Ok(())
            })
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn trouble_with_one_target_hides_no_other() -> anyhow::Result<()> {
    let (first, second) = (SocketAddr::new(ip(1), 1_000), SocketAddr::new(ip(2), 1_001));
    let bench = Bench::new(vec![
        service("app.test", (1, 1, 1_000), "n1.test", 1),
        service("app.test", (1, 1, 1_001), "n2.test", 1),
        address("n1.test", ip(1), 1),
        address("n2.test", ip(2), 1),
    ])
    .await?;
    bench.zone.set(|known| known.refused_names = vec![name("n2.test")]);
    bench
        .run(spec(RecordChoice::Srv), &[], async |published| {
            published.until(&[first], TemplateState::Refused).await?;
            bench.zone.set(|known| known.refused_names.clear());
            published.until(&[first, second], TemplateState::Resolved).await?;
            bench.zone.set(|known| known.refused_names = vec![name("n1.test")]);
            published.until(&[first, second], TemplateState::Refused).await
        })
        .await
}

#[tokio::test]
async fn remembered_endpoints_come_first() -> anyhow::Result<()> {
    let bench = Bench::new(app(&[2, 1])).await?;
    bench.zone.set(|known| known.refused = vec![RecordType::A]);
    let mut remembered = slots(&[at(1), at(2)]);
    remembered.push(SlotEndpoint { slot: 2, address: SocketAddr::new(ip(3), 8_080), weight: 1 });
    bench
        .run(spec(RecordChoice::A), &remembered, async |published| {
            let first = published.next().await?;
            assert_eq!(first, (slots(&[at(1), at(2)]), TemplateState::Pending), "those of its port");
            published.until(&[at(1), at(2)], TemplateState::Refused).await?;
            bench.zone.set(|known| known.refused.clear());
            published.until(&[at(1), at(2)], TemplateState::Resolved).await
        })
        .await
}

#[tokio::test]
async fn a_hint_asks_at_once() -> anyhow::Result<()> {
    let bench = Bench::new(app(&[1])).await?;
    let mut slow = spec(RecordChoice::A);
    slow.slots.min_ttl = LONG * 10;
    slow.slots.max_ttl = LONG * 10;
    bench
        .run(slow, &[], async |published| {
            published.until(&[at(1)], TemplateState::Resolved).await?;
            bench.zone.set(|known| known.records = app(&[1, 2]));
            bench.hint.notify_one();
            published.until(&[at(1), at(2)], TemplateState::Resolved).await
        })
        .await
}

#[tokio::test]
async fn no_bounds_make_it_ask_in_a_tight_loop() -> anyhow::Result<()> {
    let bench = Bench::new(vec![address("app.test", ip(1), 0)]).await?;
    let mut restless = spec(RecordChoice::A);
    restless.slots.min_ttl = Duration::ZERO;
    restless.slots.max_ttl = Duration::ZERO;
    bench
        .run(restless, &[], async |published| {
            published.until(&[at(1)], TemplateState::Resolved).await?;
            let start = tokio::time::Instant::now();
            let n_before = bench.server.asked().len();
            timeout(LONG, async {
                while bench.server.asked().len() < n_before + 4 {
                    tokio::task::yield_now().await;
                }
            })
            .await?;
            assert!(start.elapsed() >= Duration::from_millis(150), "asked every {:?}", start.elapsed() / 4);
            Ok(())
        })
        .await
}
