/// A user who wants one job done: repeats calls until they are answered, cancels now and then,
/// deletes what has ended and sometimes begins anew under the same id.
#pragma once

#include <optional>
#include <string>

#include "tests/simulation/world.h"

namespace bsnn::simulation {

class ModelUser {
 public:
  ModelUser(World& world, int number);
  void Step();
  /// Its job exists and has ended.
  bool IsServed();

 private:
  void Create();
  void Cancel();
  void Delete();

  World& world_;
  const int number_;
  int generation_ = 0;
  scheduler::CreateJobRequest request_;
  std::optional<base::JobId> job_;
  int64_t sequence_ = 0;
  bool deleting_ = false;
  Call create_;
  Call cancel_;
  Call delete_;
};

}  // namespace bsnn::simulation
