#include "worker/trainer/optim/optimizer.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/worker/trainer/nn/tensors.h"
#include "worker/trainer/optim/schedule.h"

namespace bsnn::trainer {
namespace {

std::vector<Parameter> TwoParameters() {
  return {{"weight", Leaf(Normal({3, 5}, 1)), true}, {"bias", Leaf(Normal({7}, 2)), false}};
}

/// Sets gradients that depend on `step` and makes one update.
void Update(Optimizer& optimizer, const std::vector<Parameter>& parameters, uint64_t step) {
  for (const Parameter& p : parameters) {
    p.tensor.mutable_grad() = Normal(p.tensor.sizes(), 10 + step);
  }
  optimizer.Step(0.1);
}

TEST(Sgd, FollowsItsFormulaAndDecaysOnlyWhereAsked) {
  spec::OptimizerSpec spec;
  spec.momentum = 0.5;
  spec.weight_decay = 0.25;
  const std::vector<Parameter> parameters = TwoParameters();
  std::vector<at::Tensor> w, m;
  for (const Parameter& p : parameters) {
    w.push_back(p.tensor.detach().clone());
    m.push_back(at::zeros(p.tensor.sizes()));
  }
  const auto optimizer = Optimizer::Make(spec, parameters);
  for (uint64_t step = 0; step < 3; ++step) {
    Update(*optimizer, parameters, step);
    for (size_t i = 0; i < w.size(); ++i) {
      const at::Tensor g =
          Normal(w[i].sizes(), 10 + step).add(w[i], parameters[i].decay ? 0.25 : 0.0);
      m[i] = m[i].mul(0.5).add(g);
      w[i] = w[i].sub(m[i], 0.1);
      EXPECT_LE(Difference(parameters[i].tensor, w[i]), 1e-6);
      EXPECT_FALSE(parameters[i].tensor.grad().defined());
    }
  }
}

TEST(Optimizer, MultipliesTheRateOfLatentBinaryWeightsAlone) {
  using enum spec::OptimizerName;
  for (const auto name : {kSgd, kAdam, kAdamw}) {
    spec::OptimizerSpec spec;
    spec.name = name;
    spec.weight_decay = 0.25;
    std::vector<Parameter> parameters = TwoParameters(), plain = TwoParameters();
    const at::Tensor before = plain[0].tensor.detach().clone();
    parameters[0].binary = plain[0].binary = true;
    const auto unscaled = Optimizer::Make(spec, plain);
    spec.binary_rate_factor = 0.25;
    const auto scaled = Optimizer::Make(spec, parameters);
    Update(*unscaled, plain, 0);
    Update(*scaled, parameters, 0);
    const at::Tensor step = plain[0].tensor.detach().sub(before);
    EXPECT_GT(step.abs().max().item<double>(), 1e-3);
    EXPECT_LE(Difference(parameters[0].tensor, before.add(step, 0.25)), 1e-6);
    EXPECT_TRUE(parameters[1].tensor.equal(plain[1].tensor));
  }
}

TEST(Adam, FollowsItsFormula) {
  spec::OptimizerSpec spec;
  spec.name = spec::OptimizerName::kAdam;
  spec.weight_decay = 0;
  const std::vector<Parameter> parameters = TwoParameters();
  at::Tensor w = parameters[0].tensor.detach().clone();
  at::Tensor mean = at::zeros(w.sizes()), square = at::zeros(w.sizes());
  const auto optimizer = Optimizer::Make(spec, parameters);
  for (uint64_t step = 0; step < 3; ++step) {
    Update(*optimizer, parameters, step);
    const at::Tensor g = Normal(w.sizes(), 10 + step);
    mean = mean.mul(0.9).add(g, 0.1);
    square = square.mul(0.999).add(g.square(), 0.001);
    const double n = static_cast<double>(step) + 1;
    const at::Tensor mean_hat = mean.div(1 - std::pow(0.9, n));
    const at::Tensor square_hat = square.div(1 - std::pow(0.999, n));
    w = w.sub(mean_hat.div(square_hat.sqrt().add(1e-8)), 0.1);
    EXPECT_LE(Difference(parameters[0].tensor, w), 1e-5);
  }
}

TEST(Adamw, ShrinksTheWeightBesideTheGradient) {
  spec::OptimizerSpec spec;
  spec.name = spec::OptimizerName::kAdamw;
  spec.weight_decay = 0.5;
  const std::vector<Parameter> parameters = TwoParameters(), plain = TwoParameters();
  const at::Tensor before = plain[0].tensor.detach().clone();
  const auto one = Optimizer::Make(spec, parameters);
  spec.weight_decay = 0;
  const auto two = Optimizer::Make(spec, plain);
  Update(*one, parameters, 0);
  Update(*two, plain, 0);
  EXPECT_LE(Difference(parameters[0].tensor, plain[0].tensor.detach().sub(before, 0.1 * 0.5)),
            1e-6);
  EXPECT_TRUE(parameters[1].tensor.equal(plain[1].tensor));  // a bias does not decay
}

/// Weights that follow the rule in doubles, one by one.
void ExpectFlips(spec::OptimizerName name, double threshold) {
  spec::OptimizerSpec spec;
  spec.name = name;
  spec.flip_threshold = threshold;
  spec.flip_rate = 0.25;
  spec.flip_square_rate = 0.5;
  spec.epsilon = 1e-8;
  std::vector<Parameter> parameters = TwoParameters();
  parameters[0].binary = true;
  const at::Tensor first = parameters[0].tensor.detach().clone();
  const at::Tensor bias = parameters[1].tensor.detach().clone();
  const auto optimizer = Optimizer::Make(spec, parameters);
  std::vector<double> w, m(15, 0.0);
  for (int64_t i = 0; i < 15; ++i) w.push_back(first.flatten()[i].item<double>() < 0 ? -1 : 1);
  double v = 0;
  int flips = 0;
  for (uint64_t step = 0; step < 4; ++step) {
    const at::Tensor g = Normal({3, 5}, 10 + step).flatten();
    Update(*optimizer, parameters, step);
    v += 0.5 * (g.square().mean().item<double>() - v);
    const double unit = name == spec::OptimizerName::kTbso ? std::sqrt(v + 1e-8) : 1.0;
    for (int64_t i = 0; i < 15; ++i) {
      const auto k = static_cast<size_t>(i);
      m[k] += 0.25 * (g[i].item<double>() - m[k]);
      const bool flip = w[k] * m[k] > threshold * unit;
      flips += flip;
      if (flip) w[k] = -w[k];
      EXPECT_EQ(parameters[0].tensor.detach().flatten()[i].item<double>(), w[k]);
    }
  }
  EXPECT_GT(flips, 3);
  EXPECT_LT(flips, 57);
  EXPECT_FALSE(parameters[1].tensor.equal(bias));  // SGD has it
}

TEST(Bop, FlipsWhereTheMeanGradientIsAboveTheThreshold) {
  ExpectFlips(spec::OptimizerName::kBop, 0.1);
}
TEST(Tbso, CountsTheThresholdInTheGradientsRootMeanSquare) {
  ExpectFlips(spec::OptimizerName::kTbso, 0.15);
}

TEST(Optimizer, ScalesAllGradientsTogetherDownToTheLimit) {
  spec::OptimizerSpec spec;
  spec.momentum = spec.weight_decay = 0;
  const std::vector<Parameter> parameters = TwoParameters();
  std::vector<at::Tensor> before;
  for (const Parameter& p : parameters) before.push_back(p.tensor.detach().clone());
  const double norm = std::sqrt(Normal({3, 5}, 10).square().sum().item<double>() +
                                Normal({7}, 10).square().sum().item<double>());
  for (const double limit : {norm / 4, norm * 4}) {
    for (size_t i = 0; i < 2; ++i) parameters[i].tensor.detach().copy_(before[i]);
    spec.gradient_clip = limit;
    Update(*Optimizer::Make(spec, parameters), parameters, 0);
    for (size_t i = 0; i < 2; ++i) {
      const at::Tensor g = Normal(before[i].sizes(), 10);
      const double scale = limit < norm ? 0.25 : 1.0;
      EXPECT_LE(Difference(parameters[i].tensor, before[i].sub(g, 0.1 * scale)), 1e-6);
    }
  }
}

TEST(Optimizer, GoesOnWithTheSameBitsAfterItsStateIsRestored) {
  using enum spec::OptimizerName;
  for (const auto name : {kSgd, kAdam, kAdamw, kBop, kTbso}) {
    spec::OptimizerSpec spec;
    spec.name = name;
    std::vector<Parameter> straight = TwoParameters(), resumed = TwoParameters();
    straight[0].binary = resumed[0].binary = true;
    const auto one = Optimizer::Make(spec, straight);
    Update(*one, straight, 0);
    const auto two = Optimizer::Make(spec, resumed);
    for (size_t i = 0; i < straight.size(); ++i) {
      resumed[i].tensor.detach().copy_(straight[i].tensor.detach());
    }
    ASSERT_TRUE(RestoreState(two->State(), one->State(), "training").ok());
    Update(*one, straight, 1);
    Update(*two, resumed, 1);
    for (size_t i = 0; i < straight.size(); ++i) {
      EXPECT_TRUE(straight[i].tensor.equal(resumed[i].tensor));
    }
  }
}

TEST(Optimizer, LeavesAParameterWithoutGradientAlone) {
  const std::vector<Parameter> parameters = TwoParameters();
  const at::Tensor before = parameters[0].tensor.detach().clone();
  Optimizer::Make({}, parameters)->Step(0.1);
  EXPECT_TRUE(parameters[0].tensor.equal(before));
}

TEST(LearningRate, WarmsUpAndThenFallsAsACosine) {
  spec::JobSpec spec;
  spec.optimizer.learning_rate = 1;
  spec.schedule.warmup_epochs = 1;
  const RunLength run{.steps_per_epoch = 10, .epochs = 3};
  EXPECT_DOUBLE_EQ(LearningRate(spec, run, 0), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(spec, run, 9), 1);
  EXPECT_DOUBLE_EQ(LearningRate(spec, run, 10), 1);
  EXPECT_NEAR(LearningRate(spec, run, 20), 0.5, 1e-12);
  EXPECT_NEAR(LearningRate(spec, run, 30), 0, 1e-12);
  spec.schedule.name = spec::ScheduleName::kConstant;
  EXPECT_DOUBLE_EQ(LearningRate(spec, run, 29), 1);
  spec.schedule.name = spec::ScheduleName::kStep;
  spec.schedule.step_epochs = 1;
  spec.schedule.step_factor = 0.5;
  EXPECT_DOUBLE_EQ(LearningRate(spec, run, 19), 1);
  EXPECT_DOUBLE_EQ(LearningRate(spec, run, 20), 0.5);
  EXPECT_DOUBLE_EQ(LearningRate(spec, run, 30), 0.25);
}

}  // namespace
}  // namespace bsnn::trainer
