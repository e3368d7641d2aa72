/// The ranks of one run: processes that train the same network, each on its share of every batch.
#pragma once

#include <ATen/core/Tensor.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <memory>
#include <string>

namespace bsnn::trainer {

/// Collectives: each rank calls the same ones in the same order, with tensors of the same shape and
/// dtype. After a sum all ranks have the same bytes, and the same ones at each run with as many
/// ranks. Throws c10::Error where a rank was lost or did not come within the patience. Confined to
/// one thread.
class Ranks {
 public:
  virtual ~Ranks() = default;

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool first() const { return rank_ == 0; }

  /// Replaces `values` by its sum over all ranks. On the CPU, contiguous, any shape; float32,
  /// float64 or int64.
  virtual void Sum(const at::Tensor& values) = 0;
  /// Replaces `values` by the first rank's. As Sum, any dtype.
  virtual void TakeFirst(const at::Tensor& values) = 0;

 protected:
  Ranks(int rank, int size) : rank_(rank), size_(size) {}

 private:
  const int rank_;
  const int size_;
};

struct Meeting {
  int rank = 0;
  int size = 1;
  std::string host = "127.0.0.1";  ///< of rank 0, which serves the store where ranks meet
  uint16_t port = 0;
  absl::Duration patience = absl::Minutes(10);  ///< how long one rank waits for another
};

/// Meets the others: c10d's TCPStore, and Gloo on the CPU. Unavailable where they do not come, or
/// where rank 0 cannot listen; Unimplemented in a build without Gloo's headers.
absl::StatusOr<std::unique_ptr<Ranks>> MeetRanks(const Meeting& meeting);

}  // namespace bsnn::trainer
