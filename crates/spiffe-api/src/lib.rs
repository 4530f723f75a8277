//! gRPC messages, clients and servers of the identity plane, generated from `proto/`: the SPIFFE Workload API, the part
//! of SPIRE's server API that we serve, and our own service beside it. A crate of its own, since generated code is slow
//! to compile and seldom changes.

/// The SPIFFE Workload API; its protobuf has no package.
pub mod workload {
    include!(concat!(env!("OUT_DIR"), "/_.rs"));
}

/// SPIRE's API.
pub mod spire {
    /// `spire.api`
    pub mod api {
        /// Messages that several services share.
        pub mod types {
            include!(concat!(env!("OUT_DIR"), "/spire.api.types.rs"));
        }
        /// The server's services.
        pub mod server {
            /// Agents and join tokens.
            pub mod agent {
                /// Version 1.
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/spire.api.server.agent.v1.rs"));
                }
            }
            /// Trust bundles.
            pub mod bundle {
                /// Version 1.
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/spire.api.server.bundle.v1.rs"));
                }
            }
            /// The server about itself.
            pub mod debug {
                /// Version 1.
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/spire.api.server.debug.v1.rs"));
                }
            }
            /// Registration entries.
            pub mod entry {
                /// Version 1.
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/spire.api.server.entry.v1.rs"));
                }
            }
            /// The lifecycle of authorities.
            pub mod localauthority {
                /// Version 1.
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/spire.api.server.localauthority.v1.rs"));
                }
            }
            /// The log level.
            pub mod logger {
                /// Version 1.
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/spire.api.server.logger.v1.rs"));
                }
            }
            /// Minting.
            pub mod svid {
                /// Version 1.
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/spire.api.server.svid.v1.rs"));
                }
            }
            /// Federation relationships.
            pub mod trustdomain {
                /// Version 1.
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/spire.api.server.trustdomain.v1.rs"));
                }
            }
        }
    }
}

/// Our own services.
pub mod portcullis {
    /// The decisions.
    pub mod decision {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/portcullis.decision.v1.rs"));
        }
    }
    /// Who acts for whom.
    pub mod delegation {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/portcullis.delegation.v1.rs"));
        }
    }
    /// Those we federate with.
    pub mod federation {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/portcullis.federation.v1.rs"));
        }
    }
    /// What SPIRE's API has no word for.
    pub mod identity {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/portcullis.identity.v1.rs"));
        }
    }
}

/// All of these as a `FileDescriptorSet`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
