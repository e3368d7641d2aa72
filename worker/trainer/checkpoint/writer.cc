#include "worker/trainer/checkpoint/writer.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <system_error>

#include "base/status.h"

namespace bsnn::trainer {
namespace {

constexpr int kNiceness = 10;  ///< the cores are training's

/// `from` into the tensors of `to`, which are made at the first call: pinned where the copy comes
/// from a GPU.
void Copy(const NamedTensors& from, NamedTensors& to) {
  if (to.empty()) {
    for (const NamedTensor& named : from) {
      to.push_back({named.name, at::empty(named.tensor.sizes(),
                                          named.tensor.options().device(at::kCPU).pinned_memory(
                                              named.tensor.is_cuda()))});
    }
  }
  TORCH_CHECK(from.size() == to.size(), "CheckpointWriter: ", from.size(),
              " tensors; allowed: ", to.size(), " as at first");
  for (size_t i = 0; i < from.size(); ++i) {
    TORCH_CHECK(from[i].name == to[i].name && from[i].tensor.sizes() == to[i].tensor.sizes(),
                "CheckpointWriter: tensor '", from[i].name, "' is ", from[i].tensor.sizes(),
                "; allowed: '", to[i].name, "' ", to[i].tensor.sizes(), " as at first");
    to[i].tensor.copy_(from[i].tensor.detach());
  }
}

}  // namespace

absl::Status CheckpointWriter::Start(const TrainingState& state, const CheckpointFacts& facts) {
  if (writing_.valid()) {
    return absl::FailedPreconditionError("a checkpoint is still being written");
  }
  Copy(state.model, copy_.model);
  Copy(state.training, copy_.training);
  copy_.packing = state.packing;
  try {
    writing_ = std::async(std::launch::async, [this, facts] { return Write(facts); });
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(
        std::string("cannot start the thread that writes checkpoints: ") + error.what());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<WrittenCheckpoint>> CheckpointWriter::Take(bool wait) {
  if (!writing_.valid()) return std::nullopt;
  if (!wait && writing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(WrittenCheckpoint written, writing_.get());
  return std::optional(std::move(written));
}

absl::StatusOr<WrittenCheckpoint> CheckpointWriter::Write(const CheckpointFacts& facts) const {
  // Of this thread alone (setpriority(2), "C library/kernel differences"). Without it, training is
  // slower for a moment and nothing else.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness);
  const absl::Duration start = clock_.Steady();
  ASSIGN_OR_RETURN(const auto saved, SaveCheckpoint(folder_, spec_, copy_, facts));
  ASSIGN_OR_RETURN(auto verified, artifact::VerifyCheckpointFolder(saved.path));
  if (verified.digest != saved.digest) {
    return absl::DataLossError(saved.path.string() + " reads back otherwise than it was written");
  }
  RETURN_IF_ERROR(ApplyRetention(folder_, spec_.checkpoint));
  return WrittenCheckpoint{std::move(verified), facts, clock_.Steady() - start};
}

}  // namespace bsnn::trainer
