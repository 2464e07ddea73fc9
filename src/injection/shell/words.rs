//! The commands that a separator or a substitution makes an attack.

use super::super::bytes::Words;

/// Most commands: first those that are no words of prose, [`STRONG`] of them.
pub(super) const COMMANDS: Words = Words::new(&ALL);
/// How many are no words of prose.
pub(super) const STRONG: usize = STRONG_WORDS.len();
/// More that are no words of prose: what runs a system, and what PowerShell calls its own.
pub(super) const TOOLS: Words = Words::new(TOOL_WORDS);
/// Words of a shell's grammar, which run the command behind them and are nothing by themselves.
pub(super) const PREFIXES: &[&[u8]] =
    &[b"builtin", b"command", b"coproc", b"do", b"else", b"eval", b"for", b"if", b"then", b"until", b"while"];

/// For each first letter, which lengths its commands have, and which letters follow it in the upper half; all, where a
/// command ends with it.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
pub(super) const BEGINNINGS: [u64; 32] = {
    let mut beginnings = [0; 32];
    let count = ALL.len() + TOOL_WORDS.len() + PREFIXES.len();
    let mut i = 0;
    while i < count {
        let word = if i < ALL.len() {
            ALL[i].as_bytes()
        } else if i < count - PREFIXES.len() {
            TOOL_WORDS[i - ALL.len()].as_bytes()
        } else {
            PREFIXES[i + PREFIXES.len() - count]
        };
        let second = if word.len() > 1 { 1 << (word[1] & 31) } else { u32::MAX };
        assert!(word.len() < 32);
        beginnings[(word[0] & 31) as usize] |= (second as u64) << 32 | 1 << word.len();
        i += 1;
    }
    beginnings
};

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const ALL: [&str; STRONG + WEAK_WORDS.len()] = {
    let mut all = [""; STRONG + WEAK_WORDS.len()];
    let mut i = 0;
    while i < all.len() {
        all[i] = if i < STRONG { STRONG_WORDS[i] } else { WEAK_WORDS[i - STRONG] };
        i += 1;
    }
    all
};

const STRONG_WORDS: &[&str] = &[
    "apt-get",
    "awk",
    "base32",
    "base64",
    "bash",
    "busybox",
    "certutil",
    "chmod",
    "chown",
    "chsh",
    "cmd",
    "cmd.exe",
    "cmdkey",
    "cpulimit",
    "crontab",
    "cscript",
    "csh",
    "curl",
    "dash",
    "dir",
    "dnsdomainname",
    "dpkg",
    "dscl",
    "egrep",
    "fgrep",
    "fping",
    "ftp",
    "gawk",
    "gcc",
    "gdb",
    "getent",
    "gpg",
    "grep",
    "gunzip",
    "gzip",
    "hexdump",
    "hostname",
    "iconv",
    "ifconfig",
    "ifdown",
    "ifup",
    "insmod",
    "ipconfig",
    "iptables",
    "irb",
    "ksh",
    "lastlog",
    "ldd",
    "ls",
    "lsattr",
    "lsb_release",
    "lscpu",
    "lsmod",
    "lsof",
    "mkfifo",
    "mshta",
    "mysql",
    "mysqldump",
    "nano",
    "nc",
    "nc.exe",
    "nc.traditional",
    "ncat",
    "net1",
    "netcat",
    "netsh",
    "netstat",
    "nmap",
    "nohup",
    "nslookup",
    "openssl",
    "passwd",
    "perl",
    "phpinfo",
    "ping6",
    "pkexec",
    "popd",
    "powershell",
    "powershell.exe",
    "printenv",
    "printf",
    "ps",
    "psql",
    "pwd",
    "pwsh",
    "python",
    "python2",
    "python3",
    "regedit",
    "regsvr32",
    "rmdir",
    "rsync",
    "ruby",
    "rundll32",
    "rwinsta",
    "scp",
    "sed",
    "sestatus",
    "sftp",
    "sh",
    "shasum",
    "socat",
    "sqlplus",
    "ssh",
    "ssh-copy-id",
    "sshd",
    "strace",
    "sudo",
    "sysinfo",
    "systeminfo",
    "tac",
    "taskkill",
    "tasklist",
    "tclsh",
    "tcpdump",
    "tcsh",
    "telnet",
    "tftp",
    "traceroute",
    "tracert",
    "uname",
    "uniq",
    "unzip",
    "useradd",
    "usermod",
    "vim",
    "visudo",
    "vmstat",
    "wget",
    "whoami",
    "wmic",
    "wscript",
    "xargs",
    "xterm",
    "xxd",
    "zcat",
    "zip",
    "zsh",
];

const TOOL_WORDS: &[&str] = &[
    "adduser",
    "aria2c",
    "bitsadmin",
    "blkid",
    "chattr",
    "chgrp",
    "chroot",
    "compgen",
    "dmesg",
    "doas",
    "docker",
    "fdisk",
    "gci",
    "get-childitem",
    "get-content",
    "get-process",
    "getfacl",
    "iex",
    "installutil",
    "invoke-command",
    "invoke-expression",
    "invoke-restmethod",
    "invoke-webrequest",
    "iwr",
    "journalctl",
    "killall",
    "kubectl",
    "lsblk",
    "ltrace",
    "lwp-download",
    "mapfile",
    "modprobe",
    "msiexec",
    "new-object",
    "nproc",
    "nsenter",
    "pkill",
    "poweroff",
    "redis-cli",
    "remove-item",
    "schtasks",
    "set-content",
    "setfacl",
    "setsid",
    "start-process",
    "start-sleep",
    "stdbuf",
    "sysctl",
    "systemctl",
    "unshare",
    "vssadmin",
    "wevtutil",
];

/// Commands that prose knows as words.
const WEAK_WORDS: &[&str] = &[
    "alias", "aptitude", "arch", "at", "attrib", "cat", "cd", "column", "comm", "copy", "cp", "cut", "date", "dd",
    "del", "df", "diff", "dig", "du", "echo", "ed", "env", "erase", "ex", "exec", "export", "false", "file", "find",
    "finger", "fmt", "fold", "free", "go", "groups", "head", "history", "host", "id", "ifs", "install", "ip", "java",
    "join", "kill", "last", "less", "ln", "locate", "logname", "lua", "mail", "make", "man", "md", "mkdir", "more",
    "mount", "move", "mv", "net", "nice", "nl", "node", "od", "paste", "php", "ping", "pkg", "pr", "reboot", "reg",
    "ren", "rev", "rm", "route", "sc", "set", "shutdown", "sleep", "sort", "source", "split", "start", "stat",
    "strings", "stty", "su", "tail", "tar", "tee", "test", "time", "timeout", "top", "touch", "tr", "tree", "true",
    "tty", "type", "ulimit", "umount", "uptime", "users", "ver", "vi", "view", "w", "watch", "wc", "whereis", "which",
    "who", "xdg-open", "yes", "yum",
];
