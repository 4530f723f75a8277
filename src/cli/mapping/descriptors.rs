//! Routes out of Protocol Buffers descriptors: one for each method of each service.

use std::path::Path;

use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};

use super::Failure;
use super::written::{Written, quoted};

/// The mapping, as YAML.
pub(super) fn mapping(file: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(file).map_err(|error| Failure::of(file, error))?;
    let set = FileDescriptorSet::decode(&*bytes)
        .map_err(|error| Failure::of(file, format_args!("not a FileDescriptorSet: {error}")))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut written = Written::new(&name);
    for file in &set.file {
        for service in &file.service {
            let name = match file.package() {
                "" => service.name().to_owned(),
                package => format!("{package}.{}", service.name()),
            };
            for method in &service.method {
                let names = format!("service: {}, method: {}", quoted(&name), quoted(method.name()));
                let members = [
                    format!("name: {}", quoted(&format!("{name}/{}", method.name()))),
                    format!("match: {{ grpc: {{ {names} }} }}"),
                ];
                written.route(&members, streams(method));
            }
        }
    }
    Ok(written.finish())
}

/// Whoever configures Envoy has to know: a stream that is buffered never gets anywhere.
fn streams(method: &MethodDescriptorProto) -> &'static str {
    match (method.client_streaming(), method.server_streaming()) {
        (false, false) => "",
        (true, false) => "streams from the client: its body must not be buffered",
        (false, true) => "streams to the client",
        (true, true) => "streams both ways: its body must not be buffered",
    }
}
