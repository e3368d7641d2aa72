#include "wire/status.h"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/fault.h"
#include "base/limits.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace bsnn::wire {
namespace {

using base::FieldFault;

// Trailers beyond 8 KiB end the call in clients with gRPC's defaults; base64 adds a third.
constexpr size_t kDetailsBytesMax = 5000;
constexpr std::string_view kAllowed = " (allowed: ";

std::string DefaultReason(const absl::Status& status, bool has_faults) {
  return has_faults ? "FIELDS_INVALID" : absl::StatusCodeToString(status.code());
}

/// The violations that fit, each text cut to `text_bytes_max`.
google::rpc::BadRequest MakeBadRequest(const std::vector<FieldFault>& faults,
                                       size_t text_bytes_max) {
  google::rpc::BadRequest request;
  size_t bytes = 0;
  for (const FieldFault& fault : faults) {
    auto* violation = request.add_field_violations();
    violation->set_field(base::Shorten(fault.field, 96));
    violation->set_description(fmt::format("{}{}{})", base::Shorten(fault.value, text_bytes_max),
                                           kAllowed,
                                           base::Shorten(fault.allowed, 2 * text_bytes_max)));
    bytes += violation->ByteSizeLong() + 4;
    if (bytes > kDetailsBytesMax) {
      request.mutable_field_violations()->RemoveLast();
      break;
    }
  }
  return request;
}

google::rpc::BadRequest FitBadRequest(const std::vector<FieldFault>& faults) {
  google::rpc::BadRequest request;
  for (const size_t text_bytes_max :
       {size_t{128}, size_t{48}, size_t{24}, size_t{12}, size_t{6}, size_t{3}}) {
    request = MakeBadRequest(faults, text_bytes_max);
    if (request.field_violations_size() == static_cast<int>(faults.size())) return request;
  }
  auto* rest = request.add_field_violations();
  rest->set_field("...");
  rest->set_description(fmt::format("{} more wrong fields", static_cast<int>(faults.size()) + 1 -
                                                                request.field_violations_size()));
  return request;
}

FieldFault ToFault(const google::rpc::BadRequest::FieldViolation& violation) {
  const std::string& text = violation.description();
  const size_t split = text.rfind(kAllowed);
  if (split == std::string::npos || text.back() != ')') return {violation.field(), text, ""};
  const size_t start = split + kAllowed.size();
  return {violation.field(), text.substr(0, split), text.substr(start, text.size() - start - 1)};
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // The same in both places: clients refuse details whose message differs.
  const std::string message = base::Shorten({status.message().data(), status.message().size()},
                                            base::kWireErrorTextBytesMax);
  const auto faults = base::FaultsOf(status);
  const base::Reason reason = base::ReasonOf(status);

  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_domain(kErrorDomain);
  info.set_reason(reason.reason.empty() ? DefaultReason(status, !faults.empty()) : reason.reason);
  for (const auto& [key, value] : reason.metadata) {
    (*info.mutable_metadata())[base::Shorten(key, 64)] = base::Shorten(value, 128);
  }
  details.add_details()->PackFrom(info);
  if (!faults.empty()) details.add_details()->PackFrom(FitBadRequest(faults));
  return {static_cast<grpc::StatusCode>(status.code()), message, details.SerializeAsString()};
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return result;
  for (const auto& any : details.details()) {
    google::rpc::BadRequest request;
    if (any.UnpackTo(&request) && request.field_violations_size() > 0) {
      std::vector<FieldFault> faults;
      for (const auto& violation : request.field_violations()) faults.push_back(ToFault(violation));
      absl::Status with_faults = base::InvalidFields(faults);
      result.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
        with_faults.SetPayload(url, payload);
      });
      result = with_faults;
    }
    google::rpc::ErrorInfo info;
    if (any.UnpackTo(&info)) {
      result = base::WithReason(result,
                                {info.reason(), {info.metadata().begin(), info.metadata().end()}});
    }
  }
  return result;
}

}  // namespace bsnn::wire
