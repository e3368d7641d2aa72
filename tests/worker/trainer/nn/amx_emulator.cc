#include "tests/worker/trainer/nn/amx_emulator.h"

#if defined(__x86_64__) && defined(__linux__)
#include <ucontext.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstring>

#include "worker/trainer/nn/kernels/amx.h"

namespace bsnn::trainer {
namespace {

constexpr int kTiles = 8, kRows = 16, kRowBytes = 64;

struct TileState {
  bool configured;
  uint8_t tiles[kTiles][kRows][kRowBytes];
};
thread_local TileState state;

/// In a signal handler: no more than this.
[[noreturn]] void Die(const char* why) {
  const ssize_t written = write(STDERR_FILENO, why, std::strlen(why));
  _exit(written > 0 ? 98 : 99);
}

/// A VEX instruction of the map 0F38. Source: Intel's instruction set reference, chapter 2.
struct Instruction {
  int opcode, prefix;  ///< prefix: 0 none, 1 66, 2 F3, 3 F2
  bool memory;
  int reg, rm, vvvv;  ///< tiles
  uint8_t* address;   ///< of an operand in memory; its rows are `stride` bytes apart
  int64_t stride;
  int64_t length;
};

Instruction Decode(const greg_t* registers) {
  static constexpr int kRegisters[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                       REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                       REG_R12, REG_R13, REG_R14, REG_R15};
  const auto* const code = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
  if (code[0] != 0xC4 || (code[1] & 31) != 2) Die("an illegal instruction that is not AMX's\n");
  if ((code[2] & 0x84) != 0) Die("AMX: an instruction with W or L\n");
  const int mod = code[4] >> 6;
  Instruction in{code[3], code[2] & 3, mod != 3, code[4] >> 3 & 7, code[4] & 7, ~code[2] >> 3 & 15,
                 nullptr, 0,           5};
  if (!in.memory) return in;
  int base = in.rm | (~code[1] >> 5 & 1) << 3;
  int64_t address = 0;
  if (in.rm == 4) {
    const uint8_t sib = code[in.length++];
    base = (sib & 7) | (~code[1] >> 5 & 1) << 3;
    const int index = (sib >> 3 & 7) | (~code[1] >> 6 & 1) << 3;
    if (index != 4) in.stride = registers[kRegisters[index]] << (sib >> 6);
  } else if (in.opcode == 0x4B) {
    Die("AMX: a load or store without an index\n");
  }
  if (mod == 0 && (base & 7) == 5) Die("AMX: an address that this emulator does not know\n");
  if (mod == 1) {
    address = static_cast<int8_t>(code[in.length++]);
  } else if (mod == 2) {
    int32_t displacement;
    std::memcpy(&displacement, code + in.length, 4);
    in.length += 4;
    address = displacement;
  }
  in.address = reinterpret_cast<uint8_t*>(registers[kRegisters[base]] + address);
  return in;
}

/// Eight tiles of 16 rows of 64 bytes, and all that is reserved 0.
void Configure(const uint8_t* from) {
  uint8_t expected[64] = {1};
  for (int i = 0; i < kTiles; ++i) expected[16 + 2 * i] = kRowBytes, expected[48 + i] = kRows;
  if (std::memcmp(from, expected, sizeof(expected)) != 0) Die("AMX: another configuration\n");
  state = {.configured = true, .tiles = {}};
}

float FromBf16(const uint8_t* at) {
  uint16_t high;
  std::memcpy(&high, at, 2);
  const uint32_t bits = uint32_t{high} << 16;
  float number;
  std::memcpy(&number, &bits, 4);
  return (bits & 0x7F800000u) == 0 ? 0 : number;  // no number below the normal ones
}

void Multiply(int c, int a, int b) {
  if (c == a || c == b || a == b || b >= kTiles) Die("AMX: a product of the same tiles\n");
  for (int row = 0; row < kRows; ++row) {
    float even[16] = {}, odd[16] = {};
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < 16; ++column) {
        const uint8_t* const pair = state.tiles[b][k] + 4 * column;
        even[column] += FromBf16(state.tiles[a][row] + 4 * k) * FromBf16(pair);
        odd[column] += FromBf16(state.tiles[a][row] + 4 * k + 2) * FromBf16(pair + 2);
      }
    }
    for (int column = 0; column < 16; ++column) {
      float sum;
      std::memcpy(&sum, state.tiles[c][row] + 4 * column, 4);
      sum += even[column] + odd[column];
      std::memcpy(state.tiles[c][row] + 4 * column, &sum, 4);
    }
  }
}

void Emulate(int, siginfo_t*, void* context) {
  greg_t* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const Instruction in = Decode(registers);
  const bool configures = in.opcode == 0x49 && in.prefix == 0;
  if (!configures && !state.configured) Die("AMX: tiles that are not configured\n");
  if (configures && in.memory && in.reg == 0) {
    Configure(in.address + in.stride);
  } else if (configures && !in.memory && in.reg == 0 && in.rm == 0) {  // tilerelease
    state.configured = false;
  } else if (in.opcode == 0x49 && in.prefix == 3 && !in.memory) {  // tilezero
    std::memset(state.tiles[in.reg], 0, sizeof(state.tiles[in.reg]));
  } else if (in.opcode == 0x4B && in.prefix == 3 && in.memory) {  // tileloadd
    for (int row = 0; row < kRows; ++row) {
      std::memcpy(state.tiles[in.reg][row], in.address + row * in.stride, kRowBytes);
    }
  } else if (in.opcode == 0x4B && in.prefix == 2 && in.memory) {  // tilestored
    for (int row = 0; row < kRows; ++row) {
      std::memcpy(in.address + row * in.stride, state.tiles[in.reg][row], kRowBytes);
    }
  } else if (in.opcode == 0x5C && in.prefix == 2 && !in.memory) {  // tdpbf16ps
    Multiply(in.reg, in.rm, in.vvvv);
  } else {
    Die("AMX: an instruction that this emulator does not know\n");
  }
  registers[REG_RIP] += in.length;
}

}  // namespace

bool EmulateAmx() {
  if (!kernels::HasVectorsForAmx()) return false;
  struct sigaction action = {};
  action.sa_sigaction = Emulate;
  action.sa_flags = SA_SIGINFO;
  return sigaction(SIGILL, &action, nullptr) == 0;
}

}  // namespace bsnn::trainer
#else
namespace bsnn::trainer {
bool EmulateAmx() { return false; }
}  // namespace bsnn::trainer
#endif
