//! The machine's own metrics, by the names and labels that Prometheus' node_exporter gives them, so that its dashboards and rules fit.
//!
//! All from `/proc` and `/sys`, in a few hundred microseconds. What a kernel does not offer is left out.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::Look;

/// What the kernel counts CPU time in: `USER_HZ` is 100 on every Linux that programs see.
const TICKS_PER_SECOND: f64 = 100.0;
/// A machine with more processors is told by its sum, or its processors alone would fill a message.
const MOST_CPUS: usize = 64;
/// Bounds for machines with thousands of containers, each with a network card and mounts.
const MOST_DEVICES: usize = 200;

/// Where the kernel's files are; another folder in tests.
pub(super) fn look(root: &Path, look: &mut Look) {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    stat(&read("proc/stat"), look);
    meminfo(&read("proc/meminfo"), look);
    load(&read("proc/loadavg"), look);
    diskstats(&read("proc/diskstats"), look);
    netdev(&read("proc/net/dev"), look);
    links(root, look);
    vmstat(&read("proc/vmstat"), look);
    sockstat(&read("proc/net/sockstat"), look);
    netstat(&read("proc/net/snmp"), look);
    netstat(&read("proc/net/netstat"), look);
    for (what, waiting, stalled) in [("cpu", "waiting", None), ("memory", "waiting", Some("stalled")), ("io", "waiting", Some("stalled"))] {
        pressure(&read(&format!("proc/pressure/{what}")), what, waiting, stalled, look);
    }
    let files = read("proc/sys/fs/file-nr");
    let mut files = files.split_ascii_whitespace().map(str::parse::<f64>);
    if let (Some(Ok(allocated)), Some(_), Some(Ok(maximum))) = (files.next(), files.next(), files.next()) {
        look.gauge("node_filefd_allocated", &[], allocated);
        look.gauge("node_filefd_maximum", &[], maximum);
    }
    filesystems(&read("proc/self/mounts"), look);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |age| age.as_secs_f64());
    look.gauge("node_time_seconds", &[], now);
    if let Ok(uname) = nix::sys::utsname::uname() {
        let [release, machine, nodename, sysname, version] =
            [uname.release(), uname.machine(), uname.nodename(), uname.sysname(), uname.version()]
                .map(|t| t.to_string_lossy().into_owned());
        let labels = [
            ("domainname", "(none)"),
            ("machine", machine.as_str()),
            ("nodename", &nodename),
            ("release", &release),
            ("sysname", &sysname),
            ("version", &version),
        ];
        look.gauge("node_uname_info", &labels, 1.0);
    }
}

fn stat(text: &str, look: &mut Look) {
    const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    let is_cpu = |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let many = text.lines().filter(is_cpu).count() > MOST_CPUS;
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(name) = fields.next() else { continue };
        if let Some(cpu) = name.strip_prefix("cpu") {
            if cpu.is_empty() != many {
                continue;
            }
            let cpu = if many { "all" } else { cpu };
            for (mode, ticks) in MODES.iter().zip(fields) {
                if let Ok(ticks) = ticks.parse::<f64>() {
                    look.counter("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], ticks / TICKS_PER_SECOND);
                }
            }
            continue;
        }
        let Some(Ok(value)) = fields.next().map(str::parse::<f64>) else { continue };
        match name {
            "intr" => look.counter("node_intr_total", &[], value),
            "ctxt" => look.counter("node_context_switches_total", &[], value),
            "btime" => look.gauge("node_boot_time_seconds", &[], value),
            "processes" => look.counter("node_forks_total", &[], value),
            "procs_running" => look.gauge("node_procs_running", &[], value),
            "procs_blocked" => look.gauge("node_procs_blocked", &[], value),
            _ => {}
        }
    }
}

fn meminfo(text: &str, look: &mut Look) {
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let mut value = value.split_ascii_whitespace();
        let Some(Ok(number)) = value.next().map(str::parse::<f64>) else { continue };
        // `Active(anon)` is `Active_anon`.
        let name = name.replace('(', "_").replace(')', "");
        match value.next() {
            Some("kB") => look.gauge(format!("node_memory_{name}_bytes"), &[], number * 1024.0),
            _ => look.gauge(format!("node_memory_{name}"), &[], number),
        }
    }
}

fn load(text: &str, look: &mut Look) {
    for (name, value) in ["node_load1", "node_load5", "node_load15"].into_iter().zip(text.split_ascii_whitespace()) {
        if let Ok(value) = value.parse() {
            look.gauge(name, &[], value);
        }
    }
}

/// Partitions, loops and RAM disks are left out: what they do their disk does, or nobody asks.
fn is_disk(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if ["ram", "loop", "fd", "zram"].iter().any(|prefix| name.strip_prefix(prefix).is_some_and(digits)) {
        return false;
    }
    let partition_of_letters = ["hd", "sd", "vd", "xvd"].iter().any(|prefix| {
        name.strip_prefix(prefix).is_some_and(|rest| digits(rest.trim_start_matches(|c: char| c.is_ascii_lowercase())) && !digits(rest))
    });
    let partition_of_numbers =
        (name.starts_with("nvme") || name.starts_with("mmcblk")) && name.rsplit_once('p').is_some_and(|(_, part)| digits(part));
    !partition_of_letters && !partition_of_numbers
}

fn diskstats(text: &str, look: &mut Look) {
    // Position in the line after the name, metric, factor, whether it only grows.
    const FIELDS: [(usize, &str, f64, bool); 11] = [
        (0, "node_disk_reads_completed_total", 1.0, true),
        (1, "node_disk_reads_merged_total", 1.0, true),
        (2, "node_disk_read_bytes_total", 512.0, true),
        (3, "node_disk_read_time_seconds_total", 0.001, true),
        (4, "node_disk_writes_completed_total", 1.0, true),
        (5, "node_disk_writes_merged_total", 1.0, true),
        (6, "node_disk_written_bytes_total", 512.0, true),
        (7, "node_disk_write_time_seconds_total", 0.001, true),
        (8, "node_disk_io_now", 1.0, false),
        (9, "node_disk_io_time_seconds_total", 0.001, true),
        (10, "node_disk_io_time_weighted_seconds_total", 0.001, true),
    ];
    let mut disks = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(2);
        let Some(device) = words.next().filter(|name| is_disk(name)) else { continue };
        disks += 1;
        if disks > MOST_DEVICES {
            break;
        }
        let numbers: Vec<f64> = words.map_while(|word| word.parse().ok()).collect();
        for (position, name, factor, grows) in FIELDS {
            if let Some(number) = numbers.get(position) {
                look.add(name, &[("device", device)], grows, number * factor);
            }
        }
    }
}

fn netdev(text: &str, look: &mut Look) {
    const RECEIVE: [&str; 8] = ["bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast"];
    const TRANSMIT: [&str; 8] = ["bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed"];
    for line in text.lines().skip(2).take(MOST_DEVICES) {
        let Some((device, numbers)) = line.split_once(':') else { continue };
        let numbers: Vec<f64> = numbers.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
        let named = RECEIVE.iter().map(|n| ("receive", n)).chain(TRANSMIT.iter().map(|n| ("transmit", n)));
        for ((way, what), number) in named.zip(numbers) {
            look.counter(format!("node_network_{way}_{what}_total"), &[("device", device.trim())], number);
        }
    }
}

fn links(root: &Path, look: &mut Look) {
    for entry in fs::read_dir(root.join("sys/class/net")).into_iter().flatten().flatten().take(MOST_DEVICES) {
        let device = entry.file_name().to_string_lossy().into_owned();
        let text = |name: &str| fs::read_to_string(entry.path().join(name)).ok().map(|text| text.trim().to_owned());
        if let Some(state) = text("operstate") {
            look.gauge("node_network_up", &[("device", &device)], f64::from(u8::from(state == "up")));
        }
        if let Some(mtu) = text("mtu").and_then(|mtu| mtu.parse().ok()) {
            look.gauge("node_network_mtu_bytes", &[("device", &device)], mtu);
        }
        // -1, or an error, where there is no link.
        if let Some(speed) = text("speed").and_then(|speed| speed.parse::<f64>().ok()).filter(|speed| *speed > 0.0) {
            look.gauge("node_network_speed_bytes", &[("device", &device)], speed * 125_000.0);
        }
    }
}

fn vmstat(text: &str, look: &mut Look) {
    const NAMES: [&str; 7] = ["oom_kill", "pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault"];
    for line in text.lines() {
        if let Some((name, value)) = line.split_once(' ')
            && NAMES.contains(&name)
            && let Ok(value) = value.trim().parse()
        {
            look.add(format!("node_vmstat_{name}"), &[], true, value);
        }
    }
}

fn sockstat(text: &str, look: &mut Look) {
    for line in text.lines() {
        let Some((protocol, pairs)) = line.split_once(':') else { continue };
        let mut words = pairs.split_ascii_whitespace();
        while let (Some(what), Some(Ok(value))) = (words.next(), words.next().map(str::parse::<f64>)) {
            look.gauge(format!("node_sockstat_{protocol}_{what}"), &[], value);
        }
    }
}

/// `/proc/net/snmp` and `/proc/net/netstat`: a line of names, then a line of numbers.
fn netstat(text: &str, look: &mut Look) {
    const WANTED: [&str; 18] = [
        "Tcp_ActiveOpens",
        "Tcp_PassiveOpens",
        "Tcp_CurrEstab",
        "Tcp_InSegs",
        "Tcp_OutSegs",
        "Tcp_RetransSegs",
        "Tcp_InErrs",
        "Tcp_OutRsts",
        "Udp_InDatagrams",
        "Udp_OutDatagrams",
        "Udp_InErrors",
        "Udp_NoPorts",
        "Udp_RcvbufErrors",
        "TcpExt_ListenOverflows",
        "TcpExt_ListenDrops",
        "TcpExt_TCPTimeouts",
        "IpExt_InOctets",
        "IpExt_OutOctets",
    ];
    let mut lines = text.lines();
    while let (Some(names), Some(numbers)) = (lines.next(), lines.next()) {
        let (Some((protocol, names)), Some((_, numbers))) = (names.split_once(':'), numbers.split_once(':')) else { return };
        for (name, number) in names.split_ascii_whitespace().zip(numbers.split_ascii_whitespace()) {
            let name = format!("{protocol}_{name}");
            if WANTED.contains(&name.as_str())
                && let Ok(number) = number.parse()
            {
                look.add(format!("node_netstat_{name}"), &[], name != "Tcp_CurrEstab", number);
            }
        }
    }
}

fn pressure(text: &str, what: &str, waiting: &str, stalled: Option<&str>, look: &mut Look) {
    for line in text.lines() {
        let total = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("total=")).and_then(|total| total.parse::<f64>().ok());
        let name = if line.starts_with("some") { Some(waiting) } else { stalled };
        if let (Some(total), Some(name)) = (total, name) {
            look.counter(format!("node_pressure_{what}_{name}_seconds_total"), &[], total / 1e6);
        }
    }
}

fn filesystems(table: &str, look: &mut Look) {
    // Made of memory, or the kernel's own; and what is on another machine, where a server that is away would hang us.
    const LEFT_OUT: [&str; 34] = [
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "fusectl",
        "hugetlbfs",
        "iso9660",
        "mqueue",
        "nsfs",
        "overlay",
        "proc",
        "procfs",
        "pstore",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "squashfs",
        "sysfs",
        "tracefs",
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "ceph",
        "glusterfs",
        "efivarfs",
        "fuse.lxcfs",
        "9p",
        "ramfs",
    ];
    let mut seen = HashSet::new();
    for line in table.lines() {
        let mut words = line.split(' ');
        let (Some(device), Some(point), Some(fstype)) = (words.next(), words.next(), words.next()) else { continue };
        let root_overlay = fstype == "overlay" && point == "/";
        if (LEFT_OUT.contains(&fstype) && !root_overlay) || fstype.starts_with("fuse.") {
            continue;
        }
        if ["/proc/", "/sys/", "/dev/", "/var/lib/docker/", "/var/lib/containers/", "/run/containerd/"].iter().any(|p| point.starts_with(p))
        {
            continue;
        }
        let point = point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
        if seen.len() >= MOST_DEVICES || !seen.insert(point.clone()) {
            continue;
        }
        let Ok(usage) = statvfs(point.as_str()) else { continue };
        let labels = [("device", device), ("fstype", fstype), ("mountpoint", &point)];
        #[allow(clippy::useless_conversion, clippy::cast_precision_loss)] // The fields' types differ between platforms.
        let number = |n: u64| n as f64;
        let block = number(usage.fragment_size());
        for (name, value) in [
            ("node_filesystem_size_bytes", number(usage.blocks()) * block),
            ("node_filesystem_free_bytes", number(usage.blocks_free()) * block),
            ("node_filesystem_avail_bytes", number(usage.blocks_available()) * block),
            ("node_filesystem_files", number(usage.files())),
            ("node_filesystem_files_free", number(usage.files_free())),
            ("node_filesystem_readonly", f64::from(u8::from(usage.flags().contains(FsFlags::ST_RDONLY)))),
        ] {
            look.gauge(name, &labels, value);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn value(look: &Look, name: &str, label: Option<&str>) -> f64 {
        let found = look.samples.iter().find(|s| s.name == name && label.is_none_or(|l| s.labels.iter().any(|(_, v)| v == l)));
        found.unwrap_or_else(|| panic!("no {name}")).value
    }

    #[test]
    fn this_machine_has_what_node_exporter_shows_of_every_machine() {
        let mut found = Look::default();
        look(Path::new("/"), &mut found);
        for name in [
            "node_cpu_seconds_total",
            "node_memory_MemTotal_bytes",
            "node_memory_MemAvailable_bytes",
            "node_load1",
            "node_filesystem_size_bytes",
            "node_filesystem_avail_bytes",
            "node_network_receive_bytes_total",
            "node_network_transmit_bytes_total",
            "node_network_up",
            "node_boot_time_seconds",
            "node_context_switches_total",
            "node_filefd_allocated",
            "node_sockstat_TCP_inuse",
            "node_netstat_Tcp_CurrEstab",
            "node_uname_info",
            "node_time_seconds",
            "node_vmstat_pgfault",
        ] {
            value(&found, name, None);
        }
        assert!(value(&found, "node_memory_MemTotal_bytes", None) > 1e6);
        assert!(value(&found, "node_filesystem_size_bytes", Some("/")) > 1e6);
    }

    #[test]
    fn the_kernels_files_in_node_exporters_words() {
        let mut look = Look::default();
        stat("cpu  9 9 9 9\ncpu0 1250 0 300 8000 12 0 1 2 0 0\nctxt 77\nbtime 1700000000\nprocs_running 3\n", &mut look);
        meminfo("MemTotal:  1000 kB\nActive(anon):  3 kB\nHugePages_Total:  2\n", &mut look);
        diskstats(" 254 0 vda 10 1 16 500 20 2 32 700 0 900 1200 0 0 0 0\n 254 1 vda1 1 1 1 1 1 1 1 1 1 1 1\n", &mut look);
        netdev("a\nb\n  eth0: 100 1 0 0 0 0 0 0 200 2 0 0 0 0 0 0\n", &mut look);
        pressure("some avg10=0.00 total=2000000\nfull avg10=0.00 total=1000000\n", "io", "waiting", Some("stalled"), &mut look);
        netstat("Tcp: ActiveOpens CurrEstab\nTcp: 5 6\n", &mut look);
        assert_eq!(value(&look, "node_cpu_seconds_total", Some("user")), 12.5);
        assert_eq!(value(&look, "node_cpu_seconds_total", Some("steal")), 0.02);
        assert_eq!(value(&look, "node_memory_Active_anon_bytes", None), 3072.0);
        assert_eq!(value(&look, "node_memory_HugePages_Total", None), 2.0);
        assert_eq!(value(&look, "node_disk_read_bytes_total", Some("vda")), 8192.0);
        assert_eq!(value(&look, "node_disk_io_time_seconds_total", Some("vda")), 0.9);
        assert!(!look.samples.iter().any(|s| s.labels.iter().any(|(_, v)| v == "vda1")));
        assert_eq!(value(&look, "node_network_transmit_bytes_total", Some("eth0")), 200.0);
        assert_eq!(value(&look, "node_pressure_io_stalled_seconds_total", None), 1.0);
        assert_eq!(value(&look, "node_netstat_Tcp_CurrEstab", None), 6.0);
    }

    #[test]
    fn disks_and_not_their_parts() {
        for disk in ["vda", "sda", "sdab", "nvme0n1", "dm-0", "md127", "xvda", "mmcblk0"] {
            assert!(is_disk(disk), "{disk}");
        }
        for part in ["vda1", "sdab12", "nvme0n1p3", "loop7", "ram0", "xvda1", "mmcblk0p1", "zram0"] {
            assert!(!is_disk(part), "{part}");
        }
    }

    #[test]
    fn a_machine_of_many_processors_is_told_by_its_sum() {
        let mut text = "cpu  100 0 0 0\n".to_owned();
        for n in 0..=MOST_CPUS {
            text.push_str(&format!("cpu{n} 1 0 0 0\n"));
        }
        let mut look = Look::default();
        stat(&text, &mut look);
        assert_eq!(look.samples.len(), 4);
        assert_eq!(value(&look, "node_cpu_seconds_total", Some("all")), 1.0);
    }
}
