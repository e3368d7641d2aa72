#include "worker/trainer/model/network.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/worker/trainer/nn/tensors.h"
#include "worker/trainer/nn/loss.h"

namespace bsnn::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<Network> MakeNetwork(const spec::JobSpec& spec, const InputShape& shape = {}) {
  auto network = Network::Make(spec, shape);
  EXPECT_TRUE(network.ok()) << network.status();
  return std::move(network).value();
}

spec::JobSpec Spec(spec::NetworkName name) {
  spec::JobSpec spec;
  spec.network.name = name;
  return spec;
}

at::Tensor Labels(int64_t count) { return at::zeros({count}, at::kLong); }

TEST(Network, HasTheParametersThatItsTableSays) {
  const InputShape colour{3, 32, 32, 10};
  // science.md §7: 308 662 with alpha at T = 2.
  EXPECT_EQ(MakeNetwork(Spec(spec::NetworkName::kBirealResnet8), colour)->parameter_count(),
            308'662);
  // Stem 3 9 64, 16 convolutions, 3 shortcuts, BN, alpha, classifier.
  const int64_t convolutions = 9 * (64 * 64 * 4 + 64 * 128 + 128 * 128 * 3 + 128 * 256 +
                                    256 * 256 * 3 + 256 * 512 + 512 * 512 * 3);
  const int64_t shortcuts = 64 * 128 + 128 * 256 + 256 * 512 + 2 * (128 + 256 + 512);
  const int64_t norms = 2 * (64 + 4 * (64 + 128 + 256 + 512));
  const auto resnet18 = MakeNetwork(Spec(spec::NetworkName::kBirealResnet18), colour);
  EXPECT_EQ(resnet18->parameter_count(),
            27 * 64 + convolutions + shortcuts + norms + 16 * 2 + 5130);
  EXPECT_EQ(resnet18->binary_weight_count(), convolutions);
  const auto convnet = MakeNetwork(Spec(spec::NetworkName::kConvnet));
  EXPECT_EQ(convnet->binary_weight_count(), 9 * (16 * 32 + 32 * 64));
  EXPECT_EQ(convnet->weight_layers().size(), 2u);
}

TEST(Network, HasThePublishedSizes) {
  const auto plain = [](spec::NetworkName name, const InputShape& shape) {
    spec::JobSpec spec = Spec(name);
    spec.network.kind = spec::NetworkKind::kBsnn;
    return MakeNetwork(spec, shape);
  };
  const InputShape ten{3, 32, 32, 10}, hundred{3, 32, 32, 100}, thousand{3, 224, 224, 1000};
  // science.md §1.6: VGG-11 36.91 and 1.20 MB on CIFAR-10, 37.10 and 1.39 on CIFAR-100.
  const auto vgg = plain(spec::NetworkName::kVgg11, ten);
  EXPECT_EQ(vgg->parameter_count(), 9'228'362);
  EXPECT_NEAR(static_cast<double>(vgg->float_bytes()), 36.91e6, 0.005e6);
  EXPECT_NEAR(static_cast<double>(vgg->packed_bytes()), 1.20e6, 0.005e6);
  const auto vgg100 = plain(spec::NetworkName::kVgg11, hundred);
  EXPECT_NEAR(static_cast<double>(vgg100->float_bytes()), 37.10e6, 0.005e6);
  EXPECT_NEAR(static_cast<double>(vgg100->packed_bytes()), 1.39e6, 0.005e6);
  EXPECT_EQ(plain(spec::NetworkName::kResnet19, ten)->parameter_count(), 12'569'226);
  EXPECT_EQ(plain(spec::NetworkName::kResnet18, thousand)->parameter_count(), 11'689'512);
  EXPECT_EQ(plain(spec::NetworkName::kSewResnet18, thousand)->parameter_count(), 11'689'512);
  // 17.22 million.
  EXPECT_EQ(plain(spec::NetworkName::kResnet20, ten)->parameter_count(), 17'222'730);
  // Bi-Real networks have the convolutions of the residual ones, with float shortcuts.
  const auto bireal19 = plain(spec::NetworkName::kBirealResnet19, ten);
  EXPECT_EQ(bireal19->parameter_count(), 12'569'226);
  EXPECT_EQ(bireal19->binary_weight_count(), 884'736 + 3'244'032 + 8'257'536);
  EXPECT_EQ(bireal19->weight_layers().size(), 16u);
  EXPECT_EQ(plain(spec::NetworkName::kBirealResnet34, ten)->weight_layers().size(), 32u);
  // Ends in int8 are a byte a weight instead of four.
  spec::JobSpec int8 = Spec(spec::NetworkName::kConvnet);
  const auto float_ends = MakeNetwork(int8);
  int8.network.ends = spec::Ends::kInt8;
  const auto int8_ends = MakeNetwork(int8);
  EXPECT_EQ(float_ends->packed_bytes() - int8_ends->packed_bytes(), 3 * (9 * 16 + 10 * 64 * 49));
  int64_t weights = 0;
  for (const LayerDescription& layer : int8_ends->Describe()) weights += layer.packed_bytes();
  EXPECT_EQ(weights, 9 * 16 + 10 * 64 * 49 + 9 * (16 * 32 + 32 * 64) / 8);
}

TEST(Network, DescribesEveryLayerWithWeightsOnce) {
  for (int name = 0; name <= static_cast<int>(spec::NetworkName::kSewResnet18); ++name) {
    for (const auto kind : {spec::NetworkKind::kBsnnAgmm, spec::NetworkKind::kSnn}) {
      spec::JobSpec spec = Spec(static_cast<spec::NetworkName>(name));
      spec.network.kind = kind;
      spec.network.time_steps = 3;
      const auto network = MakeNetwork(spec, {3, 16, 16, 10});
      int64_t decayed = 0, described = 0, binary = 0;
      for (const Parameter& p : network->parameters()) decayed += p.decay ? p.tensor.numel() : 0;
      const auto layers = network->Describe();
      for (const LayerDescription& layer : layers) {
        int64_t weights = 1, pixels = 1;
        for (const int64_t extent : layer.weight_shape) weights *= extent;
        for (size_t i = 1; i < layer.output_shape.size(); ++i) pixels *= layer.output_shape[i];
        EXPECT_EQ(layer.operations, weights * pixels) << layer.name;
        EXPECT_EQ(layer.repetitions, &layer == &layers.front() ? 1 : 3) << layer.name;
        described += weights;
        if (layer.binary) binary += weights;
      }
      EXPECT_EQ(described, decayed) << spec::ToWord(spec.network.name);
      EXPECT_EQ(binary, network->binary_weight_count());
      EXPECT_TRUE(network->training());
    }
  }
}

TEST(Network, MeasuresTheInputOfEachLayer) {
  const auto network = MakeNetwork(Spec(spec::NetworkName::kBirealResnet8), {3, 32, 32, 10});
  const auto layers = network->Describe();
  network->SetTraining(false);
  network->CountActivity(true);
  network->MeasureInputs(true);
  const at::NoGradGuard no_gradients;
  network->Forward(Normal({3, 3, 32, 32}, 1));
  network->Forward(Normal({2, 3, 32, 32}, 2));
  const std::vector<double> means = network->InputMeans(layers);
  ASSERT_EQ(means.size(), layers.size());
  // The neurons of a Bi-Real block are what its convolution sees.
  int compared = 0;
  for (const LayerActivity& activity : network->Activity()) {
    for (size_t i = 0; i < layers.size(); ++i) {
      if (layers[i].name != activity.layer) continue;
      EXPECT_EQ(layers[i].spikes_per_unit, 1);
      EXPECT_GT(layers[i].gated_values, 0);
      EXPECT_NEAR(means[i], (activity.firing_rate[0] + activity.firing_rate[1]) / 2, 1e-12);
      EXPECT_GT(means[i], 0.01);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 6);
  // Picture, shortcuts and classifier see real numbers.
  EXPECT_TRUE(std::isnan(means[0]));
  EXPECT_EQ(layers.back().spikes_per_unit, 0);
  network->MeasureInputs(true);
  network->MeasureInputs(false);
  network->Forward(Normal({1, 3, 32, 32}, 3));
  EXPECT_TRUE(std::isnan(network->InputMeans(layers)[1]));
}

TEST(Network, KnowsWhatItsInputsStandFor) {
  const auto units = [](spec::NetworkName name, spec::GatePlace place) {
    spec::JobSpec spec = Spec(name);
    spec.agmm.place = place;
    const auto network = MakeNetwork(spec, {3, 32, 32, 10});
    network->MeasureInputs(true);
    const at::NoGradGuard no_gradients;
    network->Forward(Normal({2, 3, 32, 32}, 1));
    std::vector<int64_t> found;
    const std::vector<LayerDescription> layers = network->Describe();
    const std::vector<double> means = network->InputMeans(layers);
    for (const LayerDescription& layer : layers) {
      EXPECT_EQ(std::isnan(means[found.size()]), layer.spikes_per_unit == 0) << layer.name;
      EXPECT_EQ(layer.gated_values > 0, layer.binary) << layer.name;
      found.push_back(layer.spikes_per_unit);
    }
    return found;
  };
  for (const auto place : {spec::GatePlace::kAfterBn, spec::GatePlace::kOnSpikes}) {
    EXPECT_THAT(units(spec::NetworkName::kConvnet, place), ElementsAre(0, 1, 1, 1));
    EXPECT_THAT(units(spec::NetworkName::kVggsnn, place), ElementsAre(0, 1, 4, 1, 4, 1, 4, 1, 4));
    EXPECT_THAT(units(spec::NetworkName::kVgg11, place), ElementsAre(0, 1, 1, 1, 1, 1, 1, 1, 16));
    EXPECT_EQ(units(spec::NetworkName::kSewResnet18, place).back(), 16);
  }
}

TEST(Network, DecaysWeightsOfConvolutionsAndClassifierOnly) {
  std::vector<std::string> decayed;
  const auto network = MakeNetwork({});
  for (const Parameter& p : network->parameters()) {
    if (p.decay) decayed.push_back(p.name);
  }
  EXPECT_THAT(decayed, ElementsAre("conv1.weight", "conv2.weight", "conv3.weight", "fc.weight"));
}

struct Outcome {
  at::Tensor logits;
  bool finite = true;
};

/// One training pass forward and backward.
Outcome Train(Network& network, const InputShape& shape) {
  const at::Tensor images = Normal({4, shape.channels, shape.height, shape.width}, 1);
  Outcome out{network.Forward(images)};
  CrossEntropyOfMean(out.logits, Labels(4)).backward();
  for (const Parameter& p : network.parameters()) {
    EXPECT_TRUE(p.tensor.grad().defined()) << p.name;
    if (p.tensor.grad().defined()) {
      out.finite = out.finite && p.tensor.grad().isfinite().all().item<bool>();
    }
  }
  return out;
}

TEST(Network, TrainsEveryKindForAnyShapeAndNumberOfSteps) {
  const InputShape shape{3, 13, 15, 7};
  for (const auto name :
       {spec::NetworkName::kConvnet, spec::NetworkName::kBirealResnet8,
        spec::NetworkName::kResnet18, spec::NetworkName::kSewResnet18, spec::NetworkName::kVgg11}) {
    for (const auto kind :
         {spec::NetworkKind::kBsnnAgmm, spec::NetworkKind::kBsnn, spec::NetworkKind::kSnn}) {
      for (const int steps : {1, 3}) {
        spec::JobSpec spec = Spec(name);
        spec.network.kind = kind;
        spec.network.time_steps = steps;
        const Outcome out = Train(*MakeNetwork(spec, shape), shape);
        EXPECT_THAT(out.logits.sizes(), ElementsAre(steps, 4, 7));
        EXPECT_TRUE(out.finite);
      }
    }
  }
}

TEST(Network, TakesTheSameFrameAtEachStepAsOnePicture) {
  const int64_t steps = 3;
  for (const auto name : {spec::NetworkName::kConvnet, spec::NetworkName::kBirealResnet8,
                          spec::NetworkName::kResnet20, spec::NetworkName::kVggsnn}) {
    spec::JobSpec spec = Spec(name);
    spec.network.time_steps = steps;
    const InputShape still{2, 16, 16, 10}, moving{2, 16, 16, 10, steps};
    const auto repeats = MakeNetwork(spec, still), follows = MakeNetwork(spec, moving);
    const at::Tensor picture = Normal({4, 2, 16, 16}, 1);
    for (const bool training : {true, false}) {  // running statistics first
      repeats->SetTraining(training);
      follows->SetTraining(training);
      const at::Tensor want = repeats->Forward(picture);
      const at::Tensor got = follows->Forward(picture.repeat({steps, 1, 1, 1}));
      EXPECT_TRUE(at::allclose(got, want, 1e-3, 1e-4))
          << spec::ToWord(name) << (got - want).abs().max();
    }
    // Another last frame changes the last step alone: time goes forward, and runs outermost.
    at::NoGradGuard no_grad;
    const at::Tensor before = follows->Forward(picture.repeat({steps, 1, 1, 1}));
    const at::Tensor other = at::cat({picture, picture, -picture});
    const at::Tensor after = follows->Forward(other);
    EXPECT_TRUE(after.slice(0, 0, 2).equal(before.slice(0, 0, 2))) << spec::ToWord(name);
    EXPECT_FALSE(after[2].equal(before[2])) << spec::ToWord(name);
  }
}

TEST(Network, TrainsOnFramesOfRecordings) {
  struct Case {
    spec::NetworkName name;
    int64_t side;
  };
  for (const auto& [name, side] :
       {Case{spec::NetworkName::kConvnet, 34}, Case{spec::NetworkName::kBirealResnet8, 34},
        Case{spec::NetworkName::kSewResnet18, 34}, Case{spec::NetworkName::kVggsnn, 48}}) {
    spec::JobSpec spec = Spec(name);
    spec.network.time_steps = 4;
    const auto network = MakeNetwork(spec, {2, side, side, 11, 4});
    const at::Tensor logits = network->Forward(Normal({4 * 2, 2, side, side}, 1));
    EXPECT_THAT(logits.sizes(), ElementsAre(4, 2, 11));
    CrossEntropyOfMean(logits, Labels(2)).backward();
    for (const Parameter& p : network->parameters()) {
      EXPECT_TRUE(p.tensor.grad().defined()) << p.name;
    }
    EXPECT_EQ(network->Describe()[0].repetitions, 4) << "the stem sees each frame";
    EXPECT_THROW(network->Forward(Normal({3, 2, side, side}, 1)), c10::Error);
  }
  spec::JobSpec spec;
  spec.network.time_steps = 4;
  EXPECT_THAT(std::string(Network::Make(spec, {2, 34, 34, 10, 3}).status().message()),
              testing::HasSubstr("input.frames"));
}

TEST(Network, TrainsWithEveryOptionOfTheGate) {
  const InputShape shape{1, 12, 12, 10};
  for (const auto name : {spec::NetworkName::kConvnet, spec::NetworkName::kBirealResnet8,
                          spec::NetworkName::kResnet20}) {
    for (int reduce = 0; reduce < 4; ++reduce) {
      for (int place = 0; place < 3; ++place) {
        spec::JobSpec spec = Spec(name);
        spec.agmm.reduce = static_cast<spec::AgmmReduce>(reduce);
        spec.agmm.place = static_cast<spec::GatePlace>(place);
        spec.agmm.alpha_mode = static_cast<spec::AlphaMode>((reduce + place) % 3);
        spec.agmm.input = static_cast<spec::GateInput>(place % 2);
        spec.agmm.gradient = static_cast<spec::GateGradient>(reduce % 2);
        spec.binarization.method = static_cast<spec::Binarization>(place);
        SCOPED_TRACE(testing::Message() << "reduce " << reduce << " place " << place);
        const auto network = MakeNetwork(spec, shape);
        EXPECT_TRUE(Train(*network, shape).finite);
        network->SetTraining(false);
        at::NoGradGuard no_grad;
        EXPECT_TRUE(network->Forward(Normal({2, 1, 12, 12}, 2)).isfinite().all().item<bool>());
      }
    }
  }
}

TEST(Network, StartsFromItsSeed) {
  spec::JobSpec spec;
  const auto one = MakeNetwork(spec), same = MakeNetwork(spec);
  spec.training.seed = 2;
  const auto other = MakeNetwork(spec);
  EXPECT_TRUE(one->parameters()[0].tensor.equal(same->parameters()[0].tensor));
  EXPECT_FALSE(one->parameters()[0].tensor.equal(other->parameters()[0].tensor));
}

TEST(Network, AnswersTheSameAfterItsStateIsRestored) {
  spec::JobSpec spec;
  spec.agmm.reduce = spec::AgmmReduce::kStep;
  const auto trained = MakeNetwork(spec);
  Train(*trained, {});
  spec.training.seed = 2;
  const auto restored = MakeNetwork(spec);
  ASSERT_TRUE(RestoreState(restored->State(), trained->State(), "model").ok());
  trained->SetTraining(false);
  restored->SetTraining(false);
  at::NoGradGuard no_grad;
  const at::Tensor images = Normal({3, 1, 28, 28}, 5);
  EXPECT_TRUE(trained->Forward(images).equal(restored->Forward(images)));
}

TEST(Network, ShowsGradientsBeforeAndAfterTheStraightThroughRule) {
  spec::JobSpec spec;
  spec.binarization.method = spec::Binarization::kSign;
  const auto network = MakeNetwork(spec);
  network->KeepGradients(true);
  Train(*network, {});
  const std::vector<LayerGradient> gradients = network->Gradients();
  ASSERT_EQ(gradients.size(), 2u);
  EXPECT_EQ(gradients[0].layer, "conv2");
  // All latent weights start within [-1, 1]: the rule hands the gradient on as it is.
  EXPECT_TRUE(gradients[0].effective.equal(gradients[0].latent));
  EXPECT_GT(gradients[0].latent.abs().max().item<float>(), 0);
}

TEST(Network, RefusesToShowGradientsItDidNotKeep) {
  const auto network = MakeNetwork({});
  EXPECT_THROW(network->Gradients(), c10::Error);
}

TEST(Network, CountsActivityWhenAsked) {
  const auto network = MakeNetwork({});
  Train(*network, {});
  EXPECT_TRUE(network->Activity()[0].firing_rate.empty());
  network->CountActivity(true);
  network->Forward(Normal({4, 1, 28, 28}, 1));
  const std::vector<LayerActivity> activity = network->Activity();
  ASSERT_EQ(activity.size(), 4u);
  EXPECT_EQ(activity[0].layer, "conv1");
  EXPECT_EQ(activity[3].layer, "all");
  EXPECT_TRUE(activity[3].alpha.empty());
  EXPECT_TRUE(std::isnan(activity[0].gate_mean));
  EXPECT_TRUE(activity[0].alpha.empty());
  for (const LayerActivity& layer : activity) {
    ASSERT_EQ(layer.firing_rate.size(), 2u);
    EXPECT_GT(layer.firing_rate[1], 0);
    EXPECT_LT(layer.firing_rate[1], 1);
  }
  EXPECT_NEAR(activity[1].gate_mean, 0.5, 0.05);  // BN's bias starts at 0
  EXPECT_THAT(activity[1].alpha, ElementsAre(1.0, 1.0));
  // 16 x 28 x 28, 32 x 14 x 14 and 64 x 7 x 7 neurons: 4 to 2 to 1. A gate each.
  for (size_t t = 0; t < 2; ++t) {
    EXPECT_NEAR(activity[3].firing_rate[t],
                (4 * activity[0].firing_rate[t] + 2 * activity[1].firing_rate[t] +
                 activity[2].firing_rate[t]) /
                    7,
                1e-12);
  }
  EXPECT_NEAR(activity[3].gate_mean, (activity[1].gate_mean + activity[2].gate_mean) / 2, 1e-12);
  network->ResetActivity();
  EXPECT_TRUE(network->Activity()[1].firing_rate.empty());
}

TEST(Network, KeepsFiringRatesOfEveryNeuronLayerAndComputesTheSame) {
  const at::Tensor images = Normal({2, 3, 32, 32}, 1);
  const auto rates_of = [&](spec::NetworkName name) {
    const auto network = MakeNetwork(Spec(name), {3, 32, 32, 10});
    const at::Tensor plain = network->Forward(images);
    EXPECT_TRUE(network->TakeFiringRates().empty());
    network->KeepFiringRates(true);
    EXPECT_TRUE(network->Forward(images).allclose(plain, 1e-4, 1e-5));  // other operations
    const std::vector<at::Tensor> rates = network->TakeFiringRates();
    FiringRateTerm(rates, 0.5).backward();
    EXPECT_TRUE(network->weight_layers()[0].latent.grad().defined());
    return rates.size();
  };
  EXPECT_EQ(rates_of(spec::NetworkName::kConvnet), 3u);
  EXPECT_EQ(rates_of(spec::NetworkName::kBirealResnet8), 6u);
  EXPECT_EQ(rates_of(spec::NetworkName::kVgg11), 8u);
  EXPECT_EQ(rates_of(spec::NetworkName::kResnet18), 17u);
}

TEST(Network, NamesWhatIsWrongWithItsInput) {
  const auto network = Network::Make({}, {.channels = 0, .height = 3, .width = 28, .classes = 1});
  ASSERT_EQ(network.status().code(), absl::StatusCode::kInvalidArgument);
  for (const char* field : {"input.channels", "input.height", "input.classes"}) {
    EXPECT_THAT(std::string(network.status().message()), HasSubstr(field));
  }
  EXPECT_THROW(MakeNetwork({})->Forward(Normal({1, 1, 27, 28}, 1)), c10::Error);
}

}  // namespace
}  // namespace bsnn::trainer
