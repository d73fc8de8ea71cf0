"""What models cost: time, memory, arithmetic and energy, measured the same way for all. `merzoo.benchmark.statistics` needs no torch."""
