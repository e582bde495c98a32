"""The processor is read from /proc/cpuinfo, and nothing is claimed where there is none."""

from __future__ import annotations

import pytest

from keras_s2s import processor

ZEN_3 = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: sse2 avx avx2 fma\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Return a function that describes the processor of a text of /proc/cpuinfo."""
    path = tmp_path / "cpuinfo"

    def describe(text):
        processor.instruction_sets.cache_clear()
        processor._cpuinfo.cache_clear()
        if text:
            path.write_text(text)
        monkeypatch.setattr(processor, "_CPUINFO", path)
        return processor.describe_processor(), processor.has_avx512(), processor.has_bfloat16()

    yield describe
    monkeypatch.undo()
    processor.instruction_sets.cache_clear()
    processor._cpuinfo.cache_clear()


def test_a_processor_is_described_by_its_name_and_vector_instructions(read):
    assert read(ZEN_3) == ("AMD EPYC (avx, avx2, fma)", False, False)


def test_bfloat16_of_arm_and_of_avx512_is_found(read):
    assert read(ARM)[2]


def test_nothing_is_known_without_the_file(read):
    name, *instructions = read("")
    assert name
    assert instructions == [False, False]
