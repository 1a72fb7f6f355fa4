//! The machine itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::ifaddrs::getifaddrs;
use nix::sys::statvfs::statvfs;
use serde::Serialize;

use crate::VERSION;
use crate::enrol::Machine;
use crate::procfs::field_bytes;

/// Attributes of the CMDB model `host`. What cannot be known is left out.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs)] // The names are the model's.
pub struct Node {
    pub hostname: String,
    pub node_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    pub os_id: String,
    pub os_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    pub kernel: String,
    pub arch: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    pub cpu_count: usize,
    pub memory_bytes: u64,
    pub swap_bytes: u64,
    pub disks: Vec<Disk>,
    pub mounts: Vec<Mount>,
    pub interfaces: Vec<Interface>,
    pub addresses: Vec<String>,
    pub virtualisation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_time: Option<String>,
    pub timezone: String,
    pub agent_version: String,
}

/// A row of `disks`.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Disk {
    pub name: String,
    pub size_bytes: u64,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A row of `mounts`.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Mount {
    pub device: String,
    pub mount_point: String,
    pub fs_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
}

/// A row of `interfaces`.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs)]
pub struct Interface {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    pub addresses: Vec<String>,
    pub up: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_mbps: Option<u64>,
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Name and id of this machine.
pub fn machine() -> Machine {
    let hostname = text("/proc/sys/kernel/hostname").unwrap_or_else(|| "localhost".to_owned());
    let machine_id = text("/etc/machine-id").or_else(|| text("/var/lib/dbus/machine-id")).unwrap_or_default();
    Machine { hostname, machine_id }
}

/// Looks at everything.
pub fn look() -> Node {
    let machine = machine();
    let os = os_release(&fs::read_to_string("/etc/os-release").or_else(|_| fs::read_to_string("/usr/lib/os-release")).unwrap_or_default());
    let os = |name: &str| os.get(name).cloned().filter(|value| !value.is_empty());
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let interfaces = interfaces();
    let usable = |address: &&String| !address.starts_with("fe80:") && !address.starts_with("169.254.");
    let addresses = interfaces.iter().flat_map(|interface| &interface.addresses).filter(usable).cloned().collect();
    Node {
        hostname: machine.hostname,
        node_id: String::new(),
        machine_id: Some(machine.machine_id).filter(|id| !id.is_empty()),
        serial: text("/sys/class/dmi/id/product_serial").filter(|serial| is_serial(serial)),
        os_id: os("ID").unwrap_or_else(|| "linux".to_owned()),
        os_name: os("PRETTY_NAME").or_else(|| os("NAME")).unwrap_or_else(|| "Linux".to_owned()),
        os_version: os("VERSION_ID"),
        kernel: text("/proc/sys/kernel/osrelease").unwrap_or_default(),
        arch: nix::sys::utsname::uname()
            .map_or_else(|_| std::env::consts::ARCH.to_owned(), |uname| uname.machine().to_string_lossy().into_owned()),
        cpu_model: cpu_field(&cpuinfo, "model name").or_else(|| cpu_field(&cpuinfo, "Model")),
        cpu_count: cpuinfo.lines().filter(|line| line.starts_with("processor")).count().max(1),
        memory_bytes: field_bytes("/proc/meminfo", "MemTotal").unwrap_or(0),
        swap_bytes: field_bytes("/proc/meminfo", "SwapTotal").unwrap_or(0),
        disks: disks(),
        mounts: mounts(&fs::read_to_string("/proc/self/mounts").unwrap_or_default()),
        interfaces,
        addresses,
        virtualisation: virtualisation(&cpuinfo),
        boot_time: boot_time(),
        timezone: timezone(),
        agent_version: VERSION.to_owned(),
    }
}

/// Makers who leave the field empty leave these in it; taken for an identity they would make one machine of thousands.
fn is_serial(serial: &str) -> bool {
    const NOT: [&str; 9] = [
        "none",
        "not specified",
        "to be filled by o.e.m.",
        "system serial number",
        "default string",
        "unknown",
        "n/a",
        "chassis serial number",
        "invalid",
    ];
    !NOT.contains(&serial.to_ascii_lowercase().as_str()) && serial.chars().any(|c| c.is_ascii_alphanumeric() && c != '0')
}

fn os_release(text: &str) -> BTreeMap<String, String> {
    let entry = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

fn cpu_field(cpuinfo: &str, name: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn disks() -> Vec<Disk> {
    let mut disks = Vec::new();
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Made of other disks, of memory or of files, or removable.
        if ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"].iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let sectors = text(entry.path().join("size")).and_then(|size| size.parse::<u64>().ok()).unwrap_or(0);
        if sectors == 0 {
            continue;
        }
        let rotates = text(entry.path().join("queue/rotational")).as_deref() == Some("1");
        let kind = if name.starts_with("nvme") {
            "nvme"
        } else if name.starts_with("vd") || name.starts_with("xvd") {
            "virtual"
        } else if rotates {
            "hdd"
        } else {
            "ssd"
        };
        // The kernel counts in sectors of 512 bytes whatever the disk's own are.
        disks.push(Disk { kind: kind.to_owned(), size_bytes: sectors * 512, model: text(entry.path().join("device/model")), name });
    }
    disks.sort_by(|a, b| a.name.cmp(&b.name));
    disks
}

fn mounts(table: &str) -> Vec<Mount> {
    const LOCAL: [&str; 16] = [
        "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "vfat", "exfat", "ntfs", "ntfs3", "overlay", "bcachefs",
        "erofs",
    ];
    const REMOTE: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs"];
    let mut mounts: Vec<Mount> = Vec::new();
    for line in table.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(point), Some(fs_type)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let local = LOCAL.contains(&fs_type);
        if !local && !REMOTE.contains(&fs_type) {
            continue;
        }
        let (device, mount_point) = (unescape(device), unescape(point));
        // Container runtimes mount the same disk a hundred times over: the first place is the one that people mean. Overlays are theirs too.
        let again = mounts.iter().any(|mount| mount.device == device && fs_type != "overlay");
        if again || (fs_type == "overlay" && mount_point != "/") {
            continue;
        }
        // A remote server that is away would hang us.
        let usage = if local { statvfs(mount_point.as_str()).ok() } else { None };
        #[allow(clippy::useless_conversion)] // The fields' types differ between platforms.
        let size = usage.map(|fs| {
            let (block, total, free) = (u64::from(fs.fragment_size()), u64::from(fs.blocks()), u64::from(fs.blocks_free()));
            (total.saturating_mul(block), total.saturating_sub(free).saturating_mul(block))
        });
        let (size_bytes, used_bytes) = size.unzip();
        mounts.push(Mount { device, mount_point, fs_type: fs_type.to_owned(), size_bytes, used_bytes });
    }
    mounts
}

/// The kernel writes blanks in names as `\040`.
fn unescape(name: &str) -> String {
    name.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn interfaces() -> Vec<Interface> {
    let mut found: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_real = entry.path().join("operstate").exists();
        if name == "lo" || !is_real {
            continue;
        }
        let state = text(entry.path().join("operstate"));
        let up = match state.as_deref() {
            // Tunnels and some virtual cards do not know; they carry when they have a carrier.
            Some("unknown") => text(entry.path().join("carrier")).as_deref() == Some("1"),
            state => state == Some("up"),
        };
        let mac = text(entry.path().join("address")).filter(|mac| mac.len() == 17 && mac != "00:00:00:00:00:00");
        // -1 when there is no link.
        let speed_mbps = text(entry.path().join("speed")).and_then(|speed| speed.parse().ok()).filter(|speed| *speed > 0);
        found.insert(name.clone(), Interface { name, mac, addresses: Vec::new(), up, speed_mbps });
    }
    for entry in getifaddrs().into_iter().flatten() {
        let Some(address) = entry.address else { continue };
        let address = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => v4.ip().to_string(),
            (_, Some(v6)) => v6.ip().to_string(),
            _ => continue,
        };
        if let Some(interface) = found.get_mut(&entry.interface_name) {
            interface.addresses.push(address);
        }
    }
    found.into_values().collect()
}

fn virtualisation(cpuinfo: &str) -> String {
    let container = if Path::new("/.dockerenv").exists() {
        Some("docker".to_owned())
    } else if Path::new("/run/.containerenv").exists() {
        Some("podman".to_owned())
    } else if let Some(name) = text("/run/systemd/container") {
        Some(name)
    } else {
        let environ = fs::read("/proc/1/environ").unwrap_or_default();
        let named = environ.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(b"container="));
        named.map(|name| String::from_utf8_lossy(name).into_owned())
    };
    if let Some(container) = container {
        return container;
    }
    let dmi = |name: &str| text(Path::new("/sys/class/dmi/id").join(name)).unwrap_or_default().to_ascii_lowercase();
    let product = format!("{} {}", dmi("sys_vendor"), dmi("product_name"));
    const KNOWN: [(&str, &str); 12] = [
        ("vmware", "vmware"),
        ("virtualbox", "virtualbox"),
        ("microsoft corporation virtual", "hyperv"),
        ("amazon ec2", "aws"),
        ("google compute", "gcp"),
        ("alibaba cloud", "kvm"),
        ("openstack", "kvm"),
        ("qemu", "kvm"),
        ("kvm", "kvm"),
        ("xen", "xen"),
        ("parallels", "parallels"),
        ("bhyve", "bhyve"),
    ];
    if let Some((_, name)) = KNOWN.iter().find(|(mark, _)| product.contains(mark)) {
        return (*name).to_owned();
    }
    if let Some(hypervisor) = text("/sys/hypervisor/type") {
        return hypervisor;
    }
    let virtual_cpu =
        cpuinfo.lines().any(|line| line.starts_with("flags") && line.split_ascii_whitespace().any(|flag| flag == "hypervisor"));
    if virtual_cpu { "vm".to_owned() } else { "none".to_owned() }
}

fn boot_time() -> Option<String> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(rfc3339(seconds))
}

/// Seconds since 1970 as RFC 3339. Days to date after Howard Hinnant's `civil_from_days`: a date library for one line would be the larger risk.
fn rfc3339(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

fn timezone() -> String {
    let link = fs::read_link("/etc/localtime").ok().map(|target| target.to_string_lossy().into_owned());
    let from_link = link.and_then(|target| target.split_once("zoneinfo/").map(|(_, name)| name.to_owned()));
    from_link.or_else(|| text("/etc/timezone")).unwrap_or_else(|| "UTC".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_767_225_599), "2025-12-31T23:59:59Z");
    }

    #[test]
    fn placeholders_are_no_serials() {
        assert!(is_serial("VMware-56 4d 12"));
        assert!(["0", "0000", "None", "To Be Filled By O.E.M.", "..."].iter().all(|text| !is_serial(text)));
    }

    #[test]
    fn mounts_once_without_what_is_no_disk() {
        let table = "/dev/vda / ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/vda /var/lib/x ext4 rw 0 0\nsrv:/a /mnt/a\\040b nfs4 rw 0 0\n";
        let found = mounts(table);
        assert_eq!(found.iter().map(|mount| mount.mount_point.as_str()).collect::<Vec<_>>(), ["/", "/mnt/a b"]);
        assert!(found[0].size_bytes.unwrap() > 0);
        assert!(found[1].size_bytes.is_none());
    }

    #[test]
    fn os_release_quotes() {
        let os = os_release("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n# x\n");
        assert_eq!(os["PRETTY_NAME"], "Debian GNU/Linux 12 (bookworm)");
    }
}
