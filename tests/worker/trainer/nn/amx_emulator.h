/// AMX's instructions on a processor that lacks them, so that tests run the code for those that
/// have them.
#pragma once

namespace bsnn::trainer {

/// Handles SIGILL from now on: the instructions that kernels/matrix_tiles.h uses are done in
/// software, each thread with tiles of its own; what AMX forbids, and any other illegal
/// instruction, ends the program and says why. Returns false, and does nothing, where AMX code
/// could not run all the same: it also takes AVX-512.
bool EmulateAmx();

}  // namespace bsnn::trainer
