/// Counts every call by method and status code, and turns the answer that gRPC gives to a message
/// it cannot parse (UNIMPLEMENTED, without a word) into INVALID_ARGUMENT with REQUEST_MALFORMED.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace bsnn::api {

/// Calls of one method that ended with one code.
struct HandledCalls {
  std::string service;
  std::string method;
  std::string code;  ///< "OK", "NOT_FOUND", ...
  int64_t count = 0;
};

/// Thread-safe. Outlives the server it counts for.
class RpcCounter {
 public:
  /// Knows the methods of the services of bsnn.v1 and of gRPC's health and reflection; calls of
  /// other names are pooled as "other", so that callers cannot make series.
  RpcCounter();

  /// Every method's OK count, and the other codes that have occurred.
  std::vector<HandledCalls> Counts() const;

  /// A factory for ServerBuilder::experimental().SetInterceptorCreators.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeFactory();

 private:
  static constexpr size_t kCodes = 17;
  struct Method {
    std::string service;
    std::string name;
    bool ours = false;
    std::array<std::atomic<int64_t>, kCodes> counts{};
  };
  class Interceptor;
  class Factory;

  void Add(const std::string& service, const std::string& name, bool ours);
  Method& Find(const char* path) const;

  std::vector<std::unique_ptr<Method>> methods_;  // the last is "other"
  std::map<std::string, Method*, std::less<>> by_path_;
};

}  // namespace bsnn::api
