//! The `plenum` binary: `serve`, `plugin ...`, `admin ...`. Reads configuration and wires the parts.

mod admin;
mod catalog;
mod changes;
mod config;
mod plugin;
mod serve;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Plenum: one CMDB, one agent, one job service, one workflow engine, and a host for the apps that stand on them.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the host
    Serve(Box<config::Flags>),
    /// Build, pack, sign and look at plugins
    Plugin {
        #[command(subcommand)]
        command: plugin::PluginCommand,
    },
    /// Say what this machine lacks for building plugins
    Doctor,
    /// Make and copy catalogs of plugins
    Catalog {
        #[command(subcommand)]
        command: catalog::CatalogCommand,
    },
    /// Print the OpenAPI document of the HTTP API
    Openapi,
    /// Compile a component: what the host starts itself as, with bounded memory and time
    #[command(hide = true)]
    CompileComponent,
    /// Set up and look after a host from its own machine
    Admin {
        #[command(subcommand)]
        command: admin::AdminCommand,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The one implementation of TLS's arithmetic, for whatever in this process speaks it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match cli.command {
        Command::Serve(flags) => runtime().and_then(|rt| rt.block_on(serve::serve(*flags))),
        Command::Doctor => plugin::doctor(),
        Command::Openapi => openapi(),
        Command::CompileComponent => return plenum_runtime::compile::child(),
        Command::Plugin { command } => plugin::run(command),
        Command::Catalog { command } => catalog::run(command),
        Command::Admin { command } => runtime().and_then(|rt| rt.block_on(admin::run(command))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn openapi() -> anyhow::Result<()> {
    let text = plenum_api::openapi().to_pretty_json()?;
    match writeln!(std::io::stdout().lock(), "{text}") {
        // Whoever reads it, `head` perhaps, has enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}
