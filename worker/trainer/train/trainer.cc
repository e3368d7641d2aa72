#include "worker/trainer/train/trainer.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/status.h"
#include "worker/trainer/nn/loss.h"
#include "worker/trainer/train/stop_flag.h"

namespace bsnn::trainer {
namespace {

constexpr int64_t kEvaluationBatch = 256;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

RunLength LengthOf(const spec::JobSpec& spec, const Dataset& data) {
  const int64_t batch = spec.training.batch_size;
  return {.steps_per_epoch = (data.size() + batch - 1) / batch, .epochs = spec.training.epochs};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Make(const RunOptions& options,
                                                       EventWriter& events,
                                                       const base::Clock& clock) {
  ASSIGN_OR_RETURN(auto train, OpenDataset(options.spec, options.data, Split::kTrain));
  ASSIGN_OR_RETURN(auto test, OpenDataset(options.spec, options.data, Split::kTest));
  ASSIGN_OR_RETURN(std::unique_ptr<Network> network, Network::Make(options.spec, train->shape()));
  if (options.ranks != nullptr) {
    RETURN_IF_ERROR(CheckRanks(options, *train, *test));
    if (options.spec.training.batch_norm_over == spec::BatchNormOver::kAllRanks) {
      network->TakeStatisticsOver(options.ranks);
    }
  }
  network->To(options.device);
  std::unique_ptr<Trainer> trainer(
      new Trainer(options, std::move(train), std::move(test), std::move(network), events, clock));
  if (options.resume && trainer->first()) RETURN_IF_ERROR(trainer->Restore());
  if (options.ranks != nullptr) trainer->MeetRanks();
  return trainer;
}

Trainer::Trainer(const RunOptions& options, std::unique_ptr<Dataset> train,
                 std::unique_ptr<Dataset> test, std::unique_ptr<Network> network,
                 EventWriter& events, const base::Clock& clock)
    : options_(options),
      train_(std::move(train)),
      test_(std::move(test)),
      run_(LengthOf(options.spec, *train_)),
      clock_(clock),
      events_(events),
      network_(std::move(network)),
      optimizer_(Optimizer::Make(options.spec.optimizer, network_->parameters())),
      flips_(network_->weight_layers()),
      gradients_(network_->weight_layers()),
      cursor_(at::zeros({2}, at::kLong)),
      sums_(at::zeros({kSums}, at::device(options.device).dtype(at::kDouble))),
      top5_(at::zeros({2}, at::device(options.device).dtype(at::kLong))),
      layers_(network_->Describe()),
      checkpoints_(options.out / "checkpoints", options.spec, clock),
      saved_cursor_(at::full({2}, -1, at::kLong)),
      accuracy_ratio_(kNan) {
  network_->KeepGradients(true);
  network_->CountActivity(true);
  network_->KeepFiringRates(options_.spec.loss.firing_rate_lambda > 0);
}

TrainingState Trainer::State() const {
  TrainingState state{
      .model = network_->State(), .training = {}, .packing = PackRulesOf(*network_, options_.spec)};
  const auto add = [&](const char* prefix, NamedTensors tensors) {
    for (NamedTensor& named : tensors) {
      state.training.push_back({fmt::format("{}.{}", prefix, named.name), std::move(named.tensor)});
    }
  };
  add("optimizer", optimizer_->State());
  add("flips", flips_.State());
  add("gradients", gradients_.State());
  add("activity", network_->ActivityState());
  state.training.push_back({"cursor", cursor_});
  state.training.push_back({"sums", sums_});
  state.training.push_back({"top5", top5_});
  return state;
}

absl::Status Trainer::Restore() {
  std::vector<std::string> warnings;
  const auto newest = FindNewest(options_.out / "checkpoints", warnings);
  for (std::string& warning : warnings) events_.Log(spec::Severity::kWarning, std::move(warning));
  if (absl::IsNotFound(newest.status())) {
    events_.Log(spec::Severity::kInfo, "nothing to resume from: starting from the beginning");
    return absl::OkStatus();
  }
  if (!newest.ok()) return newest.status();
  RETURN_IF_ERROR(RestoreCheckpoint(*newest, options_.spec, State()));
  checkpoint_digest_ = newest->digest;
  accuracy_ratio_ = newest->manifest.accuracy_ratio;
  saved_cursor_.copy_(cursor_);
  events_.Log(spec::Severity::kInfo,
              fmt::format("resumed from {} at step {}", newest->path.filename().string(), step()));
  return absl::OkStatus();
}

int32_t Trainer::epoch() const {
  return static_cast<int32_t>(std::max<int64_t>(0, step() - 1) / run_.steps_per_epoch) + 1;
}

absl::StatusOr<spec::Finished> Trainer::Run() {
  ReportStart();
  report_time_ = clock_.Steady();
  report_step_ = step();
  const spec::TrainingSpec& training = options_.spec.training;
  loader_ = std::make_unique<Loader>(
      *train_,
      LoadPlan{.batch_size = training.batch_size,
               .epochs = training.epochs,
               .first_step = step(),
               .rank = options_.ranks != nullptr ? options_.ranks->rank() : 0,
               .ranks = rank_count(),
               .training = LoadPlan::Training{options_.spec.augmentation, training.seed}},
      options_.spec.resources.loader_threads);
  while (events_.status().ok()) {
    RETURN_IF_ERROR(ReportWritten(/*wait=*/false));
    const bool stop = AgreeToStop();
    if (!stop && epoch_is_over()) {
      ASSIGN_OR_RETURN(const bool done, EndEpoch());
      if (!done) continue;  // asked to stop on the way: saved below
    } else if (stop) {
      RETURN_IF_ERROR(Save(kNan));
      RETURN_IF_ERROR(ReportWritten(/*wait=*/true));
      return spec::Finished{spec::Outcome::kStopped,
                            step(),
                            accuracy_ratio_,
                            checkpoint_digest_,
                            spec::TrainerFailure::kNone,
                            "stopped on request"};
    } else if (step() == steps_total()) {
      RETURN_IF_ERROR(ReportWritten(/*wait=*/true));
      return spec::Finished{
          spec::Outcome::kSucceeded,   step(), accuracy_ratio_, checkpoint_digest_,
          spec::TrainerFailure::kNone, ""};
    } else {
      const absl::Duration before = clock_.Steady();
      RETURN_IF_ERROR(Step());
      step_time_ += clock_.Steady() - before;
      const int64_t every = options_.spec.checkpoint.every_steps;
      if (every > 0 && step() % every == 0 && !epoch_is_over()) RETURN_IF_ERROR(Save(kNan));
    }
  }
  return events_.status();
}

absl::Status Trainer::Step() {
  const absl::Duration before = clock_.Steady();
  ASSIGN_OR_RETURN(Batch batch, loader_->Next());
  data_wait_ += clock_.Steady() - before;
  const int64_t size = batch.size();
  const auto [images, labels] = ToTensors(batch, train_->shape(), options_.device);
  network_->SetTrainingProgress(step(), steps_total());
  const int64_t parts =
      std::min<int64_t>(options_.spec.training.batch_parts, batch.of_all_ranks / rank_count());
  std::vector<at::Tensor> counters;
  if (options_.ranks != nullptr) {
    for (const at::Tensor& counter : Counters()) counters.push_back(counter.clone());
  }
  step_gradients_.clear();
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t from = size * part / parts;
    const int64_t to = size * (part + 1) / parts;
    RunPart({images.slice(0, from, to), labels.slice(0, from, to)},
            static_cast<double>(to - from) / static_cast<double>(batch.of_all_ranks));
  }
  if (options_.ranks != nullptr) SumStep(counters);
  gradients_.Observe(step_gradients_);
  optimizer_->Step(LearningRate(options_.spec, run_, step()));
  flips_.ObserveStep();

  int64_t* cursor = cursor_.data_ptr<int64_t>();
  ++cursor[0];
  cursor[1] = cursor[0] % run_.steps_per_epoch == 0;
  if (step() % options_.spec.training.report_every_steps == 0 || epoch_is_over()) ReportProgress();
  return absl::OkStatus();
}

void Trainer::RunPart(const BatchTensors& part, double share) {
  const spec::LossSpec& spec = options_.spec.loss;
  const auto& [images, labels] = part;
  const at::Tensor logits = network_->Forward(TimeOutermost(images));
  at::Tensor loss = Loss(spec, logits, labels);
  if (spec.firing_rate_lambda > 0) {
    loss = loss.add(FiringRateTerm(network_->TakeFiringRates(), spec.firing_rate_target),
                    spec.firing_rate_lambda);
  }
  (share == 1 ? loss : loss.mul(share)).backward();
  std::vector<LayerGradient> gradients = network_->Gradients();
  for (size_t i = 0; i < step_gradients_.size(); ++i) {
    gradients[i].effective = gradients[i].effective.add(step_gradients_[i].effective);
  }
  step_gradients_ = std::move(gradients);  // latent gradients add up by themselves

  // On the device, so that the next part can be queued before this one is done.
  const at::NoGradGuard no_grad;
  const auto pictures = static_cast<double>(labels.size(0));
  const at::Tensor mean_loss = loss.detach().to(at::kDouble);
  const at::Tensor correct = CorrectSums(logits, labels);
  const at::Tensor ones = at::ones_like(mean_loss);
  sums_.add_(at::stack({mean_loss * pictures, correct[0].to(at::kDouble), ones * pictures,
                        mean_loss * share, ones * share}));
  top5_.select(0, 0).add_(correct[1]);
  top5_.select(0, 1).add_(labels.size(0));
}

void Trainer::Metric(const char* name, double value, std::string layer, const char* split,
                     int32_t time_step) {
  events_.Write(
      spec::MetricPoint{name, std::move(layer), split, time_step, step(), epoch(), value});
}

absl::StatusOr<bool> Trainer::EndEpoch() {
  const absl::Duration before = clock_.Steady();
  network_->CountActivity(false);
  network_->MeasureInputs(true);
  Ranks* const ranks = options_.ranks;
  // Ranks stop between steps only: each has its own number of batches here, and must end them.
  const auto stop = [ranks] { return ranks == nullptr && StopRequested(); };
  const auto evaluation =
      Evaluate(*network_, options_.device, *test_, kEvaluationBatch,
               options_.spec.resources.loader_threads, stop, /*keep_logits=*/false, ranks);
  network_->MeasureInputs(false);
  network_->CountActivity(true);
  if (absl::IsCancelled(evaluation.status())) return false;
  RETURN_IF_ERROR(evaluation.status());
  if (ranks != nullptr) {
    network_->SumInputsOver(*ranks);
    RETURN_IF_ERROR(CheckRanksAgree());
  }
  evaluation_time_ = clock_.Steady() - before;
  accuracy_ratio_ = evaluation->accuracy_ratio();
  ReportEpoch(*evaluation);
  flips_.StartEpoch();
  gradients_.Reset();
  network_->ResetActivity();
  sums_.zero_();
  top5_.zero_();
  cursor_.data_ptr<int64_t>()[1] = 0;
  report_time_ = clock_.Steady();
  data_wait_ = absl::ZeroDuration();
  const bool last = step() == steps_total();
  if (last || epoch() % options_.spec.checkpoint.every_epochs == 0) {
    RETURN_IF_ERROR(Save(accuracy_ratio_));
  }
  return true;
}

absl::Status Trainer::Save(double accuracy_ratio) {
  if (at::equal(saved_cursor_, cursor_)) return absl::OkStatus();
  if (!first()) return saved_cursor_.copy_(cursor_), absl::OkStatus();
  const absl::Duration before = clock_.Steady();
  RETURN_IF_ERROR(ReportWritten(/*wait=*/true));
  const auto whole_epochs = static_cast<int32_t>(step() / run_.steps_per_epoch);
  RETURN_IF_ERROR(checkpoints_.Start(
      State(), {.step = step(), .epoch = whole_epochs, .accuracy_ratio = accuracy_ratio}));
  const absl::Duration stall = clock_.Steady() - before;
  saved_cursor_.copy_(cursor_);
  Metric("checkpoint_stall_seconds", absl::ToDoubleSeconds(stall));
  if (step_time_ > absl::ZeroDuration()) {
    Metric("checkpoint_stall_ratio", absl::FDivDuration(stall, step_time_));
  }
  step_time_ = absl::ZeroDuration();
  return absl::OkStatus();
}

absl::Status Trainer::ReportWritten(bool wait) {
  ASSIGN_OR_RETURN(const auto written, checkpoints_.Take(wait));
  if (!written) return absl::OkStatus();
  const auto& [checkpoint, facts, write_time] = *written;
  checkpoint_digest_ = checkpoint.digest;
  events_.Write(spec::CheckpointWritten{
      facts.step, facts.epoch, "checkpoints/" + checkpoint.path.filename().string(),
      checkpoint.digest, static_cast<int64_t>(checkpoint.size_bytes()), facts.accuracy_ratio});
  const int64_t epoch_index = std::max<int64_t>(0, facts.step - 1) / run_.steps_per_epoch;
  events_.Write(spec::MetricPoint{"checkpoint_write_seconds", "", "", -1, facts.step,
                                  static_cast<int32_t>(epoch_index) + 1,
                                  absl::ToDoubleSeconds(write_time)});
  return absl::OkStatus();
}

}  // namespace bsnn::trainer
