//! A worker: one thread, one runtime, its own sockets, pools and memory. Workers share nothing they write.

mod authorize;
mod client;
mod connection;
mod cors;
mod datagrams;
mod decide;
mod exchange;
mod forward;
mod greeting;
pub(crate) mod h2;
mod header_list;
mod lane;
mod message;
mod mirror;
mod open;
mod parking;
pub(crate) mod random;
mod relay;
mod request;
mod request_head;
mod response_head;
mod scratch;
mod secure;
pub(crate) mod stream;
mod thread;
pub(crate) mod timer;
mod trace;
mod tries;
mod tunnel;
mod wire;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use igw_crds::snapshot::{LogFormat, Settings};
use tokio::sync::Semaphore;

pub(crate) use thread::{Command, Incoming, WorkerThread};

use crate::log::{LogDraft, LogLine, LogSink};
use crate::metrics::abuse::Abuse;
use crate::metrics::authorizations::Authorized;
use crate::metrics::datagrams::Dropped;
use crate::metrics::greetings::Greeting;
use crate::metrics::handshakes::Handshake;
use crate::metrics::mirrors::Mirrored;
#[cfg(feature = "otlp")]
use crate::metrics::spans::Told;
use crate::shared::{Phase, Shared};
use crate::tables::Tables;
use crate::tls::stream::TlsBuffers;
use crate::upstream::backend::Backend;
use crate::upstream::local::LocalBackend;
use authorize::body::Kept;
use datagrams::Buffers;
use h2::servers::StreamServers;
use lane::Lane;
use mirror::Copies;
use random::Random;
use request::{Request, RequestEnd};
use scratch::Scratch;
use timer::Wheel;

/// State of one worker thread.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) scratch: Scratch,
    pub(crate) wheel: Wheel,
    pub(crate) lane: Lane,
    pub(crate) copies: Copies,
    pub(crate) kept_bodies: Kept,
    pub(crate) random: Random,
    shared: Arc<Shared>,
    tables: RefCell<Rc<LocalTables>>,
    locals: RefCell<Vec<Option<Rc<LocalBackend>>>>,
    spread: Cell<u64>,
    date: RefCell<CachedDate>,
    default_settings: Arc<Settings>,
    log: LogSink,
    pub(crate) tls_buffers: Rc<TlsBuffers>,
    pub(crate) stream_servers: StreamServers,
    pub(crate) datagrams: Buffers,
    /// What collectors are to be told.
    #[cfg(feature = "otlp")]
    pub(crate) outbox: trace::export::Outbox,
    /// Handshakes under way at a time.
    pub(crate) handshakes: Semaphore,
}

/// The tables in this worker's own counted pointer: a request holds them without touching shared memory.
pub(crate) struct LocalTables {
    pub(crate) shared: Arc<Tables>,
}

#[derive(Default)]
struct CachedDate {
    second: u64,
    text: Vec<u8>,
}

// === impl Worker ===

impl Worker {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, log: LogSink) -> Rc<Self> {
        let seed = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), index);
        let tables = Rc::new(LocalTables { shared: shared.tables() });
        let made = |_me: &std::rc::Weak<Self>| Self {
            index,
            scratch: Scratch::new(),
            wheel: Wheel::new(crate::clock::now()),
            lane: Lane::default(),
            copies: Copies::default(),
            kept_bodies: Kept::default(),
            random: Random::new(seed),
            shared,
            tables: RefCell::new(tables),
            locals: RefCell::new(Vec::new()),
            spread: Cell::new(seed),
            date: RefCell::new(CachedDate::default()),
            default_settings: Arc::new(Settings::default()),
            log,
            tls_buffers: TlsBuffers::new(),
            stream_servers: StreamServers::default(),
            datagrams: Buffers::default(),
            #[cfg(feature = "otlp")]
            outbox: trace::export::Outbox::new(std::rc::Weak::clone(_me)),
            handshakes: Semaphore::new(HANDSHAKES_MAX),
        };
        Rc::new_cyclic(made)
    }

    /// The newest tables.
    pub(crate) fn tables(&self) -> Rc<LocalTables> {
        let mut tables = self.tables.borrow_mut();
        if tables.shared.stamp() != self.shared.stamp() {
            let shared = self.shared.tables();
            let known: HashSet<usize> = shared.backends.iter().map(|backend| backend.id).collect();
            *tables = Rc::new(LocalTables { shared });
            for (id, local) in self.locals.borrow_mut().iter_mut().enumerate() {
                if !known.contains(&id) {
                    *local = None;
                }
            }
        }
        Rc::clone(&tables)
    }

    /// Changes with every new tables.
    pub(crate) fn generation(&self) -> u64 {
        self.shared.stamp()
    }

    /// This worker's side of a back end.
    pub(crate) fn local(&self, backend: &Arc<Backend>) -> Rc<LocalBackend> {
        let mut locals = self.locals.borrow_mut();
        if locals.len() <= backend.id {
            locals.resize_with(backend.id + 1, || None);
        }
        let place = &mut locals[backend.id];
        let local = place.get_or_insert_with(|| {
            let local =
                LocalBackend::new(Arc::clone(backend), self.index, self.shared.n_workers, &self.random);
            Rc::new(local)
        });
        Rc::clone(local)
    }

    /// A number below `total`, spread evenly over successive calls (golden ratio steps), for weighted choice.
    pub(crate) fn spread(&self, total: u64) -> u64 {
        let value = self.spread.get().wrapping_add(GOLDEN_STEP);
        self.spread.set(value);
        ((u128::from(value) * u128::from(total)) >> 64) as u64
    }

    /// The settings of a port; nothing if it is configured no more.
    pub(crate) fn port_settings(&self, port: usize) -> Option<Arc<Settings>> {
        let tables = self.tables();
        let port = tables.shared.ports.get(port).and_then(Option::as_ref)?;
        Some(Arc::clone(&port.settings))
    }

    pub(crate) fn count_handshake(&self, handshake: Handshake) {
        self.shared.handshakes.count(handshake);
    }

    pub(crate) fn count_greeting(&self, greeting: Greeting) {
        self.shared.greetings.count(greeting);
    }

    pub(crate) fn count_mirrored(&self, mirrored: Mirrored) {
        self.shared.mirrors.count(mirrored);
    }

    #[cfg(feature = "otlp")]
    pub(crate) fn count_spans(&self, told: Told, n_spans: u64) {
        self.shared.spans.add(told, n_spans);
    }

    pub(crate) fn count_authorized(&self, authorized: Authorized) {
        self.shared.authorizations.count(authorized);
    }

    pub(crate) fn count_dropped(&self, dropped: Dropped) {
        self.shared.dropped.count(dropped);
    }

    pub(crate) fn count_abuse(&self, abuse: Abuse) {
        self.shared.abuse.count(abuse);
    }

    pub(crate) fn default_settings(&self) -> Arc<Settings> {
        Arc::clone(&self.default_settings)
    }

    /// Answers say `Connection: close`.
    pub(crate) fn is_draining(&self) -> bool {
        self.shared.phase() != Phase::Serving
    }

    /// Idle connections end now.
    pub(crate) fn is_stopping(&self) -> bool {
        self.shared.phase() >= Phase::Stopping
    }

    /// Tunnels end now.
    pub(crate) fn tunnels_end(&self) -> bool {
        self.shared.phase() >= Phase::Ending
    }

    /// A random request id in the form of a UUID of version 4.
    pub(crate) fn request_id(&self) -> [u8; 36] {
        uuid([self.random.next(), self.random.next()])
    }

    /// Lends the value of the Date field, made anew once a second (RFC 9110 6.6.1).
    pub(crate) fn with_date(&self, each: impl FnOnce(&[u8])) {
        let mut date = self.date.borrow_mut();
        let second = crate::clock::wall().as_secs();
        if date.second != second {
            date.second = second;
            date.text.clear();
            write_date(&mut date.text, second);
        }
        each(&date.text);
    }

    pub(crate) fn log_request(
        &self,
        request: &Request,
        draft: LogDraft,
        duration: Duration,
        end: &RequestEnd<'_>,
    ) {
        let Some(port) = request.port_tables() else { return };
        let Some(log) = &port.settings.access_log else { return };
        let target = request.target_tables();
        let listener = target.map(|target| target.listener).or(request.listener);
        let trace = request.trace().map(|trace| trace.name());
        let line = LogLine {
            draft: &draft,
            trace: trace.as_ref().map(|name| name.as_slice()),
            gateway: &port.gateway,
            listener: listener.and_then(|listener| port.listeners.get(listener)).map_or("", |name| name),
            route: target.map_or("", |target| &target.rule.route),
            rule: target.map_or("", |target| &target.rule.name),
            backend: match &request.outcome {
                request::Outcome::Forward(local) => &local.shared.key,
                request::Outcome::Answer(_) => "",
            },
            endpoint: end.endpoint.unwrap_or_default(),
            status: end.status,
            cause: end.cause.unwrap_or_default(),
            bytes_in: end.bytes_in,
            bytes_out: end.bytes_out,
            n_retries: end.n_retries,
            connected_ms: end.connected_ms,
            answered_ms: end.answered_ms,
            total_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        };
        let mut out = self.scratch.take();
        match log.format {
            LogFormat::Text => line.write_text(&mut out),
            LogFormat::Json => line.write_json(&mut out),
        }
        self.log.push(&log.output, &out);
        self.scratch.give(out);
    }

    /// Closes connections nobody used for long, and ends tasks that nothing needed.
    fn prune(&self) {
        self.stream_servers.prune();
        let now = self.wheel.now();
        for local in self.locals.borrow().iter().flatten() {
            local.prune(now);
        }
    }
}

/// Random bits as a UUID of version 4 in text.
fn uuid(bits: [u64; 2]) -> [u8; 36] {
    let [high, low] = bits;
    let high = digits(high & !UUID_VERSION_BITS | UUID_VERSION_4);
    let low = digits(low & !UUID_VARIANT_BITS | UUID_VARIANT);
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&high[..8]);
    text[9..13].copy_from_slice(&high[8..12]);
    text[14..18].copy_from_slice(&high[12..]);
    text[19..23].copy_from_slice(&low[..4]);
    text[24..].copy_from_slice(&low[4..]);
    text
}

/// The sixteen hexadecimal digits of a number, four bits to a byte and all bytes at once: one by one they were a
/// twentieth of all that a request costs.
fn digits(value: u64) -> [u8; 16] {
    const ONES: u128 = u128::MAX / 0xFF;
    let mut bytes = u128::from(value);
    bytes = (bytes | bytes << 32) & 0x0000_0000_FFFF_FFFF_0000_0000_FFFF_FFFF;
    bytes = (bytes | bytes << 16) & 0x0000_FFFF_0000_FFFF_0000_FFFF_0000_FFFF;
    bytes = (bytes | bytes << 8) & 0x00FF_00FF_00FF_00FF_00FF_00FF_00FF_00FF;
    bytes = (bytes | bytes << 4) & (ONES * 0x0F);
    // A carry into the next four bits tells of ten and more, whose digits are letters.
    let is_letter = (bytes + ONES * 6) >> 4 & ONES;
    (bytes + ONES * u128::from(b'0') + is_letter * u128::from(b'a' - b'9' - 1)).to_be_bytes()
}

/// Writes seconds since the epoch as an IMF-fixdate.
fn write_date(out: &mut Vec<u8>, second: u64) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = second / 86_400;
    // Civil date from days, with years that begin in March, in eras of 400 years.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    // Writing to a vector cannot fail.
    let _ = write!(
        out,
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        second / 3_600 % 24,
        second / 60 % 60,
        second % 60
    );
}

/// Handshakes that one worker has under way at a time; others wait as long as a handshake may take.
const HANDSHAKES_MAX: usize = 1_024;
/// 2^64 divided by the golden ratio.
const GOLDEN_STEP: u64 = 0x9E37_79B9_7F4A_7C15;
/// Where a UUID tells its version, in its first half.
const UUID_VERSION_BITS: u64 = 0xF000;
const UUID_VERSION_4: u64 = 0x4000;
/// Where it tells its variant, in its second half.
const UUID_VARIANT_BITS: u64 = 0xC000_0000_0000_0000;
const UUID_VARIANT: u64 = 0x8000_0000_0000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_date(second: u64, expected: &str) {
        let mut out = Vec::new();
        write_date(&mut out, second);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn ids_are_uuids_of_version_4() {
        let check = |bits, expected: &str| assert_eq!(String::from_utf8_lossy(&uuid(bits)), expected);
        check([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210], "01234567-89ab-4def-bedc-ba9876543210");
        check([0; 2], "00000000-0000-4000-8000-000000000000");
        check([u64::MAX; 2], "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn dates_are_imf_fixdates() {
        check_date(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");
        check_date(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check_date(951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
        check_date(4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT");
    }
}
