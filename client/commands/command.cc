#include "client/commands/command.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/fault.h"

namespace bsnn::client {

sdk::Client Context::MakeClient() const {
  return sdk::Client(
      coordinator, {.call_timeout = absl::Seconds(timeout_seconds),
                    .retry_for = absl::Seconds(timeout_seconds / 2),
                    .stop = stop,
                    .on_absence = [address = coordinator](const absl::Status&) {
                      fmt::print(
                          stderr,
                          "bsnnctl: no answer from the coordinator at {}; waiting until it is back "
                          "(Ctrl-C ends the waiting, not the job)\n",
                          address);
                    }});
}

int Fail(const Context& context, const std::string& what, const absl::Status& status) {
  const auto faults = base::FaultsOf(status);
  if (faults.empty()) {
    fmt::print(stderr, "bsnnctl: {}: {}\n", Printable(what),
               PrintableText(std::string(status.message())));
  } else {
    fmt::print(stderr, "bsnnctl: {}: {} wrong field{}\n", Printable(what), faults.size(),
               faults.size() == 1 ? "" : "s");
    for (const auto& fault : faults) {
      fmt::print(stderr, "  {} is {}; allowed: {}\n", Printable(fault.field),
                 Printable(fault.value), Printable(fault.allowed));
    }
  }
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return kUsage;
    case absl::StatusCode::kNotFound:
      return kNotFound;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      fmt::print(stderr,
                 "  No answer from the coordinator at {}. Is it running there? Name another with "
                 "--coordinator ADDRESS or BSNN_COORDINATOR.\n",
                 context.coordinator);
      return kUnreachable;
    case absl::StatusCode::kCancelled:
      return kInterrupted;
    case absl::StatusCode::kDataLoss:
      return kFailed;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
      return kRefused;
    default:
      return kFailed;
  }
}

std::string JobNameOf(const std::string& text) {
  return text.starts_with("jobs/") ? text : "jobs/" + text;
}

}  // namespace bsnn::client
