"""The written list of escapes: docs/isolation.md tells of each what stops it.

Each is a piece of Python that runs in a job, after PRELUDE. It has escaped if it comes to its end. What stops it raises
OSError, with one of the errors that are expected of it: any other may be a fault of the attempt.
"""

from __future__ import annotations

from dataclasses import dataclass

PRELUDE = r"""
import ctypes, errno, os, signal, socket, struct, sys, time
from pathlib import Path
E = os.environ
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(function, *arguments):
    result = function(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
NOTHING = "nothing"
X86 = os.uname().machine == "x86_64"
def syscall(x86, arm, *arguments):
    return call(libc.syscall, x86 if X86 else arm, *arguments)
def want(found):
    if not found:
        raise OSError(0, "there is nothing")
def connect(family, address):
    with socket.socket(family) as sock:
        sock.settimeout(5)
        sock.connect(address)
def writable(path):
    os.close(os.open(path, os.O_WRONLY))
"""


@dataclass(frozen=True)
class Escape:
    name: str
    code: str
    succeeds_outside: bool = False
    """Whether it can be shown to work, and does no harm, in a job of root that is not isolated."""


PROCESSES = [
    Escape("see another job in /proc", "os.stat(f\"/proc/{E['VICTIM']}/stat\")", True),
    Escape(
        "find another job by its command line",
        'want([p for p in os.listdir("/proc") if p.isdigit() and E["MARK"].encode() in '
        'Path("/proc", p, "cmdline").read_bytes().replace(sys.argv[0].encode(), b"")])',
    ),
    Escape("signal another job", 'os.kill(int(E["VICTIM"]), 0)', True),
    Escape("signal the server", 'os.kill(int(E["SERVER"]), 0)', True),
    Escape("open a pidfd of another job", 'os.pidfd_open(int(E["VICTIM"]))', True),
    Escape("trace another job", 'syscall(101, 117, 0x4206, int(E["VICTIM"]), 0, 0)', True),
    Escape("trace init", "syscall(101, 117, 0x4206, 1, 0, 0)"),
    Escape("be traced", "syscall(101, 117, 0, 0, 0, 0)", True),
    Escape(
        "trace a child, past seccomp",
        "pid = os.fork()\nif not pid: time.sleep(60)\n"
        "try: syscall(101, 117, 0x4206, pid, 0, 0)\nfinally: os.kill(pid, 9)",
        True,
    ),
    Escape(
        "read the memory of another job",
        "b = ctypes.create_string_buffer(8); v = (ctypes.c_size_t * 2)(ctypes.addressof(b), 8)\n"
        'syscall(310, 270, int(E["VICTIM"]), v, 1, v, 1, 0)',
    ),
    Escape("read the memory of init", 'open("/proc/1/mem", "rb").close()'),
    Escape("read the environment of init", 'want(Path("/proc/1/environ").read_bytes() or True)'),
    Escape(
        "find the state directory by the command line of init",
        'want(E["STATE"].encode() in Path("/proc/1/cmdline").read_bytes())',
    ),
    Escape("reach the host's root through init", 'os.listdir("/proc/1/root")'),
    Escape("reach a directory through init", 'os.listdir("/proc/1/cwd")'),
    Escape("overwrite the program of init", 'os.open("/proc/1/exe", os.O_RDONLY)'),
    Escape("take a descriptor of init", 'want([os.readlink(f"/proc/1/fd/{n}") for n in os.listdir("/proc/1/fd")])'),
    Escape(
        "take a descriptor of a child",
        "pid = os.fork()\nif not pid: time.sleep(60)\n"
        "try: syscall(438, 438, os.pidfd_open(pid), 0, 0)\nfinally: os.kill(pid, 9)",
        True,
    ),
    Escape(
        "kill init",
        "os.kill(1, signal.SIGKILL); os.kill(1, signal.SIGTERM); os.kill(1, signal.SIGINT)\n"
        "reader, writer = os.pipe()\n"
        "if not os.fork():\n"
        "    if orphan := os.fork(): os.write(writer, b'%d' % orphan)\n"
        "    os._exit(0)\n"
        "os.wait(); orphan = os.read(reader, 20).decode()\n"
        "while os.path.exists('/proc/' + orphan): time.sleep(0.01)\n"  # init has outlived the signals when it reaps it
        'raise OSError(0, "nothing happened")',
    ),
    Escape(
        "find a descriptor that was left open",
        "import stat\nmodes = {n: os.fstat(int(n)).st_mode for n in os.listdir('/proc/self/fd') if "
        "os.path.exists(f'/proc/self/fd/{n}')}\n"
        "want([n for n, mode in modes.items() if int(n) > 2 or stat.S_ISDIR(mode) or stat.S_ISSOCK(mode)])",
    ),
]

FILES = [
    Escape("read a certificate", 'want(Path(E["SECRET"]).read_bytes())', True),
    Escape("list the directory of certificates", 'want(os.listdir(os.path.dirname(E["SECRET"])))', True),
    Escape("list the state directory", 'want(os.listdir(E["STATE"]))', True),
    Escape(
        "read another job's specification",
        'want(Path(E["VICTIM_DIRECTORY"], "spec.json").read_bytes())',
        True,
    ),
    Escape(
        "ask another job's supervisor",
        "connect_dgram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        'os.chdir(E["VICTIM_DIRECTORY"]); connect_dgram.connect("control.sock")',
        True,
    ),
    Escape(
        "reach the certificate through /proc/self/root",
        'want(Path("/proc/self/root" + E["SECRET"]).read_bytes())',
        True,
    ),
    Escape(
        "reach the certificate from the working directory",
        'want(Path(os.path.relpath(os.path.realpath(E["SECRET"]))).read_bytes())',
        True,
    ),
    Escape(
        "reach the certificate by its handle",
        'raw = bytes.fromhex(E["HANDLE"]); b = ctypes.create_string_buffer(raw, len(raw))\n'
        'mount = os.open(E["OUTSIDE"], os.O_RDONLY)\n'
        "fd = syscall(304, 265, mount, b, os.O_RDONLY)\nwant(os.read(fd, 10))",
        True,
    ),
    Escape(
        "write outside the working directory",
        'Path(E["OUTSIDE"], "x").write_text("x"); os.unlink(E["OUTSIDE"] + "/x")',
        True,
    ),
    Escape("change the mode of a file outside", 'os.chmod(E["OUTSIDE"], 0o777)', True),
    Escape("make a link outside", 'os.symlink("x", E["OUTSIDE"] + "/l"); os.unlink(E["OUTSIDE"] + "/l")', True),
    Escape("write to /etc", 'writable("/etc/passwd")', True),
    Escape("write to /usr", 'Path("/usr/lib/jobworker-escape").touch(); os.unlink("/usr/lib/jobworker-escape")', True),
    Escape("write to /run", 'Path("/run/jobworker-escape").touch(); os.unlink("/run/jobworker-escape")', True),
    Escape("write to /dev", 'Path("/dev/jobworker-escape").touch(); os.unlink("/dev/jobworker-escape")', True),
    Escape("remount the root writable", 'call(libc.mount, None, b"/", None, 0x1020, None)'),
    Escape("mount a tmpfs", 'call(libc.mount, b"t", b"/tmp", b"tmpfs", 0, None)'),
    Escape("uncover the state directory", 'call(libc.umount2, E["STATE"].encode(), 2)'),
    Escape("uncover /proc", 'call(libc.umount2, b"/proc", 2)'),
    Escape("uncover the host's /dev", 'call(libc.umount2, b"/dev", 2)'),
    Escape("copy the mount of the root", 'syscall(428, 428, -100, b"/", 1)', True),
    Escape(
        "make the mounts writable", 'b = struct.pack("=4Q", 0, 1, 0, 0); syscall(442, 442, -100, b"/", 0x8000, b, 32)'
    ),
    Escape("open a filesystem", 'syscall(430, 430, b"tmpfs", 0)', True),
    Escape("change the root", 'os.chroot("/usr")', True),
    Escape("pivot the root", 'syscall(155, 41, b"/", b"/")'),
]

DEVICES_AND_KERNEL = [
    Escape("open the disk", 'os.close(os.open(E["DISK"], os.O_RDONLY))', True),
    Escape(
        "make a disk in the working directory",
        'os.mknod("disk", 0o600 | 0o060000, int(E["DISK_NUMBER"]))\n'
        'try: os.close(os.open("disk", os.O_RDONLY))\nfinally: os.unlink("disk")',
        True,
    ),
    Escape("make a disk in /tmp", 'os.mknod("/tmp/d", 0o600 | 0o060000, int(E["DISK_NUMBER"]))'),
    Escape("open the memory", 'open("/dev/mem", "rb").close()'),
    Escape("open the kernel's log", 'open("/dev/kmsg", "rb").close()', True),
    Escape("read the kernel's log", "b = ctypes.create_string_buffer(100); call(libc.klogctl, 3, b, 100)", True),
    Escape("see terminals of others", 'want([n for n in os.listdir("/dev/pts") if n.isdigit()])'),
    Escape("name a handler of core dumps", 'writable("/proc/sys/kernel/core_pattern")', True),
    Escape("name a loader of modules", 'writable("/proc/sys/kernel/modprobe")'),
    Escape("change a setting of the memory", 'writable("/proc/sys/vm/drop_caches")', True),
    Escape("ask the kernel by sysrq", 'writable("/proc/sysrq-trigger")'),
    Escape("write to /proc/irq or /proc/bus", 'writable("/proc/irq/default_smp_affinity")'),
    Escape("read the kernel's memory", 'want(open("/proc/kcore", "rb").read(4))'),
    Escape("read the addresses of the kernel", 'want(open("/proc/kallsyms").read(100))', True),
    Escape("read the list of keys", 'want(open("/proc/keys").read())'),
    Escape("watch the interrupts of devices", 'want(open("/proc/interrupts").read(100))', True),
    Escape("read the list of timers", 'want(open("/proc/timer_list").read(100))'),
    Escape("read where the kernel's memory is", 'want(open("/proc/vmallocinfo").read(100))'),
    Escape("read what the kernel's memory holds", 'want(open("/proc/slabinfo").read(100))'),
    Escape("read how memory is spread", 'want(open("/proc/pagetypeinfo").read(100))'),
    Escape("read how pages are used", 'want(open("/proc/kpageflags", "rb").read(8))'),
    Escape("read the messages of the kernel", 'want(os.read(os.open("/proc/kmsg", os.O_RDONLY | os.O_NONBLOCK), 1))'),
    Escape("read the firmware's tables", 'want(os.listdir("/sys/firmware"))'),
    Escape("reach security modules", 'want(os.listdir("/sys/kernel/security"))'),
    Escape("trace the kernel", 'want(os.listdir("/sys/kernel/tracing") + os.listdir("/sys/kernel/debug"))'),
    Escape("write to /sys", 'writable("/sys/kernel/profiling")'),
    Escape("name a helper for events", 'writable("/sys/kernel/uevent_helper")'),
    Escape("change a cgroup", 'writable(E["CGROUP"] + "/cgroup.procs")', True),
    Escape(
        "make a cgroup",
        'os.mkdir(E["CGROUP"] + "/jobworker-escape"); os.rmdir(E["CGROUP"] + "/jobworker-escape")',
        True,
    ),
    Escape("name an agent of cgroups", 'writable(E["CGROUP"] + "/release_agent")'),
    Escape("load a module", "syscall(175, 105, b'', 0, b'')"),
    Escape("load a module from a file", "syscall(313, 273, 0, b'', 0)"),
    Escape("load a program into the kernel", "b = ctypes.create_string_buffer(128); syscall(321, 280, 0, b, 128)"),
    Escape(
        "count what the kernel does",
        "b = ctypes.create_string_buffer(struct.pack('=II', 1, 128), 128)\nsyscall(298, 241, b, 0, -1, -1, 0)",
    ),
    Escape("handle page faults", "syscall(323, 282, 0o2000000)", True),
    Escape("use io_uring", "b = ctypes.create_string_buffer(120); syscall(425, 425, 1, b)"),
    Escape("set the clock", "time.clock_settime(time.CLOCK_REALTIME, time.time())"),
    Escape("set the host's name", "socket.sethostname(socket.gethostname())", True),
    Escape("restart the host", "syscall(169, 142, 1, 2, 3, 0)"),
    Escape("load another kernel", "syscall(246, 104, 0, 0, 0, 0)"),
    Escape("use a swap file", "syscall(167, 224, b'/etc/passwd', 0)"),
    Escape("account for processes", "call(libc.acct, None)"),
    Escape("reach keyrings", "syscall(250, 219, 0, -4, 0)", True),
    Escape("add a key", "syscall(248, 217, b'user', b'jobworker-escape', b'x', 1, -2)", True),
]

NETWORK = [
    Escape("connect to a server of the host", 'connect(socket.AF_INET, ("127.0.0.1", int(E["PORT"])))', True),
    Escape("connect to an abstract socket", 'connect(socket.AF_UNIX, "\\0" + E["ABSTRACT"])', True),
    Escape("connect to a socket in /run", 'connect(socket.AF_UNIX, E["RUN_SOCKET"])', True),
    Escape("leave the host's interfaces up", 'want([n for _, n in socket.if_nameindex() if n != "lo"])'),
    Escape("talk to the hypervisor", "socket.socket(40, socket.SOCK_STREAM)"),
    Escape("use the kernel's ciphers", "socket.socket(38, socket.SOCK_SEQPACKET)"),
    Escape("send raw packets", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", True),
    Escape("see shared memory of the host", 'call(libc.shmget, int(E["SHM_KEY"]), 0, 0)', True),
]

PRIVILEGES = [
    Escape("make a user namespace", "call(libc.unshare, 0x10000000)", True),
    Escape("make a mount namespace", "call(libc.unshare, 0x20000)", True),
    Escape(
        "make a user namespace with clone",
        "pid = syscall(56, 220, 0x10000011, 0, 0, 0, 0)\nif not pid: os._exit(0)",
        True,
    ),
    Escape(
        "make a user namespace with clone3",
        "b = struct.pack('=11Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)\n"
        "pid = syscall(435, 435, b, len(b))\nif not pid: os._exit(0)",
        True,
    ),
    Escape("enter init's namespaces", 'syscall(308, 268, os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)'),
    Escape(
        "take capabilities back",
        "h = struct.pack('=Ii', 0x20080522, 0); syscall(126, 91, h, struct.pack('=6I', 1, 1, 0, 0, 0, 0))",
        True,
    ),
    Escape("become another user", "os.setresuid(1, 1, 1)", True),
    Escape("give a file away", "Path('f').touch(); os.chown('f', 1, 1)", True),
    Escape("run with the real-time scheduler", "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))", True),
    Escape(
        "raise a hard limit",
        "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "try: resource.setrlimit(resource.RLIMIT_CORE, (1, 1))\nexcept ValueError: raise OSError(1, 'refused')",
    ),
    Escape("be spared when memory runs out", 'Path("/proc/self/oom_score_adj").write_text("-1000")'),
    Escape("undo no_new_privs", "call(libc.prctl, 38, 0, 0, 0, 0)"),
    Escape("undo seccomp", "call(libc.prctl, 22, 0, 0, 0, 0)"),
    Escape("call as x32", "want(syscall(0x40000000 + 39, 172) > 1 if X86 else 0)"),
    Escape("make a setuid program", 'Path("s").touch(0o755); os.chmod("s", 0o4755)', True),
    Escape(
        "make an open file a setuid program", 'os.fchmod(os.open("s", os.O_RDWR | os.O_CREAT, 0o700), 0o4755)', True
    ),
    Escape("begin a setuid program", 'os.close(os.open("n", os.O_WRONLY | os.O_CREAT, 0o4755)); os.unlink("n")', True),
    Escape(
        "begin a setuid program without a name",
        'os.close(os.open(".", os.O_WRONLY | os.O_TMPFILE, 0o4755))',
        True,
    ),
    Escape(
        "begin a setuid program with openat2",
        "b = struct.pack('=3Q', os.O_WRONLY | os.O_CREAT, 0o4755, 0)\n"
        "os.close(syscall(437, 437, -100, b'o', b, len(b))); os.unlink('o')",
        True,
    ),
    Escape("make a program of a group of its own", 'Path("g").touch(0o755); os.chmod("g", 0o2755)', True),
    Escape("set a strange personality", "syscall(135, 92, 0x0400000)", True),
]

ESCAPES = [*PROCESSES, *FILES, *DEVICES_AND_KERNEL, *NETWORK, *PRIVILEGES]

_HELD_BY = {
    "EROFS": {
        "ask the kernel by sysrq",
        "change a cgroup",
        "change a setting of the memory",
        "change the mode of a file outside",
        "make a cgroup",
        "make a disk in /tmp",
        "make a link outside",
        "name a handler of core dumps",
        "name a helper for events",
        "name a loader of modules",
        "name an agent of cgroups",
        "write outside the working directory",
        "write to /dev",
        "write to /etc",
        "write to /proc/irq or /proc/bus",
        "write to /run",
        "write to /sys",
        "write to /usr",
    },
    "ENOENT": {
        "ask another job's supervisor",
        "ask the kernel by sysrq",
        "connect to a socket in /run",
        "name a helper for events",
        "name a loader of modules",
        "name an agent of cgroups",
        "open the disk",
        "open the kernel's log",
        "open the memory",
        "reach security modules",
        "reach the certificate from the working directory",
        "reach the certificate through /proc/self/root",
        "read a certificate",
        "read another job's specification",
        "read how memory is spread",
        "read how pages are used",
        "read the addresses of the kernel",
        "read the firmware's tables",
        "read the kernel's memory",
        "read the list of keys",
        "read the list of timers",
        "read the messages of the kernel",
        "read what the kernel's memory holds",
        "read where the kernel's memory is",
        "see another job in /proc",
        "see shared memory of the host",
        "trace the kernel",
        "watch the interrupts of devices",
        "write to /proc/irq or /proc/bus",
        "write to /sys",
    },
    "nothing": {
        "call as x32",
        "find a descriptor that was left open",
        "find another job by its command line",
        "find the state directory by the command line of init",
        "kill init",
        "leave the host's interfaces up",
        "list the directory of certificates",
        "list the state directory",
        "reach security modules",
        "read how memory is spread",
        "read how pages are used",
        "read the addresses of the kernel",
        "read the firmware's tables",
        "read the kernel's memory",
        "read the list of keys",
        "read the list of timers",
        "read the messages of the kernel",
        "read what the kernel's memory holds",
        "read where the kernel's memory is",
        "see terminals of others",
        "trace the kernel",
        "watch the interrupts of devices",
    },
    "ESRCH": {
        "open a pidfd of another job",
        "signal another job",
        "signal the server",
    },
    "ECONNREFUSED": {
        "connect to a server of the host",
        "connect to an abstract socket",
    },
    "EAFNOSUPPORT": {
        "talk to the hypervisor",
        "use the kernel's ciphers",
    },
    "EINVAL": {
        "become another user",
        "give a file away",
        "undo no_new_privs",
        "undo seccomp",
    },
    "ENOSYS": {
        "begin a setuid program with openat2",
        "call as x32",
        "make a user namespace with clone3",
    },
}
"""What else than EPERM and EACCES may stop which; ``nothing``: there is nothing to be had."""


def held_by(escape: Escape) -> set[str]:
    """The errors that may stop it."""
    return {"EPERM", "EACCES", *(error for error, names in _HELD_BY.items() if escape.name in names)}
