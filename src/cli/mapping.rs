//! `portcullis mapping`: the routes by which requests become questions, made, checked and tried before they are used.

mod attempt;
mod descriptors;
mod mcp;
mod openapi;
mod written;

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Exit, Output};
use crate::decision::mapping::Mapping;
use crate::decision::policy::PolicySet;

use self::attempt::Attempt;
use self::mcp::ToolList;

#[derive(Debug, Subcommand)]
pub(super) enum MappingCommand {
    /// Say whether a mapping would load.
    ///
    /// Reads it exactly as `serve` does. Prints `FILE: ok`, or every error with its file, line and column.
    Check {
        /// The file, or the directory of them.
        file: PathBuf,
        /// Say also whether it fits the schema of this directory of policies.
        #[arg(long, value_name = "DIRECTORY")]
        policies: Option<PathBuf>,
    },
    /// Show what a request becomes.
    ///
    /// Prints the question as AuthZEN's JSON, and to standard error which route made it. If the request is denied before any
    /// policy is asked, says why and ends with 1.
    Try(Attempt),
    /// Print a mapping with a route for each operation of an `OpenAPI` document, 3.0 or later.
    ///
    /// What can't be said of a path is left out, and told in a comment.
    FromOpenapi {
        /// The document, YAML or JSON.
        file: PathBuf,
        /// Have routes only match the hosts that the document's `servers` name.
        #[arg(long)]
        hosts: bool,
        /// Have the action be the `operationId`, not the method.
        #[arg(long)]
        operation_ids: bool,
    },
    /// Print a mapping with a route for each method of a set of Protocol Buffers descriptors.
    ///
    /// `protoc --include_imports --descriptor_set_out=FILE` makes one, and so does `buf build -o FILE`.
    FromDescriptors {
        /// The `FileDescriptorSet`, binary.
        file: PathBuf,
    },
    /// Print the catalogue of an MCP server's tools as entities, or with `--route` the route to it.
    ///
    /// Made from the server's answer to `tools/list`. A tool that maps its calls itself (`x-authzen-mapping`) in a way that
    /// no route can say is left out, so that it can't be called, and standard error tells.
    FromMcp(ToolList),
}

/// Why nothing came of a command, in lines.
#[derive(Debug)]
struct Failure(String, Exit);

impl Failure {
    fn usage(what: impl fmt::Display) -> Self {
        Self(what.to_string(), Exit::Usage)
    }

    /// Something is wrong with a file.
    fn of(file: &Path, what: impl fmt::Display) -> Self {
        Self::usage(format_args!("{}: {what}", file.display()))
    }
}

pub(super) fn run(command: MappingCommand, output: &mut Output<'_>) -> Exit {
    let printed = match command {
        MappingCommand::Check { file, policies } => check(&file, policies.as_deref()),
        MappingCommand::Try(attempt) => attempt.run().map(|(question, route)| {
            // So that standard output is a question and nothing else.
            output.error(&route, Exit::Success);
            question
        }),
        MappingCommand::FromOpenapi { file, hosts, operation_ids } => openapi::mapping(&file, hosts, operation_ids),
        MappingCommand::FromDescriptors { file } => descriptors::mapping(&file),
        MappingCommand::FromMcp(list) => list.print().map(|(text, left_out)| {
            for line in left_out {
                output.error(&line, Exit::Success);
            }
            text
        }),
    };
    match printed {
        Ok(text) => output.print(&text),
        Err(Failure(text, exit)) => output.error(&text, exit),
    }
}

fn check(file: &Path, policies: Option<&Path>) -> Result<String, Failure> {
    let mapping = Mapping::load(file).map_err(Failure::usage)?;
    if let Some(policies) = policies {
        let policies = PolicySet::load(policies).map_err(Failure::usage)?;
        mapping.fit(&policies).map_err(Failure::usage)?;
    }
    Ok(format!("{}: ok, {} routes, digest {}\n", file.display(), mapping.len(), mapping.digest()))
}
