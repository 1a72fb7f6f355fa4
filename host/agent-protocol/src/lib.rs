//! plenum-agent-protocol
