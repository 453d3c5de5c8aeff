//! How much may be sent to a client whose address nobody has proven: senders of datagrams can be forged, and answers
//! that are larger than requests would be turned against others.

/// What went to and fro of one flow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowance {
    n_received: u64,
    n_sent: u64,
    /// The client went on after an answer.
    is_proven: bool,
}

// === impl Allowance ===

impl Allowance {
    /// The client sent this many bytes.
    pub(super) fn receive(&mut self, n_bytes: usize) {
        self.is_proven |= self.n_sent > 0;
        self.n_received += n_bytes as u64;
    }

    /// Whether the client may be sent this many bytes, which count if so. Factor 0 = without limit.
    pub(super) fn send(&mut self, n_bytes: usize, factor: u32) -> bool {
        let n_after = self.n_sent + n_bytes as u64;
        let limit = (self.n_received * u64::from(factor)).max(FREE_BYTES);
        let is_allowed = factor == 0 || self.is_proven || n_after <= limit;
        if is_allowed {
            self.n_sent = n_after;
        }
        is_allowed
    }
}

/// Bytes that every client may be sent: what a DNS message without extensions has at most (RFC 1035 2.3.4).
const FREE_BYTES: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_bounded_until_the_client_goes_on() {
        let mut allowance = Allowance::default();
        allowance.receive(300);
        assert!(allowance.send(600, 3));
        assert!(!allowance.send(301, 3), "more than three times the request");
        assert!(allowance.send(300, 3), "what was refused does not count");
        allowance.receive(1);
        assert!(allowance.send(60_000, 3), "a client that goes on has seen the answer");
    }

    #[test]
    fn a_small_answer_is_free_and_a_factor_of_zero_is_no_limit() {
        let mut allowance = Allowance::default();
        allowance.receive(20);
        allowance.receive(20);
        assert!(allowance.send(512, 3));
        assert!(!allowance.send(1, 3));
        assert!(allowance.send(4_096, 0));
    }
}
