//! `spire.api.server.logger.v1.Logger`: how much the process logs.

use portcullis_spiffe_api::spire::api::server::logger::v1::logger_server::{Logger, LoggerServer};
use portcullis_spiffe_api::spire::api::server::logger::v1::{
    GetLoggerRequest, ResetLogLevelRequest, SetLogLevelRequest,
};
use portcullis_spiffe_api::spire::api::types::{self, LogLevel};
use tonic::{Request, Response, Status};
use tracing::level_filters::LevelFilter;

use super::{Call, MAX_MESSAGE_BYTES, status};
use crate::foundation::telemetry::{LogEnded, LogLevels};

/// The service.
#[derive(Clone, Debug)]
pub struct LoggerService(LogLevels);

impl LoggerService {
    /// A service that tells and sets `levels`.
    pub fn new(levels: LogLevels) -> Self {
        Self(levels)
    }

    /// As tonic takes it, with its limits set.
    pub fn into_server(self) -> LoggerServer<Self> {
        LoggerServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn levels(&self) -> Response<types::Logger> {
        Response::new(types::Logger {
            current_level: to_wire(self.0.current()).into(),
            launch_level: to_wire(self.0.launch()).into(),
        })
    }
}

#[tonic::async_trait]
impl Logger for LoggerService {
    async fn get_logger(&self, _request: Request<GetLoggerRequest>) -> Result<Response<types::Logger>, Status> {
        Ok(self.levels())
    }

    async fn set_log_level(&self, request: Request<SetLogLevelRequest>) -> Result<Response<types::Logger>, Status> {
        let (call, request) = Call::open(request)?;
        let wanted = LogLevel::try_from(request.new_level);
        let wanted = wanted.map_err(|_unknown| Status::invalid_argument("unsupported log level"))?;
        let level = from_wire(wanted)
            .ok_or_else(|| Status::invalid_argument("newLevel value cannot be LogLevel_UNSPECIFIED"))?;
        call.changing([level.to_string()]).await?;
        self.0.set(level).map_err(ended)?;
        Ok(self.levels())
    }

    async fn reset_log_level(&self, request: Request<ResetLogLevelRequest>) -> Result<Response<types::Logger>, Status> {
        let (call, _) = Call::open(request)?;
        call.changing([self.0.launch().to_string()]).await?;
        self.0.reset().map_err(ended)?;
        Ok(self.levels())
    }
}

fn ended(error: LogEnded) -> Status {
    status::internal("the log level could not be set", error)
}

/// Our levels are fewer: an error is the worst that is logged.
const fn from_wire(level: LogLevel) -> Option<LevelFilter> {
    match level {
        LogLevel::Unspecified => None,
        LogLevel::Panic | LogLevel::Fatal | LogLevel::Error => Some(LevelFilter::ERROR),
        LogLevel::Warn => Some(LevelFilter::WARN),
        LogLevel::Info => Some(LevelFilter::INFO),
        LogLevel::Debug => Some(LevelFilter::DEBUG),
        LogLevel::Trace => Some(LevelFilter::TRACE),
    }
}

fn to_wire(level: LevelFilter) -> LogLevel {
    match level {
        LevelFilter::OFF => LogLevel::Panic,
        LevelFilter::ERROR => LogLevel::Error,
        LevelFilter::WARN => LogLevel::Warn,
        LevelFilter::INFO => LogLevel::Info,
        LevelFilter::DEBUG => LogLevel::Debug,
        LevelFilter::TRACE => LogLevel::Trace,
    }
}
