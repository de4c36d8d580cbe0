"""Jobs that run into their limits, each beside the same job without the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limits import disks, memory, processes, processors

if TYPE_CHECKING:
    from limits.tools import Scenario

EVERYWHERE: tuple[Scenario, ...] = (
    processes.is_in_its_cgroup_before_it_is_executed,
    memory.too_much_memory_is_told_as_such,
    memory.memory_of_a_child_ends_the_whole_job,
    memory.too_little_memory_to_begin_fails_the_start,
    processors.processor_time_is_bounded,
    processors.weights_share_a_processor,
    processors.niceness_shares_a_processor,
    processes.forks_are_refused,
    disks.reads_are_slowed_down,
    disks.operations_of_reading_are_slowed_down,
    processes.files_of_each_process_are_bounded,
    processes.core_dumps_are_bounded,
    processes.a_fork_bomb_and_a_memory_hog_leave_others_alone,
    processes.a_job_ends_at_its_timeout,
    processes.usage_is_told_while_it_runs,
    processes.nothing_is_left_of_a_job_whose_shim_is_killed,
)
WITHOUT_KERNEL_LOG: tuple[Scenario, ...] = (memory.the_killed_is_named_without_the_kernels_log,)
"""For a host where nobody may read it."""
WITH_SWAP: tuple[Scenario, ...] = (memory.swap_is_bounded,)
"""For a host that has some."""
IN_VERSION_2: tuple[Scenario, ...] = (
    disks.writes_are_slowed_down,
    disks.operations_of_writing_are_slowed_down,
    memory.memory_above_the_high_mark_is_taken_back,
)
ALL = {scenario.__name__: scenario for scenario in (*EVERYWHERE, *WITHOUT_KERNEL_LOG, *WITH_SWAP, *IN_VERSION_2)}
"""By name."""
