"""The processor of this machine: what it is called, and which instructions it has."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# Names in it, of x86-64 (the first two) and of ARM.
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
_VECTORS = ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")


@functools.cache
def instruction_sets() -> frozenset[str]:
    """Return the instruction sets by their names in Linux, or nothing on another system."""
    for name in ("flags", "Features"):
        listed = _cpuinfo().get(name)
        if listed:
            return frozenset(listed.split())
    return frozenset()


def has_avx512() -> bool:
    """Check whether the processor is known to have AVX-512."""
    return "avx512f" in instruction_sets()


def has_bfloat16() -> bool:
    """Check whether the processor is known to multiply in bfloat16."""
    return bool(_BFLOAT16 & instruction_sets())


def describe_processor() -> str:
    """Return the name of the processor and its vector instructions."""
    name = _cpuinfo().get("model name") or platform.processor() or platform.machine()
    vectors = [it for it in _VECTORS if it in instruction_sets()]
    return f"{name} ({', '.join(vectors)})" if vectors else name


@functools.cache
def _cpuinfo() -> dict[str, str]:
    """Return the lines of /proc/cpuinfo about the first core."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
