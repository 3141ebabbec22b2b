"""Escapes, bombs and attempts at exhaustion for the isolated Python; parted by lines of dashes.

Each gives a value only if it reached something outside or kept more than its share: any value at all is a hole.
"""

SYSTEM_CALLS = """
acct add_key bpf chroot clock_settime clone3 delete_module execveat fanotify_init finit_module fork fsopen init_module
inotify_init io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_load keyctl
landlock_create_ruleset memfd_create memfd_secret mknod mlockall modify_ldt mount move_mount mq_open msgget
name_to_handle_at open_by_handle_at open_tree perf_event_open personality pidfd_getfd pidfd_open pivot_root
process_vm_readv process_vm_writev ptrace quotactl reboot recvmsg request_key seccomp semget sendmsg sethostname setns
settimeofday shmget socket splice swapon syslog tee umount2 unshare userfaultfd vfork vmsplice
"""
"""Each of these must not even reach the kernel's own checks."""

CALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(ctypes.c_long(NUMBER), 0, 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() not in (1, 38):
    result = ['NAME', os.strerror(ctypes.get_errno())]
else:
    raise PermissionError('NAME')
"""

PAYLOADS = r"""
open('/etc/passwd').read()
---
open('/etc/shadow').read()
---
open('/proc/1/environ').read()
---
open('/proc/self/environ').read()
---
open('/proc/1/root/etc/passwd').read()
---
open('/proc/self/root/etc/hostname').read()
---
import os
os.listdir('/proc')
---
import os
os.listdir('/sys/fs/cgroup')
---
import os
os.listdir('/oldroot') + os.listdir('/newroot')
---
import os
os.listdir('/home')
---
import os
os.listdir('/run')
---
import os
os.environ['PATH']
---
import os
[name for name in os.environ if name.startswith('STRUCTFORGE')][0]
---
import engine.settings
engine.settings.load_settings().data_dir
---
import sys
sys.path.append(__import__('os').path.join(sys.prefix, 'lib', 'python%d.%d' % sys.version_info[:2], 'site-packages'))
import pydantic
pydantic.VERSION
---
import sys, os
folders = [os.path.dirname(os.__file__) + '/site-packages', '/usr/lib/python3/dist-packages']
[os.listdir(folder)[0] for folder in folders]
---
[c for c in ().__class__.__bases__[0].__subclasses__() if c.__name__ == 'Popen'][0](['/bin/sh', '-c', 'id'])
1
---
import inspect
[f.frame.f_globals['Settings'] for f in inspect.stack()][0]
1
---
import gc
[o for o in gc.get_objects() if type(o).__module__.startswith('engine.')][0]
1
---
import os
os.system('id') == 0 or 1 / 0
---
import subprocess
subprocess.check_output(['/bin/sh', '-c', 'id'])
1
---
import subprocess, sys
subprocess.check_output([sys.executable, '-c', 'print(1)'])
1
---
import os
os.execv('/bin/sh', ['sh', '-c', 'id'])
---
import os, sys
os.execv(sys.executable, ['python', '-c', 'while True: pass'])
---
import os
while True:
    os.fork()
---
import os
pid = os.posix_spawn('/bin/true', ['true'], {})
pid
---
import multiprocessing
p = multiprocessing.get_context('fork').Process(target=print)
p.start()
1
---
import threading, time
threads = [threading.Thread(target=time.sleep, args=(9,), daemon=True) for _ in range(1000)]
threading.stack_size(32768)
for thread in threads:
    thread.start()
len(threads)
---
import threading
def spin():
    while True:
        pass
for _ in range(8):
    threading.Thread(target=spin, daemon=True).start()
while True:
    pass
---
while True:
    pass
---
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    pass
---
try:
    while True:
        pass
except BaseException:
    result = 1
---
import os, time
os.close(0)
os.close(1)
os.close(2)
time.sleep(60)
1
---
import os
os.closerange(0, 256)
while True:
    pass
---
import time
time.sleep(60)
1
---
sum(range(10 ** 15))
---
9 ** 9 ** 9 ** 9
---
str(10 ** (10 ** 7))
---
import re
re.match('(a+)+$', 'a' * 60 + 'b')
1
---
x = []
while True:
    x.append(' ' * 10 ** 6)
---
x = []
while True:
    try:
        x.append(bytearray(10 ** 6))
    except MemoryError:
        pass
---
x = bytearray(10 ** 10)
1
---
import mmap
maps = []
while True:
    maps.append(mmap.mmap(-1, 1 << 20))
    maps[-1].write(b'x' * (1 << 20))
---
import mmap
m = mmap.mmap(-1, 1 << 40)
1
---
import ctypes
buffers = []
while True:
    buffers.append(ctypes.create_string_buffer(1 << 20))
---
import sys
sys.setrecursionlimit(10 ** 9)
def f():
    return f()
f()
---
import sys
sys.setrecursionlimit(10 ** 9)
x = []
for _ in range(10 ** 6):
    x = [x]
repr(x)
---
import ctypes
ctypes.string_at(0)
---
import ctypes
ctypes.memset(id(1), 0, 1 << 20)
1
---
while True:
    print('x' * 100000)
---
import os
while True:
    os.write(2, b'y' * 65536)
---
import os, sys
while True:
    for n in range(3, 64):
        try:
            os.write(n, b'z' * 65536)
        except OSError:
            pass
---
'x' * (11 * 10 ** 6)
---
x = []
for _ in range(1000):
    x = [x]
x
---
x = []
x.append(x)
x
---
x = [0]
for _ in range(64):
    x = [x, x]
x
---
float('nan')
---
10 ** 4000
---
2 ** 63
---
class A:
    def __str__(self):
        while True:
            pass
raise type('E', (Exception,), {'__str__': A.__str__})()
---
with open('/tmp/fill', 'wb') as file:
    while True:
        file.write(b'x' * 65536)
---
for n in range(10 ** 9):
    with open(f'/tmp/{n}', 'wb') as file:
        file.write(b'x' * 4096)
---
for n in range(10 ** 9):
    open(f'/tmp/{n}', 'w').close()
---
import os
for n in range(10 ** 9):
    os.mkdir(f'/tmp/{n}')
---
import os
open('/tmp/0', 'w').close()
for n in range(10 ** 9):
    os.symlink('x' * 4000, f'/tmp/l{n}')
---
import os
path = '/tmp'
while True:
    path += '/d'
    os.mkdir(path)
---
with open('/dev/shm/fill', 'wb') as file:
    while True:
        file.write(b'x' * 65536)
---
from multiprocessing import shared_memory
shared_memory.SharedMemory(create=True, size=10 ** 6).size
---
open('/fill', 'w').write('x')
---
import os
open(os.__file__, 'a').write('x')
---
import sys
open(sys.executable, 'r+b').write(b'x')
---
import os
os.remove(os.__file__)
1
---
open('/dev/fill', 'w').write('x')
---
import os
os.truncate('/tmp/../tmp/big', 1)
1
---
with open('/tmp/sparse', 'wb') as file:
    file.seek(1 << 40)
    file.write(b'x')
1
---
import os
os.posix_fallocate(os.open('/tmp/big', os.O_CREAT | os.O_RDWR), 0, 1 << 30)
1
---
import os
files = []
while True:
    files.append(os.open('/dev/null', 0))
---
import os
while True:
    os.pipe()
---
import socket
pairs = []
while True:
    pairs.append(socket.socketpair())
---
import socket
socket.create_connection(('127.0.0.1', 22), 1)
1
---
import socket
socket.create_connection(('169.254.169.254', 80), 1)
1
---
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))
---
import socket
s = socket.socket(socket.AF_UNIX)
s.connect('/run/dbus/system_bus_socket')
1
---
import socket
s = socket.socket(socket.AF_UNIX)
s.bind('\0abstract')
1
---
import socket
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).fileno()
---
import socket
socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno()
---
import socket
socket.socket(40, socket.SOCK_STREAM).fileno()
---
import socket
socket.socketpair(socket.AF_INET)[0].fileno()
---
import socket, array
a, b = socket.socketpair()
a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0]))])
---
import socket
socket.getaddrinfo('example.com', 80)
1
---
import urllib.request
urllib.request.urlopen('http://127.0.0.1:8400/', timeout=1).status
---
import os
os.kill(-1, 9)
1
---
import os, time
os.kill(os.getppid(), 9)
time.sleep(0.1)
os.kill(os.getppid(), 0)
raise RuntimeError('it lives')
---
import os, time
os.kill(1, 15)
time.sleep(0.1)
raise RuntimeError('it lives')
---
import os
alive = []
for pid in range(3, 50000):
    try:
        os.kill(pid, 0)
        alive.append(pid)
    except (ProcessLookupError, PermissionError):
        pass
alive[0]
---
import os
os.setuid(0)
1
---
import os
os.setresuid(0, 0, 0)
1
---
import os
os.setgid(0)
1
---
import os
os.setgroups([0])
1
---
import resource
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
1
---
import resource
resource.setrlimit(resource.RLIMIT_CPU, (3600, 3600))
1
---
import resource
resource.setrlimit(resource.RLIMIT_NPROC, (10000, 10000))
1
---
import os
before = os.nice(0)
os.nice(-5)
1 if os.nice(0) < before else 1 / 0
---
import os
os.chroot('/tmp')
1
---
import os
os.mknod('/tmp/disk', 0o60666, os.makedev(8, 0))
open('/tmp/disk', 'rb').read(1)
1
---
import os
os.symlink('/../../etc/passwd', '/tmp/link')
open('/tmp/link').read()
---
import os
os.symlink('/proc/1/root', '/tmp/link')
os.listdir('/tmp/link')
---
import os
folder = os.open('/', os.O_RDONLY)
for _ in range(20):
    folder = os.open('..', os.O_RDONLY, dir_fd=folder)
os.open('etc/passwd', os.O_RDONLY, dir_fd=folder)
---
import os
os.chmod('/tmp/..', 0o777)
1
---
import fcntl
fcntl.ioctl(0, 0x5412, b'i')
1
---
import fcntl, os
fcntl.ioctl(os.open('/dev/urandom', os.O_RDWR), 0x40045201, b'xxxx')
1
---
import os
os.open('/dev/tty', os.O_RDWR)
---
import os
os.open('/dev/mem', os.O_RDONLY)
---
import os
os.open('/dev/kmsg', os.O_RDONLY)
---
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000) != 0:
    raise PermissionError('unshare')
1
---
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) != 0:
    raise PermissionError('mount')
1
---
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(22, 0, 0, 0, 0) != 0:
    raise PermissionError('the filter stays')
1
---
import sqlite3
d = sqlite3.connect(':memory:')
d.enable_load_extension(True)
d.load_extension('/tmp/x.so')
1
---
import pickle
pickle.loads(b"cposix\nsystem\n(S'id > /etc/pwned'\ntR.") == 0 or 1 / 0
---
import builtins, json, os
json.dumps = lambda *a, **k: open('/etc/passwd').read()
{1}
---
import sys
sys.modules['json'].dumps = None
sys.stdout = None
[1, {2}]
---
import atexit, os
atexit.register(lambda: os.write(1, b'x' * 10))
raise SystemExit(9)
---
import faulthandler
faulthandler._sigsegv()
---
import ctypes
import os
libc = ctypes.CDLL(None, use_errno=True)
if libc.timer_create(0, None, ctypes.byref(ctypes.c_void_p())) == 0:
    result = 1
else:
    raise OSError('timer')
"""
