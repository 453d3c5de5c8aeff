//! Which daemon to talk to, as whom, and within which limits.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::budget::Budget;
use crate::tls::{ClientCertificate, TlsError, Trust};

/// The daemon to talk to.
#[derive(Debug, Clone)]
pub enum Target {
    /// The socket of the local daemon, usually [`DEFAULT_SOCKET`]. Whoever may open it is `root` (contract §2.3).
    Unix(PathBuf),
    /// A node's listener, usually on port 1215.
    Tcp {
        /// `https://host:port`; nothing but the root path.
        url: String,
        /// Whom to believe.
        trust: Trust,
        /// The name to expect in the daemon's certificate; the URL's host when absent. Bootstrapped clusters name
        /// one node and 127.0.0.1 only.
        server_name: Option<String>,
        /// Who we are.
        credentials: Credentials,
    },
}

/// Who we are (contract §2.3, §2.4).
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Nobody: only public calls are answered.
    #[default]
    Anonymous,
    /// A token given directly. With a refresh token it is renewed at half its life; without one it ends.
    Token {
        /// The access token.
        access: SecretString,
        /// The refresh token.
        refresh: Option<SecretString>,
    },
    /// A file with a token: its bare text, or the JSON that `om` and `ox` keep per context. It is read again at half
    /// the token's life and when the daemon refuses the token.
    TokenFile(PathBuf),
    /// A certificate that the cluster's authority signed.
    X509(ClientCertificate),
    /// User and password with each request.
    Basic {
        /// The user, a `usr` object of namespace `system`.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// User and password, exchanged for tokens that are renewed at half their life.
    Login {
        /// The user, a `usr` object of namespace `system`.
        user: String,
        /// The password.
        password: SecretString,
    },
}

/// The HTTP version to speak on a Unix socket. Over TLS it is negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SocketProtocol {
    /// HTTP/1.1. The default: over HTTP/2 one in a hundred small writes ends as a reset stream, because the daemon
    /// answers before it has read the body (contract §6.5).
    #[default]
    Http1,
    /// Cleartext HTTP/2 with prior knowledge, as the daemon's own client speaks.
    Http2,
}

/// Limits of a client.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Time for a call, from the moment it may leave to the last byte of its answer. Default [`CALL_TIMEOUT`].
    pub call_timeout: Duration,
    /// Time for a connection to come about. Default [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// Largest answer that is read, in bytes. Default [`ANSWER_LIMIT`].
    pub answer_limit: usize,
    /// The HTTP version on a Unix socket. Default HTTP/1.1.
    pub socket_protocol: SocketProtocol,
    /// A budget to share with other clients; by default each target has its own.
    pub budget: Option<Budget>,
    /// How often a request is sent in all that the daemon's limiter refuses; it has not looked at it then. Default
    /// [`LIMITED_TRIES`].
    pub limited_tries: u32,
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL is not `https://host[:port]`.
    #[error("{0:?} is not the URL of a daemon: use https://host:port")]
    Url(String),
    /// The TLS side cannot be configured.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP client cannot be configured.
    #[error("cannot set up the HTTP client: {0}")]
    Http(String),
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            call_timeout: CALL_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            answer_limit: ANSWER_LIMIT,
            socket_protocol: SocketProtocol::default(),
            budget: None,
            limited_tries: LIMITED_TRIES,
        }
    }
}

/// The limiter lets 20 requests a second pass and each refusal makes the budget pause for 2 s.
pub const LIMITED_TRIES: u32 = 5;
/// Where the daemon listens on a node (contract §1.2).
pub const DEFAULT_SOCKET: &str = "/var/lib/opensvc/lsnr/http.sock";
/// The daemon gives a forwarded call 30 s (contract §4.4); nobody waits longer for it.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A daemon that does not accept within this time is down.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A list of 10,000 objects with three instances each takes about 28 MB.
pub const ANSWER_LIMIT: usize = 64 << 20;
