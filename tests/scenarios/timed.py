"""Metrics measured on the clock and the machine: not equal between two runs of one spec."""
TIMED = {"images_per_second", "step_seconds", "data_wait_seconds", "checkpoint_stall_seconds", "checkpoint_stall_ratio",
         "checkpoint_write_seconds", "resident_memory_peak_bytes", "device_memory_peak_bytes"}
