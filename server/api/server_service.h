/// ServerService of proto/bsnn/v1/server.proto: what this coordinator is.
#pragma once

#include <absl/time/time.h>

#include <string>

#include "bsnn/v1/server.grpc.pb.h"

namespace bsnn::api {

/// Immutable. Answers before the gate opens: it needs nothing of the store.
class ServerService final : public v1::ServerService::CallbackService {
 public:
  struct Options {
    std::string version;  ///< of the program
    absl::Time start_time;
    int streams_max = 0;
  };

  explicit ServerService(const Options& options);

  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest* request,
                                          v1::ServerInfo* reply) override;

 private:
  v1::ServerInfo info_;
};

}  // namespace bsnn::api
