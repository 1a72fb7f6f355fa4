//! Configuration: a TOML file, then environment variables, then flags; the later wins. Decoded once, into types whose fields are
//! all read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plenum_runtime::catalog::{CatalogSpec, Source};
use plenum_runtime::package::{Publisher, PublisherKey, Rule, TrustPolicy};
use plenum_runtime::{HostLimits, TraceExport};
use serde::Deserialize;

/// The configuration file. Every field is optional; an unknown one is an error.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Address of portal and API.
    pub listen: Option<SocketAddr>,
    /// Address that agents dial.
    pub agent_listen: Option<SocketAddr>,
    /// What agents are told to dial, where it differs from `agent_listen` (behind a forwarder): `host:port`.
    pub agent_address: Option<String>,
    /// Folder of the database, certificates and packages.
    pub data: Option<PathBuf>,
    /// `postgres://...`; SQLite in the data folder when absent.
    pub database_url: Option<String>,
    /// The URL people use, where a proxy stands before the host: `https://plenum.example.com`.
    pub public_url: Option<String>,
    /// File of the key that seals secrets in the database; `secrets.key` in the data folder when absent, made at the first start.
    pub secret_key_file: Option<PathBuf>,
    /// Where packages come from and whom to trust.
    pub plugins: Plugins,
    /// What workflows may reach.
    pub workflows: Workflows,
    /// How long what has happened is kept.
    pub retention: Retention,
}

/// What workflows may reach.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workflows {
    /// Networks that `call: http` and `call: openapi` may reach besides the public internet, `10.1.0.0/16` [default: none].
    pub networks: Vec<String>,
}

/// How long what has happened is kept.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days that a finished job is kept, with its results and output [default: 90].
    pub executions_days: Option<u16>,
}

/// Where packages come from and whom to trust.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plugins {
    /// Folders of `*.plenum` files, addresses of signed catalogs, or tables that say more.
    pub catalogs: Vec<Catalog>,
    /// Publishers with one key each, trusted for everything: the short form of `publishers`.
    pub trusted_keys: Vec<TrustedKey>,
    /// Publishers: their keys, those that were revoked, and where their packages come from.
    pub publishers: Vec<Publisher>,
    /// Whose signatures packages from one place need; without a rule any publisher's.
    pub trust: Vec<Rule>,
    /// Also install packages that are unsigned or signed by strangers. For a developer's own machine.
    pub developer_mode: bool,
    /// What compiling one component may take.
    pub compile: Compile,
    /// What each plugin may have.
    pub limits: PluginLimits,
    /// What some of them may have instead, by id: `[plugins.limits_of.demo]`. What is not said there is as for all.
    pub limits_of: BTreeMap<String, PluginLimits>,
    /// When a plugin that fails again and again is left alone.
    pub quarantine: Quarantine,
    /// Where the traces of plugins' calls go.
    pub traces: Traces,
}

/// A collector of traces, by OTLP over HTTP.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Traces {
    /// `http://collector:4318`; none is sent when absent.
    pub otlp: Option<String>,
    /// Headers of each request, such as a token's.
    pub headers: BTreeMap<String, String>,
}

/// What each plugin may have.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginLimits {
    /// Calls that wait for a place; more are refused [default: 256].
    pub queue: Option<u32>,
    /// CPU time of all its calls in a minute, in milliseconds [default: half of the machine's].
    pub cpu_ms_per_minute: Option<u32>,
    /// Lines of its log in a minute [default: 6000].
    pub log_lines_per_minute: Option<u32>,
    /// Its documents together, in MiB [default: 2048].
    pub storage_mb: Option<u32>,
    /// One document, in KiB [default and most: 1024].
    pub document_kb: Option<u32>,
    /// The most memory that a manifest can ask for, in MiB [default and most: 512].
    pub memory_mb: Option<u32>,
    /// The most CPU time of one call that a manifest can ask for, in milliseconds [default and most: 60000].
    pub cpu_ms: Option<u32>,
    /// The most time by the clock of one call that a manifest can ask for, in milliseconds [default and most: 300000].
    pub wall_ms: Option<u32>,
    /// The most calls at once that a manifest can ask for [default and most: 64].
    pub concurrency: Option<u32>,
    /// Entries of all tables of one call [default: 100000].
    pub table_elements: Option<u32>,
    /// Resources that one call holds at once [default: 10000].
    pub handles: Option<u32>,
    /// What one call of the host takes from the plugin, in MiB [default: 32].
    pub copied_mb: Option<u32>,
    /// Random numbers of one request, in KiB [default: 64].
    pub random_kb: Option<u32>,
    /// Headers of one request or answer that it makes, in KiB [default: 64].
    pub header_kb: Option<u32>,
    /// Requests to the outside in a minute [default: 600].
    pub outgoing_per_minute: Option<u32>,
    /// One request to the outside, and its answer, in MiB [default: 16].
    pub outgoing_mb: Option<u32>,
}

/// When a plugin that fails again and again is left alone.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quarantine {
    /// So many failed calls [default: 10],
    pub traps: Option<u32>,
    /// within so many minutes [default: 5].
    pub minutes: Option<u32>,
    /// Seconds until it is tried again; after each failure twice as long, at most ten minutes [default: 30].
    pub rest_s: Option<u32>,
}

/// What compiling one component may take.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compile {
    /// Memory in MiB [default: 4096].
    pub memory_mb: Option<u32>,
    /// CPU time in seconds; by the clock twice as long [default: 180].
    pub cpu_s: Option<u32>,
}

/// A catalog: its place alone, or with how it is used.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Catalog {
    /// `/srv/catalog`, `https://plugins.example.com/catalog`, `oci://registry.example.com/acme/catalog:latest`.
    Place(String),
    /// With how it is used.
    Table(CatalogTable),
}

/// A catalog, with how it is used.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogTable {
    /// Where it is.
    pub source: String,
    /// As people see it [default: the source].
    pub name: Option<String>,
    /// The only publisher that may sign its index [default: any that the host trusts].
    pub publisher: Option<String>,
    /// Allow plain HTTP to another machine.
    #[serde(default)]
    pub plain_http: bool,
}

impl Catalog {
    fn spec(&self) -> anyhow::Result<CatalogSpec> {
        match self {
            Catalog::Place(place) => Ok(CatalogSpec::of(Source::parse(place)?)),
            Catalog::Table(t) => {
                let source = Source::parse(&t.source)?;
                let name = t.name.clone().unwrap_or_else(|| source.to_string());
                Ok(CatalogSpec { name, source, plain_http: t.plain_http, publisher: t.publisher.clone() })
            }
        }
    }
}

/// A publisher and its key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// The publisher's name, as shown in the catalog.
    pub name: String,
    /// The minisign public key, the line of 56 characters.
    pub key: String,
}

/// What stands on the command line or in the environment.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Configuration file (TOML)
    #[arg(long, env = "PLENUM_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address of portal and API [default: 127.0.0.1:8080]
    #[arg(long, env = "PLENUM_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Address that agents dial [default: 127.0.0.1:8444]
    #[arg(long, env = "PLENUM_AGENT_LISTEN")]
    pub agent_listen: Option<SocketAddr>,
    /// Folder of the database, certificates and packages [default: ./data]
    #[arg(long, env = "PLENUM_DATA")]
    pub data: Option<PathBuf>,
    /// Database: postgres://user:password@host/database, or sqlite:<path> [default: SQLite in the data folder]
    #[arg(long, env = "PLENUM_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// The URL people use, where a proxy stands before the host
    #[arg(long, env = "PLENUM_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// File of the key that seals secrets in the database [default: secrets.key in the data folder]; PLENUM_SECRET_KEY holds the key itself
    #[arg(long, env = "PLENUM_SECRET_KEY_FILE")]
    pub secret_key_file: Option<PathBuf>,
    /// Catalog: a folder of *.plenum packages, https://... or oci://... of a signed one; may be given several times
    #[arg(long = "catalog")]
    pub catalogs: Vec<String>,
    /// Folders of *.plenum packages, with : between them; instead of --catalog
    #[arg(long, env = "PLENUM_CATALOG_DIRS", value_delimiter = ':', hide = true)]
    pub catalog_dirs: Vec<String>,
    /// Trusted publisher, NAME=KEY or NAME=FILE with a minisign public key; may be given several times
    #[arg(long = "trusted-key")]
    pub trusted_keys: Vec<String>,
    /// Also install packages that are unsigned or signed by strangers
    #[arg(long, env = "PLENUM_DEVELOPER_MODE")]
    pub developer_mode: bool,
}

/// The decoded configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of portal and API.
    pub listen: SocketAddr,
    /// Address that agents dial.
    pub agent_listen: SocketAddr,
    /// What agents are told to dial.
    pub agent_address: Option<String>,
    /// Data folder, made with mode 0700.
    pub data: PathBuf,
    /// Database URL.
    pub database_url: String,
    /// Whether people reach the portal over HTTPS.
    pub https: bool,
    /// Where the key is that seals secrets in the database.
    pub secret_key: SecretKey,
    /// Where packages are offered.
    pub catalogs: Vec<CatalogSpec>,
    /// Whose signatures count, for what.
    pub trust: TrustPolicy,
    /// Whether strangers' packages install too.
    pub developer_mode: bool,
    /// Memory that compiling one component may take.
    pub compile_memory_bytes: u64,
    /// CPU time that compiling one component may take.
    pub compile_time: Duration,
    /// The collector of traces.
    pub plugin_traces: Option<TraceExport>,
    /// What each plugin may have.
    pub plugin_limits: HostLimits,
    /// What some of them may have instead.
    pub plugin_limits_of: BTreeMap<String, HostLimits>,
    /// Networks that workflows may reach besides the public internet.
    pub workflow_networks: Vec<String>,
    /// How long a finished job is kept.
    pub keep_executions: Duration,
}

/// Where the key is that seals secrets in the database.
#[derive(Clone)]
pub enum SecretKey {
    /// The keys themselves, from `PLENUM_SECRET_KEY`. Not a flag: those are seen by who lists processes.
    Given(String),
    /// A file that somebody made.
    File(PathBuf),
    /// A file of the data folder, made when there is none.
    Own(PathBuf),
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SecretKey::Given(_) => f.write_str("PLENUM_SECRET_KEY"),
            SecretKey::File(path) | SecretKey::Own(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Reads and checks the configuration.
pub fn load(flags: Flags) -> anyhow::Result<Config> {
    let file = match &flags.config {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| anyhow::anyhow!("the configuration file {} cannot be read: {e}", path.display()))?;
            toml::from_str::<File>(&text).map_err(|e| anyhow::anyhow!("the configuration file {} is not valid: {e}", path.display()))?
        }
        None => File::default(),
    };
    let data = flags.data.or(file.data).unwrap_or_else(|| PathBuf::from("data"));
    make_private(&data)?;
    let data = std::fs::canonicalize(&data)?;
    let database_url = flags.database_url.or(file.database_url).unwrap_or_else(|| format!("sqlite:{}", data.join("plenum.db").display()));
    let https = match flags.public_url.or(file.public_url) {
        None => false,
        Some(url) if url.starts_with("https://") => true,
        Some(url) if url.starts_with("http://") => false,
        Some(url) => anyhow::bail!("public_url {url:?} starts with neither https:// nor http://"),
    };
    let secret_key = match (std::env::var("PLENUM_SECRET_KEY"), flags.secret_key_file.or(file.secret_key_file)) {
        (Ok(_), Some(path)) => {
            anyhow::bail!("PLENUM_SECRET_KEY and the file {} both name the key of the secrets; take one of them away", path.display())
        }
        (Ok(text), None) => SecretKey::Given(text),
        (Err(std::env::VarError::NotUnicode(_)), _) => anyhow::bail!("PLENUM_SECRET_KEY is not hexadecimal"),
        (Err(std::env::VarError::NotPresent), Some(path)) => SecretKey::File(path),
        (Err(std::env::VarError::NotPresent), None) => SecretKey::Own(data.join("secrets.key")),
    };
    let short = |k: &TrustedKey| Publisher {
        name: k.name.clone(),
        keys: vec![PublisherKey { key: k.key.clone(), not_after: None }],
        ..Publisher::default()
    };
    let mut publishers: Vec<Publisher> = file.plugins.trusted_keys.iter().map(short).chain(file.plugins.publishers).collect();
    for text in &flags.trusted_keys {
        let (name, key) = text.split_once('=').ok_or_else(|| anyhow::anyhow!("--trusted-key {text:?} is not NAME=KEY or NAME=FILE"))?;
        if key.contains('/') && !Path::new(key).is_file() && key.len() != 56 {
            anyhow::bail!("--trusted-key {name}: there is no file {key}");
        }
        let key = if Path::new(key).is_file() { std::fs::read_to_string(key)? } else { key.to_owned() };
        let key = key.lines().map(str::trim).rfind(|l| !l.is_empty() && !l.starts_with("untrusted comment:")).unwrap_or_default();
        publishers.push(short(&TrustedKey { name: name.to_owned(), key: key.to_owned() }));
    }
    let quarantine = file.plugins.quarantine;
    let plugin_limits = limited(HostLimits::default(), file.plugins.limits, quarantine);
    let plugin_limits_of = file.plugins.limits_of.into_iter().map(|(id, l)| (id, limited(plugin_limits, l, quarantine))).collect();
    let given = if flags.catalogs.is_empty() { flags.catalog_dirs } else { flags.catalogs };
    let catalogs = if given.is_empty() { file.plugins.catalogs } else { given.into_iter().map(Catalog::Place).collect() };
    let catalogs = catalogs.iter().map(Catalog::spec).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(twice) = catalogs.iter().enumerate().find_map(|(i, c)| catalogs.iter().take(i).find(|o| o.name == c.name)) {
        anyhow::bail!("two catalogs have the name {:?}; give one of them another under [[plugins.catalogs]] name", twice.name);
    }
    if let Some(unknown) = catalogs.iter().filter_map(|c| c.publisher.as_deref()).find(|p| !publishers.iter().any(|k| k.name == *p)) {
        anyhow::bail!("a catalog is to be signed by {unknown:?}, which is no publisher of [[plugins.publishers]]");
    }
    Ok(Config {
        listen: flags.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
        agent_listen: flags.agent_listen.or(file.agent_listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8444))),
        agent_address: file.agent_address,
        data,
        database_url,
        https,
        secret_key,
        catalogs,
        trust: TrustPolicy::new(&publishers, &file.plugins.trust)?,
        developer_mode: flags.developer_mode || file.plugins.developer_mode,
        compile_memory_bytes: u64::from(file.plugins.compile.memory_mb.unwrap_or(4096).max(64)) << 20,
        compile_time: Duration::from_secs(u64::from(file.plugins.compile.cpu_s.unwrap_or(180).max(1))),
        plugin_traces: file
            .plugins
            .traces
            .otlp
            .map(|endpoint| TraceExport { endpoint, headers: file.plugins.traces.headers.into_iter().collect() }),
        plugin_limits,
        plugin_limits_of,
        workflow_networks: file.workflows.networks,
        keep_executions: days(file.retention.executions_days, 90, "retention.executions_days")?,
    })
}

/// What is said, and `d` of what is not.
fn limited(d: HostLimits, l: PluginLimits, q: Quarantine) -> HostLimits {
    let millis = |n: u32| Duration::from_millis(u64::from(n.max(10)));
    let seconds = |n: u32| Duration::from_secs(u64::from(n.max(1)));
    HostLimits {
        queue: l.queue.map_or(d.queue, |n| n as usize),
        cpu_per_minute: l.cpu_ms_per_minute.map_or(d.cpu_per_minute, |ms| Duration::from_millis(u64::from(ms.max(1)))),
        log_lines_per_minute: l.log_lines_per_minute.unwrap_or(d.log_lines_per_minute),
        store_bytes: l.storage_mb.map_or(d.store_bytes, |mb| u64::from(mb) << 20),
        document_bytes: l.document_kb.map_or(d.document_bytes, |kb| (kb as usize) << 10).min(d.document_bytes),
        memory_bytes: l.memory_mb.map_or(d.memory_bytes, |mb| (mb.max(1) as usize) << 20).min(d.memory_bytes),
        cpu: l.cpu_ms.map_or(d.cpu, millis).min(d.cpu),
        wall: l.wall_ms.map_or(d.wall, millis).min(d.wall),
        concurrency: l.concurrency.map_or(d.concurrency, |n| n.max(1) as usize).min(d.concurrency),
        table_elements: l.table_elements.map_or(d.table_elements, |n| n as usize),
        handles: l.handles.map_or(d.handles, |n| n as usize),
        copied_bytes: l.copied_mb.map_or(d.copied_bytes, |mb| (mb.max(1) as usize) << 20),
        random_bytes: l.random_kb.map_or(d.random_bytes, |kb| u64::from(kb) << 10),
        header_bytes: l.header_kb.map_or(d.header_bytes, |kb| (kb as usize) << 10),
        outgoing_per_minute: l.outgoing_per_minute.unwrap_or(d.outgoing_per_minute),
        outgoing_bytes: l.outgoing_mb.map_or(d.outgoing_bytes, |mb| u64::from(mb) << 20),
        quarantine: plenum_runtime::Quarantine {
            traps: q.traps.unwrap_or(d.quarantine.traps).max(1),
            within: q.minutes.map_or(d.quarantine.within, |m| seconds(m.saturating_mul(60))),
            rest: q.rest_s.map_or(d.quarantine.rest, seconds),
        },
    }
}

fn days(value: Option<u16>, default: u16, field: &str) -> anyhow::Result<Duration> {
    match value.unwrap_or(default) {
        0 => anyhow::bail!("{field} is 0: what happens would be gone at once; the least is 1"),
        n => Ok(Duration::from_secs(u64::from(n) * 24 * 3600)),
    }
}

/// Makes a folder that only the host's user can enter: it holds the CA's key.
fn make_private(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path)
        .map_err(|e| anyhow::anyhow!("the data folder {} cannot be made: {e}; name another with --data", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn unknown_fields_are_named() {
        let e = toml::from_str::<File>("lisen = \"127.0.0.1:1\"").unwrap_err().to_string();
        assert!(e.contains("lisen") && e.contains("listen"), "{e}");
    }

    #[test]
    fn file_is_decoded() {
        let f: File = toml::from_str(
            "listen = \"127.0.0.1:1\"\n[plugins]\ncatalogs = [\"/p\"]\n[[plugins.trusted_keys]]\nname = \"us\"\nkey = \"RW\"",
        )
        .unwrap();
        assert_eq!(f.listen.unwrap().port(), 1);
        assert_eq!(f.plugins.trusted_keys.first().unwrap().name, "us");
        let f: File = toml::from_str(
            "[[plugins.publishers]]\nname = \"Acme\"\nkeys = [{ key = \"RW\", not_after = \"2030-01-01\" }]\nrevoked = [\"0123456789ABCDEF\"]\n\
             scope = [\"registry.example.com/acme\"]\n[[plugins.trust]]\nprefix = \"registry.example.com\"\nany_of = { minimum = 1, publishers = [\"Acme\"] }",
        )
        .unwrap();
        assert_eq!(f.plugins.publishers.first().unwrap().scope, ["registry.example.com/acme"]);
        assert_eq!(f.plugins.trust.first().unwrap().any_of.as_ref().unwrap().publishers, ["Acme"]);
    }
}
