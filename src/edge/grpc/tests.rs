use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tonic_reflection::pb::v1alpha;

use super::*;
use crate::foundation::shutdown::{Phase, Shutdown};

const SERVICES: [&str; 2] = ["SpiffeWorkloadAPI", "envoy.service.secret.v3.SecretDiscoveryService"];

struct Fixture {
    readiness: Readiness,
    shutdown: Shutdown,
    channel: Channel,
    _server: JoinSet<Result<(), tonic::transport::Error>>,
}

impl Fixture {
    async fn new() -> Self {
        let (readiness, shutdown) = (Readiness::default(), Shutdown::default());
        let routes =
            with_introspection(Routes::default(), &SERVICES, readiness.clone(), shutdown.signal()).unwrap().prepare();
        let (near, far) = tokio::io::duplex(1 << 20);
        let incoming = futures_util::stream::iter([Ok::<_, std::io::Error>(far)]);
        let incoming = futures_util::StreamExt::chain(incoming, futures_util::stream::pending());
        let mut server = JoinSet::new();
        server.spawn(Server::builder().add_routes(routes).serve_with_incoming(incoming));
        let mut near = Some(near);
        let connector = tower::service_fn(move |_| {
            let near = near.take();
            async move { near.map(TokioIo::new).ok_or_else(|| std::io::Error::other("the connection is gone")) }
        });
        let channel = Endpoint::from_static("http://grpc").connect_with_connector(connector).await.unwrap();
        Self { readiness, shutdown, channel, _server: server }
    }

    async fn check(&self, service: &str) -> Result<ServingStatus, Code> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(self.channel.clone()).check(request).await;
        answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
    }

    async fn watch(&self, service: &str) -> tonic::Streaming<HealthCheckResponse> {
        let request = HealthCheckRequest { service: service.to_owned() };
        HealthClient::new(self.channel.clone()).watch(request).await.unwrap().into_inner()
    }

    async fn reflect(&self, question: MessageRequest) -> Option<MessageResponse> {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let mut client = ServerReflectionClient::new(self.channel.clone());
        let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
        let answer: ServerReflectionResponse = answers.message().await.unwrap()?;
        answer.message_response
    }
}

async fn next(watch: &mut tonic::Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    watch.message().await.unwrap().map(|response| response.status())
}

/// W10.
#[tokio::test]
async fn reflection_lists_all_services_in_both_versions() {
    let fixture = Fixture::new().await;
    let Some(MessageResponse::ListServicesResponse(listed)) =
        fixture.reflect(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list")
    };
    let mut names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort();
    let mut expected: Vec<_> = SERVICES.iter().chain(&OWN).map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(names, expected);

    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(fixture.channel.clone());
    let question = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(listed) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(listed.service.len(), expected.len());
}

/// W10: what `grpcurl describe SpiffeWorkloadAPI` needs.
#[tokio::test]
async fn reflection_describes_our_services_and_what_their_messages_are_made_of() {
    let fixture = Fixture::new().await;
    for symbol in ["SpiffeWorkloadAPI", "google.protobuf.Struct", OWN[0], OWN[1], OWN[2]] {
        let question = MessageRequest::FileContainingSymbol(symbol.to_owned());
        let Some(MessageResponse::FileDescriptorResponse(files)) = fixture.reflect(question).await else {
            panic!("no descriptor of {symbol}")
        };
        let file = prost_types::FileDescriptorProto::decode(files.file_descriptor_proto[0].as_slice()).unwrap();
        for import in file.dependency {
            let question = MessageRequest::FileByFilename(import.clone());
            let answer = fixture.reflect(question).await;
            assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{import}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn health_is_readiness() {
    let fixture = Fixture::new().await;
    for service in ["", SERVICES[0], SERVICES[1], OWN[0]] {
        assert_eq!(fixture.check(service).await, Ok(ServingStatus::Serving), "{service}");
    }
    assert_eq!(fixture.check("nope").await, Err(Code::NotFound));
    let blocker = fixture.readiness.block("store", "gone");
    assert_eq!(fixture.check("").await, Ok(ServingStatus::NotServing));
    drop(blocker);
    assert_eq!(fixture.check("").await, Ok(ServingStatus::Serving));
    fixture.shutdown.advance(Phase::Draining);
    assert_eq!(fixture.check("").await, Ok(ServingStatus::NotServing));
}

#[tokio::test]
async fn a_watch_is_told_of_each_change_and_of_the_drain_and_then_ends() {
    let fixture = Fixture::new().await;
    let mut watch = fixture.watch("").await;
    assert_eq!(next(&mut watch).await, Some(ServingStatus::Serving));
    let blocker = fixture.readiness.block("store", "gone");
    assert_eq!(next(&mut watch).await, Some(ServingStatus::NotServing));
    fixture.readiness.notice("policies", "no change of health");
    drop(blocker);
    assert_eq!(next(&mut watch).await, Some(ServingStatus::Serving));
    let mut unknown = fixture.watch("nope").await;
    assert_eq!(next(&mut unknown).await, Some(ServingStatus::ServiceUnknown));
    fixture.shutdown.advance(Phase::Draining);
    assert_eq!(next(&mut watch).await, Some(ServingStatus::NotServing));
    assert_eq!((next(&mut watch).await, next(&mut unknown).await), (None, None));
}
