//! `portcullis logger`: how much a running gateway logs.

use clap::{Args, Subcommand, ValueEnum};
use portcullis_spiffe_api::spire::api::server::logger::v1::logger_client::LoggerClient;
use portcullis_spiffe_api::spire::api::server::logger::v1::{
    GetLoggerRequest, ResetLogLevelRequest, SetLogLevelRequest,
};
use portcullis_spiffe_api::spire::api::types::{LogLevel, Logger};

use super::console::{Console, Failure};
use super::{AdminArgs, Outcome};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Print the log level.
    Get(Plain),
    /// Set the log level until it is reset or the process ends.
    Set(Set),
    /// Set the log level to that of the start.
    Reset(Plain),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Plain {
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Set {
    #[command(flatten)]
    admin: AdminArgs,
    /// The new level.
    #[arg(long, value_enum, value_name = "LEVEL", ignore_case = true)]
    level: Level,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Panic,
    Fatal,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Command {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let failed = |what: &'static str| move |status| Failure::of(what, Failure::from(status));
        let logger = match self {
            Self::Get(Plain { admin }) => {
                let mut client = LoggerClient::new(admin.connect(console).await?.channel);
                client.get_logger(GetLoggerRequest {}).await.map_err(failed("error fetching logger"))?
            }
            Self::Set(Set { admin, level }) => {
                let mut client = LoggerClient::new(admin.connect(console).await?.channel);
                let request = SetLogLevelRequest { new_level: level.on_the_wire().into() };
                client.set_log_level(request).await.map_err(failed("failed to set log level"))?
            }
            Self::Reset(Plain { admin }) => {
                let mut client = LoggerClient::new(admin.connect(console).await?.channel);
                client.reset_log_level(ResetLogLevelRequest {}).await.map_err(failed("failed to reset logger"))?
            }
        };
        print(logger.into_inner(), console)
    }
}

impl Level {
    const fn on_the_wire(self) -> LogLevel {
        match self {
            Self::Panic => LogLevel::Panic,
            Self::Fatal => LogLevel::Fatal,
            Self::Error => LogLevel::Error,
            Self::Warn => LogLevel::Warn,
            Self::Info => LogLevel::Info,
            Self::Debug => LogLevel::Debug,
            Self::Trace => LogLevel::Trace,
        }
    }
}

fn print(logger: Logger, console: &mut Console<'_, '_>) -> Outcome {
    if !console.json(&logger)? {
        let name = |level: LogLevel| match level {
            LogLevel::Warn => String::from("warning"),
            other => other.as_str_name().to_ascii_lowercase(),
        };
        console.say(format!("Logger Level : {}\n", name(logger.current_level())));
        console.say(format!("Launch Level : {}\n\n", name(logger.launch_level())));
    }
    Ok(())
}
