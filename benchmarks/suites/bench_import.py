"""What every command pays before it does anything, in fresh processes, beside the interpreter that does nothing."""


def bench_python(benchmark, python):
    benchmark(python, "-c", "pass")


def bench_merzoo(benchmark, python):
    benchmark(python, "-c", "import merzoo")


def bench_version(benchmark, python):
    assert benchmark(python, "-m", "merzoo", "--version")
