//! Flags of verbs that run until they are stopped: what they log, and in which form.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::filter::LevelFilter;

/// The arguments that say how to log.
#[derive(Debug, clap::Args)]
pub struct LogArgs {
    /// Form of log lines
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogForm::Text)]
    log_format: LogForm,
    /// Least important log lines that are written
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    log_level: LogLevel,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogForm {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogLevel {
    /// Failures.
    Error,
    /// What may surprise.
    Warn,
    /// Changes of state.
    Info,
    /// Decisions.
    Debug,
    /// Everything.
    Trace,
}

// === impl LogLevel ===

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

// === impl LogArgs ===

impl LogArgs {
    /// Starts the log on standard error.
    pub fn start(&self) {
        let colours = std::io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let lines = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::from(self.log_level))
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(colours);
        // A log that runs already is the caller's, and good enough.
        let _ = match self.log_format {
            LogForm::Text => lines.try_init(),
            LogForm::Json => lines.json().try_init(),
        };
    }

    /// The same flags for a process that is started.
    #[must_use]
    pub fn as_flags(&self) -> Vec<String> {
        vec!["--log-format".into(), word(&self.log_format), "--log-level".into(), word(&self.log_level)]
    }
}

fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
