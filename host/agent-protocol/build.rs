//! Compiles the protocol. `protox` reads the `.proto` in Rust, so no `protoc` has to be installed.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let proto = Path::new("proto/plenum/agent/v1/agent.proto");
    println!("cargo:rerun-if-changed={}", proto.display());
    let descriptors = protox::compile([proto], ["proto"])?;
    // `bytes` fields as `Bytes`: output is passed on from the socket to the store without a copy for each hop.
    // Without tonic's own `connect` constructor: its name is taken by our method, and both sides make their channels themselves (own CA).
    tonic_prost_build::configure().bytes(".").build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
