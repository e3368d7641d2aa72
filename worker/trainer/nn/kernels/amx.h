/// Intel's matrix unit, AMX.
#pragma once

namespace bsnn::trainer::kernels {

/// Whether this process can multiply bf16 numbers by AMX's tiles: the processor has them, the
/// kernel lets us use them, and a product of two tiles came out right. Found out at the first call;
/// any thread.
bool AmxWorks();

/// Whether the processor has what code for AMX takes besides tiles (BSNN_WITH_AMX).
bool HasVectorsForAmx();

}  // namespace bsnn::trainer::kernels
