/// How the C runtime's threads wait for each other, and what it does with freed memory.
#pragma once

namespace bsnn::trainer {

/// Sets, where the user has not chosen, what libgomp and glibc read from the environment once, when
/// the program is loaded, and starts the program again in the same process: same id, arguments,
/// descriptors, signal dispositions, parent-death signal.
///
/// GOMP_SPINCOUNT: libgomp lets a waiting thread spin for milliseconds. Where another process takes
/// one of the cores, all threads of a step then wait for the one that lost its core: a step of the
/// convnet on two cores took 520 ms beside one busy process, and 39 ms with this.
///
/// GLIBC_TUNABLES: glibc gives large blocks back to the system at once, and a step's activations
/// are such blocks: 15 % of a step of bireal_resnet8 went into fresh pages. With this freed memory
/// stays with the program, in huge pages where the system lends them (a third more pictures a
/// second).
///
/// Call first in main(), before threads and output. Does nothing where GLIBC_TUNABLES, and
/// GOMP_SPINCOUNT or OMP_WAIT_POLICY, are set, hence nothing on the second start; and where
/// starting again fails.
void RestartWithTunedRuntime(char* const* arguments);

}  // namespace bsnn::trainer
