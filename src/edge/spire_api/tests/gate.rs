//! Who may call, and what is recorded.

use std::net::SocketAddr;

use portcullis_spiffe_api::spire::api::server::logger::v1::{GetLoggerRequest, SetLogLevelRequest};
use portcullis_spiffe_api::spire::api::types::{LogLevel, Logger};

use super::*;

const GET: &str = "spire.api.server.logger.v1.Logger/GetLogger";
const SET: &str = "spire.api.server.logger.v1.Logger/SetLogLevel";

fn logger() -> (Routes, LogLevels) {
    let (levels, _) = LogLevels::unheard("info");
    (Routes::default().add_service(LoggerService::new(levels.clone()).into_server()), levels)
}

fn set(level: LogLevel) -> SetLogLevelRequest {
    SetLogLevelRequest { new_level: level.into() }
}

#[tokio::test]
async fn a_call_is_recorded_with_its_caller_and_a_change_before_it_is_made_too() {
    let (services, _) = logger();
    let desk = Desk::new(services);
    let levels: Logger = desk.call(GET, &GetLoggerRequest {}).await.unwrap();
    assert_eq!((levels.current_level(), levels.launch_level()), (LogLevel::Info, LogLevel::Info));
    let [read] = desk.recorded().try_into().unwrap();
    assert_eq!((read.method.as_str(), read.code.as_deref(), read.error, read.time), (GET, Some("ok"), None, now()));
    assert_eq!((read.uid, read.pid), (Some(peer().uid), Some(peer().pid)));

    let levels: Logger = desk.call(SET, &set(LogLevel::Trace)).await.unwrap();
    assert_eq!((levels.current_level(), levels.launch_level()), (LogLevel::Trace, LogLevel::Info));
    let [before, end] = desk.recorded().try_into().unwrap();
    assert_eq!((before.code.as_deref(), before.subjects), (None, vec!["trace".to_owned()]));
    assert_eq!((end.code.as_deref(), end.subjects), (Some("ok"), vec!["trace".to_owned()]));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_recorded_and_changes_nothing() {
    let (services, levels) = logger();
    let desk = Desk::new(services);
    let status = desk.call::<_, Logger>(SET, &set(LogLevel::Unspecified)).await.unwrap_err();
    assert_eq!(status.message(), "newLevel value cannot be LogLevel_UNSPECIFIED");
    let status = desk.call::<_, Logger>(SET, &SetLogLevelRequest { new_level: 99 }).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "unsupported log level"));
    let [first, second] = desk.recorded().try_into().unwrap();
    assert_eq!(first.code.as_deref(), Some("invalid_argument"));
    assert_eq!(second.error.as_deref(), Some("unsupported log level"));
    assert_eq!(levels.current(), levels.launch());
}

/// Nothing may change, and nobody learn anything, that is not in the log.
#[tokio::test]
async fn what_cannot_be_recorded_is_neither_done_nor_told() {
    for (method, room, done) in [(GET, 0, false), (SET, 0, false), (SET, 1, true)] {
        let (services, levels) = logger();
        let desk = Desk::with(services, Allowed { uids: vec![peer().uid], gids: Vec::new() }, room);
        let status = desk.call::<_, Logger>(method, &set(LogLevel::Error)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "the call could not be recorded"));
        assert_eq!(levels.current() != levels.launch(), done, "{method} with room for {room}");
    }
}

#[tokio::test]
async fn only_whom_the_kernel_names_and_the_configuration_allows_may_call() {
    let me = peer();
    let other = UnixPeer { uid: me.uid + 1, gid: me.gid + 1, ..me.clone() };
    let gone = UnixPeer { pidfd: None, ..me.clone() };
    let tcp = Peer::Tcp(SocketAddr::from(([127, 0, 0, 1], 1)));
    let refused = [Some(Peer::Unix(other.clone())), Some(Peer::Unix(gone)), Some(tcp), None];
    let (services, levels) = logger();
    let desk = Desk::new(services);
    for peer in refused {
        let status = desk.call_as::<_, Logger>(peer.clone(), SET, &set(LogLevel::Error)).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{peer:?}");
        let [record] = desk.recorded().try_into().unwrap();
        assert_eq!(record.code.as_deref(), Some("permission_denied"));
        assert_eq!(record.error.as_deref(), Some(status.message()));
        let uid = match peer {
            Some(Peer::Unix(peer)) => Some(peer.uid),
            _ => None,
        };
        assert_eq!(record.uid, uid);
    }
    assert_eq!(levels.current(), levels.launch());

    let (services, _) = logger();
    let desk = Desk::with(services, Allowed { uids: Vec::new(), gids: vec![other.gid] }, usize::MAX);
    desk.call_as::<_, Logger>(Some(Peer::Unix(other)), SET, &set(LogLevel::Error)).await.unwrap();
    assert!(desk.call::<_, Logger>(SET, &set(LogLevel::Error)).await.is_err());
}

#[tokio::test]
async fn an_unknown_method_is_recorded_and_its_name_cannot_forge_a_line() {
    let (services, _) = logger();
    let desk = Desk::new(services);
    for method in ["spire.api.server.logger.v1.Logger/Nope", "a.B/C%0A", &format!("x/{}", "y".repeat(5000))] {
        let status = desk.call::<_, Logger>(method, &GetLoggerRequest {}).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
        let [record] = desk.recorded().try_into().unwrap();
        assert_eq!(record.code.as_deref(), Some("unimplemented"));
        assert!(record.method.len() < 300 && method.starts_with(record.method.trim_end_matches('…')));
    }
}
