//! Metrics of the control side. Labels come from kinds and fixed words alone.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// The registry and what is counted in it.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    reconcile_duration: Histogram,
    objects: IntGaugeVec,
    generation: IntGauge,
    stream: IntGauge,
    requests: IntCounterVec,
    orders: IntCounterVec,
}

// === impl Metrics ===

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// The registry's; none is known, as names and labels are constants.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            reconciles: IntCounterVec::new(
                Opts::new("igw_reconcile_total", "Reconciliations by result: changed, unchanged, invalid."),
                &["result"],
            )?,
            reconcile_duration: Histogram::with_opts(
                HistogramOpts::new(
                    "igw_reconcile_duration_seconds",
                    "Time from the walk to the sealed snapshot.",
                )
                .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]),
            )?,
            objects: IntGaugeVec::new(
                Opts::new(
                    "igw_objects",
                    "Objects by kind and state: good, kept (last good version), broken.",
                ),
                &["kind", "state"],
            )?,
            generation: IntGauge::new("igw_snapshot_generation", "Generation of the newest snapshot.")?,
            stream: IntGauge::new(
                "igw_opensvc_event_stream_connected",
                "1 while the event stream of the cluster is open.",
            )?,
            requests: IntCounterVec::new(
                Opts::new(
                    "igw_opensvc_requests_total",
                    "Requests to the cluster by status code; 0 = no answer.",
                ),
                &["code"],
            )?,
            orders: IntCounterVec::new(
                Opts::new(
                    "igw_acme_orders_total",
                    "Orders of certificates by result: placed, issued, failed.",
                ),
                &["result"],
            )?,
            registry,
        };
        let build =
            IntGaugeVec::new(Opts::new("igw_build_info", "1, with the version as label."), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.registry.register(Box::new(metrics.reconciles.clone()))?;
        metrics.registry.register(Box::new(metrics.reconcile_duration.clone()))?;
        metrics.registry.register(Box::new(metrics.objects.clone()))?;
        metrics.registry.register(Box::new(metrics.generation.clone()))?;
        metrics.registry.register(Box::new(build))?;
        metrics.registry.register(Box::new(metrics.orders.clone()))?;
        for result in ["placed", "issued", "failed"] {
            metrics.orders.with_label_values(&[result]).inc_by(0);
        }
        for result in ["changed", "unchanged", "invalid"] {
            metrics.reconciles.with_label_values(&[result]).inc_by(0);
        }
        Ok(metrics)
    }

    /// Shows the numbers of a cluster's client too.
    ///
    /// # Errors
    /// As [`Metrics::new`].
    pub fn with_cluster(self) -> Result<Self, prometheus::Error> {
        self.registry.register(Box::new(self.stream.clone()))?;
        self.registry.register(Box::new(self.requests.clone()))?;
        Ok(self)
    }

    /// The event stream was opened or broke.
    pub fn stream(&self, is_open: bool) {
        self.stream.set(i64::from(is_open));
    }

    /// Takes the total of requests that were answered with a code.
    pub fn requested(&self, code: u16, total: u64) {
        let counter = self.requests.with_label_values(&[&code.to_string()]);
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Counts an order of a certificate.
    pub fn ordered(&self, result: &str) {
        self.orders.with_label_values(&[result]).inc();
    }

    /// Counts a reconciliation.
    pub fn reconciled(&self, result: &str, took: Duration) {
        self.reconciles.with_label_values(&[result]).inc();
        self.reconcile_duration.observe(took.as_secs_f64());
    }

    /// Replaces the numbers of objects.
    pub fn count_objects<'a>(&self, counts: impl IntoIterator<Item = (&'a str, &'a str, usize)>) {
        self.objects.reset();
        for (kind, state, n) in counts {
            self.objects.with_label_values(&[kind, state]).set(i64::try_from(n).unwrap_or(i64::MAX));
        }
    }

    /// Sets the generation of the newest snapshot.
    pub fn published(&self, generation: u64) {
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
    }

    /// The text form.
    #[must_use]
    pub fn render(&self) -> String {
        // Encoding fails only for a family without metrics, and gather returns none of those.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_contract_is_there() {
        let metrics = Metrics::new().unwrap();
        metrics.reconciled("changed", Duration::from_millis(3));
        metrics.count_objects([("Gateway", "good", 2)]);
        metrics.published(7);
        let text = metrics.render();
        for line in [
            "igw_reconcile_total{result=\"changed\"} 1",
            "igw_reconcile_duration_seconds_count 1",
            "igw_objects{kind=\"Gateway\",state=\"good\"} 2",
            "igw_snapshot_generation 7",
            concat!("igw_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
