//! `plenum plugin export` and `import`: a plugin's data out of a running host and into one, by its API.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt;
use serde_json::Value;
use tokio_util::io::ReaderStream;

use super::dev_host::detail;

/// A running host, and who asks it.
#[derive(Debug, clap::Args)]
pub struct HostFlags {
    /// URL of the host: https://plenum.example.com
    #[arg(long, env = "PLENUM_HOST")]
    host: String,
    /// An administrator's API token for it
    #[arg(long, env = "PLENUM_TOKEN", hide_env_values = true)]
    token: String,
}

impl HostFlags {
    fn request(&self, method: reqwest::Method, path: &str) -> anyhow::Result<reqwest::RequestBuilder> {
        let url = reqwest::Url::parse(&self.host).with_context(|| format!("--host {:?} is no URL", self.host))?;
        let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && here) {
            bail!("--host {:?}: the token goes to another machine by https:// only", self.host);
        }
        let client = reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).build()?;
        Ok(client.request(method, format!("{}/api/v1{path}", self.host.trim_end_matches('/'))).bearer_auth(&self.token))
    }
}

async fn refused(answer: reqwest::Response) -> anyhow::Error {
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap_or_default();
    let said = serde_json::from_str::<Value>(&text).map_or(text, |v| detail(&v));
    anyhow::anyhow!("the host refused it ({status}): {said}")
}

/// Writes a plugin's data to a file that is complete or not there.
pub async fn export(id: &str, out: Option<PathBuf>, settings: bool, host: &HostFlags) -> anyhow::Result<()> {
    let request = host.request(reqwest::Method::GET, &format!("/plugins/{id}/data?settings={settings}"))?;
    let answer = request.send().await.with_context(|| format!("{} does not answer", host.host))?;
    if !answer.status().is_success() {
        return Err(refused(answer).await);
    }
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{id}.jsonl")));
    let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(|| folder.display().to_string())?;
    let mut pieces = answer.bytes_stream();
    let (mut bytes, mut ends_well) = (0_u64, false);
    while let Some(piece) = pieces.next().await {
        let piece = piece.context("the host stopped in the middle of the file")?;
        bytes += piece.len() as u64;
        if let Some(last) = piece.last() {
            ends_well = *last == b'\n';
        }
        file.write_all(&piece)?;
    }
    if !ends_well {
        bail!("the file that came is not complete; try again");
    }
    file.as_file().sync_all()?;
    file.persist(&out).with_context(|| out.display().to_string())?;
    println!("exported {} KiB to {}", bytes.div_ceil(1024), out.display());
    Ok(())
}

/// Puts the data of such a file in the place of what the plugin has.
pub async fn import(path: &Path, dry_run: bool, settings: bool, host: &HostFlags) -> anyhow::Result<()> {
    let id = plugin_of(path)?;
    let file = tokio::fs::File::open(path).await.with_context(|| path.display().to_string())?;
    let request = host.request(reqwest::Method::POST, &format!("/plugins/{id}/data?dry_run={dry_run}&settings={settings}"))?;
    let body = reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, 1 << 16));
    let request = request.header("content-type", plenum_runtime::DATA_MEDIA_TYPE).body(body);
    let answer = request.send().await.with_context(|| format!("{} does not take the file", host.host))?;
    if !answer.status().is_success() {
        return Err(refused(answer).await);
    }
    let said: Value = answer.json().await?;
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_u64).unwrap_or_default();
    println!("{} {} exported {}, into {} {}", id, text("version"), text("exported_at"), id, text("installed_version"));
    for c in said.get("collections").and_then(Value::as_array).into_iter().flatten() {
        let name = c.get("name").and_then(Value::as_str).unwrap_or_default();
        println!("  {name:<24} {:>9} records in the place of {}", number(c, "records"), number(c, "replaces"));
    }
    for w in said.get("warnings").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        println!("warning: {w}");
    }
    println!("{}", if dry_run { "checked; nothing was changed" } else { "imported" });
    Ok(())
}

/// Whose data a file holds, as its first line says; the host checks all of it.
fn plugin_of(path: &Path) -> anyhow::Result<String> {
    use std::io::{BufRead, Read};
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut line = String::new();
    std::io::BufReader::new(file).take(4 << 20).read_line(&mut line).with_context(|| path.display().to_string())?;
    let first: Value = serde_json::from_str(&line).unwrap_or_default();
    let id = first.get("plugin").and_then(Value::as_str).filter(|id| id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-'));
    id.map(str::to_owned).with_context(|| format!("{} is no file of a plugin's data, as `plenum plugin export` makes it", path.display()))
}
