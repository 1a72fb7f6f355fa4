//! Databases and middleware that run here: found by their processes, described by what the kernel says of them.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Uid, User, geteuid};
use serde::Serialize;

use crate::procfs;

/// How long a program may take to say its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(2);

/// A service, with the attributes of its CMDB model. What cannot be known is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // The names are the models'.
pub struct Service {
    /// `postgresql`, `mysql`, `redis` or `nginx`.
    pub model: &'static str,
    /// Stays the same over restarts and upgrades of the service: its kind and its port, or its socket or data directory when it has no port.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_file: Option<String>,
    pub process: String,
    pub pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edition: Option<&'static str>,
    pub status: &'static str,
}

/// Versions that programs have said, until they change.
#[derive(Debug, Default)]
pub struct Versions(Mutex<HashMap<(PathBuf, i64, u32), Option<String>>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Postgres,
    MySql,
    Redis,
    Nginx,
}

/// Finds them.
pub fn look(versions: &Versions) -> Vec<Service> {
    let mut found: Vec<Service> = Vec::new();
    let mut pids = procfs::pids();
    pids.sort_unstable();
    for pid in pids {
        if let Some(service) = service(pid, versions) {
            found.push(service);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name).then(a.pid.cmp(&b.pid)));
    // Two with one port (on two addresses, or in two containers) are told apart by what else they have.
    let mut names = BTreeSet::new();
    for service in &mut found {
        if !names.insert(service.name.clone()) {
            let more = service.data_dir.as_ref().or(service.config_file.as_ref()).cloned().unwrap_or_else(|| service.pid.to_string());
            service.name = format!("{}:{more}", service.name);
            names.insert(service.name.clone());
        }
    }
    found
}

fn comm(pid: i32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|comm| comm.trim().to_owned())
}

fn kind(comm: &str) -> Option<Kind> {
    match comm {
        "postgres" | "postmaster" => Some(Kind::Postgres),
        "mysqld" | "mariadbd" => Some(Kind::MySql),
        "redis-server" | "valkey-server" => Some(Kind::Redis),
        "nginx" => Some(Kind::Nginx),
        _ => None,
    }
}

fn service(pid: i32, versions: &Versions) -> Option<Service> {
    let comm = comm(pid)?;
    let kind = kind(&comm)?;
    let process = procfs::process(pid).filter(|process| process.state != 'Z')?;
    // Workers are children of the one that listens.
    if self::comm(process.parent).is_some_and(|parent| self::kind(&parent) == Some(kind)) {
        return None;
    }
    let root = PathBuf::from(format!("/proc/{pid}"));
    let args = arguments(&fs::read(root.join("cmdline")).ok()?);
    let exe = fs::read_link(root.join("exe")).ok().or_else(|| args.first().map(PathBuf::from));
    let uid = fs::metadata(&root).ok()?.uid();
    let cwd = fs::read_link(root.join("cwd")).ok().map(|path| path.to_string_lossy().into_owned());
    let sockets = listening(&root);
    let version = exe.as_deref().and_then(|exe| version(versions, kind, exe, uid, &root));

    let mut service = Service {
        // Not the file's name: Debian's `redis-server` is a link to `redis-check-rdb`.
        process: comm.clone(),
        pid,
        os_user: Some(User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)),
        status: "running",
        version,
        socket: sockets.unix.first().cloned(),
        ..Service::default()
    };
    let preferred = match kind {
        Kind::Postgres => {
            service.model = "postgresql";
            // The postmaster works in its data directory.
            service.data_dir = option(&args, &["-D", "--data_directory", "--data-directory"]).or(cwd);
            let config = args.iter().find_map(|arg| arg.strip_prefix("config_file=").or_else(|| arg.strip_prefix("--config_file=")));
            service.config_file =
                config.map(str::to_owned).or_else(|| existing(&root, &[&format!("{}/postgresql.conf", service.data_dir.as_deref()?)]));
            service.socket = sockets.unix.iter().find(|path| path.contains(".s.PGSQL.")).cloned();
            if service.version.is_none() {
                service.version = service.data_dir.as_ref().and_then(|dir| {
                    Some(fs::read_to_string(root.join("root").join(dir.trim_start_matches('/')).join("PG_VERSION")).ok()?.trim().to_owned())
                });
            }
            5432
        }
        Kind::MySql => {
            service.model = "mysql";
            service.edition = Some(if comm == "mariadbd" || service.version.as_deref().is_some_and(|v| v.contains("MariaDB")) {
                "mariadb"
            } else {
                "mysql"
            });
            service.version = service.version.map(|version| version.split("-MariaDB").next().unwrap_or_default().to_owned());
            service.data_dir = option(&args, &["--datadir"]).or(cwd).map(|dir| dir.trim_end_matches('/').to_owned());
            let usual =
                if args.iter().any(|arg| arg == "--no-defaults") { None } else { existing(&root, &["/etc/mysql/my.cnf", "/etc/my.cnf"]) };
            service.config_file = option(&args, &["--defaults-file"]).or(usual);
            service.socket = sockets.unix.iter().find(|path| !path.contains("mysqlx")).cloned();
            3306
        }
        Kind::Redis => {
            service.model = "redis";
            service.data_dir = cwd;
            // It overwrites its command line with where it listens; a file is named there only in some versions.
            let named = args.iter().skip(1).find(|arg| arg.ends_with(".conf")).cloned();
            service.config_file =
                named.or_else(|| existing(&root, &["/etc/redis/redis.conf", "/etc/valkey/valkey.conf"]).filter(|_| uid != 0));
            6379
        }
        Kind::Nginx => {
            service.model = "nginx";
            service.config_file =
                option(&args, &["-c"]).or_else(|| existing(&root, &["/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf"]));
            80
        }
    };
    let tcp = sockets.tcp.iter().find(|(_, port)| *port == preferred).or_else(|| sockets.tcp.first());
    if let Some((address, port)) = tcp {
        service.address = Some(address.clone());
        service.port = Some(*port);
    } else if kind == Kind::Postgres {
        // Without TCP the port still names the socket, and clients have to give it.
        service.port = service.socket.as_ref().and_then(|path| path.rsplit_once('.')?.1.parse().ok());
    }
    let identity = match (service.port, &service.socket, &service.data_dir) {
        (Some(port), ..) => port.to_string(),
        (None, Some(socket), _) => socket.clone(),
        (None, None, Some(dir)) => dir.clone(),
        (None, None, None) => service.process.clone(),
    };
    service.name = format!("{}:{identity}", service.model);
    Some(service)
}

/// Arguments; of a program that has overwritten them with a title (`nginx: master process nginx -c x`), its words.
fn arguments(cmdline: &[u8]) -> Vec<String> {
    let parts: Vec<String> =
        cmdline.split(|b| *b == 0).filter(|part| !part.is_empty()).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    match parts.as_slice() {
        [title] if title.contains(' ') => {
            let title = title.strip_prefix("nginx: master process ").unwrap_or(title);
            title.split_ascii_whitespace().map(str::to_owned).collect()
        }
        _ => parts,
    }
}

/// The value of `-D value`, `-Dvalue`, `--name value` or `--name=value`.
fn option(args: &[String], names: &[&str]) -> Option<String> {
    for (index, arg) in args.iter().enumerate() {
        for name in names {
            let Some(rest) = arg.strip_prefix(name) else { continue };
            let value = if rest.is_empty() {
                args.get(index + 1).cloned()
            } else if name.starts_with("--") {
                rest.strip_prefix('=').map(str::to_owned)
            } else {
                Some(rest.to_owned())
            };
            if value.is_some() {
                return value;
            }
        }
    }
    None
}

/// The first path that is there, as the process sees it.
fn existing(root: &Path, paths: &[&str]) -> Option<String> {
    let seen = |path: &&&str| root.join("root").join(path.trim_start_matches('/')).exists();
    paths.iter().find(seen).map(|path| (*path).to_owned())
}

#[derive(Default)]
struct Listening {
    tcp: Vec<(String, u16)>,
    unix: Vec<String>,
}

/// What a process listens on. Its own view of the network is read, so this holds in containers as well.
fn listening(root: &Path) -> Listening {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(root.join("fd")).into_iter().flatten().flatten() {
        if let Ok(target) = fs::read_link(entry.path())
            && let Some(inode) =
                target.to_string_lossy().strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')?.parse::<u64>().ok())
        {
            inodes.insert(inode);
        }
    }
    let mut found = Listening::default();
    for table in ["net/tcp", "net/tcp6"] {
        let text = fs::read_to_string(root.join(table)).unwrap_or_default();
        found.tcp.extend(text.lines().skip(1).filter_map(|line| tcp_line(line, &inodes)));
    }
    found.tcp.sort_by_key(|(address, port)| (*port, address.contains(':')));
    found.tcp.dedup();
    let text = fs::read_to_string(root.join("net/unix")).unwrap_or_default();
    found.unix = text.lines().skip(1).filter_map(|line| unix_line(line, &inodes)).collect();
    found.unix.sort();
    found.unix.dedup();
    found
}

fn tcp_line(line: &str, inodes: &BTreeSet<u64>) -> Option<(String, u16)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    // 0A is LISTEN.
    if fields.nth(1)? != "0A" || !inodes.contains(&fields.nth(5)?.parse().ok()?) {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Groups of four bytes in the machine's order.
    let words: Option<Vec<u8>> = (0..address.len() / 8)
        .map(|index| address.get(index * 8..index * 8 + 8).and_then(|word| u32::from_str_radix(word, 16).ok()).map(u32::to_ne_bytes))
        .collect::<Option<Vec<_>>>()
        .map(|words| words.concat());
    let address = match words?.as_slice() {
        bytes @ [_, _, _, _] => std::net::Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string(),
        bytes => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string(),
    };
    Some((address, port))
}

fn unix_line(line: &str, inodes: &BTreeSet<u64>) -> Option<String> {
    let mut fields = line.split_ascii_whitespace();
    // Num RefCount Protocol Flags Type St Inode Path; flag 0x10000 is a listening socket.
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    let inode = fields.nth(2)?.parse().ok()?;
    let path = fields.next()?;
    (flags & 0x1_0000 != 0 && inodes.contains(&inode) && path.starts_with('/')).then(|| path.to_owned())
}

fn version(versions: &Versions, kind: Kind, exe: &Path, uid: u32, root: &Path) -> Option<String> {
    // After an upgrade the running program's file is gone; the file of that name is another version.
    if exe.to_string_lossy().ends_with(" (deleted)") {
        return None;
    }
    // In another mount namespace the path names another program, or none.
    let namespace = |root: &Path| fs::read_link(root.join("ns/mnt")).ok();
    if namespace(root) != namespace(Path::new("/proc/self")) {
        return None;
    }
    let key = (exe.to_path_buf(), fs::metadata(exe).ok()?.mtime(), uid);
    let known = versions.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    known.unwrap_or_else(|| {
        let said = ask(exe, uid, if kind == Kind::Nginx { "-v" } else { "--version" }).and_then(|text| first_version(&text));
        let mut versions = versions.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Old versions of upgraded programs, and whatever somebody makes to fill our memory.
        if versions.len() > 100 {
            versions.clear();
        }
        versions.insert(key, said.clone());
        said
    })
}

/// Runs a program as the user whose process it is: anybody can call a program `redis-server`, and we may be root.
fn ask(exe: &Path, uid: u32, flag: &str) -> Option<String> {
    let mut command = Command::new(exe);
    command.arg(flag).env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if geteuid().is_root() {
        if uid != 0 {
            let gid = User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or(uid, |user| user.gid.as_raw());
            command.uid(uid).gid(gid);
        }
    } else if geteuid().as_raw() != uid && fs::metadata(exe).ok()?.uid() != 0 {
        return None;
    }
    let mut child = command.spawn().ok()?;
    let deadline = Instant::now() + VERSION_TIMEOUT;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(_)) => break true,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => break false,
        }
    };
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let out = child.stdout.take().map(first_bytes).filter(|said| !said.is_empty());
    let said = out.or_else(|| child.stderr.take().map(first_bytes))?;
    Some(String::from_utf8_lossy(&said).into_owned())
}

/// What is in a pipe now. Not to its end: a child of the program may hold it open.
fn first_bytes(mut pipe: impl Read + AsFd) -> Vec<u8> {
    let mut said = vec![0_u8; 4096];
    let length = match fcntl(pipe.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)) {
        Ok(_) => pipe.read(&mut said).unwrap_or(0),
        Err(_) => 0,
    };
    said.truncate(length);
    said
}

/// `postgres (PostgreSQL) 15.14 (Debian ...)`, `mariadbd  Ver 10.11.6-MariaDB-0+deb12u1 for ...`, `Redis server v=7.0.15 sha=...`,
/// `nginx version: nginx/1.22.1`.
fn first_version(text: &str) -> Option<String> {
    for word in text.split_ascii_whitespace() {
        let word = word.strip_prefix("v=").or_else(|| word.rsplit_once('/').map(|(_, version)| version)).unwrap_or(word);
        if word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.') {
            let version: String = word.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
            return Some(version.trim_end_matches(['.', '-']).to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn versions_as_the_programs_say_them() {
        let said = |text| first_version(text).unwrap();
        assert_eq!(said("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), "15.14");
        assert_eq!(said("mariadbd  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)"), "10.11.6-MariaDB-0");
        assert_eq!(said("/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)"), "8.0.36");
        assert_eq!(said("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"), "7.0.15");
        assert_eq!(said("nginx version: nginx/1.22.1"), "1.22.1");
    }

    #[test]
    fn options_in_all_their_forms() {
        let args = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(option(&args("postgres -D /data"), &["-D"]).unwrap(), "/data");
        assert_eq!(option(&args("postgres -D/data"), &["-D"]).unwrap(), "/data");
        assert_eq!(option(&args("mysqld --datadir=/x"), &["--datadir"]).unwrap(), "/x");
        assert!(option(&args("mysqld --datadirs=/x"), &["--datadir"]).is_none());
        assert_eq!(arguments(b"nginx: master process nginx -c /e/n.conf"), ["nginx", "-c", "/e/n.conf"]);
    }

    #[test]
    fn socket_tables() {
        let inodes = BTreeSet::from([77]);
        let v4 = "  0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  106 0 77 1 0000 100 0 0 10 0";
        assert_eq!(tcp_line(v4, &inodes).unwrap(), ("127.0.0.1".to_owned(), 5432));
        assert!(tcp_line(&v4.replace(" 0A ", " 01 "), &inodes).is_none());
        let v6 = "  0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0  0 0 77 1 0";
        assert_eq!(tcp_line(v6, &inodes).unwrap(), ("::1".to_owned(), 80));
        let unix = "0000000000000000: 00000002 00000000 00010000 0001 01 77 /run/postgresql/.s.PGSQL.5432";
        assert_eq!(unix_line(unix, &inodes).unwrap(), "/run/postgresql/.s.PGSQL.5432");
    }

    #[test]
    fn a_listening_process_is_found_with_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = listening(Path::new("/proc/self"));
        assert!(found.tcp.contains(&("127.0.0.1".to_owned(), port)));
    }
}
