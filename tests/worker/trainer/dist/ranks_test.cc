// Ranks as threads of one process, each with its own Gloo: the collectives, and batch norm over all
// ranks against batch norm of one process that has all pictures.
#include "worker/trainer/dist/ranks.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <torch/csrc/autograd/autograd.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "tests/worker/trainer/nn/tensors.h"
#include "worker/trainer/nn/batch_norm.h"

namespace bsnn::trainer {
namespace {

uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

void RunRanks(int size, const std::function<void(Ranks&)>& body) {
  const uint16_t port = FreePort();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      const auto ranks = MeetRanks({.rank = rank, .size = size, .port = port});
      ASSERT_TRUE(ranks.ok()) << ranks.status();
      body(**ranks);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class RanksTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto alone = MeetRanks({.rank = 0, .size = 1, .port = FreePort()});
    if (absl::IsUnimplemented(alone.status())) GTEST_SKIP() << alone.status();
  }
};

TEST_F(RanksTest, SumAndTakeTheFirstsForEveryDtype) {
  RunRanks(3, [](Ranks& ranks) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kLong}) {
      const at::Tensor values = at::arange(5, dtype).add(ranks.rank());
      ranks.Sum(values);
      EXPECT_TRUE(values.equal(at::arange(5, dtype).mul(3).add(3)));
    }
    const at::Tensor values = at::full({4}, ranks.rank() + 7, at::kLong);
    ranks.TakeFirst(values);
    EXPECT_TRUE(values.equal(at::full({4}, 7, at::kLong)));
  });
}

TEST_F(RanksTest, SayWhichOfThemLostAnother) {
  RunRanks(2, [](Ranks& ranks) {
    if (ranks.rank() == 1) return;  // gone
    try {
      ranks.Sum(at::full({1}, 1.0));
      ADD_FAILURE() << "a sum without the other rank";
    } catch (const c10::Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("rank 0 of 2 lost another rank"));
    }
  });
}

TEST_F(RanksTest, SayThatTheOthersDidNotCome) {
  const auto ranks =
      MeetRanks({.rank = 0, .size = 2, .port = FreePort(), .patience = absl::Milliseconds(300)});
  EXPECT_TRUE(absl::IsUnavailable(ranks.status())) << ranks.status();
  EXPECT_THAT(std::string(ranks.status().message()),
              testing::HasSubstr("rank 0 of 2 did not meet the others at 127.0.0.1:"));
}

constexpr int64_t kSteps = 2, kBatch = 5, kChannels = 16;

/// A normalisation with a gate and what it gave, of the pictures [first, last) at each time step.
struct Part {
  at::Tensor x, grad;
  BatchNorm norm{Leaf(Normal({kChannels}, 4, 1.5)), Leaf(Normal({kChannels}, 5)),
                 Normal({kChannels}, 6), Normal({kChannels}, 7).square().add(0.5)};
  Gate gate;
  NormCall call;
  std::vector<at::Tensor> out;  ///< y, and the gradients of x, weight, bias, alpha

  static at::Tensor Pictures(uint64_t seed, int64_t first, int64_t last) {
    const at::Tensor all = NormalActivations({kSteps * kBatch, kChannels, 6, 5}, seed, 0.3);
    return all.view({kSteps, kBatch, kChannels, 6, 5})
        .slice(1, first, last)
        .reshape({kSteps * (last - first), kChannels, 6, 5});
  }

  Part(int64_t first, int64_t last, const std::function<void(Part&)>& change)
      : x(Leaf(Pictures(1, first, last))), grad(Pictures(3, first, last)) {
    gate.alpha = Leaf(Normal({kSteps}, 8, 2));
    gate.running_energy = Normal({kSteps}, 9);
    call.steps = kSteps;
    call.gate = &gate;
    change(*this);
  }

  void Run() {
    const at::Tensor y = NormGateFire(x, norm, call);
    std::vector<at::Tensor> inputs{x, norm.weight, norm.bias};
    if (call.gate != nullptr) inputs.push_back(gate.alpha);
    out = {y.detach()};
    for (const at::Tensor& g : torch::autograd::grad({y}, inputs, {grad})) out.push_back(g);
  }
};

/// Tensors of parts of the batch, [T * b, ...] each, as one of [T * B, ...].
at::Tensor Joined(const std::vector<at::Tensor>& parts) {
  std::vector<at::Tensor> by_step;
  for (const at::Tensor& part : parts) {
    by_step.push_back(part.reshape({kSteps, part.size(0) / kSteps, kChannels, 6, 5}));
  }
  return at::cat(by_step, 1).reshape({kSteps * kBatch, kChannels, 6, 5});
}

void ExpectRanksAgreeWithOneProcess(int size, const std::function<void(Part&)>& change) {
  Part whole(0, kBatch, change);
  whole.Run();
  std::vector<std::unique_ptr<Part>> parts;
  for (int64_t r = 0; r < size; ++r) {
    parts.push_back(std::make_unique<Part>(kBatch * r / size, kBatch * (r + 1) / size, change));
  }
  RunRanks(size, [&](Ranks& ranks) {
    Part& part = *parts[static_cast<size_t>(ranks.rank())];
    part.call.ranks = &ranks;
    part.Run();
  });
  for (size_t i = 0; i < whole.out.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "tensor " << i << " of " << size << " ranks");
    std::vector<at::Tensor> outs;
    for (const auto& part : parts) outs.push_back(part->out[i]);
    const at::Tensor all = i < 2 ? Joined(outs) : at::stack(outs).sum(0);
    EXPECT_LE(Difference(all, whole.out[i]), 2e-6);
  }
  for (const auto& part : parts) {
    EXPECT_LE(Difference(part->norm.running_mean, whole.norm.running_mean), 1e-6);
    EXPECT_LE(Difference(part->norm.running_var, whole.norm.running_var), 1e-6);
    EXPECT_TRUE(part->norm.running_var.equal(parts[0]->norm.running_var));
  }
}

TEST_F(RanksTest, NormaliseTogetherAsOneProcessWould) {
  for (const int size : {2, 3}) {  // of 2 and 3 pictures; of 1, 2 and 2
    ExpectRanksAgreeWithOneProcess(size, [](Part&) {});
    ExpectRanksAgreeWithOneProcess(size, [](Part& p) { p.call.gate = nullptr; });
    ExpectRanksAgreeWithOneProcess(size, [](Part& p) { p.call.neuron = spec::NeuronSpec{}; });
  }
}

}  // namespace
}  // namespace bsnn::trainer
