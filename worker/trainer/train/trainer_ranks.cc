// What a Trainer does where it is one rank of several.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <fmt/format.h>
#include <zlib.h>

#include "base/fault.h"
#include "worker/trainer/nn/batch_norm.h"
#include "worker/trainer/train/stop_flag.h"
#include "worker/trainer/train/trainer.h"

namespace bsnn::trainer {
namespace {

/// The fewest pictures of a step.
int64_t FewestPictures(const spec::JobSpec& spec, int64_t pictures) {
  const int64_t rest = pictures % spec.training.batch_size;
  return rest > 0 ? rest : spec.training.batch_size;
}

/// The sums over ranks of tensors of one dtype, in their shapes. One message: a small one costs as
/// much as a hundred thousand numbers.
std::vector<at::Tensor> SumTogether(Ranks& ranks, const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> flat, sums;
  for (const at::Tensor& tensor : tensors) flat.push_back(tensor.flatten());
  const at::Tensor message = at::cat(flat);
  ranks.Sum(message);
  int64_t begin = 0;
  for (const at::Tensor& tensor : tensors) {
    sums.push_back(message.slice(0, begin, begin + tensor.numel()).view(tensor.sizes()));
    begin += tensor.numel();
  }
  return sums;
}

}  // namespace

absl::Status Trainer::CheckRanks(const RunOptions& options, const Dataset& train,
                                 const Dataset& test) {
  const int64_t ranks = options.ranks->size(), fewest = FewestPictures(options.spec, train.size());
  const std::string at_least = fmt::format("as many pictures as ranks, {}, in each step", ranks);
  std::vector<base::FieldFault> faults;
  if (!options.device.is_cpu()) {
    faults.push_back({"--device", options.device.str(), "cpu, with more than one rank"});
  }
  if (fewest < ranks) {
    faults.push_back(
        {"training.batch_size",
         fmt::format("{}, of which a pass over {} pictures leaves {} for the last step",
                     options.spec.training.batch_size, train.size(), fewest),
         at_least});
  }
  if (test.size() < ranks) {
    faults.push_back({"data.test_limit", std::to_string(test.size()), "a picture for each rank"});
  }
  const spec::AgmmSpec& gate = options.spec.agmm;
  if (options.spec.training.batch_norm_over == spec::BatchNormOver::kAllRanks &&
      options.spec.network.kind == spec::NetworkKind::kBsnnAgmm &&
      gate.place == spec::GatePlace::kAfterBn && !HasFusedGate(gate)) {
    faults.push_back({"training.batch_norm_over", "\"all_ranks\"",
                      "rank, where agmm.input is abs or agmm.reduce is spatial"});
  }
  return faults.empty() ? absl::OkStatus() : base::InvalidFields(faults);
}

void Trainer::MeetRanks() {
  const TrainingState state = State();
  for (const NamedTensors& tensors : {state.model, state.training}) {
    for (const NamedTensor& named : tensors) options_.ranks->TakeFirst(named.tensor);
  }
  options_.ranks->TakeFirst(saved_cursor_);
  options_.ranks->TakeFirst(at::from_blob(&accuracy_ratio_, {1}, at::kDouble));
}

bool Trainer::AgreeToStop() {
  if (options_.ranks == nullptr) return StopRequested();
  const at::Tensor asked = at::full({1}, StopRequested() ? 1 : 0, at::kLong);
  options_.ranks->Sum(asked);
  return asked.item<int64_t>() > 0;
}

std::vector<at::Tensor> Trainer::Counters() const {
  std::vector<at::Tensor> counters{sums_, top5_};
  for (const NamedTensor& named : network_->ActivityState()) counters.push_back(named.tensor);
  return counters;
}

void Trainer::SumStep(const std::vector<at::Tensor>& before) {
  const at::NoGradGuard no_grad;
  Ranks& ranks = *options_.ranks;
  std::vector<at::Tensor> floats;
  for (const Parameter& parameter : network_->parameters()) {
    if (parameter.tensor.grad().defined()) floats.push_back(parameter.tensor.grad());
  }
  for (const LayerGradient& gradient : step_gradients_) floats.push_back(gradient.effective);
  const size_t gradients = floats.size();
  for (const NamedTensor& buffer : network_->buffers()) floats.push_back(buffer.tensor);
  const std::vector<at::Tensor> sums = SumTogether(ranks, floats);
  for (size_t i = 0; i < floats.size(); ++i) {
    floats[i].copy_(i < gradients ? sums[i] : sums[i].div(ranks.size()));
  }

  const std::vector<at::Tensor> counters = Counters();
  std::vector<at::Tensor> added;
  for (size_t i = 0; i < counters.size(); ++i) {
    added.push_back(counters[i].sub(before[i]).to(at::kDouble));
  }
  added = SumTogether(ranks, added);
  for (size_t i = 0; i < counters.size(); ++i) {
    counters[i].copy_(before[i] + added[i].to(counters[i].scalar_type()));
  }
}

absl::Status Trainer::CheckRanksAgree() {
  uLong digest = crc32_z(0, nullptr, 0);
  for (const NamedTensor& named : network_->State()) {
    const at::Tensor tensor = named.tensor.contiguous();
    digest = crc32_z(digest, static_cast<const Bytef*>(tensor.const_data_ptr()), tensor.nbytes());
  }
  const auto mine = static_cast<int64_t>(digest);
  const at::Tensor sum = at::full({1}, mine, at::kLong);
  options_.ranks->Sum(sum);
  if (sum.item<int64_t>() == mine * options_.ranks->size()) return absl::OkStatus();
  return absl::InternalError(fmt::format(
      "the ranks' networks differ at step {}: are all of one build, on processors of one kind?",
      step()));
}

}  // namespace bsnn::trainer
