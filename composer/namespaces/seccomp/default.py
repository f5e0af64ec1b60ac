"""The default seccomp profile: equal in effect to Docker's of 2026, in Docker's own JSON words.

What is not named here fails with EPERM. Left out on purpose, since they reach beyond a container or have
been a way out of one: the mount calls, bpf, perf_event_open, keyctl and its kin, kexec, module loading,
swapon, pivot_root, clock_settime, userfaultfd, io_uring, quotactl, and creating namespaces. Most of them
come back with the capability that the kernel itself asks for.
"""

from __future__ import annotations

from typing import Any, Final

_ALWAYS = """
accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32
clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir
fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr
file_setattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat
get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid
getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom
getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid
gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit
ioctl ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown
lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek
lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat
mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd
msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause
pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl
pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read
readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages
removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max
sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget
semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32
setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32
setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt
set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown
sigaltstack signalfd signalfd4 sigpending sigprocmask sigreturn socketcall socketpair splice stat stat64
statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork
vmsplice wait4 waitid waitpid write writev
lsm_get_self_attr lsm_set_self_attr lsm_list_modules
""".split()

_NAMESPACE_FLAGS = 0x7E020000
_AF_ALG = 38
_AF_VSOCK = 40


def _allow(*names: str, caps: str = "", without: str = "", **more: Any) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": list(names), "action": "SCMP_ACT_ALLOW", **more}
    if caps:
        rule["includes"] = {"caps": [caps]}
    if without:
        rule["excludes"] = {"caps": [without]}
    return rule


def _argument(index: int, operator: str, value: int, other: int = 0) -> dict[str, Any]:
    return {"index": index, "value": value, "valueTwo": other, "op": f"SCMP_CMP_{operator}"}


PROFILE: Final[dict[str, Any]] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "syscalls": [
        _allow(*_ALWAYS),
        _allow("process_vm_readv", "process_vm_writev", "ptrace", includes={"minKernel": "4.8"}),
        # AF_ALG and AF_VSOCK reach the kernel's crypto code and the hypervisor (CVE-2026-31431).
        _allow("socket", args=[_argument(0, "LT", _AF_ALG)]),
        _allow("socket", args=[_argument(0, "EQ", _AF_ALG + 1)]),
        _allow("socket", args=[_argument(0, "GT", _AF_VSOCK)]),
        *(
            _allow("personality", args=[_argument(0, "EQ", persona)])
            for persona in (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
        ),
        _allow("arch_prctl", "modify_ldt", includes={"arches": ["amd64", "x32", "x86"]}),
        _allow(
            "arm_fadvise64_64",
            "arm_sync_file_range",
            "sync_file_range2",
            "breakpoint",
            "cacheflush",
            "set_tls",
            includes={"arches": ["arm", "arm64"]},
        ),
        _allow("open_by_handle_at", caps="CAP_DAC_READ_SEARCH"),
        _allow(
            "bpf",
            "clone",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "open_tree_attr",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "syslog",
            "umount",
            "umount2",
            "unshare",
            "vhangup",
            caps="CAP_SYS_ADMIN",
        ),
        _allow("clone", without="CAP_SYS_ADMIN", args=[_argument(0, "MASKED_EQ", _NAMESPACE_FLAGS, 0)]),
        # libc takes ENOSYS as "old kernel" and falls back to clone, whose flags a filter can read.
        {
            "names": ["clone3"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 38,
            "excludes": {"caps": ["CAP_SYS_ADMIN"]},
        },
        _allow("reboot", caps="CAP_SYS_BOOT"),
        _allow("chroot", caps="CAP_SYS_CHROOT"),
        _allow("delete_module", "init_module", "finit_module", caps="CAP_SYS_MODULE"),
        _allow("acct", caps="CAP_SYS_PACCT"),
        _allow(
            "kcmp",
            "pidfd_getfd",
            "process_madvise",
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
            caps="CAP_SYS_PTRACE",
        ),
        _allow("iopl", "ioperm", caps="CAP_SYS_RAWIO"),
        _allow("settimeofday", "stime", "clock_settime", "clock_settime64", caps="CAP_SYS_TIME"),
        _allow("vhangup", caps="CAP_SYS_TTY_CONFIG"),
        _allow("get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node", caps="CAP_SYS_NICE"),
        _allow("syslog", caps="CAP_SYSLOG"),
        _allow("bpf", caps="CAP_BPF"),
        _allow("perf_event_open", caps="CAP_PERFMON"),
    ],
}
"""Docker's profile format: https://docs.docker.com/engine/security/seccomp/."""
