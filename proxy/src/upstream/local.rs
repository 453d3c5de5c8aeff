//! One worker's side of a back end: its choice among endpoints and its idle connections.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use igw_crds::snapshot::Balance;

use super::backend::{Backend, EndpointSet};
use super::endpoint::Endpoint;
use super::queue::{Place, Queue};
use super::retry_budget::RetryBudget;
use super::secure::{ClientConfigs, Identity};
use super::shared_link::SharedLink;
use crate::worker::random::Random;
use crate::worker::stream::Stream;
use crate::worker::timer::Tick;

/// A back end as one worker sees it.
pub(crate) struct LocalBackend {
    pub(crate) shared: Arc<Backend>,
    worker: usize,
    n_workers: usize,
    set: RefCell<Rc<LocalSet>>,
    cursor: Cell<usize>,
    pools: RefCell<Vec<Pool>>,
    /// Requests that wait for a connection.
    queue: Rc<Queue>,
    pub(crate) retries: RetryBudget,
    /// When the last request came.
    last_request: Cell<Option<Tick>>,
    /// TLS to the endpoints.
    pub(crate) client_configs: RefCell<ClientConfigs>,
    /// When a handshake that failed was told last.
    told: Cell<Option<Tick>>,
}

/// A set with the state of this worker's choice.
pub(crate) struct LocalSet {
    pub(crate) shared: Arc<EndpointSet>,
    /// Current weights of smooth weighted round robin.
    current: RefCell<Vec<i64>>,
}

/// A chosen endpoint.
#[derive(Clone)]
pub(crate) struct Picked {
    set: Rc<LocalSet>,
    index: usize,
}

/// Why no endpoint was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PickError {
    /// There is none.
    NoEndpoint,
    /// All have as many connections as they may.
    Saturated,
}

#[derive(Default)]
struct Pool {
    endpoint: u64,
    n_open: u32,
    idle: Vec<Idle>,
    /// Connections that take several requests at a time.
    shared: Vec<Rc<SharedLink>>,
}

struct Idle {
    stream: Stream,
    identity: Identity,
    since: Tick,
}

/// The way to an endpoint while a request uses it.
pub(crate) enum Leased {
    /// A connection of its own.
    Own(Lease),
    /// A stream of a connection that others use too.
    Shared(SharedLease),
}

/// A connection to an endpoint while a request uses it. Dropping it closes the connection.
pub(crate) struct Lease {
    pub(crate) stream: Stream,
    /// It served a request before.
    pub(crate) reused: bool,
    identity: Identity,
    ticket: Ticket,
}

/// A place on a connection that others use too; dropping it leaves the connection as it is.
pub(crate) struct SharedLease {
    pub(crate) link: Rc<SharedLink>,
    /// It served a request before.
    pub(crate) reused: bool,
    /// Counts as the last use of the connection.
    begun: Tick,
    _ticket: Ticket,
}

/// The right to one connection; counted until dropped.
pub(crate) struct Ticket {
    local: Rc<LocalBackend>,
    picked: Picked,
}

// === impl LocalBackend ===

impl LocalBackend {
    pub(crate) fn new(shared: Arc<Backend>, worker: usize, n_workers: usize, random: &Random) -> Self {
        let set = LocalSet::new(shared.current());
        Self {
            shared,
            worker,
            n_workers,
            set: RefCell::new(Rc::new(set)),
            cursor: Cell::new(random.next() as usize),
            pools: RefCell::new(Vec::new()),
            queue: Rc::default(),
            retries: RetryBudget::new(),
            last_request: Cell::new(None),
            client_configs: RefCell::default(),
            told: Cell::new(None),
        }
    }

    /// The current set.
    pub(crate) fn set(&self) -> Rc<LocalSet> {
        let mut set = self.set.borrow_mut();
        if set.shared.generation != self.shared.generation() {
            *set = Rc::new(LocalSet::new(self.shared.current()));
            // There may be more room, or none that is worth waiting for.
            self.queue.wake_all();
        }
        Rc::clone(&set)
    }

    /// Chooses an endpoint, one not in `tried` where there is one. Nobody overtakes those who wait.
    pub(crate) fn pick(&self, random: &Random, tried: &[u64]) -> Result<Picked, PickError> {
        let set = self.set();
        match self.queue.is_used() && !set.shared.ready.is_empty() {
            true => Err(PickError::Saturated),
            false => self.pick_of(set, random, tried),
        }
    }

    /// The endpoint that a session names, if requests may go there.
    pub(crate) fn pick_named(&self, identity: u64, tried: &[u64]) -> Option<Picked> {
        let set = self.set();
        let index = set.shared.ready.iter().position(|endpoint| endpoint.identity == identity)?;
        let endpoint = set.shared.ready.get(index)?;
        let limit = self.limit(&set.shared);
        let has_room = limit == 0 || self.has_room(endpoint, limit);
        (has_room && !tried.contains(&endpoint.id)).then(|| Picked { set: Rc::clone(&set), index })
    }

    fn pick_of(&self, set: Rc<LocalSet>, random: &Random, tried: &[u64]) -> Result<Picked, PickError> {
        let n_ready = set.shared.ready.len();
        if n_ready == 0 {
            return Err(PickError::NoEndpoint);
        }
        let limit = self.limit(&set.shared);
        let first = match set.shared.balance {
            Balance::RoundRobin if set.shared.uniform => {
                let cursor = self.cursor.get().wrapping_add(1);
                self.cursor.set(cursor);
                cursor % n_ready
            }
            Balance::RoundRobin => set.smooth(),
            Balance::LeastRequest => set.least(self.next_cursor()),
            Balance::Random => set.less_busy_of_two(random),
        };
        // Walk on from the choice: the first that is fresh and has room, else the first that has room.
        let mut fallback = None;
        for step in 0..n_ready {
            let index = (first + step) % n_ready;
            let Some(endpoint) = set.shared.ready.get(index) else { continue };
            if limit > 0 && !self.has_room(endpoint, limit) {
                continue;
            }
            if !tried.contains(&endpoint.id) {
                return Ok(Picked { set, index });
            }
            fallback = fallback.or(Some(index));
        }
        fallback.map(|index| Picked { set, index }).ok_or(PickError::Saturated)
    }

    /// A place on a connection that is shared, if one has room.
    pub(crate) fn share(
        self: &Rc<Self>,
        picked: &Picked,
        identity: Identity,
        now: Tick,
    ) -> Option<SharedLease> {
        let link = {
            let pools = self.pools.borrow();
            let pool = pools.get(picked.endpoint().slot)?;
            if pool.endpoint != picked.endpoint().id {
                return None;
            }
            pool.shared.iter().find(|link| link.takes(identity)).map(Rc::clone)?
        };
        Some(SharedLease::new(link, true, self.ticket(picked.clone()), now))
    }

    /// Keeps a new connection for others too.
    pub(crate) fn keep_shared(&self, picked: &Picked, link: &Rc<SharedLink>, now: Tick) {
        let idle_ms = picked.set().connections.idle_ms;
        self.with_pool(picked, |pool| {
            pool.shared.retain(|link| !link.is_idle(now, idle_ms));
            pool.shared.push(Rc::clone(link));
        });
    }

    /// Whether it is time to tell of a handshake that failed: not more than once in a while.
    pub(crate) fn may_tell(&self, now: Tick) -> bool {
        let is_due = self.told.get().is_none_or(|told| now.since(told).as_millis() > TOLD_MS);
        if is_due {
            self.told.set(Some(now));
        }
        is_due
    }

    /// Takes the idle connection used last, if one still looks alive.
    pub(crate) fn checkout(
        self: &Rc<Self>,
        picked: &Picked,
        identity: Identity,
        now: Tick,
        max_idle_ms: u64,
    ) -> Option<Lease> {
        if picked.set().connections.proxy_protocol.is_some() {
            // Such a connection belongs to the client that it was opened for.
            return None;
        }
        let mut pools = self.pools.borrow_mut();
        let pool = pools.get_mut(picked.endpoint().slot)?;
        if pool.endpoint != picked.endpoint().id {
            return None;
        }
        while let Some(index) = pool.idle.iter().rposition(|idle| idle.identity == identity) {
            let idle = pool.idle.remove(index);
            let idle_ms = now.since(idle.since).as_millis();
            if idle_ms > u128::from(max_idle_ms) || idle.stream.has_news() {
                continue;
            }
            drop(pools);
            let ticket = self.ticket(picked.clone());
            return Some(Lease { stream: idle.stream, reused: true, identity, ticket });
        }
        None
    }

    /// Counts a connection to `picked` as open from now on.
    pub(crate) fn ticket(self: &Rc<Self>, picked: Picked) -> Ticket {
        self.with_pool(&picked, |pool| pool.n_open += 1);
        picked.endpoint().begin(self.worker);
        Ticket { local: Rc::clone(self), picked }
    }

    /// Closes idle connections that nobody used for the policy's time or whose endpoint is gone.
    pub(crate) fn prune(&self, now: Tick) {
        let set = self.set();
        let idle_ms = u128::from(set.shared.connections.idle_ms);
        for pool in self.pools.borrow_mut().iter_mut() {
            let known = set.shared.all.iter().any(|endpoint| endpoint.id == pool.endpoint);
            pool.idle.retain(|idle| known && now.since(idle.since).as_millis() <= idle_ms);
            // Requests under way keep the connection that they are on.
            pool.shared.retain(|link| known && !link.is_idle(now, set.shared.connections.idle_ms));
        }
    }

    /// A request comes, which earns a part of a retry.
    pub(crate) fn note_request(&self, now: Tick) {
        let before = self.last_request.replace(Some(now)).unwrap_or(now);
        self.retries.earn(now.since(before));
    }

    /// A place in the queue for a connection; `None` if it is full.
    pub(crate) fn join_queue(&self) -> Option<Place> {
        self.queue.join(self.set().shared.connections.queue_max)
    }

    /// Chooses as soon as an endpoint has room.
    pub(crate) fn poll_pick(
        &self,
        place: &Place,
        random: &Random,
        tried: &[u64],
        cx: &mut Context<'_>,
    ) -> Poll<Result<Picked, PickError>> {
        match self.pick_of(self.set(), random, tried) {
            Err(PickError::Saturated) => {
                place.sleep(cx);
                Poll::Pending
            }
            other => Poll::Ready(other),
        }
    }

    fn next_cursor(&self) -> usize {
        let cursor = self.cursor.get().wrapping_add(1);
        self.cursor.set(cursor);
        cursor
    }

    /// This worker's share of the connections to one endpoint; 0 = unlimited.
    fn limit(&self, set: &EndpointSet) -> u32 {
        let max = set.connections.max_per_endpoint;
        if max == 0 { 0 } else { max.div_ceil(u32::try_from(self.n_workers).unwrap_or(1)).max(1) }
    }

    fn has_room(&self, endpoint: &Endpoint, limit: u32) -> bool {
        self.pools
            .borrow()
            .get(endpoint.slot)
            .is_none_or(|pool| pool.endpoint != endpoint.id || pool.n_open < limit)
    }

    fn with_pool(&self, picked: &Picked, change: impl FnOnce(&mut Pool)) {
        let endpoint = picked.endpoint();
        let mut pools = self.pools.borrow_mut();
        if pools.len() <= endpoint.slot {
            pools.resize_with(endpoint.slot + 1, Pool::default);
        }
        if let Some(pool) = pools.get_mut(endpoint.slot) {
            if pool.endpoint != endpoint.id {
                *pool = Pool { endpoint: endpoint.id, ..Pool::default() };
            }
            change(pool);
        }
    }
}

// === impl LocalSet ===

impl LocalSet {
    fn new(shared: Arc<EndpointSet>) -> Self {
        let current = RefCell::new(vec![0; shared.ready.len()]);
        Self { shared, current }
    }

    /// Smooth weighted round robin: every endpoint gains its weight, the richest pays the total.
    fn smooth(&self) -> usize {
        let mut current = self.current.borrow_mut();
        let mut total = 0;
        let mut best = 0;
        let mut best_value = i64::MIN;
        for (index, (value, weight)) in current.iter_mut().zip(&self.shared.weights).enumerate() {
            *value += i64::from(*weight);
            total += i64::from(*weight);
            if *value > best_value {
                (best, best_value) = (index, *value);
            }
        }
        if let Some(value) = current.get_mut(best) {
            *value -= total;
        }
        best
    }

    /// The endpoint with the fewest requests for its weight; `start` turns ties round.
    fn least(&self, start: usize) -> usize {
        let n_ready = self.shared.ready.len();
        let mut best = start % n_ready.max(1);
        for step in 1..n_ready {
            let index = (start + step) % n_ready;
            if self.load(index) < self.load(best) {
                best = index;
            }
        }
        best
    }

    fn less_busy_of_two(&self, random: &Random) -> usize {
        let (a, b) = (self.draw(random), self.draw(random));
        if self.load(b) < self.load(a) { b } else { a }
    }

    /// An index by weight.
    fn draw(&self, random: &Random) -> usize {
        let n_ready = self.shared.ready.len() as u64;
        if self.shared.uniform {
            return random.below(n_ready) as usize;
        }
        let total: u64 = self.shared.weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut rest = random.below(total);
        for (index, weight) in self.shared.weights.iter().enumerate() {
            match rest.checked_sub(u64::from(*weight)) {
                Some(left) => rest = left,
                None => return index,
            }
        }
        0
    }

    /// Requests under way plus one, scaled by the inverse weight.
    fn load(&self, index: usize) -> u64 {
        let (Some(endpoint), Some(weight)) = (self.shared.ready.get(index), self.shared.weights.get(index))
        else {
            return u64::MAX;
        };
        (u64::from(endpoint.active()) + 1) * 1_000_000 / u64::from((*weight).max(1))
    }
}

// === impl Picked ===

impl Picked {
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        // The index was taken from this very list, which never changes.
        &self.set.shared.ready[self.index]
    }

    pub(crate) fn set(&self) -> &EndpointSet {
        &self.set.shared
    }
}

// === impl Lease ===

impl Lease {
    pub(crate) fn new(stream: Stream, identity: Identity, ticket: Ticket) -> Self {
        Self { stream, reused: false, identity, ticket }
    }

    /// Gives a healthy, silent connection back to the pool.
    pub(crate) fn release(self, now: Tick) {
        let Lease { stream, ticket, identity, .. } = self;
        if ticket.picked.set().connections.proxy_protocol.is_some() {
            return;
        }
        let local = Rc::clone(&ticket.local);
        let picked = ticket.picked.clone();
        drop(ticket);
        let set = local.set();
        let known = set.shared.generation == picked.set().generation
            || set.shared.all.iter().any(|endpoint| endpoint.id == picked.endpoint().id);
        if known {
            local.with_pool(&picked, |pool| {
                if pool.idle.len() < IDLE_PER_ENDPOINT {
                    pool.idle.push(Idle { stream, identity, since: now });
                }
            });
        }
    }
}

// === impl Leased ===

impl Leased {
    /// The connection served a request before.
    pub(crate) fn was_reused(&self) -> bool {
        match self {
            Self::Own(lease) => lease.reused,
            Self::Shared(lease) => lease.reused,
        }
    }
}

// === impl SharedLease ===

impl SharedLease {
    pub(crate) fn new(link: Rc<SharedLink>, reused: bool, ticket: Ticket, now: Tick) -> Self {
        link.begin();
        Self { link, reused, begun: now, _ticket: ticket }
    }
}

impl Drop for SharedLease {
    fn drop(&mut self) {
        self.link.end(self.begun);
    }
}

// === impl Ticket ===

impl Drop for Ticket {
    fn drop(&mut self) {
        let endpoint = self.picked.endpoint();
        endpoint.finish(self.local.worker);
        if let Some(pool) = self.local.pools.borrow_mut().get_mut(endpoint.slot)
            && pool.endpoint == endpoint.id
        {
            pool.n_open = pool.n_open.saturating_sub(1);
        }
        self.local.queue.wake_one();
    }
}

/// Idle connections one worker keeps to one endpoint.
const IDLE_PER_ENDPOINT: usize = 1_024;
/// Time between two warnings of handshakes that failed, in milliseconds.
const TOLD_MS: u128 = 10_000;
