//! Servers for tests: a web server that says what a test wants, and Debian's registry.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What was asked: the first line and the headers.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub head: String,
}

pub struct Server {
    pub url: String,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

/// An answer with a status, headers and a body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    for (n, v) in headers {
        out.push_str(&format!("{n}: {v}\r\n"));
    }
    let mut out = format!("{out}\r\n").into_bytes();
    out.extend_from_slice(body);
    out
}

impl Server {
    /// Answers each request with the bytes that `say` makes; it gets the server's own URL too.
    pub async fn start(say: impl Fn(&Asked, &str) -> Vec<u8> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, own, say) = (asked.clone(), url.clone(), Arc::new(say));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (log, own, say) = (log.clone(), own.clone(), say.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    let mut piece = [0; 4096];
                    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                        match socket.read(&mut piece).await {
                            Ok(n) if n > 0 => head.extend_from_slice(&piece[..n]),
                            _ => return,
                        }
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let a = Asked { path: head.split(' ').nth(1).unwrap_or_default().to_owned(), head: head.clone() };
                    log.lock().unwrap().push(a.clone());
                    let _ = socket.write_all(&say(&a, &own)).await;
                    let _ = socket.shutdown().await;
                });
            }
        });
        Server { url, asked }
    }

    /// `127.0.0.1:port`
    pub fn host(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }
}

/// Debian's `docker-registry` on a free port; it ends with the value.
pub struct DockerRegistry {
    child: Child,
    pub host: String,
    _dir: tempfile::TempDir,
}

impl DockerRegistry {
    /// With `user:bcrypt` lines, or open to all.
    pub fn start(htpasswd: Option<&str>) -> DockerRegistry {
        let dir = tempfile::tempdir().unwrap();
        let mut config = format!(
            "version: 0.1\nlog: {{ level: info }}\nstorage:\n  filesystem: {{ rootdirectory: {}/data }}\n  delete: {{ enabled: true }}\nhttp: {{ addr: \"127.0.0.1:0\" }}\n",
            dir.path().display()
        );
        if let Some(users) = htpasswd {
            std::fs::write(dir.path().join("users"), users).unwrap();
            config.push_str(&format!("auth:\n  htpasswd: {{ realm: tests, path: {}/users }}\n", dir.path().display()));
        }
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("docker-registry, from the Debian package docker-registry");
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let host = loop {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "the registry ended");
            if let Some((_, after)) = line.split_once("listening on ") {
                break after.split(['"', ' ', '\n']).next().unwrap().to_owned();
            }
        };
        // A full pipe would stop it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        DockerRegistry { child, host, _dir: dir }
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
