/// How ATen's CPU threads wait for each other.
#pragma once

namespace bsnn::trainer {

/// Makes OpenMP's threads give the core back soon at a barrier, where the user has not chosen.
///
/// libgomp lets a waiting thread spin for milliseconds. Where another process takes one of the
/// cores, all threads of a step then wait for the one that lost its core: a step of the convnet on
/// two cores took 520 ms beside one busy process, and 39 ms with this. libgomp reads its
/// environment once, when the program is loaded, so this sets GOMP_SPINCOUNT and starts the program
/// again in the same process: same id, arguments, descriptors, signal dispositions, parent-death
/// signal.
///
/// Call first in main(), before threads and output. Does nothing where GOMP_SPINCOUNT or
/// OMP_WAIT_POLICY is set, hence nothing on the second start; and where starting again fails.
void RestartWithYieldingThreads(char* const* arguments);

}  // namespace bsnn::trainer
