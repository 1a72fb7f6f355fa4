//! The host interfaces that plugins import: each a module with its bindings to a domain, and the permission that it needs.
//! Adding one touches its module and the list here. The modules speak the newest contract; those of older ones, below a module for each
//! version, answer with them.

mod calls;
mod cmdb;
mod config;
mod context;
mod events;
mod jobs;
mod keyvalue;
mod log;
mod metrics;
mod notify;
mod store;
mod v0_1;
mod workflow;

pub(crate) use cmdb::{cmdb_status, document_status, sort};
pub(crate) use events::publish;
pub(crate) use jobs::jobs_status;
pub use keyvalue::Bucket;

use plenum_access::Permission;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::plenum as b;
use crate::bindings::v0_1::plenum as b0_1;
use crate::bindings::wasi as w;
use crate::call::CallState;

/// Bytes of a page of records: they are in the host's memory before they are in the plugin's, and a thousand large ones would fill it.
const MAX_PAGE_BYTES: i64 = 8 << 20;

const CMDB: &[Permission] = &[Permission::CmdbRead, Permission::CmdbWrite];

/// A host interface.
pub struct Interface {
    /// Start of its name among a component's imports, with the versions that are compatible with this one.
    pub import: &'static str,
    /// Any of these permissions links it; none are needed when empty. Each call is checked again.
    pub needs: &'static [Permission],
    /// Puts it into a linker.
    pub link: fn(&mut Linker<CallState>) -> wasmtime::Result<()>,
}

/// All of them.
pub const INTERFACES: &[Interface] = &[
    Interface {
        import: "plenum:cmdb/instances@0.1.",
        needs: CMDB,
        link: |l| b0_1::cmdb::instances::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:cmdb/models@0.2.",
        needs: &[Permission::CmdbRead],
        link: |l| b::cmdb::models::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:cmdb/instances@0.2.",
        needs: CMDB,
        link: |l| b::cmdb::instances::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:cmdb/associations@0.2.",
        needs: CMDB,
        link: |l| b::cmdb::associations::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:jobs/executions@0.1.",
        needs: &[Permission::JobsRun, Permission::JobsRead],
        link: |l| b::jobs::executions::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:workflow/runs@0.1.",
        needs: &[Permission::WorkflowRun, Permission::WorkflowRead],
        link: |l| b::workflow::runs::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:workflow/schedules@0.1.",
        needs: &[Permission::WorkflowRun],
        link: |l| b::workflow::schedules::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:store/documents@0.1.",
        needs: &[Permission::Store],
        link: |l| b::store::documents::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:events/publisher@0.1.",
        needs: &[Permission::EventsPublish],
        link: |l| b::events::publisher::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:metrics/figures@0.3.",
        needs: &[],
        link: |l| b::metrics::figures::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:notify/notifications@0.3.",
        needs: &[Permission::NotifySend],
        link: |l| b::notify::notifications::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface { import: "plenum:log/log@0.1.", needs: &[], link: |l| b::log::log::add_to_linker::<_, HasSelf<CallState>>(l, |s| s) },
    Interface {
        import: "plenum:plugin/context@0.1.",
        needs: &[],
        link: |l| b::plugin::context::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:plugin/secrets@0.1.",
        needs: &[],
        link: |l| b::plugin::secrets::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:plugin/calls@0.1.",
        needs: &[Permission::PluginsUse],
        link: |l| b::plugin::calls::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface { import: "wasi:config/store@", needs: &[], link: |l| w::config::store::add_to_linker::<_, HasSelf<CallState>>(l, |s| s) },
    Interface {
        import: "wasi:keyvalue/store@",
        needs: &[Permission::Store],
        link: |l| w::keyvalue::store::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "wasi:keyvalue/atomics@",
        needs: &[Permission::Store],
        link: |l| w::keyvalue::atomics::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "wasi:keyvalue/batch@",
        needs: &[Permission::Store],
        link: |l| w::keyvalue::batch::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
    Interface {
        import: "plenum:types/types@0.1.",
        needs: &[],
        link: |l| b::types::types::add_to_linker::<_, HasSelf<CallState>>(l, |s| s),
    },
];

/// A component's name for something, for people: it may be 100 KB long, and hold what no terminal should.
pub fn told(name: &str) -> String {
    const MOST: usize = 120;
    let mut out: String = name.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().nth(MOST).is_some() {
        out.push_str("...");
    }
    out
}

/// What to say of an import that none of them is.
pub fn unknown(import: &str) -> String {
    let import = told(import);
    let import = import.as_str();
    let plain = import.split('@').next().unwrap_or(import);
    let versions: Vec<&str> = INTERFACES
        .iter()
        .filter_map(|i| i.import.strip_prefix(plain)?.strip_prefix('@'))
        .map(|v| v.trim_end_matches('.'))
        .filter(|v| !v.is_empty())
        .collect();
    if versions.is_empty() {
        return format!("{import}: this host offers no such interface");
    }
    format!(
        "{import}: this host offers {plain} in the versions {}; build the component for one of them, or update the host",
        versions.join(" and ")
    )
}

/// Imports of WASI that every component may have: with the empty context they have no power.
pub const WASI: &[&str] =
    &["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/", "wasi:http/types@"];

/// The import that reaches the outside.
pub const OUTGOING: &str = "wasi:http/outgoing-handler@";

/// The contract's error from a service's.
pub(crate) fn error(code: &str, status: u16, message: impl std::fmt::Display) -> b::types::types::Error {
    // What the host failed at inside is for its own log.
    let message = if status >= 500 {
        tracing::error!(code, error = %message, "a host call of a plugin failed");
        "the host failed at this; its log has the reason".to_owned()
    } else {
        message.to_string()
    };
    b::types::types::Error { code: code.to_owned(), message, status }
}

pub(crate) fn bad_json(what: &str, e: &serde_json::Error) -> b::types::types::Error {
    error("request.json", 400, format!("{what} is not valid JSON: {e}"))
}

pub(crate) fn ms(t: i64) -> u64 {
    u64::try_from(t).unwrap_or(0)
}
