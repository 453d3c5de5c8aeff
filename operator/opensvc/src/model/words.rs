//! Words with a fixed meaning (contract §5.2). A word this client does not know is kept in `Other`.

use std::fmt;

use serde::Deserialize;

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
            /// A word of another version of the daemon.
            Other(String),
        }

        impl $name {
            /// The word on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)*
                    other => Self::Other(other.chars().take(100).collect()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::from(String::deserialize(deserializer)?.as_str()))
            }
        }
    };
}

pub(crate) use words;

words! {
    /// State of an object, instance or resource.
    Availability {
        /// Running.
        Up = "up",
        /// Not running.
        Down = "down",
        /// Partly running, or more instances than wanted.
        Warn = "warn",
        /// Nothing to run.
        NotApplicable = "n/a",
        /// Not evaluated yet.
        Undefined = "undef",
        /// A standby resource that runs.
        StandbyUp = "stdby up",
        /// A standby resource that does not run.
        StandbyDown = "stdby down",
    }
}

words! {
    /// Whether what an object needs has been made.
    Provisioned {
        /// Made.
        Yes = "true",
        /// Not made.
        No = "false",
        /// Made in part.
        Mixed = "mixed",
        /// Nothing to make.
        NotApplicable = "n/a",
        /// Not evaluated yet.
        Undefined = "undef",
    }
}

words! {
    /// Whether orchestration is suspended.
    Frozen {
        /// On all nodes.
        Frozen = "frozen",
        /// On none.
        Unfrozen = "unfrozen",
        /// On some.
        Mixed = "mixed",
        /// Not a service.
        NotApplicable = "n/a",
    }
}

words! {
    /// How much the daemon starts and moves by itself.
    Orchestrate {
        /// Nothing.
        No = "no",
        /// Starts once.
        Start = "start",
        /// Starts, and moves on failure.
        Ha = "ha",
    }
}

words! {
    /// How many instances run.
    Topology {
        /// One.
        Failover = "failover",
        /// Several.
        Flex = "flex",
    }
}

words! {
    /// What an orchestration works towards.
    GlobalExpect {
        /// Nothing: no orchestration, or one that is stuck when its id is still there.
        None = "none",
        /// Not known yet.
        Init = "init",
        /// An end of the running one.
        Aborted = "aborted",
        /// Config and state gone.
        Deleted = "deleted",
        /// Suspended.
        Frozen = "frozen",
        /// Back on the natural leader.
        Placed = "placed",
        /// On a given node.
        PlacedAt = "placed@",
        /// Provisioned and started.
        Provisioned = "provisioned",
        /// Unprovisioned and deleted.
        Purged = "purged",
        /// Restarted.
        Restarted = "restarted",
        /// Started.
        Started = "started",
        /// Frozen and stopped.
        Stopped = "stopped",
        /// Resumed.
        Unfrozen = "unfrozen",
        /// Stopped, resources destroyed.
        Unprovisioned = "unprovisioned",
    }
}

/// What the monitor of an instance does: `idle`, `provisioning`, `start failed`, …
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct MonitorState(String);

// === impl GlobalExpect ===

#[expect(clippy::derivable_impls, reason = "the macro derives the same for all words")]
impl Default for GlobalExpect {
    fn default() -> Self {
        Self::None
    }
}

// === impl MonitorState ===

impl MonitorState {
    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Nothing is being done.
    pub fn is_idle(&self) -> bool {
        self.0 == "idle"
    }

    /// The last action failed; `POST …/clear` resets it.
    pub fn is_failed(&self) -> bool {
        self.0.ends_with(" failed")
    }
}

impl fmt::Display for MonitorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
