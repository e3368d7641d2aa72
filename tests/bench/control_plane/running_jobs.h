/// Jobs that a pretended worker runs: placed, started, and reporting as trainers do.
#pragma once

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bsnn/v1/job.grpc.pb.h"
#include "bsnn/v1/worker.grpc.pb.h"

namespace bsnn::bench {

struct RunningJob {
  std::string name;           ///< jobs/{job}
  std::string worker;         ///< workers/{worker}
  int32_t epoch = 0;          ///< of its attempt
  int64_t next_sequence = 1;  ///< of its next event
};

/// Registers workers of 64 slots, creates `count` jobs, and reports each as started. Ends the
/// program where that fails.
std::vector<RunningJob> StartJobs(const std::shared_ptr<grpc::Channel>& channel, int count);

}  // namespace bsnn::bench
