//! The host that `plenum plugin dev` and `plenum plugin test` put a plugin into: one of their own, or one that runs already.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use plenum_runtime::package::Manifest;
use serde_json::{Value, json};

/// Longest that a host takes to begin; it takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host in developer mode, and a session on it.
pub struct DevHost {
    /// `http://127.0.0.1:8090`.
    pub url: String,
    /// The folder of its catalog.
    pub catalog: PathBuf,
    http: reqwest::Client,
    token: Option<String>,
    child: Option<Child>,
}

impl Drop for DevHost {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An answer: HTTP's number, and its body as JSON, or as text.
pub type Answer = (u16, Value);

impl DevHost {
    /// A host of its own, with its data below `home`: what it had is there again at the next start.
    pub async fn own(home: &Path, listen: &str) -> anyhow::Result<DevHost> {
        let (data, catalog, credentials) = (home.join("data"), home.join("catalog"), home.join("first-administrator"));
        for dir in [&data, &catalog] {
            std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        }
        let binary = std::env::current_exe().context("the plenum command does not know where it is")?;
        let mut init = Command::new(&binary);
        init.args(["admin", "init", "--data"]).arg(&data).arg("--credentials").arg(&credentials);
        super::toolchain_python::run(&mut init).context("the host's data cannot be prepared")?;
        let known = std::fs::read_to_string(&credentials)
            .with_context(|| format!("{} is gone; delete {} to begin anew", credentials.display(), home.display()))?;
        let field = |name: &str| known.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_owned()).unwrap_or_default();
        let ready = data.join("host.json");
        let _ = std::fs::remove_file(&ready);
        let log_path = home.join("host.log");
        let log = std::fs::File::create(&log_path).with_context(|| log_path.display().to_string())?;
        let mut serve = Command::new(binary);
        serve.arg("serve").arg("--data").arg(&data).arg("--catalog").arg(&catalog);
        serve.args(["--listen", listen, "--agent-listen", "127.0.0.1:0", "--developer-mode"]);
        let child = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().context("the host does not start")?;
        let mut host = DevHost { url: String::new(), catalog, http: client()?, token: None, child: Some(child) };
        host.wait(&ready, &log_path).await?;
        let (status, said) = host.send("POST", "/session", Some(json!({ "name": field("Name"), "password": field("Password") }))).await?;
        if status != 200 {
            bail!("signing in to the host as its first administrator failed ({status}): {said}; delete {} to begin anew", home.display());
        }
        Ok(host)
    }

    async fn wait(&mut self, ready: &Path, log: &Path) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let written = std::fs::read_to_string(ready).ok().and_then(|t| serde_json::from_str::<Value>(&t).ok());
            if let Some(listen) = written.as_ref().and_then(|v| v.get("listen")).and_then(Value::as_str) {
                self.url = format!("http://{listen}");
                if self.http.get(format!("{}/readyz", self.url)).send().await.is_ok_and(|r| r.status().is_success()) {
                    return Ok(());
                }
            }
            let ended = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten());
            if ended.is_some() || Instant::now() > end {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(5).collect();
                bail!("the host did not start:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// One that runs: `catalog` is a folder that it was started with.
    pub async fn other(url: &str, token: &str, catalog: &Path) -> anyhow::Result<DevHost> {
        if !url.starts_with("http://") {
            bail!("{url:?} is not http://...: `plenum plugin dev` speaks to a host on this machine, without TLS");
        }
        if !catalog.is_dir() {
            bail!("{} is no folder; name the catalog folder that the host was started with", catalog.display());
        }
        let url = url.trim_end_matches('/').to_owned();
        let host = DevHost { url, catalog: catalog.to_owned(), http: client()?, token: Some(token.to_owned()), child: None };
        let (status, said) = host.send("GET", "/plugins", None).await?;
        match status {
            200 => Ok(host),
            401 | 403 => {
                bail!("the host does not take the token ({status}): {said}; make one of an administrator under your name in the portal")
            }
            _ => bail!("{} answered {status}: {said}; is it a Plenum host?", host.url),
        }
    }

    /// A request below `/api/v1`.
    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Answer> {
        let method: reqwest::Method = method.parse().with_context(|| format!("{method:?} is no method of HTTP"))?;
        let mut request = self.http.request(method, format!("{}/api/v1{path}", self.url)).header("origin", &self.url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.with_context(|| format!("{} does not answer", self.url))?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// Installs a package of the catalog, or upgrades to it, with all that it asks for.
    pub async fn install(&self, m: &Manifest) -> anyhow::Result<()> {
        let permissions: Vec<&str> = m.permissions.iter().map(|p| p.name.as_str()).collect();
        let body = json!({ "id": m.id, "version": m.version.to_string(), "permissions": permissions });
        let (status, said) = self.send("POST", "/plugins", Some(body)).await?;
        if !(200..300).contains(&status) {
            bail!("the host refused it ({status}): {}", detail(&said));
        }
        Ok(())
    }

    /// Lines of the plugin's log, oldest first.
    pub async fn log(&self, id: &str) -> anyhow::Result<Vec<Value>> {
        let (_, page) = self.send("GET", &format!("/plugins/{id}/logs?limit=200"), None).await?;
        let mut lines = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        lines.reverse();
        Ok(lines)
    }
}

/// What a problem says.
pub fn detail(answer: &Value) -> String {
    answer.get("detail").and_then(Value::as_str).map_or_else(|| answer.to_string(), str::to_owned)
}

/// A line of the log for the terminal.
pub fn line(l: &Value) -> String {
    let text = |name: &str| l.get(name).and_then(Value::as_str).unwrap_or_default();
    let fields = l.get("fields").filter(|f| f.as_object().is_some_and(|o| !o.is_empty()));
    let time = text("at").get(11..19).unwrap_or_default().to_owned();
    format!("{time} {:<5} {}{}", text("level"), text("message"), fields.map(|f| format!("  {f}")).unwrap_or_default())
}

fn client() -> anyhow::Result<reqwest::Client> {
    // Compiling a large component at installation takes the host its time.
    Ok(reqwest::Client::builder().cookie_store(true).timeout(Duration::from_secs(600)).build()?)
}
