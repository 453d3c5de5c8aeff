//! Metrics: what is counted where it happens is gathered here at a scrape. Labels name configured objects only.

pub(crate) mod abuse;
pub(crate) mod authorizations;
pub(crate) mod checks;
pub(crate) mod counts;
pub(crate) mod datagrams;
pub(crate) mod greetings;
pub(crate) mod handshakes;
pub(crate) mod mirrors;
pub(crate) mod series;
#[cfg(feature = "otlp")]
pub(crate) mod spans;
pub(crate) mod streams;
pub(crate) mod upgrades;

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, Registry, TextEncoder};

use crate::log::DroppedLines;
use crate::shared::Shared;
use crate::upstream::endpoint::State;
use checks::CheckCounts;
use series::{BOUNDS_MS, Labels, SeriesIndex, Sums};
use streams::{StreamResult, StreamSums};
use upgrades::UpgradeCounts;

/// The registry of the process.
pub(crate) struct Metrics {
    registry: Registry,
}

/// What the collector reads.
pub(crate) struct Readings {
    pub(crate) series: Arc<SeriesIndex>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) dropped_lines: DroppedLines,
    pub(crate) checks: Arc<CheckCounts>,
    /// `(resolver, result, count)`.
    pub(crate) queries: Box<dyn Fn() -> Vec<(String, &'static str, u64)> + Send + Sync>,
    /// Moment the running snapshot went live.
    pub(crate) live_since: Arc<std::sync::atomic::AtomicU64>,
    pub(crate) upgrades: Arc<UpgradeCounts>,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(readings: Readings) -> Self {
        let registry = Registry::new();
        // The only collector of a new registry cannot collide.
        let _ = registry.register(Box::new(readings));
        Self { registry }
    }

    /// Text format 0.0.4.
    pub(crate) fn text(&self) -> String {
        let mut text = Vec::new();
        // Writing to a vector cannot fail, and families without metrics are not gathered.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

// === impl Readings ===

impl Collector for Readings {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let tables = self.shared.tables();
        let now_ms = crate::clock::now_ms();
        self.series.sweep(now_ms);
        let used = self.series.used();
        let mut families = vec![
            requests(&used),
            durations(&used),
            gauge(
                "igw_connections_active",
                "Client connections open now.",
                vec![(vec![], f64::from(self.shared.n_connections()))],
            ),
            counter(
                "igw_connections_refused_total",
                "Client connections refused by a limit.",
                vec![(vec![], self.shared.n_refused())],
            ),
            gauge(
                "igw_snapshot_generation",
                "Generation of the snapshot that is served.",
                vec![(vec![], tables.generation as f64)],
            ),
            gauge(
                "igw_snapshot_epoch",
                "Epoch of the snapshot that is served.",
                vec![(vec![], tables.epoch as f64)],
            ),
            counter(
                "igw_access_log_dropped_lines_total",
                "Access log lines lost because the output was too slow.",
                vec![(vec![], self.dropped_lines.count())],
            ),
            counter(
                "igw_process_allocations_total",
                "Memory allocations of the process; constant in steady state.",
                vec![(vec![], crate::memory::count_allocations())],
            ),
            gauge(
                "igw_build_info",
                "Version of this binary.",
                vec![(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)],
            ),
        ];
        let upgrades =
            self.upgrades.all().map(|(result, count)| (vec![("result", result.to_owned())], count));
        families.push(counter(
            "igw_proxy_upgrades_total",
            "Upgrades of the binary by result.",
            upgrades.into(),
        ));
        families.push(gauge(
            "igw_proxy_retired_servers",
            "Servers of an earlier binary that finish what they began.",
            vec![(vec![], self.upgrades.n_retired() as f64)],
        ));
        families.extend(streams(&self.series.used_streams()));
        families.push(counted(
            "igw_proxy_protocol_connections_total",
            "Connections of peers that must tell the client's address, by what they said.",
            "result",
            self.shared.greetings.all().filter(|(_, count)| *count > 0),
        ));
        let live_since = self.live_since.load(std::sync::atomic::Ordering::Relaxed);
        families.push(gauge(
            "igw_snapshot_age_seconds",
            "Time since the snapshot that is served went live.",
            vec![(vec![], now_ms.saturating_sub(live_since) as f64 / 1_000.0)],
        ));
        let mut endpoints = Vec::new();
        for backend in &tables.backends {
            let mut counts: BTreeMap<State, u32> = State::ALL.into_iter().map(|state| (state, 0)).collect();
            for endpoint in &backend.current().all {
                *counts.entry(endpoint.state(now_ms)).or_default() += 1;
            }
            for (state, count) in counts {
                endpoints.push((
                    vec![("backend", backend.key.to_string()), ("state", state.as_str().to_owned())],
                    f64::from(count),
                ));
            }
        }
        families.push(gauge("igw_backend_endpoints", "Endpoints by state.", endpoints));
        let mut checks = Vec::new();
        for (backend, bad, good) in self.checks.all() {
            for (result, count) in [("failure", bad), ("success", good)] {
                checks.push((vec![("backend", backend.clone()), ("result", result.to_owned())], count));
            }
        }
        families.push(counter("igw_backend_health_checks_total", "Active health checks by result.", checks));
        families.push(counted(
            "igw_tls_handshakes_total",
            "TLS handshakes with clients by result.",
            "result",
            self.shared.handshakes.all(),
        ));
        families.push(counted(
            "igw_http2_abuse_total",
            "HTTP/2 connections ended because a client asked too much.",
            "kind",
            self.shared.abuse.all(),
        ));
        families.push(counted(
            "igw_mirrored_requests_total",
            "Copies of requests for the filter RequestMirror by result.",
            "result",
            self.shared.mirrors.all(),
        ));
        families.push(counted(
            "igw_authorizations_total",
            "Questions of the filter ExternalAuth by what became of them.",
            "result",
            self.shared.authorizations.all(),
        ));
        #[cfg(feature = "otlp")]
        families.push(counted(
            "igw_trace_spans_total",
            "Spans of traced requests by what became of them.",
            "result",
            self.shared.spans.all(),
        ));
        families.push(counted(
            "igw_udp_dropped_datagrams_total",
            "Datagrams of UDP listeners that were dropped by reason.",
            "reason",
            self.shared.dropped.all(),
        ));
        let expiries = tables.certificates.iter().map(|certificate| {
            let label = |name, value: &str| (name, value.to_owned());
            let labels =
                vec![label("fingerprint", &certificate.fingerprint), label("secret", &certificate.secret)];
            (labels, certificate.not_after as f64)
        });
        families.push(gauge(
            "igw_certificate_expiry_timestamp_seconds",
            "End of validity of the certificates that are served.",
            expiries.collect(),
        ));
        let queries = (self.queries)()
            .into_iter()
            .map(|(resolver, result, count)| {
                (vec![("resolver", resolver), ("result", result.to_owned())], count)
            })
            .collect();
        families.push(counter("igw_dns_queries_total", "DNS queries by result.", queries));
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

/// Families of connections that are passed on as they are.
/// A counter of kinds, told apart by one label.
fn counted(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    kinds: impl Iterator<Item = (&'static str, u64)>,
) -> MetricFamily {
    counter(name, help, kinds.map(|(kind, count)| (vec![(label, kind.to_owned())], count)).collect())
}

fn streams(used: &[(Labels, StreamSums)]) -> [MetricFamily; 3] {
    let (mut connections, mut bytes, mut active) = (Vec::new(), Vec::new(), Vec::new());
    for (labels, sums) in used {
        let with = |name, value: &str| {
            let mut pairs = pairs_of(labels);
            pairs.push((name, value.to_owned()));
            pairs
        };
        for (result, count) in StreamResult::ALL.iter().zip(sums.results).filter(|(_, count)| *count > 0) {
            connections.push((with("result", result.as_str()), count));
        }
        bytes.push((with("direction", "in"), sums.received));
        bytes.push((with("direction", "out"), sums.sent));
        active.push((pairs_of(labels), sums.active as f64));
    }
    [
        counter(
            "igw_l4_connections_total",
            "Connections of TCP and TLS routes and flows of UDP routes by how they ended.",
            connections,
        ),
        counter(
            "igw_l4_bytes_total",
            "Bytes of TCP, TLS and UDP routes: in from clients, out to them.",
            bytes,
        ),
        gauge(
            "igw_l4_connections_active",
            "Connections of TCP and TLS routes and flows of UDP routes open now.",
            active,
        ),
    ]
}

fn requests(used: &[(Labels, Sums)]) -> MetricFamily {
    const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
    let mut samples = Vec::new();
    for (labels, sums) in used {
        for (class, count) in CLASSES.iter().zip(sums.classes).filter(|(_, count)| *count > 0) {
            let mut pairs = pairs_of(labels);
            pairs.push(("code", (*class).to_owned()));
            samples.push((pairs, count));
        }
    }
    counter(
        "igw_http_requests_total",
        "Requests by class of status; `none` for answers that were never made.",
        samples,
    )
}

fn durations(used: &[(Labels, Sums)]) -> MetricFamily {
    let metrics = used
        .iter()
        .map(|(labels, sums)| {
            let mut histogram = Histogram::default();
            let mut cumulated = 0;
            let buckets = BOUNDS_MS
                .iter()
                .zip(sums.buckets)
                .map(|(bound, count)| {
                    cumulated += count;
                    let mut bucket = Bucket::default();
                    bucket.set_upper_bound(*bound as f64 / 1_000.0);
                    bucket.set_cumulative_count(cumulated);
                    bucket
                })
                .collect();
            histogram.set_bucket(buckets);
            histogram.set_sample_count(sums.buckets.iter().sum());
            histogram.set_sample_sum(sums.sum_us as f64 / 1_000_000.0);
            let mut metric = Metric::default();
            metric.set_label(label_pairs(pairs_of(labels)));
            metric.set_histogram(histogram);
            metric
        })
        .collect();
    family(
        "igw_http_request_duration_seconds",
        "Time from the head of a request to the end of its answer.",
        MetricType::HISTOGRAM,
        metrics,
    )
}

fn pairs_of(labels: &Labels) -> Vec<(&'static str, String)> {
    vec![
        ("gateway", labels.gateway.clone()),
        ("listener", labels.listener.clone()),
        ("route", labels.route.clone()),
        ("rule", labels.rule.clone()),
        ("backend", labels.backend.clone()),
    ]
}

fn counter(name: &str, help: &str, samples: Vec<(Vec<(&'static str, String)>, u64)>) -> MetricFamily {
    let metrics = samples
        .into_iter()
        .map(|(pairs, value)| {
            let mut counter = Counter::default();
            counter.set_value(value as f64);
            let mut metric = Metric::default();
            metric.set_label(label_pairs(pairs));
            metric.set_counter(counter);
            metric
        })
        .collect();
    family(name, help, MetricType::COUNTER, metrics)
}

fn gauge(name: &str, help: &str, samples: Vec<(Vec<(&'static str, String)>, f64)>) -> MetricFamily {
    let metrics = samples
        .into_iter()
        .map(|(pairs, value)| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut metric = Metric::default();
            metric.set_label(label_pairs(pairs));
            metric.set_gauge(gauge);
            metric
        })
        .collect();
    family(name, help, MetricType::GAUGE, metrics)
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn label_pairs(pairs: Vec<(&'static str, String)>) -> Vec<LabelPair> {
    pairs
        .into_iter()
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value);
            pair
        })
        .collect()
}
