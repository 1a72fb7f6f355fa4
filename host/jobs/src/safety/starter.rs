//! The rules that come with the platform.
//!
//! `block` is for what nobody means to do to a managed machine; `approve` for what is meant sometimes and cannot be taken back; `warn` for the rest.

use plenum_access::Role;

use super::rules::{CommandPattern, Pattern, Rule};
use super::{Compiled, Level};
use crate::model::Language;

/// The root of the file system, however it is written: `/`, `/*`, `/.*`, `/{*,.*}`.
const ROOT: &str = r"^/(\.?\*+|\.[?*\[][^/]*|[?*\[][^/]*)?$";
/// Folders without which a machine does not work.
const SYSTEM: &str = r"^/(bin|boot|dev|etc|home|lib|lib32|lib64|opt|proc|root|run|sbin|srv|sys|usr|usr/(bin|lib|lib64|local|sbin|share)|var|var/(lib|log|spool|cache)|etc/ssh|etc/systemd)(/\.?\*+)?$";
const DISK: &str = r"^/dev/(sd|hd|vd|xvd|nvme|mmcblk|md|dm-|mapper/|disk/|loop|nbd|zd|ram|pmem|vg|sr)\S*";
const SENSITIVE: &str = r"^/etc/(passwd|shadow|group|gshadow|sudoers(\.d/.*)?|fstab|crypttab|pam\.d/.*|ssh/sshd_config|ld\.so\.preload)$";
const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "ash", "ksh", "zsh", "fish", "python*", "perl*", "ruby*", "node", "php*", "eval", "source", ".", "su", "ssh",
    "xargs", "parallel", "watch", "lua*", "pwsh",
];
const DOWNLOADS: &[&str] =
    &["curl", "wget", "fetch", "aria2c", "http", "https", "lynx", "links", "ftp", "tftp", "scp", "nc", "ncat", "netcat", "socat"];

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

fn command(names: &[&str], options: &[&str]) -> CommandPattern {
    CommandPattern { names: strings(names), options: strings(options), ..CommandPattern::default() }
}

fn on(names: &[&str], options: &[&str], operand: &str) -> CommandPattern {
    CommandPattern { operand: Some(operand.to_owned()), ..command(names, options) }
}

fn line(names: &[&str], line: &str) -> CommandPattern {
    CommandPattern { line: Some(line.to_owned()), ..command(names, &[]) }
}

fn writes(file: &str) -> CommandPattern {
    CommandPattern { writes: Some(file.to_owned()), ..CommandPattern::default() }
}

fn rule(id: &str, level: Level, title: &str, why: &str, advice: &str, pattern: Pattern) -> Rule {
    Rule {
        id: id.to_owned(),
        built_in: true,
        title: title.to_owned(),
        level,
        enabled: true,
        languages: Vec::new(),
        pattern,
        why: why.to_owned(),
        advice: advice.to_owned(),
        roles: Vec::new(),
        targets: String::new(),
        approver: Role::Operator,
        version: 0,
        updated_at: None,
        updated_by: None,
    }
}

fn commands(list: &[CommandPattern]) -> Pattern {
    Pattern::Command { commands: list.to_vec() }
}

fn expression(text: &str) -> Pattern {
    Pattern::Expression { expression: text.to_owned() }
}

/// All of them, in the order in which they are shown.
pub(super) fn rules() -> Vec<Rule> {
    use Level::{Approve, Block, Warn};
    let python = |r: Rule| Rule { languages: vec![Language::Python3], ..r };
    vec![
        rule(
            "delete-root",
            Block,
            "Deletes the whole file system",
            "It deletes everything on the machine, or everything below a folder that stands for it.",
            "Name the folder that is meant. If that comes from a variable, check before that it is not empty: ${DIR:?}.",
            commands(&[
                on(&["rm", "shred", "srm", "unlink"], &["r|R|recursive"], ROOT),
                command(&["rm"], &["no-preserve-root"]),
                line(&["mv"], r"^(-\S+ +)*/\*"),
                line(&["find"], r"^/(\*)? *(-depth|-xdev|-mount|-type \w)? *-delete$"),
                on(&["rsync"], &["delete|delete-before|delete-after|delete-during|delete-excluded"], r"^/$"),
            ]),
        ),
        rule(
            "delete-system",
            Approve,
            "Deletes a folder of the system",
            "Without this folder the machine, its users or its services do not work any more.",
            "Name what is meant within the folder, and have a backup of it.",
            commands(&[
                on(&["rm", "srm"], &["r|R|recursive"], SYSTEM),
                line(&["mv"], r"^(-\S+ +)*/(bin|boot|dev|etc|lib|lib64|sbin|usr|var)/? +\S"),
                on(&["find"], &["delete"], r"^/$"),
                line(
                    &["find"],
                    r"^/(bin|boot|dev|etc|home|lib|lib64|opt|proc|root|run|sbin|srv|sys|usr|var)/?(/\*)? +((-depth|-xdev|-mount|-mindepth \d+|-type \w) +)*-delete$",
                ),
                on(&["rm"], &["r|R|recursive"], r"^(~|/root|/home/[^/]+)(/\*?)?$"),
                on(&["rm", "srm"], &[], r"^/(boot|etc|usr/lib|lib|bin|sbin)/\*+$"),
            ]),
        ),
        rule(
            "delete-computed",
            Warn,
            "Deletes a folder whose name is computed",
            "If the variable is empty when it runs, this is another folder: rm -rf \"$DIR/\" becomes rm -rf /.",
            "Write ${DIR:?}, so that the script ends when it is empty.",
            commands(&[on(&["rm", "srm"], &["r|R|recursive"], r"^/?\x{FFFC}(/?\.?\*?)?$|^/\x{FFFC}")]),
        ),
        rule(
            "format",
            Block,
            "Makes a new file system",
            "Whatever is on the disk is lost.",
            "Have disks made by the tool that sets machines up. If it must be a script, an administrator can let this rule ask for approval.",
            commands(&[command(&["mkfs", "mkfs.*", "mke2fs", "mkdosfs", "mkntfs", "newfs"], &[]), command(&["mkswap"], &[])]),
        ),
        rule(
            "write-disk",
            Block,
            "Writes to a disk itself",
            "It overwrites partitions and file systems, also those that are in use.",
            "Write to a file. If a disk is meant, an administrator can let this rule ask for approval.",
            commands(&[
                line(&["dd"], r"\bof=/dev/(sd|hd|vd|xvd|nvme|mmcblk|md|dm-|mapper/|disk/|loop|nbd|zd|ram|pmem|vg)"),
                writes(DISK),
                on(&["tee", "shred", "wipefs", "blkdiscard", "sponge", "badblocks"], &[], DISK),
                line(&["cp", "mv", "install"], r" /dev/(sd|hd|vd|xvd|nvme|mmcblk|md|dm-|mapper/|disk/)\S*$"),
                line(&["hdparm"], r"--(security-erase|trim-sector-ranges|write-sector|make-bad-sector)"),
                line(&["nvme"], r"^(format|sanitize|write-zeroes)\b"),
                line(&["cryptsetup"], r"\b(luksFormat|luksErase|erase)\b"),
            ]),
        ),
        rule(
            "partition",
            Approve,
            "Changes partitions, volumes or pools",
            "What is on them can be lost, and the machine may not start again.",
            "Have another person look at it, and have a backup.",
            commands(&[
                command(&["fdisk", "sfdisk", "sgdisk", "gdisk", "cfdisk"], &[]),
                line(&["parted"], r"\b(mklabel|mkpart|rm|resizepart|mktable)\b"),
                command(&["pvremove", "vgremove", "lvremove", "vgreduce", "lvreduce", "pvmove", "wipefs"], &[]),
                line(&["zpool", "zfs"], r"^(destroy|labelclear|rollback)\b"),
                line(&["btrfs"], r"^(subvolume delete|device (remove|delete))\b"),
                line(&["mdadm"], r"--(zero-superblock|stop|remove|fail)|-(S|f|r)\b"),
                command(&["tune2fs", "resize2fs", "debugfs", "xfs_repair"], &[]),
            ]),
        ),
        rule(
            "fork-bomb",
            Block,
            "Starts itself again and again",
            "A function or script that runs itself twice fills the machine with processes until nothing works.",
            "Take the call out.",
            Pattern::BuiltIn,
        ),
        rule(
            "run-download",
            Approve,
            "Runs what it downloads",
            "Nobody has seen what will run: it is what the other side sends at that moment.",
            "Download to a file, check its SHA-256, then run it; or put the script into the library.",
            commands(&[CommandPattern { names: strings(SHELLS), runs_text_of: strings(DOWNLOADS), ..CommandPattern::default() }]),
        ),
        rule(
            "open-permissions",
            Block,
            "Gives everybody the whole file system, or takes it from its owners",
            "Programs refuse to start on such a machine, and the old permissions are not kept anywhere.",
            "Name the folder that is meant.",
            commands(&[
                on(&["chmod", "chown", "chgrp", "setfacl", "chattr"], &["R|recursive"], ROOT),
                on(&["chmod", "chown", "chgrp"], &["R|recursive"], r"^/(bin|boot|dev|etc|lib|lib64|sbin|usr|var|root|proc|sys)(/\*?)?$"),
            ]),
        ),
        rule(
            "world-writable",
            Warn,
            "Lets everybody write",
            "Every user and every service of the machine can change these files.",
            "Give the group that needs it the right to write: chmod 770, chgrp.",
            commands(&[line(&["chmod"], r"(^| )(-R |--recursive )?0?777( |$)|(^| )(a|o|ugo)?\+[rx]*w[rx]*( |$)")]),
        ),
        rule(
            "power",
            Approve,
            "Shuts down or restarts the machine",
            "Its services stop, and whoever uses them is cut off; a machine that is shut down has to be started by hand.",
            "Choose batches, so that not all machines go at once, and a maintenance window.",
            commands(&[
                command(&["shutdown", "reboot", "halt", "poweroff", "kexec"], &[]),
                line(&["init", "telinit"], r"^[06]$"),
                line(&["systemctl"], r"\b(reboot|poweroff|halt|kexec|emergency|rescue|isolate|suspend|hibernate)\b"),
                line(&["loginctl"], r"\b(reboot|poweroff)\b"),
                writes(r"^/proc/sysrq-trigger$"),
                on(&["tee"], &[], r"^/proc/sysrq-trigger$"),
            ]),
        ),
        rule(
            "kill-all",
            Approve,
            "Ends all processes",
            "Also those of the system and of others.",
            "Name the service: systemctl stop, or pkill -u with a name.",
            commands(&[
                line(&["kill"], r"^((-\S+|-s +\S+) +)+-1( |$)"),
                command(&["killall5"], &[]),
                line(&["pkill", "killall"], r#"(^| )(-f )?(''|"")?\.\*?( |$)|-u root"#),
            ]),
        ),
        rule(
            "users",
            Approve,
            "Removes users, or changes how they sign in",
            "People and services can be locked out, and files lose their owner.",
            "Have another person look at it; locking (usermod -L) can be taken back, deleting cannot.",
            commands(&[
                command(&["userdel", "deluser", "groupdel", "delgroup", "vipw", "vigr"], &[]),
                line(&["passwd"], r"(^| )(root|-d|--delete)( |$)"),
                line(&["usermod"], r"(^| )(-L|--lock|-e|--expiredate)( |$)|root$"),
                line(&["chsh"], r"(nologin|/bin/false)"),
                command(&["chpasswd"], &[]),
            ]),
        ),
        rule(
            "system-files",
            Approve,
            "Overwrites files that decide who comes in and what starts",
            "A mistake in them locks everybody out, or the machine does not start.",
            "Use a file distribution: it checks, keeps the old file, and replaces it at once.",
            commands(&[
                writes(SENSITIVE),
                on(&["tee", "truncate"], &[], SENSITIVE),
                on(&["rm", "chmod", "chown"], &[], SENSITIVE),
                on(&["sed"], &["i|in-place"], SENSITIVE),
                line(
                    &["cp", "mv", "install"],
                    r" /etc/(passwd|shadow|group|gshadow|sudoers|fstab|crypttab|ssh/sshd_config|ld\.so\.preload)$",
                ),
            ]),
        ),
        rule(
            "firewall",
            Approve,
            "Takes the firewall away or closes it",
            "Either everything is open, or nobody comes in any more, the agent among them.",
            "Load a whole set of rules at once (iptables-restore, nft -f), with a way back by time.",
            commands(&[
                command(&["iptables", "ip6tables", "ebtables", "arptables"], &["F|flush"]),
                line(
                    &["iptables", "ip6tables"],
                    r"(-P|--policy) +(INPUT|OUTPUT|FORWARD) +(DROP|REJECT|ACCEPT)|(^| )(-X|--delete-chain)( |$)",
                ),
                line(&["nft"], r"\b(flush +ruleset|delete +table|flush +table)\b"),
                line(&["ufw"], r"\b(disable|reset)\b"),
                line(
                    &["systemctl", "service"],
                    r"\b(stop|disable|mask)\b.*\b(firewalld|nftables|iptables|ufw)|\b(firewalld|nftables|iptables|ufw)(\.service)? +stop",
                ),
                command(&["ipset"], &["F|flush|X|destroy"]),
            ]),
        ),
        rule(
            "network",
            Approve,
            "Takes the network down",
            "The machine is gone for its users and for its agent; what the script does after that is seen only if the network comes back.",
            "Restart the network in one step (systemctl restart), and have a way in that needs no network.",
            commands(&[
                line(&["ip"], r"\blink +set +.*\bdown\b|\b(addr|address|route) +(flush|del)"),
                line(&["ifconfig"], r"\bdown\b"),
                command(&["ifdown"], &[]),
                line(&["nmcli"], r"\b(networking +off|con(nection)? +(down|delete)|radio +all +off)\b"),
                line(
                    &["systemctl", "service"],
                    r"\b(stop|disable|mask)\b.*\b(network|networking|NetworkManager|systemd-networkd|sshd?|plenum-agent)\b|\b(network|networking|NetworkManager|sshd?|plenum-agent) +stop",
                ),
            ]),
        ),
        rule(
            "sql-destroys",
            Approve,
            "Deletes a database, a table, or all of its rows",
            "What is gone comes back from a backup only.",
            "Have a backup that was tried. Delete with a condition, and count first.",
            expression(
                r"(?i)\b(drop\s+(database|schema|table|tablespace|keyspace|user)\s+[\w`\x22\[.'$]|truncate\s+(table\s+)?[\w`\x22\[.]+\s*;|delete\s+from\s+[\w`\x22\[\].]+\s*(;|'|\x22|$))",
            ),
        ),
        rule(
            "store-destroys",
            Approve,
            "Empties a store",
            "What is gone comes back from a backup only.",
            "Have a backup that was tried.",
            commands(&[
                line(&["redis-cli", "valkey-cli"], r"(?i)\b(flushall|flushdb|shutdown)\b"),
                line(&["mongo", "mongosh"], r"dropDatabase|\.drop\(|deleteMany\(\{\}\)"),
                line(&["dropdb", "dropuser"], r"\S"),
                line(&["mysqladmin"], r"(?i)\b(drop|shutdown)\b"),
                line(&["etcdctl"], r"\bdel\b.*--prefix"),
                line(&["curl"], r"(-X|--request) *=?DELETE .*:9200"),
            ]),
        ),
        rule(
            "containers",
            Approve,
            "Removes containers, volumes or workloads by the dozen",
            "Volumes hold data, and what is removed everywhere is down everywhere.",
            "Name what is meant.",
            commands(&[
                line(
                    &["docker", "podman", "nerdctl"],
                    r"\b(system|volume|container|image) +prune\b.*(-f|--force|-a|--all|--volumes)|\brm +.*\x{FFFC}|\bvolume +rm\b|\bswarm +leave\b",
                ),
                line(
                    &["kubectl", "oc"],
                    r"\bdelete\b.*(--all\b|-A\b|\b(ns|namespace|namespaces|node|nodes|pv|crd)\b)|\bdrain\b|\breplace +--force",
                ),
                line(&["helm"], r"\b(uninstall|delete)\b"),
                line(&["terraform", "tofu"], r"\b(destroy\b|apply\b.*-auto-approve)"),
            ]),
        ),
        rule(
            "packages-removed",
            Warn,
            "Removes packages without asking",
            "What depends on them goes too.",
            "Look at what would go first: apt-get -s remove, dnf --assumeno remove.",
            commands(&[
                line(&["apt", "apt-get", "aptitude", "dnf", "yum", "zypper"], r"\b(remove|purge|autoremove|erase|rm)\b"),
                line(&["rpm"], r"(-e|--erase)\b|--nodeps|--force"),
                line(&["dpkg"], r"(-r|-P|--remove|--purge|--force-\w+)\b"),
                line(&["pacman"], r"-R"),
            ]),
        ),
        rule(
            "schedules-removed",
            Approve,
            "Removes all of a user's cron jobs",
            "crontab -r asks nothing and keeps no copy.",
            "Take single lines out: crontab -l | grep -v ... | crontab -.",
            commands(&[line(&["crontab"], r"(^| )-(r|ri|ir)( |$)")]),
        ),
        rule(
            "traces",
            Warn,
            "Hides what was done",
            "Logs and histories are what is looked at after an accident.",
            "Let the system's own rotation remove old logs.",
            commands(&[
                line(&["history"], r"-[cw]"),
                line(&["unset"], r"\bHISTFILE\b"),
                line(&["journalctl"], r"--vacuum-(size|time|files)=?\s*(0|1)(s|M|K)?\b|--rotate"),
                on(&["rm", "truncate", "shred"], &[], r"^/var/log/(\*|auth\.log|secure|syslog|messages|audit.*|wtmp|btmp|lastlog)$"),
                writes(r"^/var/log/(auth\.log|secure|syslog|messages|audit/.*|wtmp|btmp|lastlog)$"),
                line(&["auditctl"], r"-(D|e 0)"),
            ]),
        ),
        rule(
            "protection-off",
            Warn,
            "Switches a protection of the system off",
            "What it held back is open then, for everybody.",
            "Change the one rule that is in the way.",
            commands(&[
                line(&["setenforce"], r"^(0|Permissive)$"),
                line(&["systemctl", "service"], r"\b(stop|disable|mask)\b.*\b(apparmor|auditd|fail2ban|clamav\S*|falco)\b"),
                command(&["aa-teardown", "aa-disable"], &[]),
                line(&["sysctl"], r"kernel\.(randomize_va_space|kptr_restrict|yama\.ptrace_scope) *= *0|kernel\.panic"),
                line(&["swapoff"], r"(^| )-a( |$)"),
                line(&["mount"], r"remount.*\b/( |$)"),
            ]),
        ),
        rule(
            "remote-shell",
            Approve,
            "Opens a shell to another machine",
            "Whoever is at the other end does what they like on this machine, and no rule sees it.",
            "Use ssh with a key of its own, or a job.",
            commands(&[
                writes(r"^/dev/(tcp|udp)/"),
                line(&["bash", "sh", "zsh"], r"/dev/(tcp|udp)/"),
                line(&["nc", "ncat", "netcat"], r"(^| )(-\w*[ec]\w*|--exec|--sh-exec)( |$)"),
                line(&["socat"], r"(?i)\b(exec|system):"),
            ]),
        ),
        rule(
            "keys",
            Warn,
            "Changes who may come in with a key",
            "A key that is added here opens the machine until somebody finds it.",
            "Keep keys where they are managed.",
            commands(&[writes(r"/\.ssh/authorized_keys2?$"), on(&["tee", "cp", "sed"], &[], r"/\.ssh/authorized_keys2?$")]),
        ),
        python(rule(
            "python-deletes",
            Block,
            "Deletes the whole file system",
            "It deletes everything on the machine.",
            "Name the folder that is meant.",
            expression(r"shutil\.rmtree\(\s*r?['\x22]/(\*|\.)?['\x22]"),
        )),
        python(rule(
            "python-deletes-system",
            Approve,
            "Deletes a folder of the system",
            "Without this folder the machine, its users or its services do not work any more.",
            "Name what is meant within the folder, and have a backup of it.",
            expression(
                r"(shutil\.rmtree|os\.removedirs)\(\s*r?['\x22]/(bin|boot|dev|etc|home|lib|lib64|opt|root|sbin|srv|usr|var)/?['\x22]",
            ),
        )),
        python(rule(
            "python-disk",
            Block,
            "Writes to a disk itself",
            "It overwrites partitions and file systems, also those that are in use.",
            "Write to a file.",
            expression(r"open\(\s*r?['\x22]/dev/(sd|hd|vd|xvd|nvme|mmcblk|md|dm-|mapper/)\S*['\x22]\s*,\s*['\x22][wra]?b?\+?[wa]"),
        )),
        python(rule(
            "python-download",
            Approve,
            "Runs what it downloads",
            "Nobody has seen what will run: it is what the other side sends at that moment.",
            "Download to a file, check its SHA-256, then run it.",
            expression(r"\b(exec|eval)\s*\(.{0,80}(urlopen|requests\.get|httpx\.get|urllib)"),
        )),
        rule(
            "unseen-text",
            Warn,
            "Runs text that is computed at run time",
            "What it will be cannot be known before it runs, so no rule has looked at it.",
            "Write the command out, or call a function instead of eval.",
            Pattern::BuiltIn,
        ),
        rule(
            "unseen-command",
            Warn,
            "Runs a command whose name is computed at run time",
            "Which command that is cannot be known before it runs.",
            "Write the command out; for a choice between two, write both.",
            Pattern::BuiltIn,
        ),
        rule(
            "unseen-file",
            Warn,
            "Runs a file that is on the machine",
            "What is in it there is not known here, so no rule has looked at it.",
            "Put the commands into this script, or see to it that only administrators can change the file.",
            Pattern::BuiltIn,
        ),
        rule(
            "unseen-unclosed",
            Warn,
            "A quote or bracket is not closed",
            "The shell runs what stands before it and then stops; what follows was not looked at as commands.",
            "Close it.",
            Pattern::BuiltIn,
        ),
        rule(
            "unseen-too-much",
            Approve,
            "Too long or too deep to be looked at whole",
            "Commands within commands go deeper, or the script is longer, than is followed.",
            "Split the script, or take levels out.",
            Pattern::BuiltIn,
        ),
    ]
}

/// All of them, ready. One that cannot be made ready is left out, which its test does not let happen.
pub(super) fn compiled() -> Vec<Compiled> {
    rules().into_iter().filter_map(|r| Compiled::new(r).ok()).collect()
}
