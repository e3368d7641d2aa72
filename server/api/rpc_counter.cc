#include "server/api/rpc_counter.h"

#include <absl/status/status.h>
#include <google/protobuf/descriptor.h>

#include <string_view>

#include "base/fault.h"
#include "bsnn/v1/checkpoint.pb.h"
#include "bsnn/v1/job.pb.h"
#include "bsnn/v1/server.pb.h"
#include "bsnn/v1/worker.pb.h"
#include "wire/status.h"

namespace bsnn::api {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;

std::string CodeWord(size_t code) {
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
}

bool IsParseFailure(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNIMPLEMENTED && status.error_message().empty();
}

}  // namespace

class RpcCounter::Interceptor : public grpc::experimental::Interceptor {
 public:
  explicit Interceptor(Method& method) : method_(method) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      grpc::Status status = methods->GetSendStatus();
      if (method_.ours && IsParseFailure(status)) {
        status = wire::ToGrpc(base::WithReason(
            absl::InvalidArgumentError("the request is not a message of this method"),
            {"REQUEST_MALFORMED", {}}));
        methods->ModifySendStatus(status);
      }
      const auto code = static_cast<size_t>(status.error_code());
      if (code < kCodes) method_.counts[code].fetch_add(1, std::memory_order_relaxed);
    }
    methods->Proceed();
  }

 private:
  Method& method_;
};

class RpcCounter::Factory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(RpcCounter& counter) : counter_(counter) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new Interceptor(counter_.Find(info->method()));  // gRPC owns it
  }

 private:
  RpcCounter& counter_;
};

RpcCounter::RpcCounter() {
  for (const auto* file :
       {v1::Job::descriptor()->file(), v1::Worker::descriptor()->file(),
        v1::Checkpoint::descriptor()->file(), v1::ServerInfo::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) {
      const auto* service = file->service(i);
      for (int j = 0; j < service->method_count(); ++j) {
        Add(service->full_name(), service->method(j)->name(), /*ours=*/true);
      }
    }
  }
  Add("grpc.health.v1.Health", "Check", false);
  Add("grpc.health.v1.Health", "Watch", false);
  Add("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", false);
  Add("other", "other", false);
}

void RpcCounter::Add(const std::string& service, const std::string& name, bool ours) {
  auto method = std::make_unique<Method>();
  method->service = service;
  method->name = name;
  method->ours = ours;
  by_path_["/" + service + "/" + name] = method.get();
  methods_.push_back(std::move(method));
}

RpcCounter::Method& RpcCounter::Find(const char* path) const {
  const auto found = path == nullptr ? by_path_.end() : by_path_.find(std::string_view(path));
  return found == by_path_.end() ? *methods_.back() : *found->second;
}

std::vector<HandledCalls> RpcCounter::Counts() const {
  std::vector<HandledCalls> calls;
  for (const auto& method : methods_) {
    for (size_t code = 0; code < kCodes; ++code) {
      const int64_t count = method->counts[code].load(std::memory_order_relaxed);
      if (count == 0 && code != 0) continue;
      calls.push_back({method->service, method->name, CodeWord(code), count});
    }
  }
  return calls;
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> RpcCounter::MakeFactory() {
  return std::make_unique<Factory>(*this);
}

}  // namespace bsnn::api
