/// One run of training: from a spec and a data set to events and checkpoints in a folder.
///
/// The loop has two kinds of moments, between which it can stop and from which it can resume:
/// before a step, and before an epoch's end (evaluation, metrics, checkpoint). Both are in the
/// checkpoint, so that a resumed run ends with the same bytes as one never stopped.
#pragma once

#include <ATen/core/Tensor.h>
#include <absl/status/statusor.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/clock.h"
#include "spec/event.h"
#include "spec/job_spec.h"
#include "worker/trainer/checkpoint/writer.h"
#include "worker/trainer/data/dataset.h"
#include "worker/trainer/data/loader.h"
#include "worker/trainer/dist/ranks.h"
#include "worker/trainer/measure/energy.h"
#include "worker/trainer/measure/flips.h"
#include "worker/trainer/measure/gradients.h"
#include "worker/trainer/model/network.h"
#include "worker/trainer/optim/optimizer.h"
#include "worker/trainer/optim/schedule.h"
#include "worker/trainer/train/batch_tensors.h"
#include "worker/trainer/train/evaluate.h"
#include "worker/trainer/train/event_writer.h"

namespace bsnn::trainer {

struct RunOptions {
  spec::JobSpec spec;
  std::filesystem::path data;
  std::filesystem::path out;
  bool resume = false;
  at::Device device = at::kCPU;
  /// The ranks that train together; null: this process alone. All of them have the same state
  /// between two steps; the first has the events and the checkpoints. Outlive the trainer.
  Ranks* ranks = nullptr;
};

/// Confined to one thread. LibTorch's exceptions pass through: main catches them.
class Trainer {
 public:
  /// Loads the data, builds the network, restores the newest checkpoint where asked to.
  static absl::StatusOr<std::unique_ptr<Trainer>> Make(const RunOptions& options,
                                                       EventWriter& events,
                                                       const base::Clock& clock);

  /// Trains to the end or until a stop is asked for. Errors are of files and of the disk.
  absl::StatusOr<spec::Finished> Run();

 private:
  Trainer(const RunOptions& options, std::unique_ptr<Dataset> train, std::unique_ptr<Dataset> test,
          std::unique_ptr<Network> network, EventWriter& events, const base::Clock& clock);

  absl::Status Restore();
  /// Whether the ranks can run the spec on this data.
  static absl::Status CheckRanks(const RunOptions& options, const Dataset& train,
                                 const Dataset& test);
  /// Takes the first rank's state.
  void MeetRanks();
  int rank_count() const { return options_.ranks == nullptr ? 1 : options_.ranks->size(); }
  bool first() const { return options_.ranks == nullptr || options_.ranks->first(); }
  /// Whether a stop was asked for, of any rank. A collective.
  bool AgreeToStop();
  /// What a step adds to, besides gradients: the epoch's sums and counters.
  std::vector<at::Tensor> Counters() const;
  /// Sums over ranks what the step just run made of its share: gradients, and what it added to
  /// `counters`, which were copied before; running statistics become the ranks' mean.
  void SumStep(const std::vector<at::Tensor>& counters);
  absl::Status CheckRanksAgree();
  TrainingState State() const;
  void ReportStart();
  /// Errors are of the data's files.
  absl::Status Step();
  /// Forward and backward of `part`, which is `share` of the step's pictures; gradients add up.
  void RunPart(const BatchTensors& part, double share);
  void ReportProgress();
  /// False where a stop was asked for before it was done.
  absl::StatusOr<bool> EndEpoch();
  void ReportEpoch(const Evaluation& evaluation);
  void ReportActivity();
  /// What a picture of the test set costs, sizes, and memory.
  void ReportCosts();
  /// Begins a checkpoint of the state as it is now, unless that is what the last one holds.
  absl::Status Save(double accuracy_ratio);
  /// Tells of a checkpoint that has become durable; with `wait`, of the one being written.
  absl::Status ReportWritten(bool wait);
  void Metric(const char* name, double value, std::string layer = "", const char* split = "",
              int32_t time_step = -1);

  int64_t step() const { return cursor_.data_ptr<int64_t>()[0]; }
  bool epoch_is_over() const { return cursor_.data_ptr<int64_t>()[1] != 0; }
  int64_t steps_total() const { return run_.steps_per_epoch * run_.epochs; }
  /// 1-based: of the step just done, or of the first.
  int32_t epoch() const;

  // Fixed after construction.
  const RunOptions options_;
  const std::unique_ptr<const Dataset> train_;
  const std::unique_ptr<const Dataset> test_;
  const RunLength run_;
  const base::Clock& clock_;
  // Changing; all of it that outlives a step is in State().
  EventWriter& events_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Optimizer> optimizer_;
  FlipMeter flips_;
  GradientMeter gradients_;
  at::Tensor cursor_;  ///< int64 [2]: steps done; whether an epoch's end is due
  enum Sum : int64_t {
    kEpochLoss,  ///< times pictures
    kEpochCorrect,
    kEpochPictures,
    kReportLoss,  ///< since the last report
    kReportSteps,
    kSums
  };
  at::Tensor sums_;  ///< float64 [kSums] on the device
  at::Tensor
      top5_;  ///< int64 [2] on the device: epoch's pictures right among five classes, pictures
  std::vector<LayerDescription> layers_;
  CheckpointWriter checkpoints_;
  at::Tensor saved_cursor_;                    ///< cursor_ in the last checkpoint
  std::vector<LayerGradient> step_gradients_;  ///< of the parts so far
  std::unique_ptr<Loader> loader_;             ///< of training pictures, while Run runs
  // For people: rates and the end so far.
  absl::Duration report_time_;
  absl::Duration data_wait_;
  absl::Duration evaluation_time_;
  absl::Duration step_time_;  ///< of the steps since the last checkpoint
  int64_t report_step_ = 0;
  double seconds_per_step_ = 0;
  double accuracy_ratio_;
  std::string checkpoint_digest_;
};

}  // namespace bsnn::trainer
