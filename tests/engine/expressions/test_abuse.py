"""Hostile expressions: every one ends in EXPRESSION_ERROR, in time, and the evaluator goes on."""

import time

import pytest

from engine.errors import EXPRESSION_ERROR, NodeError
from engine.expressions import Evaluator, Request, compile_expression

PAYLOADS = """
().__class__
().__class__.__bases__[0].__subclasses__()
''.__class__.__mro__[1].__subclasses__()
input.s.__class__.__init__.__globals__
(lambda: 0).__globals__
(lambda: 0).__code__
(lambda: 0).__closure__
[].append.__self__
{}.__class__()
input.s.__class__()
input.__class__.__base__
len.__self__
len.__module__
print.__self__
(x for x in []).gi_frame.f_back.f_globals
(x for x in [1]).gi_code
(lambda: (yield 1))()
'{0.__class__}'.format(1)
'{0.__class__.__mro__}'.format(input)
'{a.__init__.__globals__}'.format_map(input)
f'{().__class__}'
__import__('os').system('id')
__import__('subprocess').run('id')
__builtins__
__builtins__['open']('/etc/passwd')
__loader__.load_module('os')
__spec__.loader
__name__.__class__()
__debug__.__class__
globals()
locals()
vars()['x']
dir()
eval('1+1')
eval('__import__("os")')
exec('import os')
compile('1', '', 'eval')
open('/etc/passwd').read()
open('/proc/self/environ')
input('?')
breakpoint()
exit()
quit()
help()
getattr('', 'join')
getattr(input, '__class__')
setattr(input, 'a', 1)
delattr(input, 'a')
hasattr(1, '__class__')
type('X', (), {})()
type(1).__subclasses__()
super().__init__()
object()
memoryview(b'a')
id(input)
hash('a')
print('x')
import os
from os import system
os.environ
sys.modules
subprocess.run('id')
time.time()
datetime.now()
datetime.datetime.utcnow()
random.random()
uuid.uuid4()
time.sleep(10)
asyncio.sleep(10)
sum(range(10 ** 12))
[0 for _ in range(10 ** 12)]
[x for x in iter(int, 1)]
list(range(10 ** 9))
max(range(10 ** 10))
(lambda f: f(f))(lambda f: f(f))
(lambda f, n: f(f, n))(lambda f, n: f(f, n + 1), 0)
all(True for _ in range(10 ** 12))
10 ** 10 ** 8
9 ** 9 ** 9 ** 9
2 ** (2 ** 40)
1 << 10 ** 10
'a' * 10 ** 10
[0] * 10 ** 10
(0,) * 10 ** 10
b'a' * 10 ** 10
'{:>999999999}'.format(1)
'%999999999d' % 1
f'{1:>999999999}'
'a'.ljust(10 ** 10)
'ab'.replace('', 'x' * 10 ** 8)
','.join('a' * 10 ** 8 for _ in range(10))
str(10 ** 10000)
int('9' * 100000)
bytes(10 ** 10)
pow(3, 10 ** 9)
[*range(10 ** 9)]
{**{str(n): n for n in range(10 ** 8)}}
(l := [], [l.append(l) for _ in range(2)], l)[2]
(l := [1], [l.extend(l) for _ in range(64)], 1)[2]
(d := {}, d.update({'d': d}), d)[2]
re.match('(a+)+$', 'a' * 50 + 'b')
[[y for y in range(10 ** 6)] for x in range(10 ** 6)]
zip(*[range(10 ** 9)] * 9)
sorted(range(10 ** 9))
_sf_jobs
_sf_results.clear()
_sf_dumps(input)
(lambda _sf_get: _sf_get)(1)
[_sf_0 for _sf_0 in [1]]
(_sf_results := 1)
nodes
nodes[input.s].output
[n for n in nodes]
(lambda x: x)(nodes)
await x
yield 1
(yield from [])
[x async for x in y]
x = 1
del input
lambda: 0
assert 0
while True: pass
1; 2
1) + (2
""".strip().splitlines()


def test_corpus_is_large_enough() -> None:
    assert len(set(PAYLOADS)) >= 60


async def outcome(evaluator: Evaluator, source: str) -> object:
    scope = {"input": {"s": "text", "n": 1}, "vars": {}, "nodes": {}}
    try:
        expression = compile_expression(source)
    except NodeError as error:
        return error
    return (await evaluator.evaluate([Request(expression, scope)]))[0]


@pytest.mark.parametrize("start", range(0, len(PAYLOADS), 20))
async def test_hostile_expressions_fail_cleanly_and_in_time(start: int) -> None:
    async with Evaluator(processes=1, timeout_s=0.2) as evaluator:
        for source in PAYLOADS[start : start + 20]:
            started = time.perf_counter()
            result = await outcome(evaluator, source)
            assert isinstance(result, NodeError), f"{source} gave {result!r}"
            assert result.code == EXPRESSION_ERROR, source
            assert time.perf_counter() - started < 8, source
        assert await outcome(evaluator, "input.n + 1") == 2
