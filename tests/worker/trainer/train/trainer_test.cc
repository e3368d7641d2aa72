#include "worker/trainer/train/trainer.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/support/fake_clock.h"
#include "tests/worker/support/temp_folder.h"

namespace bsnn::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kStepsPerEpoch = 3;

spec::JobSpec SmallSpec() {
  spec::JobSpec spec;
  spec.data.name = spec::DataName::kGenerated;
  spec.data.train_limit = 80;
  spec.data.test_limit = 40;
  spec.training.batch_size = 32;  // the third batch of an epoch has 16
  spec.training.epochs = 2;
  return spec;
}

/// Runs of a trainer in a folder of their own, by a clock that stands still.
class TrainerTest : public testing::Test {
 protected:
  TrainerTest() {
    at::set_num_threads(1);
    std::filesystem::create_directories(folder_ / "checkpoints");
  }

  absl::StatusOr<spec::Finished> Run(const spec::JobSpec& spec, bool resume = false) {
    auto writer = EventWriter::Open(folder_ / "events.jsonl", resume, clock_);
    EXPECT_TRUE(writer.ok()) << writer.status();
    const RunOptions options{spec, folder_.path(), folder_.path(), resume, at::kCPU};
    auto trainer = Trainer::Make(options, *writer, clock_);
    if (!trainer.ok()) return trainer.status();
    return (*trainer)->Run();
  }

  template <class Kind>
  std::vector<Kind> Events() const {
    std::vector<Kind> found;
    std::istringstream text(test::Read(folder_ / "events.jsonl"));
    for (std::string line; std::getline(text, line);) {
      const auto event = spec::ParseEventLine(line);
      EXPECT_TRUE(event.ok()) << line;
      if (!event.ok()) continue;
      if (const auto* kind = std::get_if<Kind>(&event->kind)) found.push_back(*kind);
    }
    return found;
  }

  /// Values of the pooled or plain series, by step.
  std::map<int64_t, double> Series(const std::string& name, const std::string& layer = "",
                                   const std::string& split = "") const {
    std::map<int64_t, double> values;
    for (const auto& point : Events<spec::MetricPoint>()) {
      if (point.name == name && point.layer == layer && point.split == split &&
          point.time_step < 0) {
        values[point.step] = point.value;
      }
    }
    return values;
  }

  /// Every series as a coordinator keeps it: of points of one step the last. Without what is
  /// measured on the machine.
  std::map<std::string, std::string> History() const {
    std::map<std::string, std::string> history;
    for (const auto& point : Events<spec::MetricPoint>()) {
      if (point.name == "resident_memory_peak_bytes") continue;
      history[fmt::format("{} {} {} {} {}", point.name, point.layer, point.split, point.time_step,
                          point.step)] = fmt::format("{}", point.value);
    }
    return history;
  }

  const test::TempFolder folder_;
  const test::FakeClock clock_;
};

TEST_F(TrainerTest, TellsOfItsStartItsCheckpointsAndItsEnd) {
  const auto finished = Run(SmallSpec());
  ASSERT_TRUE(finished.ok()) << finished.status();
  EXPECT_EQ(finished->outcome, spec::Outcome::kSucceeded);
  EXPECT_EQ(finished->step, 2 * kStepsPerEpoch);
  const auto started = Events<spec::Started>();
  ASSERT_EQ(started.size(), 1u);
  EXPECT_EQ(started[0].steps_per_epoch, kStepsPerEpoch);
  EXPECT_EQ(started[0].steps_total, 2 * kStepsPerEpoch);
  EXPECT_EQ(started[0].resumed_from_step, 0);

  const auto checkpoints = Events<spec::CheckpointWritten>();
  ASSERT_EQ(checkpoints.size(), 2u);
  EXPECT_EQ(checkpoints[0].step, kStepsPerEpoch);
  EXPECT_EQ(checkpoints[0].epoch, 1);
  EXPECT_EQ(checkpoints[1].digest, finished->checkpoint_digest);
  EXPECT_EQ(checkpoints[1].accuracy_ratio, finished->accuracy_ratio);
  for (const auto& checkpoint : checkpoints) {
    const auto verified = artifact::VerifyCheckpointFolder(folder_ / checkpoint.folder);
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_EQ(verified->digest, checkpoint.digest);
    EXPECT_EQ(verified->size_bytes(), static_cast<uint64_t>(checkpoint.size_bytes));
    EXPECT_EQ(verified->manifest.step, checkpoint.step);
  }
}

TEST_F(TrainerTest, ReportsEachEpochAndTheStallOfEachCheckpoint) {
  spec::JobSpec spec = SmallSpec();
  spec.checkpoint.every_steps = 2;
  spec.checkpoint.keep_latest = 10;
  const auto finished = Run(spec);
  ASSERT_TRUE(finished.ok()) << finished.status();
  for (const char* name :
       {"sign_flip_ratio", "sign_flips", "sign_flips_per_step", "flipped_weights_ratio",
        "gradient_mean", "gradient_variance", "latent_gradient_mean", "latent_gradient_variance",
        "firing_rate", "gate_mean", "multiply_accumulates", "accumulates", "energy_joules",
        "energy_int_add_joules", "packed_bytes"}) {
    EXPECT_EQ(Series(name, "all").size(), 2u) << name;
    EXPECT_EQ(Series(name, "conv2").size(), 2u) << name;
  }
  for (const char* split : {"train", "test"}) {
    const auto top1 = Series("accuracy_ratio", "", split);
    const auto top5 = Series("top5_accuracy_ratio", "", split);
    ASSERT_EQ(top1.size(), 2u) << split;
    ASSERT_EQ(top5.size(), 2u) << split;
    EXPECT_LE(top1.at(6), top5.at(6)) << split;
    EXPECT_LE(top5.at(6), 1) << split;
  }
  EXPECT_DOUBLE_EQ(Series("sign_flips_per_step", "conv3").at(6) * kStepsPerEpoch,
                   Series("sign_flips", "conv3").at(6) - Series("sign_flips", "conv3").at(3));
  EXPECT_GT(Series("resident_memory_peak_bytes").at(6), 1e6);
  // conv1 sees the picture: 16 x 28 x 28 values of 9 products, once.
  EXPECT_DOUBLE_EQ(Series("energy_joules", "conv1").at(6), 4.6e-12 * 9 * 16 * 28 * 28);
  EXPECT_LT(Series("energy_int_add_joules", "all").at(6), Series("energy_joules", "all").at(6));
  EXPECT_EQ(Series("accuracy_ratio", "", "test").at(6), finished->accuracy_ratio);
  // After steps 2 and 4, and at the ends of the epochs.
  std::vector<int64_t> stalls, written;
  for (const auto& [step, seconds] : Series("checkpoint_stall_seconds")) stalls.push_back(step);
  for (const auto& checkpoint : Events<spec::CheckpointWritten>()) {
    written.push_back(checkpoint.step);
  }
  EXPECT_THAT(stalls, ElementsAre(2, 3, 4, 6));
  EXPECT_EQ(written, stalls);
  EXPECT_EQ(Series("checkpoint_write_seconds").size(), 4u);
}

TEST_F(TrainerTest, AResumedRunEndsWithTheSameBytes) {
  spec::JobSpec spec = SmallSpec();
  spec.checkpoint.every_steps = 2;
  spec.checkpoint.keep_latest = 10;
  const auto whole = Run(spec);
  ASSERT_TRUE(whole.ok()) << whole.status();
  const auto history = History();
  for (const char* step : {"step-00000006", "step-00000004"}) {
    ASSERT_TRUE(artifact::RemoveCheckpointFolder(folder_ / "checkpoints" / step).ok());
    const auto resumed = Run(spec, /*resume=*/true);
    ASSERT_TRUE(resumed.ok()) << resumed.status();
    EXPECT_EQ(resumed->checkpoint_digest, whole->checkpoint_digest) << step;
    EXPECT_EQ(resumed->accuracy_ratio, whole->accuracy_ratio);
  }
  EXPECT_EQ(Events<spec::Started>()[1].resumed_from_step, 4);
  EXPECT_EQ(History(), history);
}

TEST_F(TrainerTest, AtItsEndAResumedRunDoesNothingAgain) {
  const auto whole = Run(SmallSpec());
  ASSERT_TRUE(whole.ok()) << whole.status();
  const auto again = Run(SmallSpec(), /*resume=*/true);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->checkpoint_digest, whole->checkpoint_digest);
  EXPECT_EQ(Events<spec::CheckpointWritten>().size(), 2u);
}

TEST_F(TrainerTest, ACheckpointThatCannotBeWrittenEndsTheRunByName) {
  std::filesystem::remove_all(folder_ / "checkpoints");
  test::Append(folder_ / "checkpoints", "a file where a folder should be");
  const auto finished = Run(SmallSpec());
  ASSERT_FALSE(finished.ok());
  EXPECT_THAT(std::string(finished.status().message()), HasSubstr("checkpoints"));
  EXPECT_TRUE(Events<spec::CheckpointWritten>().empty());
}

TEST_F(TrainerTest, RefusesToGoOnFromAnotherSpec) {
  ASSERT_TRUE(Run(SmallSpec()).ok());
  spec::JobSpec other = SmallSpec();
  other.network.time_steps = 3;
  EXPECT_TRUE(absl::IsFailedPrecondition(Run(other, /*resume=*/true).status()));
}

}  // namespace
}  // namespace bsnn::trainer
