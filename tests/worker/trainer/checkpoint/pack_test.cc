#include "worker/trainer/checkpoint/pack.h"

#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "tests/worker/trainer/nn/tensors.h"

namespace bsnn::trainer {
namespace {

using testing::HasSubstr;

std::unique_ptr<Network> MakeNetwork(spec::JobSpec spec, const InputShape& shape, int seed) {
  spec.training.seed = seed;
  auto network = Network::Make(spec, shape);
  EXPECT_TRUE(network.ok()) << network.status();
  (*network)->SetTraining(false);
  return *std::move(network);
}

/// As after training: no tensor is at its initial value, weights are away from mean 0.
void Disturb(Network& network) {
  const at::NoGradGuard no_gradients;
  uint64_t seed = 100;
  for (const NamedTensor& named : network.State()) {
    at::Tensor noise = Normal(named.tensor.sizes(), seed++).mul_(0.1);
    if (named.name.ends_with("running_var")) noise.abs_();
    named.tensor.add_(noise).add_(0.003);
  }
}

at::Tensor Logits(Network& network, const at::Tensor& images) {
  const at::NoGradGuard no_gradients;
  return network.Forward(images).contiguous();
}

bool SameBytes(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0;
}

class Pack : public testing::Test {
 protected:
  Pack() : path_(testing::TempDir() + "pack_test." + std::to_string(::getpid())) {}
  ~Pack() override { std::filesystem::remove(path_); }

  absl::StatusOr<artifact::PackedFile> Written(const Network& network, const spec::JobSpec& spec) {
    std::ofstream stream(path_, std::ios::binary);
    const auto status = artifact::WritePacked(
        PackModel(network.State(), PackRulesOf(network, spec), spec, {7, 1, 0.5}, "source"),
        [&](std::string_view bytes) {
          stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
    stream.close();
    return artifact::PackedFile::Open(path_);
  }

  void ExpectSameLogits(const spec::JobSpec& spec, const InputShape& shape, int64_t pictures) {
    const auto network = MakeNetwork(spec, shape, 1);
    Disturb(*network);
    const at::Tensor images = Normal({pictures, shape.channels, shape.height, shape.width}, 5);
    const at::Tensor expected = Logits(*network, images);
    ASSERT_GT(expected.std().item<float>(), 0);
    const auto file = Written(*network, spec);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto other = MakeNetwork(spec, shape, 2);
    ASSERT_FALSE(SameBytes(Logits(*other, images), expected));
    const absl::Status restored = RestorePacked(*file, path_.string(), *other);
    ASSERT_TRUE(restored.ok()) << restored;
    EXPECT_TRUE(SameBytes(Logits(*other, images), expected));
  }

  std::filesystem::path path_;
};

TEST_F(Pack, EveryBinarisationGateAndEndGivesTheSameLogits) {
  for (const auto method : {spec::Binarization::kSign, spec::Binarization::kMeanAbs,
                            spec::Binarization::kStandardized}) {
    for (const auto kind : {spec::NetworkKind::kBsnn, spec::NetworkKind::kBsnnAgmm}) {
      for (const auto ends : {spec::Ends::kFloat, spec::Ends::kInt8}) {
        spec::JobSpec spec;
        spec.binarization.method = method;
        spec.network.kind = kind;
        spec.network.ends = ends;
        SCOPED_TRACE(spec::CanonicalText(spec));
        ExpectSameLogits(spec, {1, 28, 28, 10}, 8);
      }
    }
  }
}

TEST_F(Pack, EveryNetworkGivesTheSameLogits) {
  for (const auto name : {spec::NetworkName::kBirealResnet8, spec::NetworkName::kBirealResnet18,
                          spec::NetworkName::kResnet18, spec::NetworkName::kSewResnet18,
                          spec::NetworkName::kVgg11, spec::NetworkName::kVggsnn}) {
    spec::JobSpec spec;
    spec.network.name = name;
    spec.network.ends = spec::Ends::kInt8;
    spec.agmm.reduce = spec::AgmmReduce::kStep;  // has a running mean
    spec.agmm.alpha_mode = spec::AlphaMode::kLearnTc;
    SCOPED_TRACE(spec::ToWord(name));
    ExpectSameLogits(spec, {3, 32, 32, 10}, 1);
  }
}

TEST_F(Pack, WeightsThatDivergedArePackedToo) {
  spec::JobSpec spec;
  const auto network = MakeNetwork(spec, {}, 1);
  {
    const at::NoGradGuard no_gradients;
    for (const NamedTensor& named : network->State()) {
      named.tensor.fill_(std::numeric_limits<float>::quiet_NaN());
    }
  }
  for (const auto ends : {spec::Ends::kFloat, spec::Ends::kInt8}) {
    spec.network.ends = ends;
    const auto other = MakeNetwork(spec, {}, 2);
    const auto file = Written(*network, spec);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(RestorePacked(*file, "p", *other).ok());
    EXPECT_TRUE(Logits(*other, Normal({1, 1, 28, 28}, 5)).isnan().all().item<bool>());
  }
}

TEST_F(Pack, TheTensorsWeighWhatTheRulesSay) {
  spec::JobSpec spec;
  const auto network = MakeNetwork(spec, {}, 1);
  // convnet: bits of conv2 and conv3, their scales, and float32 for all else with running figures.
  const int64_t hidden = 9 * (16 * 32 + 32 * 64);
  const int64_t others = network->parameter_count() - hidden + 2 * (16 + 32 + 64);
  const auto tensors = PackTensors(network->State(), PackRulesOf(*network, spec));
  EXPECT_EQ(TensorBytesOf(tensors), hidden / 8 + 4 * (32 + 64) + 4 * others);
  spec.network.ends = spec::Ends::kInt8;
  const int64_t ends = 9 * 16 + 64 * 7 * 7 * 10;
  const auto rounded = MakeNetwork(spec, {}, 1);
  EXPECT_EQ(TensorBytesOf(PackTensors(rounded->State(), PackRulesOf(*rounded, spec))),
            TensorBytesOf(tensors) - 3 * ends + 2 * 4);
  EXPECT_EQ(rounded->packed_bytes(), network->packed_bytes() - 3 * ends);
}

TEST_F(Pack, AnotherNetworkIsRefusedBeforeItsTensorsAreRead) {
  spec::JobSpec spec;
  const auto network = MakeNetwork(spec, {}, 1);
  const auto file = Written(*network, spec);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto larger = MakeNetwork(spec, {1, 32, 32, 10}, 1);
  const absl::Status status = RestorePacked(*file, "p", *larger);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("p: tensor 'fc.weight' of 31360 numbers is not of this network (allowed: "
                        "40960)"));
}

}  // namespace
}  // namespace bsnn::trainer
