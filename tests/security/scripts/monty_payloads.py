"""Escapes, bombs and attempts at exhaustion for the sandboxed interpreter; parted by lines of dashes.

Each is written so that it gives a value if it succeeds: any value at all is a hole.
"""

PAYLOADS = r"""
().__class__.__bases__[0].__subclasses__()
---
''.__class__.__mro__[1].__subclasses__()
---
class A:
    pass
A.__mro__[-1].__subclasses__()
---
class A:
    pass
A.__init__.__globals__
---
class A:
    def f(self):
        return 1
A().f.__func__.__globals__
---
def f():
    return 1
f.__globals__
---
def f():
    return 1
f.__code__.co_code
---
def f():
    return 1
f.__closure__
---
def f():
    return 1
f.__builtins__
---
try:
    1 / 0
except ZeroDivisionError as error:
    frame = error.__traceback__.tb_frame
frame.f_globals
---
try:
    1 / 0
except Exception as error:
    result = error.__traceback__.tb_frame.f_back.f_back
result.f_locals
---
import sys
sys._getframe(1).f_globals
---
import sys
sys.modules['os'].system('id')
---
import sys
sys.settrace(print)
1
---
(x for x in [1]).gi_frame.f_back.f_globals
---
async def f():
    return 1
f().cr_frame.f_back.f_globals
---
'{0.__class__.__mro__}'.format(1)
---
'{0.__init__.__globals__}'.format(input)
---
'{a.__class__.__base__}'.format_map({'a': 1})
---
f'{().__class__.__bases__[0].__subclasses__()}'
---
'%(__class__)s' % input
---
__import__('os').system('id')
---
__import__('subprocess').check_output('id')
---
__builtins__['open']('/etc/passwd').read()
---
__builtins__.__import__('socket')
---
__loader__.load_module('os')
---
__spec__.loader.load_module('socket')
---
eval('__import__("os").environ')
---
exec('import socket')
1
---
exec('import os\nresult = os.environ["PATH"]')
result
---
compile('1', '', 'eval').co_consts
---
globals()['__builtins__']['open']
---
getattr(getattr('', '__class__'), '__subclasses__')
---
getattr((), '__cl' + 'ass__').__base__.__subclasses__()
---
type(type)('X', (), {})
---
object.__subclasses__()
---
import socket
socket.create_connection(('127.0.0.1', 22))
1
---
import subprocess
subprocess.run(['id'])
1
---
import ctypes
ctypes.CDLL(None).getpid()
---
import multiprocessing
multiprocessing.Process
1
---
import threading
threading.Thread
1
---
import importlib
importlib.import_module('os')
1
---
import inspect
inspect.currentframe()
1
---
import gc
gc.get_objects()
1
---
import builtins
builtins.open
1
---
import pickle
pickle.loads(b"cos\nsystem\n(S'id'\ntR.")
1
---
import marshal
1
---
import os
os.environ['PATH']
---
import os
os.environ.get('HOME')
---
import os
os.getenv('PATH')
---
import os
os.system('id')
---
import os
os.fork()
---
import os
os.kill(1, 0)
1
---
import os
os.listdir('/')
---
import os
os.open('/etc/passwd', 0)
---
import os
os.remove('/tmp/x')
1
---
import os
os.mkdir('/tmp/sf-escape')
1
---
import os
os.stat('/etc/passwd').st_size
---
import os
os.path.exists('/etc/passwd')
---
import os
os.execv('/bin/sh', ['sh'])
1
---
import os
os.symlink('/etc/passwd', '/tmp/sf-link')
1
---
open('/etc/passwd').read()
---
open('/proc/self/environ', 'rb').read()
---
open('/proc/1/environ').read()
---
open('/dev/stdin').read()
---
open('/tmp/sf-escape', 'w').write('x')
---
from pathlib import Path
Path('/etc/passwd').read_text()
---
from pathlib import Path
Path('/tmp/sf-escape').write_text('x')
1
---
from pathlib import Path
[str(p) for p in Path('/').iterdir()]
---
from pathlib import Path
Path('/etc/passwd').exists()
---
from pathlib import Path
Path.home().exists()
---
import asyncio
asyncio.run(asyncio.create_subprocess_exec('id'))
1
---
import asyncio
async def f():
    return await asyncio.open_connection('127.0.0.1', 22)
asyncio.run(f())
1
---
import time
time.sleep(30)
1
---
import asyncio
async def f():
    await asyncio.sleep(30)
    return 1
asyncio.run(f())
---
while True:
    pass
---
try:
    while True:
        pass
except BaseException:
    result = 1
---
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
---
for x in range(10 ** 18):
    pass
1
---
sum(range(10 ** 15))
---
max(range(10 ** 12))
---
[0 for _ in range(10 ** 12)]
---
list(range(10 ** 9))
1
---
sorted(range(10 ** 9))
1
---
x = 'a'
while True:
    x += x
---
x = []
while True:
    x.append('y' * 1000)
---
x = []
while True:
    try:
        x.append(' ' * 10 ** 6)
    except MemoryError:
        x.append(1)
---
x = {}
while True:
    x[len(x)] = str(len(x)) * 10
---
'a' * 10 ** 10
---
[0] * 10 ** 10
---
b'a' * 10 ** 10
---
bytes(10 ** 10)
1
---
'{:>999999999}'.format(1)
---
f'{1:>999999999}'
---
'%999999999d' % 1
---
'a'.ljust(10 ** 10)
---
'ab'.replace('', 'x' * 10 ** 8)
---
9 ** 9 ** 9 ** 9
---
x = 10 ** 10 ** 7
str(x)
---
1 << 10 ** 11
---
pow(3, 10 ** 10)
---
x = 3
while True:
    x = x * x
---
int('9' * 10 ** 6)
---
import math
math.factorial(10 ** 8)
---
from decimal import Decimal
Decimal(10) ** Decimal(10 ** 12) + Decimal(1)
result = [Decimal(1) for _ in range(10 ** 12)]
---
import itertools
list(itertools.product(range(1000), repeat=9))
1
---
import itertools
sum(itertools.repeat(1))
---
import functools
functools.reduce(lambda a, b: a + a, range(1000), 'x' * 1000)
1
---
def f():
    return f()
f()
---
def f(n):
    return [f(n + 1)]
f(0)
---
class A:
    def __repr__(self):
        return repr(self)
repr(A())
---
class A:
    def __eq__(self, other):
        return self == other
A() == A()
---
class A:
    def __getattr__(self, name):
        return getattr(self, name + 'x')
A().y
---
x = []
x.append(x)
x
---
x = {}
x['x'] = x
x
---
x = []
for _ in range(100000):
    x = [x]
x
---
x = [0]
for _ in range(64):
    x = [x, x]
x
---
x = []
for _ in range(1000):
    x = [x]
x == x and repr(x) and x
---
import json
json.loads('[' * 100000 + ']' * 100000)
1
---
import json
json.dumps(json)
---
import re
re.match(r'(a|a)*(b|b)*c\1\2', 'ab' * 5000 + 'd').group(0)
---
import re
re.compile('(' * 50000 + ')' * 50000)
1
---
while True:
    print('x' * 10000)
---
while True:
    print()
---
import sys
while True:
    print('y' * 1000, file=sys.stderr)
---
float('nan')
---
float('inf')
---
2 ** 64
---
10 ** 5000
---
{1, 2}
---
lambda: 1
---
open
---
class A:
    pass
A()
---
import os
os
---
_sf_dumps
---
_sf_result
---
class Fake(str):
    def __len__(self):
        return 0
Fake('x' * 10 ** 9)
---
import hashlib
while True:
    hashlib.sha256(b'x' * 10 ** 6)
---
import base64
base64.b64encode(b'x' * 10 ** 9)
1
---
import csv
list(csv.reader('"' * 10 ** 7 for _ in range(10 ** 6)))
1
---
import datetime
[datetime.datetime.now() for _ in range(10 ** 10)]
1
---
import random
random.choices(range(10), k=10 ** 10)
1
---
from collections import deque
deque(range(10 ** 10))
1
---
from dataclasses import dataclass
@dataclass
class A:
    x: object
a = A(None)
a.x = a
repr(a) and a
---
del input
---
def g():
    yield 1
g().gi_frame
"""
